"""The search space of pyramids (section 3.1) and its generalisations."""
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmnasfpn._checks import check_whole_number
from mmnasfpn.genotypes import OPS, Genotype, MergingCell

#: The four predictions that make a merging cell (Figure 3), in order.
STEPS = ('input_1', 'input_2', 'level', 'op')


@dataclass(frozen=True)
class Decision:
    """One prediction of the controller: one entry of a vector of actions.

    Args:
        cell (int): The cell that it is about, counted from 0.
        step (str): One of :data:`STEPS`.
        num_actions (int): How many actions there are, whatever was decided before.
    """

    cell: int
    step: str
    num_actions: int

    @property
    def name(self) -> str:
        """Its name in a record of the search, e.g. ``cell_3_level``."""
        return f'cell_{self.cell}_{self.step}'


@dataclass(frozen=True)
class SearchSpace:
    """The pyramids that can be found: how many cells, and what each may be.

    First come the intermediate cells, then one output cell for each level, in an order that is decided
    as well. A cell merges two different earlier nodes. Every vector of actions stands for one genotype
    and every genotype of the space for one vector: where what is left depends on what was decided
    before (the second input, the level of an output), an action is the place among what is left.

    Args:
        min_level (int): Finest level. Defaults to 3.
        max_level (int): Coarsest level. Defaults to 7.
        num_intermediate (int): Number of cells before the output cells: 2 in the paper's 7 cells, 11 in
            the 15 cells of its NAS-FPNLite, with levels 3 to 6. Defaults to 2.
        intermediate_levels (Sequence | None): The levels that an intermediate cell may have: one list
            for all of them, e.g. ``[4, 5]``, or one for each, e.g. ``[[4], [4, 5, 6]]``. Defaults to
            None: all but the finest, which costs most.
        ops (Sequence[str]): The operations that a cell may have. Defaults to ``('sum', 'gp')``.

    Raises:
        ValueError: If an argument is not what it may be, or no genotype fits them all.

    Example:
        >>> space = SearchSpace()
        >>> f'{space.size():.2g}'
        '1.9e+15'
        >>> genotype = space.sample(random.Random(0))
        >>> space.decode(space.encode(genotype)) == genotype
        True
    """

    min_level: int = 3
    max_level: int = 7
    num_intermediate: int = 2
    intermediate_levels: Any = None
    ops: Sequence[str] = OPS

    def __post_init__(self) -> None:
        for name in ('min_level', 'max_level', 'num_intermediate'):
            check_whole_number(name, getattr(self, name), 0)
        if self.max_level <= self.min_level:
            raise ValueError(f'max_level is {self.max_level}: the space holds no genotype; it must be '
                             f'above min_level, {self.min_level}')
        object.__setattr__(self, 'ops', _some_of('ops', self.ops, OPS))
        object.__setattr__(self, 'intermediate_levels', self._levels_of_each(self.intermediate_levels))

    def to_dict(self) -> dict:
        """Return the arguments that make this space, as plain data."""
        return dict(min_level=self.min_level, max_level=self.max_level,
                    num_intermediate=self.num_intermediate,
                    intermediate_levels=[list(levels) for levels in self.intermediate_levels],
                    ops=list(self.ops))

    @property
    def levels(self) -> range:
        """The pyramid's levels, fine to coarse."""
        return range(self.min_level, self.max_level + 1)

    @property
    def num_levels(self) -> int:
        """How many levels the pyramid has."""
        return len(self.levels)

    @property
    def num_cells(self) -> int:
        """How many merging cells each genotype has."""
        return self.num_intermediate + self.num_levels

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """What is decided, in order: the four :data:`STEPS` of each cell in turn."""
        counts = [len(options) for options in self.options([0] * 4 * self.num_cells)]
        return tuple(Decision(index // 4, STEPS[index % 4], count) for index, count in enumerate(counts))

    def levels_of(self, cell: int) -> tuple[int, ...]:
        """Return the levels that a cell may have, those that earlier outputs take included."""
        return self.intermediate_levels[cell] if cell < self.num_intermediate else tuple(self.levels)

    def size(self) -> int:
        """Return the number of genotypes, the order of a cell's two inputs not counted.

        That is the number usually given. The order matters in ``gp`` at equal levels, and different
        genotypes may be one architecture (see :func:`mmnasfpn.search.architecture_hash`).
        """
        return math.prod(decision.num_actions for decision in self.decisions) // 2 ** self.num_cells

    def sample(self, rng: random.Random) -> Genotype:
        """Draw a genotype, each with the same probability.

        Args:
            rng (random.Random): Where the randomness comes from.
        """
        return self.decode([rng.randrange(decision.num_actions) for decision in self.decisions])

    def random_genotypes(self, number: int, seed: int = 0) -> dict[str, Genotype]:
        """Draw genotypes to compare with, by the names ``random_0``, ``random_1`` and so on."""
        rng = random.Random(seed)
        return {f'random_{index}': self.sample(rng) for index in range(number)}

    def options(self, actions: Sequence[int]) -> Iterator[Sequence[Any]]:
        """Yield for each decision what its actions stand for, given the actions before it.

        These are node numbers for the inputs, levels, or names of ops, in the order of the actions.

        Args:
            actions (Sequence[int]): One action for each decision. An action is read only after the
                options of its decision were yielded.
        """
        levels = list(self.levels)
        for cell in range(self.num_cells):
            first, _, level, _ = range(4 * cell, 4 * cell + 4)
            nodes = tuple(range(self.num_levels + cell))
            yield nodes
            yield nodes[:actions[first]] + nodes[actions[first] + 1:]
            if cell < self.num_intermediate:
                yield self.intermediate_levels[cell]
            else:
                yield tuple(levels)
                del levels[actions[level]]
            yield self.ops

    def decode(self, actions: Sequence[int]) -> Genotype:
        """Return the genotype that a vector of actions stands for.

        Args:
            actions (Sequence[int]): One action for each of :attr:`decisions`, ``0..num_actions - 1``.

        Raises:
            ValueError: If there are too few or too many, or one is out of its range.
        """
        actions = list(actions)
        if len(actions) != len(self.decisions):
            raise ValueError(f'there are {len(actions)} actions, but the space has '
                             f'{len(self.decisions)} decisions')
        for decision, action in zip(self.decisions, actions, strict=True):
            if isinstance(action, bool) or not 0 <= action < decision.num_actions:
                raise ValueError(f'the action of {decision.name} is {action!r}, but must be in '
                                 f'0..{decision.num_actions - 1}')
        values = [options[action]
                  for options, action in zip(self.options(actions), actions, strict=True)]
        cells = []
        for cell in range(self.num_cells):
            first, second, level, op = values[4 * cell:4 * cell + 4]
            cells.append(MergingCell(level, op, (first, second), cell >= self.num_intermediate))
        return Genotype(tuple(cells), self.min_level, self.max_level)

    def encode(self, genotype: Genotype) -> list[int]:
        """Return the vector of actions that stands for a genotype, the inverse of :meth:`decode`.

        Raises:
            ValueError: If the genotype is not in the space; says in what.
        """
        if misfit := self._misfit(genotype):
            raise ValueError(f'the genotype is not in the space: {misfit}')
        values = [value for cell in genotype.cells for value in (*cell.inputs, cell.level, cell.op)]
        actions: list[int] = []
        for decision, options in zip(self.decisions, self.options(actions), strict=True):
            value = values[len(actions)]
            if value not in options:
                raise ValueError(
                    f'the genotype is not in the space: the {decision.step} of cells[{decision.cell}] '
                    f'is {value!r}, but may be one of {list(options)}')
            actions.append(options.index(value))
        return actions

    def __contains__(self, genotype: Genotype) -> bool:
        try:
            self.encode(genotype)
        except ValueError:
            return False
        return True

    def _misfit(self, genotype: Genotype) -> str:
        """Return in what a genotype has another shape than those of the space; nothing if it has not."""
        if genotype.levels != self.levels:
            return (f'its levels are {genotype.min_level} to {genotype.max_level}, but must be '
                    f'{self.min_level} to {self.max_level}')
        if len(genotype.cells) != self.num_cells:
            return f'its number of cells is {len(genotype.cells)}, but must be {self.num_cells}'
        for index, cell in enumerate(genotype.cells):
            if cell.is_output != (index >= self.num_intermediate):
                kind = 'an output' if cell.is_output else 'an intermediate'
                return (f'cells[{index}] is {kind} cell, but the first {self.num_intermediate} must be '
                        'intermediate ones and the others outputs')
            if len(cell.inputs) != 2:
                return f'cells[{index}] has a single input, but must have two'
        return ''

    def _levels_of_each(self, levels: Sequence | None) -> tuple[tuple[int, ...], ...]:
        every = tuple(self.levels)
        if levels is None:
            levels = every[1:]
        if isinstance(levels, str) or not isinstance(levels, Sequence):
            raise ValueError(f'intermediate_levels is {levels!r}, but must be a list of levels, or one '
                             'such list for each intermediate cell')
        if any(isinstance(item, Sequence) and not isinstance(item, str) for item in levels):
            if len(levels) != self.num_intermediate:
                raise ValueError(f'intermediate_levels has {len(levels)} lists, but must have one for '
                                 f'each of the {self.num_intermediate} intermediate cells')
        else:
            levels = [levels] * self.num_intermediate
        return tuple(_some_of('intermediate_levels', item, every) for item in levels)


def _some_of(name: str, values: Iterable, every: Sequence) -> tuple:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f'{name} is {values!r}, but must be a list of some of {list(every)}')
    values = tuple(values)
    if not values:
        raise ValueError(f'{name} is empty: the space holds no genotype; give some of {list(every)}')
    if len(set(values)) < len(values) or any(value not in every for value in values):
        raise ValueError(f'{name} is {list(values)!r}, but must be some of {list(every)}, each once')
    return values
