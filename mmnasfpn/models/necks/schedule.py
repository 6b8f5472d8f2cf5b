"""When a pyramid network resizes and frees its maps."""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from mmnasfpn.genotypes import Genotype, MergingCell


class Resize(NamedTuple):
    """Bring the map of a node from a source level to another."""

    node: int
    source: int
    level: int


@dataclass(frozen=True)
class Step:
    """What happens around a merging cell. A map is given by its node and its level."""

    #: Before the cell, in this order.
    resizes: tuple[Resize, ...]
    #: What the cell takes. Where maps are aligned, the coarser of two inputs comes at its own level if
    #: that is above the cell's.
    inputs: tuple[tuple[int, int], ...]
    #: The maps that the cell is the last to take, to be freed after it.
    last_uses: tuple[tuple[int, int], ...]


def schedule(genotype: Genotype, is_aligned: bool) -> tuple[Step, ...]:
    """Return a step for each cell: a map is resized once for all cells that take it at a level.

    Args:
        genotype (Genotype): The pyramid network.
        is_aligned (bool): Whether a map can come to a coarser level through those between, and keeps its
            maximum. It then comes to each of the coarser levels at which it is taken from the one
            before, which costs less than from its own; and cells upsample the coarser of two inputs
            themselves.
    """
    inputs = [_inputs(cell, genotype, is_aligned) for cell in genotype.cells]
    levels_of: dict[int, set[int]] = {}
    for node, level in chain.from_iterable(inputs):
        levels_of.setdefault(node, set()).add(level)
    made: set[tuple[int, int]] = set()
    steps = []
    for taken in inputs:
        resizes = []
        for node, at in taken:
            own = source = genotype.node_levels[node]
            between = [level for level in sorted(levels_of[node]) if is_aligned and own < level < at]
            for level in (*between, at):
                if level != own and (node, level) not in made:
                    made.add((node, level))
                    resizes.append(Resize(node, source, level))
                source = level
        steps.append(Step(tuple(resizes), taken, ()))
    return tuple(replace(step, last_uses=maps)
                 for step, maps in zip(steps, _last_uses(genotype, steps), strict=True))


def _inputs(cell: MergingCell, genotype: Genotype, is_aligned: bool) -> tuple[tuple[int, int], ...]:
    """Return the maps that a cell takes."""
    levels = [genotype.node_levels[node] for node in cell.inputs]
    coarse = levels.index(max(levels))  # the first of equal ones
    is_upsampled_by_cell = is_aligned and len(levels) == 2 and levels[coarse] > cell.level
    return tuple((node, own if is_upsampled_by_cell and index == coarse else cell.level)
                 for index, (node, own) in enumerate(zip(cell.inputs, levels, strict=True)))


def _last_uses(genotype: Genotype, steps: Sequence[Step]) -> list[tuple[tuple[int, int], ...]]:
    """Return the maps that each cell is the last to take; outputs are taken by none."""
    last: dict[tuple[int, int], int] = {}
    for index, (cell, loose_ends, step) in enumerate(
            zip(genotype.cells, genotype.loose_ends, steps, strict=True)):
        taken = [(resize.node, resize.source) for resize in step.resizes]
        taken += [*step.inputs, *((node, cell.level) for node in loose_ends)]
        last.update(dict.fromkeys(taken, index))
    for level, node in genotype.output_nodes.items():
        last.pop((node, level), None)
    return [tuple(taken for taken, at in last.items() if at == index) for index in range(len(steps))]
