"""One form for all the ways in which an architecture can be written as a genotype."""
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from mmnasfpn.genotypes import Genotype, MergingCell


@dataclass(frozen=True)
class _Cell:
    """What a cell computes, apart from how it is written.

    ``merged`` are the nodes that it merges: in the order that matters for ``gp``, in none for ``sum``,
    where the loose ends are terms of the sum like any other and are listed here.
    """

    level: int
    op: str
    is_output: bool
    merged: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        return self.merged + self.ends


def canonical(genotype: Genotype) -> Genotype:
    """Return the one genotype that stands for all that are the same architecture.

    Two genotypes are the same architecture if they differ only in

    - the order of the two inputs, except in ``gp`` at equal levels, where the first one gates;
    - the order of cells that do not depend on each other, as long as the same loose ends are added to
      the same outputs;
    - which terms of a sum are its inputs and which are added to it as loose ends.

    Args:
        genotype (Genotype): Any genotype. The result is in the same search space, unless that gives
            each intermediate cell levels of its own.

    Example:
        >>> from mmnasfpn.genotypes import get_genotype
        >>> cells = list(get_genotype('nasfpn').cells)
        >>> cells[0] = MergingCell(4, 'gp', (3, 1))
        >>> canonical(Genotype(cells)) == canonical(get_genotype('nasfpn'))
        True
    """
    return _Writer(genotype).least()


def architecture_hash(genotype: Genotype) -> str:
    """Return a hash of the architecture: equal for genotypes with the same :func:`canonical` form."""
    return hashlib.sha256(canonical(genotype).to_json().encode()).hexdigest()[:16]


class _Writer:
    """Looks for the least way to write an architecture, cell by cell."""

    def __init__(self, genotype: Genotype) -> None:
        self.genotype = genotype
        self.first = genotype.num_levels  # the node of the first cell
        self.levels = genotype.node_levels
        self.cells = {self.first + index: self._cell(index) for index in range(len(genotype.cells))}
        self.takers: dict[int, list[int]] = {node: [] for node in range(len(self.levels))}
        for node, cell in self.cells.items():
            for taken in cell.nodes:
                self.takers[taken].append(node)
        self.colours = self._colours()

    def _cell(self, index: int) -> _Cell:
        cell, ends = self.genotype.cells[index], self.genotype.loose_ends[index]
        if cell.op == 'sum':
            return _Cell(cell.level, cell.op, cell.is_output, tuple(sorted(cell.inputs + ends)), ())
        first, second = cell.inputs
        if self.levels[first] != self.levels[second]:
            first, second = sorted(cell.inputs)
        return _Cell(cell.level, cell.op, cell.is_output, (first, second), ends)

    def _colours(self) -> list[str]:
        """Colour the nodes so that only those that play the same part have the same colour.

        The refinement of Weisfeiler and Leman: a node's colour is made of those of what it takes and of
        what takes it, again and again.
        """
        colours = [str(node) if node < self.first else '' for node in range(len(self.levels))]
        for _ in self.levels:
            colours = [self._refined(node, colours) for node in range(len(self.levels))]
        return colours

    def _refined(self, node: int, colours: list[str]) -> str:
        cell = self.cells.get(node)
        own: tuple = (node,)
        if cell is not None:
            merged = [colours[taken] for taken in cell.merged]
            if cell.op == 'sum':
                merged.sort()
            own = (cell.level, cell.op, cell.is_output, merged, sorted(colours[n] for n in cell.ends))
        takers = sorted((colours[taker], self._part(node, taker)) for taker in self.takers[node])
        return hashlib.sha256(repr((own, takers)).encode()).hexdigest()

    def _part(self, node: int, taker: int) -> int:
        """Return how a cell takes a node: at which place in ``gp``, if it matters, or as a loose end."""
        cell = self.cells[taker]
        if node in cell.ends:
            return 2
        if cell.op == 'sum' or self.levels[cell.merged[0]] != self.levels[cell.merged[1]]:
            return 0
        return cell.merged.index(node)

    def least(self) -> Genotype:
        number = {node: node for node in range(self.first)}
        cells = min(self._writings(number, set(), []), key=_sort_key)
        return Genotype(tuple(cells), self.genotype.min_level, self.genotype.max_level)

    def _writings(self, number: dict[int, int], taken: set[int],
                  written: list[MergingCell]) -> Iterator[list[MergingCell]]:
        """Yield the least ways to go on, of which there are several where cells look alike so far."""
        if len(written) == len(self.cells):
            yield written
            return
        candidates = []
        for node, cell in self.cells.items():
            if node not in number and all(n in number for n in cell.nodes):
                form = self._write(node, number, taken)
                if form is not None and self._leaves_loose_ends(node, number, taken):
                    candidates.append((_cell_key(form), node, form))
        candidates.sort(key=lambda candidate: candidate[:2])
        least, found = None, False
        tried: set[str] = set()
        for key, node, form in candidates:
            if found and key != least:
                return
            if key == least and self.colours[node] in tried:  # a twin of one that was tried
                continue
            if key != least:
                tried = set()
            least = key
            tried.add(self.colours[node])
            for writing in self._writings({**number, node: self.first + len(written)},
                                          taken | set(self.cells[node].nodes), [*written, form]):
                found = True
                yield writing

    def _write(self, node: int, number: dict[int, int], taken: set[int]) -> MergingCell | None:
        """Write a cell with the new numbers, or return None if its loose ends would not come out."""
        cell = self.cells[node]
        inputs = [number[n] for n in cell.merged]
        ends = {number[n] for n in cell.ends}
        if cell.is_output:
            loose = {number[n] for n in number if self.levels[n] == cell.level and n not in taken}
            if cell.op == 'sum':
                inputs, ends = self._split_sum(inputs, loose)
            if loose - set(inputs) != ends:
                return None
        if cell.op == 'sum' or self.levels[cell.merged[0]] != self.levels[cell.merged[1]]:
            inputs.sort()
        return MergingCell(cell.level, cell.op, tuple(inputs), cell.is_output)

    def _split_sum(self, terms: list[int], loose: set[int]) -> tuple[list[int], set[int]]:
        """Say which terms of an output's sum are written as inputs, the least ones that can be."""
        by_need = sorted(terms, key=lambda number: (number in loose, number))
        return by_need[:2], set(by_need[2:])

    def _leaves_loose_ends(self, node: int, number: dict[int, int], taken: set[int]) -> bool:
        """Say whether outputs that are still to come get their loose ends if this cell comes now."""
        takes = set(self.cells[node].nodes)
        for output, cell in self.cells.items():
            if not cell.is_output or output in number or output == node:
                continue
            if takes & set(cell.ends):
                return False
            if cell.op == 'sum' and len(cell.merged) > 2:
                can_be = [n for n in cell.merged if self.levels[n] == cell.level
                          and n not in taken and n not in takes]
                if len(can_be) < len(cell.merged) - 2:
                    return False
        return True


def _cell_key(cell: MergingCell) -> tuple:
    return (cell.is_output, cell.inputs, cell.level, cell.op)


def _sort_key(cells: list[MergingCell]) -> list[tuple]:
    return [_cell_key(cell) for cell in cells]
