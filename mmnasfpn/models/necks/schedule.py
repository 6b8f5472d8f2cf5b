"""When a pyramid network resizes and frees its maps."""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mmnasfpn.genotypes import Genotype


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
    #: The coarse input of ``gp``, at the level where it has the fewest positions: its maximum is the
    #: same at each. None where maps are not aligned.
    pool: tuple[int, int] | None
    #: The maps that the cell is the last to take, to be freed after it.
    last_uses: tuple[tuple[int, int], ...]


def schedule(genotype: Genotype, is_aligned: bool) -> tuple[Step, ...]:
    """Return a step for each cell: a map is resized once for all cells that take it at a level.

    Args:
        genotype (Genotype): The pyramid network.
        is_aligned (bool): Whether a map can come to a coarser level through those between, and keeps its
            maximum. It then comes to each of the coarser levels at which it is taken from the one
            before, which costs less than from its own.
    """
    levels_of: dict[int, set[int]] = {}
    for cell in genotype.cells:
        for node in cell.inputs:
            levels_of.setdefault(node, set()).add(cell.level)
    made: set[tuple[int, int]] = set()
    steps = []
    for cell in genotype.cells:
        resizes = []
        for node in cell.inputs:
            own = source = genotype.node_levels[node]
            between = [level for level in sorted(levels_of[node])
                       if is_aligned and own < level < cell.level]
            for level in (*between, cell.level):
                if level != own and (node, level) not in made:
                    made.add((node, level))
                    resizes.append(Resize(node, source, level))
                source = level
        pool = None
        if cell.op == 'gp' and is_aligned:
            coarse = max(cell.inputs, key=genotype.node_levels.__getitem__)  # the first of equal ones
            pool = coarse, max(genotype.node_levels[coarse], cell.level)
        steps.append(Step(tuple(resizes), pool, ()))
    return tuple(replace(step, last_uses=maps)
                 for step, maps in zip(steps, _last_uses(genotype, steps), strict=True))


def _last_uses(genotype: Genotype, steps: Sequence[Step]) -> list[tuple[tuple[int, int], ...]]:
    """Return the maps that each cell is the last to take; outputs are taken by none."""
    last: dict[tuple[int, int], int] = {}
    for index, (cell, loose_ends, step) in enumerate(
            zip(genotype.cells, genotype.loose_ends, steps, strict=True)):
        taken = [(resize.node, resize.source) for resize in step.resizes]
        taken += [(node, cell.level) for node in (*cell.inputs, *loose_ends)]
        last.update(dict.fromkeys([*taken, *([step.pool] if step.pool else [])], index))
    for level, node in genotype.output_nodes.items():
        last.pop((node, level), None)
    return [tuple(taken for taken, at in last.items() if at == index) for index in range(len(steps))]
