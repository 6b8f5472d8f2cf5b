"""The connections of a genotype as one list, for the drawings."""
from dataclasses import dataclass

from mmnasfpn.genotypes import Genotype


@dataclass(frozen=True)
class Connection:
    """An arrow of a drawing: the map of one node goes into the cell of a later node.

    Args:
        source (int): Node whose map is taken.
        target (int): Node of the cell that takes it.
        is_loose_end (bool): Whether it is added because no cell had taken it (section 3.1).
        is_gate (bool): Whether its pooled values gate the other input of a ``gp`` cell.
    """

    source: int
    target: int
    is_loose_end: bool = False
    is_gate: bool = False


def list_connections(genotype: Genotype) -> list[Connection]:
    """List the connections cell by cell: a cell's inputs in their order, then its loose ends."""
    connections = []
    for index, (cell, loose_ends) in enumerate(zip(genotype.cells, genotype.loose_ends, strict=True)):
        target = genotype.num_levels + index
        gate = _gate(genotype, index)
        connections += [Connection(node, target, is_gate=node == gate) for node in cell.inputs]
        connections += [Connection(node, target, is_loose_end=True) for node in loose_ends]
    return connections


def _gate(genotype: Genotype, index: int) -> int | None:
    """Return the input of a ``gp`` cell that gates: the coarser, the first of two equal ones."""
    cell = genotype.cells[index]
    if cell.op != 'gp':
        return None
    return max(cell.inputs, key=lambda node: genotype.node_levels[node])  # the first of the largest
