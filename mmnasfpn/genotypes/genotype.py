"""Merging cells and the genotype they form (NAS-FPN, section 3.1).

A pyramid network numbers its feature maps, called nodes: first the inputs, fine to coarse
(node 0 is the lowest level), then one node per merging cell, in order. A cell names the earlier
nodes that it merges by these numbers: two in the paper's search space; one where a map is only
taken to another level, as at the top of the vanilla FPN.
"""
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: The binary operations of a merging cell: ``sum``, and ``gp`` for global pooling.
OPS = ('sum', 'gp')

_HIGHEST_LEVEL = 30  # a stride of 2**30 pixels


class GenotypeError(ValueError):
    """A genotype that is not one: says which cell, which field, what it was and what it may be."""


@dataclass(frozen=True)
class MergingCell:
    """One merging cell: two earlier feature maps in (or one), one new feature map out.

    Args:
        level (int): Pyramid level of the map that the cell makes; its stride is ``2**level``
            pixels when the genotype's levels are those of the image pyramid.
        op (str): ``'sum'`` or ``'gp'`` (global pooling).
        inputs (Sequence[int]): The two nodes that the cell merges, different from each other.
            Their order matters only for ``gp`` on two nodes of equal level, where the first
            one is the coarse one, whose pooled values gate the other. A ``sum`` may also have
            a single input, which lies outside the paper's search space.
        is_output (bool): Whether the map is the pyramid's output at ``level``.

    Raises:
        GenotypeError: If a field has the wrong type or an impossible value.

    Example:
        >>> MergingCell(4, 'gp', [1, 3])
        MergingCell(level=4, op='gp', inputs=(1, 3), is_output=False)
    """

    level: int
    op: str
    inputs: tuple[int, ...]
    is_output: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, 'level', _whole_number('level', self.level))
        if not isinstance(self.op, str) or self.op not in OPS:
            raise GenotypeError(f"op is {self.op!r}, but must be one of {', '.join(map(repr, OPS))}")
        inputs = _items('inputs', self.inputs, 'node numbers')
        object.__setattr__(self, 'inputs', tuple(_whole_number('inputs', node) for node in inputs))
        if len(self.inputs) != 2 and not (len(self.inputs) == 1 and self.op == 'sum'):
            raise GenotypeError(f'inputs is {list(self.inputs)} with the op {self.op!r}, but a cell '
                                "merges two nodes, or takes a single one with the op 'sum'")
        if len(set(self.inputs)) != len(self.inputs):
            raise GenotypeError(f'inputs is {list(self.inputs)}, but the two nodes must differ')
        if not isinstance(self.is_output, bool):
            raise GenotypeError(f'is_output is {self.is_output!r}, but must be true or false')

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as plain data, the inverse of :meth:`from_dict`."""
        return dict(level=self.level, op=self.op, inputs=list(self.inputs), is_output=self.is_output)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'MergingCell':
        """Make a cell from ``{"level", "op", "inputs"[, "is_output"]}``.

        Raises:
            GenotypeError: If a key is missing or unknown, or a value is impossible.
        """
        _check_keys(data, required=('level', 'op', 'inputs'), optional=('is_output',))
        return cls(**data)


@dataclass(frozen=True)
class Genotype:
    """A feature pyramid architecture: its levels and the merging cells that connect them.

    Levels are relative: the lowest one is the first map that the neck is given. Equality and
    hash go by the written form; two genotypes that differ only in how they are written differ.

    Args:
        cells (Sequence[MergingCell]): The merging cells, in the order in which they run.
        min_level (int): Finest level, the one of node 0. Defaults to 3.
        max_level (int): Coarsest level. Defaults to 7.

    Raises:
        GenotypeError: If the cells do not form a pyramid: an input that is not an earlier
            node, a level outside ``min_level..max_level``, a level without an output or with
            two, or a cell whose map reaches no output.

    Example:
        >>> genotype = Genotype([MergingCell(1, 'sum', [0, 1], True),
        ...                      MergingCell(0, 'gp', [0, 2], True)], min_level=0, max_level=1)
        >>> Genotype.from_json(genotype.to_json()) == genotype
        True
    """

    cells: tuple[MergingCell, ...]
    min_level: int = 3
    max_level: int = 7

    def __post_init__(self) -> None:
        for field in ('min_level', 'max_level'):
            object.__setattr__(self, field, _whole_number(field, getattr(self, field)))
        if self.min_level < 0:
            raise GenotypeError(f'min_level is {self.min_level}, but must be 0 or more')
        if not self.min_level < self.max_level <= _HIGHEST_LEVEL:
            raise GenotypeError(f'max_level is {self.max_level}, but must be above min_level, '
                                f'{self.min_level}, and at most {_HIGHEST_LEVEL}')
        object.__setattr__(self, 'cells', _items('cells', self.cells, 'merging cells'))
        self._check_cells()
        self._check_outputs()
        self._check_all_used()

    @property
    def levels(self) -> range:
        """The pyramid's levels, fine to coarse."""
        return range(self.min_level, self.max_level + 1)

    @property
    def num_levels(self) -> int:
        """How many levels the pyramid has, in and out."""
        return len(self.levels)

    @cached_property
    def node_levels(self) -> tuple[int, ...]:
        """The level of each node: the inputs' first, then the cells'."""
        return (*self.levels, *(cell.level for cell in self.cells))

    @cached_property
    def output_nodes(self) -> dict[int, int]:
        """The node that is the output of each level, fine to coarse.

        Keyed by level because cells may make the outputs in any order; the published
        genotype makes P7 before P6.
        """
        nodes = {cell.level: self.num_levels + index
                 for index, cell in enumerate(self.cells) if cell.is_output}
        return {level: nodes[level] for level in self.levels}

    @cached_property
    def loose_ends(self) -> tuple[tuple[int, ...], ...]:
        """For each cell, the loose ends that are added to its merged map.

        When an output cell is made, each earlier node of its level that no cell has taken so
        far, inputs included, is added to it and from then on counts as taken (section 3.1,
        "we take all feature layers that have not been connected").
        """
        taken: set[int] = set()
        loose_ends = []
        for index, cell in enumerate(self.cells):
            taken.update(cell.inputs)
            ends: tuple[int, ...] = ()
            if cell.is_output:
                ends = tuple(node for node in range(self.num_levels + index)
                             if self.node_levels[node] == cell.level and node not in taken)
                taken.update(ends)
            loose_ends.append(ends)
        return tuple(loose_ends)

    def to_dict(self) -> dict[str, Any]:
        """Return the genotype as plain data, the inverse of :meth:`from_dict`."""
        return dict(min_level=self.min_level, max_level=self.max_level,
                    cells=[cell.to_dict() for cell in self.cells])

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Genotype':
        """Make a genotype from ``{"cells"[, "min_level", "max_level"]}``.

        Raises:
            GenotypeError: If the data are not a genotype; names the cell and the field.
        """
        _check_keys(data, required=('cells',), optional=('min_level', 'max_level'))
        cells = []
        for index, cell in enumerate(_items('cells', data['cells'], 'merging cells')):
            try:
                cells.append(MergingCell.from_dict(cell))
            except GenotypeError as error:
                raise GenotypeError(f'cells[{index}]: {error}') from None
        return cls(**{**data, 'cells': tuple(cells)})

    def to_json(self) -> str:
        """Return the genotype as JSON, one line per cell, the inverse of :meth:`from_json`."""
        cells = ',\n'.join(f'    {json.dumps(cell.to_dict())}' for cell in self.cells)
        return (f'{{"min_level": {self.min_level}, "max_level": {self.max_level}, "cells": [\n'
                f'{cells}\n]}}\n')

    @classmethod
    def from_json(cls, text: str) -> 'Genotype':
        """Make a genotype from JSON text.

        Raises:
            GenotypeError: If the text is not JSON, a key stands twice, or the data are not a
                genotype.
        """
        try:
            data = json.loads(text, object_pairs_hook=_unique_keys)
        except GenotypeError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            raise GenotypeError(f'the text is not JSON ({error}), but must be one object like '
                                '{"min_level": 3, "max_level": 7, "cells": [...]}') from None
        return cls.from_dict(data)

    def _check_cells(self) -> None:
        for index, cell in enumerate(self.cells):
            if not isinstance(cell, MergingCell):
                raise GenotypeError(f'cells[{index}] is {cell!r}, but must be a MergingCell')
            if cell.level not in self.levels:
                raise GenotypeError(f'cells[{index}]: level is {cell.level}, but must be in '
                                    f'{self.min_level}..{self.max_level}')
            node = self.num_levels + index
            for taken in cell.inputs:
                if not 0 <= taken < node:
                    raise GenotypeError(
                        f'cells[{index}]: inputs is {list(cell.inputs)}, but {taken} is not an '
                        f'earlier node: the cell is node {node} and may take 0..{node - 1}')

    def _check_outputs(self) -> None:
        output_of: dict[int, int] = {}
        for index, cell in enumerate(self.cells):
            if cell.is_output and output_of.setdefault(cell.level, index) != index:
                raise GenotypeError(
                    f'cells[{index}]: is_output is true for level {cell.level}, but '
                    f'cells[{output_of[cell.level]}] is the output of that level already')
        missing = [level for level in self.levels if level not in output_of]
        if missing:
            raise GenotypeError(
                f"cells: no cell is the output of level {', '.join(map(str, missing))}; each level "
                f'of {self.min_level}..{self.max_level} needs one cell with is_output true')

    def _check_all_used(self) -> None:
        # A map that reaches no output would be computed for nothing, and its weights would
        # never get a gradient (which distributed training refuses).
        taken = {node for cell, ends in zip(self.cells, self.loose_ends, strict=True)
                 for node in (*cell.inputs, *ends)}
        for index, cell in enumerate(self.cells):
            node = self.num_levels + index
            if not cell.is_output and node not in taken:
                raise GenotypeError(
                    f'cells[{index}]: no cell takes its map, node {node}, and it comes after the '
                    f'output of level {cell.level}, which would have added it; move the cell '
                    'before that output, or take its node as an input, or leave it out')


def _whole_number(field: str, value: Any) -> int:
    """Return an int, also for NumPy's integers, but not for booleans."""
    if isinstance(value, bool) or not hasattr(value, '__index__'):
        raise GenotypeError(f'{field} is {value!r}, but must be a whole number')
    return operator.index(value)


def _items(field: str, values: Any, what: str) -> tuple[Any, ...]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise GenotypeError(f'{field} is {values!r}, but must be a list of {what}')
    return tuple(values)


def _check_keys(data: Any, required: Sequence[str], optional: Sequence[str]) -> None:
    may_be = f"must have the keys {', '.join(required)} and may have {', '.join(optional)}"
    if not isinstance(data, Mapping):
        raise GenotypeError(f'{data!r} is not an object; it {may_be}')
    for key in (*data, *required):
        if key not in (*required, *optional):
            raise GenotypeError(f'key {key!r} is unknown; the object {may_be}')
        if key not in data:
            raise GenotypeError(f'key {key!r} is missing; the object {may_be}')


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise GenotypeError(f'key {key!r} stands twice in one object; keep one of them')
        data[key] = value
    return data
