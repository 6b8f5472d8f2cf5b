"""Drawings of a genotype: an architecture graph (Figure 7) and a box diagram (Figure 6)."""
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle, RegularPolygon

from mmnasfpn.genotypes import Genotype
from mmnasfpn.visualization.graph_layout import (
    DOT_RADIUS,
    RING_RADIUS,
    Connection,
    Dot,
    lay_out_graph,
)

#: Suffixes of the files that drawings are written to.
SUFFIXES = ('.png', '.svg', '.pdf')

_DPI = 110

# Colours that differ in lightness too, so that they are told apart in grey.
_INK = '#2f3b4a'
_FAINT = '#7b8794'
_GUIDE = '#e4e8ec'
_SUM = '#ffffff'
_GP = '#34495e'
_GREEN = '#3aa655'
_RED = '#c62828'
_LOOSE = '#8e5bb5'
_YELLOW = '#ffe28a'
_BLUE = '#a8cff5'
_CELL = '#f4f6f8'

_MARGIN = 0.3  # inches, as all lengths here
_LABELS = 1.05  # the column of level names
_TITLE = 0.5
_ENTRY = (2.2, 0.42)  # width and height of an entry of the legend
_SMALL = 0.6  # of the dots there

BOX_WIDTH, BOX_ROW = 0.72, 0.17  # of a box diagram
_BOXES_SCALE = np.array([1.9, 1.6])  # of its columns and rows against the graph's

_Mark = Callable[[Axes, float, float], None]  # draws a mark of the legend at x, y


def draw_graph(genotype: Genotype, out: str | os.PathLike[str], title: str | None = None) -> None:
    """Draw a genotype as a graph in the manner of Figure 7.

    A dot is a feature map with its node number. Rows are levels, the finest at the bottom; the
    inputs stand in the first column, then come the cells, one column each, in order.

    Args:
        genotype (Genotype): What to draw.
        out (str | PathLike): Picture to write, a ``.png``, ``.svg`` or ``.pdf``; its folder is
            made. The drawing grows with the genotype, about an inch per cell and level.
        title (str | None): Text above the drawing. Defaults to None, for none.

    Raises:
        ValueError: If ``out`` has another suffix.
    """
    _save(graph_figure, genotype, out, title)


def draw_boxes(genotype: Genotype, out: str | os.PathLike[str], title: str | None = None) -> None:
    """Draw a genotype as a diagram of boxes in the manner of Figure 6.

    Rows and columns are those of :func:`draw_graph`. A box is a cell: its op, the sum with loose ends,
    if any, then ReLU, convolution and batch normalisation ("R-C-B"), and its level if it is an output.
    Arguments and errors are those of :func:`draw_graph` as well.
    """
    _save(boxes_figure, genotype, out, title)


def _save(make: Callable[[Genotype, str | None], Figure], genotype: Genotype,
          out: str | os.PathLike[str], title: str | None) -> None:
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:  # before the work
        raise ValueError(f"out is {os.fspath(out)!r}, but must end in one of {', '.join(SUFFIXES)}")
    figure = make(genotype, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)


def graph_figure(genotype: Genotype, title: str | None = None) -> Figure:
    """Make the figure of :func:`draw_graph`. One unit of its axes is one inch."""
    return _figure_of(lambda axes: draw_genotype_graph(axes, genotype, title))


def draw_genotype_graph(axes: Axes, genotype: Genotype, title: str | None = None) -> None:
    """Draw the graph of :func:`draw_graph` into axes, whose limits become its size in inches.

    Args:
        axes (Axes): Where to draw.
        genotype (Genotype): What to draw.
        title (str | None): Text above the drawing. Defaults to None, for none.
    """
    dots, arrows = lay_out_graph(genotype)
    points = np.concatenate([arrow.points for arrow in arrows] + [[(dot.x, dot.y)] for dot in dots])
    bottom, top = points[:, 1].min() - RING_RADIUS, points[:, 1].max() + RING_RADIUS
    left, right = -RING_RADIUS, dots[-1].x + RING_RADIUS
    _fit_sheet(axes, (left - _LABELS, right), (bottom, top), _graph_legend(genotype, dots), title)
    for level in genotype.levels:
        y = dots[level - genotype.min_level].y
        axes.plot([left, right], [y, y], color=_GUIDE, linewidth=1, zorder=0)
        _draw_level(axes, level, left - _LABELS, y)
    for arrow in arrows:
        _draw_arrow(axes, arrow.points, arrow.connection)
    for dot in dots:
        _draw_dot(axes, dot, str(dot.node))


def _figure_of(draw: Callable[[Axes], None]) -> Figure:
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    draw(axes)
    figure.set_size_inches(np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()))
    return figure


def _fit_sheet(axes: Axes, across: tuple[float, float], upward: tuple[float, float],
               entries: Sequence[tuple[_Mark, str]], title: str | None) -> None:
    """Set the limits, in inches, around a drawing of this extent, and add its title and its legend."""
    left, right, bottom, top = *across, *upward
    per_row = max(2, min(len(entries), int((right - left) / _ENTRY[0])))
    right = max(right, left + per_row * _ENTRY[0])
    rows = -(-len(entries) // per_row)
    legend_top = bottom - _MARGIN
    bottom = legend_top - rows * _ENTRY[1] - 0.1
    top += _TITLE if title else 0
    left, right, bottom, top = left - _MARGIN, right + _MARGIN, bottom - _MARGIN / 2, top + _MARGIN
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.axis('off')
    if title:
        axes.text((left + right) / 2, top - _MARGIN, title, fontsize=15, color=_INK,
                  parse_math=False, fontweight='bold',
                  horizontalalignment='center', verticalalignment='top')
    axes.plot([left + _MARGIN, right - _MARGIN], [legend_top, legend_top], color=_GUIDE, linewidth=1)
    for place, (draw, text) in enumerate(entries):
        row, column = divmod(place, per_row)
        x = across[0] + column * _ENTRY[0] + 0.3
        y = legend_top - 0.1 - (row + 0.5) * _ENTRY[1]
        draw(axes, x, y)
        axes.text(x + 0.42, y, text, fontsize=9, color=_INK, verticalalignment='center')


def boxes_figure(genotype: Genotype, title: str | None = None) -> Figure:
    """Make the figure of :func:`draw_boxes`. One unit of its axes is one inch."""
    return _figure_of(lambda axes: _draw_boxes(axes, genotype, title))


def _draw_boxes(axes: Axes, genotype: Genotype, title: str | None) -> None:
    """Draw boxes where the graph has its dots, on larger columns and rows, and within these dots.

    So no arrow runs through a box.
    """
    dots, arrows = lay_out_graph(genotype)
    boxes = [_Box(dot.x * _BOXES_SCALE[0], dot.y * _BOXES_SCALE[1], _rows_of_box(genotype, dot))
             for dot in dots]
    heights = [y for arrow in arrows for y in arrow.points[:, 1] * _BOXES_SCALE[1]]
    heights += [y for box in boxes for y in box.edges]
    left, right = -BOX_WIDTH / 2, boxes[-1].x + BOX_WIDTH / 2
    _fit_sheet(axes, (left - _LABELS, right), (min(heights), max(heights)), _boxes_legend(genotype),
               title)
    for level in genotype.levels:
        _draw_level(axes, level, left - _LABELS, boxes[level - genotype.min_level].y)
    for arrow in arrows:
        source, target = boxes[arrow.connection.source], boxes[arrow.connection.target]
        points = arrow.points * _BOXES_SCALE
        points = np.vstack([source.rim(points[0]), points, target.rim(points[-1])])
        _draw_arrow(axes, points, arrow.connection)
    for box in boxes:
        _draw_box(axes, box)


@dataclass(frozen=True)
class _Box:
    """A node of a box diagram: its centre, and its rows from the top down, each a kind and a text."""

    x: float
    y: float
    rows: Sequence[tuple[str, str]]

    @property
    def edges(self) -> tuple[float, float]:
        """The lower and the upper edge."""
        half = len(self.rows) * BOX_ROW / 2
        return self.y - half, self.y + half

    def rim(self, point: np.ndarray) -> np.ndarray:
        """Return where the line from the centre to a point leaves the box."""
        centre = np.array([self.x, self.y])
        half = np.array([BOX_WIDTH, len(self.rows) * BOX_ROW]) / 2
        return centre + (point - centre) / (np.abs(point - centre) / half).max()


def _rows_of_box(genotype: Genotype, dot: Dot) -> list[tuple[str, str]]:
    """Return the lines of a node's box: its op, the sum with loose ends, "R-C-B", and a note."""
    level = genotype.node_levels[dot.node]
    if dot.kind == 'input':
        return [('input', f'C{level}'), ('input', f'node {dot.node}')]
    rows = [(dot.kind, dict(gp='GP', sum='Sum')[dot.kind])] if dot.kind in ('gp', 'sum') else []
    if dot.kind == 'gp' and genotype.loose_ends[dot.node - genotype.num_levels]:
        rows.append(('sum', 'Sum'))
    rows.append(('rcb', 'R-C-B'))
    if dot.is_output:
        return [*rows, ('output', f'P{level}, node {dot.node}')]
    return [*rows, ('rcb', f'node {dot.node}')]


def _draw_box(axes: Axes, box: _Box) -> None:
    faces = dict(input=_YELLOW, output=_BLUE, sum=_SUM, gp=_GP, rcb=_CELL)
    bottom, top = box.edges
    for place, (kind, text) in enumerate(box.rows):
        y = top - (place + 1) * BOX_ROW
        axes.add_patch(Rectangle((box.x - BOX_WIDTH / 2, y), BOX_WIDTH, BOX_ROW, facecolor=faces[kind],
                                 edgecolor='none', zorder=4, label=kind))
        small = 0 < place == len(box.rows) - 1
        axes.text(box.x, y + BOX_ROW / 2, text, fontsize=8 if small else 10, zorder=6,
                  color='white' if kind == 'gp' else _INK, fontweight='normal' if small else 'bold',
                  horizontalalignment='center', verticalalignment='center_baseline')
    axes.add_patch(Rectangle((box.x - BOX_WIDTH / 2, bottom), BOX_WIDTH, top - bottom, fill=False,
                             edgecolor=_INK, linewidth=1.1, zorder=5, label='frame'))


def _boxes_legend(genotype: Genotype) -> list[tuple[_Mark, str]]:
    def box(kind: str, text: str) -> _Mark:
        return lambda axes, x, y: _draw_box(axes, _Box(x, y, [(kind, text)]))

    entries = [(box('input', 'C'), 'input map'), (box('sum', 'Sum'), 'sum of the maps')]
    if any(cell.op == 'gp' for cell in genotype.cells):
        entries.append((box('gp', 'GP'), 'global pooling'))
    entries += [(box('rcb', 'R-C-B'), 'ReLU, conv, BN'), (box('output', 'P'), 'output map')]
    return entries + _arrow_legend(genotype)


def _graph_legend(genotype: Genotype, dots: Sequence[Dot]) -> list[tuple[_Mark, str]]:
    """Explain the marks that this drawing has: how each is drawn at x, y, and what it says."""
    def dot(kind: str, is_output: bool = False) -> _Mark:
        radius = RING_RADIUS if kind == 'input' or is_output else DOT_RADIUS
        return lambda axes, x, y: _draw_dot(axes, Dot(-1, x, y, radius, kind, is_output), '', _SMALL)

    kinds = {dot.kind for dot in dots}
    texts = dict(input='input', sum='cell: sum', gp='cell: global pooling', one='cell of one input')
    entries = [(dot(kind), text) for kind, text in texts.items() if kind in kinds]
    return [*entries, (dot('blank', is_output=True), 'output'), *_arrow_legend(genotype)]


def _arrow_legend(genotype: Genotype) -> list[tuple[_Mark, str]]:
    def arrow(**kind: bool) -> _Mark:
        return lambda axes, x, y: _draw_arrow(axes, np.array([(x - 0.3, y), (x + 0.3, y)]),
                                              Connection(-1, -1, **kind))

    entries = [(arrow(), 'input of a cell')]
    if any(cell.op == 'gp' for cell in genotype.cells):
        entries.append((arrow(is_gate=True), 'input that gates (GP)'))
    if any(genotype.loose_ends):
        entries.append((arrow(is_loose_end=True), 'loose end, added'))
    return entries


def _draw_level(axes: Axes, level: int, x: float, y: float) -> None:
    axes.text(x, y + 0.02, f'level {level}', fontsize=11, color=_INK, fontweight='bold',
              verticalalignment='bottom')
    axes.text(x, y - 0.03, f'stride {2 ** level}', fontsize=8.5, color=_FAINT, verticalalignment='top')


def _draw_dot(axes: Axes, dot: Dot, text: str, scale: float = 1) -> None:
    """Draw a map: a disc, or a dark hexagon for global pooling, in a ring for inputs and outputs."""
    centre, disc = (dot.x, dot.y), DOT_RADIUS * scale
    if dot.kind == 'input' or dot.is_output:
        axes.add_patch(Circle(centre, dot.radius * scale - 0.02, facecolor='white', linewidth=2.8,
                              edgecolor=_RED if dot.is_output else _GREEN, zorder=4,
                              label='output ring' if dot.is_output else 'input ring'))
    if dot.kind == 'gp':
        axes.add_patch(RegularPolygon(centre, 6, radius=disc, orientation=np.pi / 6, facecolor=_GP,
                                      edgecolor=_GP, zorder=5, label='gp'))
    elif dot.kind in ('sum', 'one'):
        axes.add_patch(Circle(centre, disc - 0.01, facecolor=_SUM, edgecolor=_INK, linewidth=1.2,
                              zorder=5, label=dot.kind))
    op = {'sum': 'sum', 'gp': 'GP'}.get(dot.kind, '')
    for words, size, above in ((text, 11, 0.055 if op else 0), (op, 7, -0.105 if text else 0)):
        if words:
            axes.text(dot.x, dot.y + above, words, fontsize=size, zorder=6, label=f'node {dot.node}',
                      color='white' if dot.kind == 'gp' else _INK,
                      fontweight='bold' if words is text else 'normal',
                      horizontalalignment='center', verticalalignment='center')


def _draw_arrow(axes: Axes, points: np.ndarray, connection: Connection) -> None:
    """Draw a polyline, (N, 2), with a head at its end: dashed for a loose end, hollow for a gate."""
    colour = _LOOSE if connection.is_loose_end else _INK
    length, half_width = 0.15, 0.055
    shaft = points[np.linalg.norm(points - points[-1], axis=1) > length]
    tip, direction = points[-1], points[-1] - shaft[-1]
    direction = direction / np.linalg.norm(direction)
    base = tip - length * direction
    shaft = np.vstack([shaft, base])
    axes.plot(*shaft.T, color=colour, linewidth=1.5, zorder=2, dash_capstyle='butt',
              linestyle=(0, (4, 2)) if connection.is_loose_end else '-',
              label='loose end' if connection.is_loose_end else 'input')
    side = half_width * np.array([-direction[1], direction[0]])
    axes.add_patch(Polygon([tip, base + side, base - side], edgecolor=colour, linewidth=1.2, zorder=3,
                           facecolor='white' if connection.is_gate else colour, joinstyle='miter',
                           label='gate' if connection.is_gate else 'head'))
