"""Drawings of genotypes: the geometry of both styles, what is told apart, and the tool."""
import random
from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from mmnasfpn.genotypes import GENOTYPES, Genotype, MergingCell, get_genotype
from mmnasfpn.visualization import graph_layout
from mmnasfpn.visualization.genotype_drawing import (
    _BOXES_SCALE,
    BOX_WIDTH,
    _Box,
    _rows_of_box,
    boxes_figure,
    draw_boxes,
    draw_graph,
    graph_figure,
)
from mmnasfpn.visualization.graph_layout import lay_out_graph, list_connections
from tests.conftest import run_python
from tests.strategies import genotypes

NASFPN = get_genotype('nasfpn')


def random_genotype(num_cells, num_levels, seed):
    """Make a genotype of so many cells; inputs are drawn from all earlier nodes alike."""
    rng = random.Random(seed)
    to_output = rng.sample(range(3, 3 + num_levels), num_levels)
    last = to_output[0]  # stays open to the end, so that intermediate cells reach an output
    outputs = sorted(rng.sample(range(num_cells - 1), num_levels - 1))
    cells = []
    for index in range(num_cells):
        is_output = index in outputs or index == num_cells - 1
        level = to_output.pop() if is_output else rng.choice([*to_output, last])
        inputs = rng.sample(range(num_levels + index), 2)
        cells.append(MergingCell(level, rng.choice(('sum', 'gp')), inputs, is_output))
    return Genotype(cells, 3, 2 + num_levels)


SIZES = [(3, 3), (6, 4), (9, 5), (12, 3), (16, 6), (20, 3), (20, 6), (12, 12)]
SOME = {**GENOTYPES, **{f'{cells} cells, {levels} levels': random_genotype(cells, levels, cells)
                        for cells, levels in SIZES}}
some_genotypes = pytest.mark.parametrize('genotype', SOME.values(), ids=SOME.keys())
BOTH = pytest.mark.parametrize('make', [graph_figure, boxes_figure])


def distance(point, points):
    """Distance of a point to a polyline."""
    points = np.asarray(points)
    start, step = points[:-1], np.diff(points, axis=0)
    length = np.hypot(*step.T)
    along = np.clip(((point - start) * step).sum(1) / length ** 2, 0, 1)
    return np.hypot(*(point - start - along[:, None] * step).T).min()


def check_graph(genotype):
    dots, arrows = lay_out_graph(genotype)
    assert [arrow.connection for arrow in arrows] == list_connections(genotype)
    for arrow in arrows:
        source, target = dots[arrow.connection.source], dots[arrow.connection.target]
        for dot in dots:
            gap = distance((dot.x, dot.y), arrow.points) - dot.radius
            assert gap > 0.02, f'{arrow.connection} touches {dot.node}'
        for dot, end in ((source, arrow.points[0]), (target, arrow.points[-1])):
            assert np.hypot(*(end - (dot.x, dot.y))) < dot.radius + 0.15
    for one, other in combinations(dots, 2):
        assert np.hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius + 0.2


@some_genotypes
def test_no_arrow_runs_through_a_dot(genotype):
    check_graph(genotype)


@settings(max_examples=8)
@given(genotypes())
def test_no_arrow_runs_through_a_dot_of_any_genotype(genotype):
    check_graph(genotype)


def test_an_arrow_that_must_climb_past_many_inputs_is_found():
    levels = 12
    cells = [MergingCell(3 + levels - 1, 'sum', (0, 1), True)]
    cells += [MergingCell(3 + level, 'sum', (levels - 1, level), True) for level in range(levels - 1)]
    check_graph(Genotype(cells, 3, 2 + levels))


@pytest.mark.parametrize('size', [(9, 9), (20, 6)])
def test_where_no_smooth_curve_is_clean_a_stepped_one_is(monkeypatch, size):
    monkeypatch.setattr(graph_layout, '_smooth_curves', lambda xs, start, end, top: [
        start + (end - start) * (xs - xs[0]) / (xs[-1] - xs[0])])
    check_graph(random_genotype(*size, seed=0))


def test_rows_are_levels_with_the_finest_at_the_bottom_and_columns_are_the_order():
    dots, _ = lay_out_graph(NASFPN)
    by_level = sorted(zip(NASFPN.node_levels, (dot.y for dot in dots), strict=True))
    assert all((one[0] < other[0]) == (one[1] < other[1]) for one, other in pairwise(by_level))
    assert [dot.x for dot in dots[:5]] == [0] * 5
    assert all(one.x < other.x for one, other in pairwise(dots[4:]))


@some_genotypes
def test_boxes_stand_within_the_dots_that_arrows_pass(genotype):
    for dot in lay_out_graph(genotype)[0]:
        box = _Box(0, 0, _rows_of_box(genotype, dot))
        corner = np.array([BOX_WIDTH / 2, box.edges[1]]) / _BOXES_SCALE
        assert np.hypot(*corner) < dot.radius + 0.02  # what check_graph leaves free


def test_the_gate_is_the_coarser_input_or_the_first_of_two_equal_ones():
    cells = [MergingCell(3, 'gp', (0, 2)), MergingCell(4, 'gp', (3, 0)),
             MergingCell(3, 'sum', (0, 1), True), MergingCell(4, 'sum', (1, 4), True),
             MergingCell(5, 'sum', (2, 3), True)]
    gates = [(connection.source, connection.target)
             for connection in list_connections(Genotype(cells, 3, 5)) if connection.is_gate]
    assert gates == [(2, 3), (3, 4)]


def texts_of(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [(text, text.get_window_extent(canvas.get_renderer()))
            for text in figure.axes[0].texts]


@BOTH
@pytest.mark.parametrize('genotype', [random_genotype(20, 6, 1), random_genotype(20, 3, 2),
                                      random_genotype(3, 3, 3), NASFPN])
def test_no_text_meets_another_text_or_a_line_or_the_edge(make, genotype):
    figure = make(genotype, 'A title')
    extents = texts_of(figure)
    for (one, extent), (other, second) in combinations(extents, 2):
        assert not extent.overlaps(second), (one.get_text(), other.get_text())
    lines = [line for line in figure.axes[0].lines if line.get_zorder() > 0]  # guides lie below
    paths = [line.get_transform().transform_path(line.get_path()) for line in lines]
    for text, extent in extents:
        assert not any(path.intersects_bbox(extent, filled=False) for path in paths), text.get_text()
        assert figure.bbox.containsx(extent.x0) and figure.bbox.containsx(extent.x1)
        assert figure.bbox.containsy(extent.y0) and figure.bbox.containsy(extent.y1)


@BOTH
def test_fonts_and_marks_keep_their_size_while_the_figure_grows(make):
    small, large = make(random_genotype(5, 5, 0)), make(random_genotype(20, 5, 0))
    assert large.get_figwidth() > 2 * small.get_figwidth()
    sizes = [{text.get_fontsize() for text in figure.axes[0].texts} for figure in (small, large)]
    assert sizes[0] == sizes[1] and min(sizes[0]) >= 7
    for figure in (small, large):  # a unit is an inch
        assert np.ptp(figure.axes[0].get_xlim()) == pytest.approx(figure.get_figwidth())
        assert np.ptp(figure.axes[0].get_ylim()) == pytest.approx(figure.get_figheight())


def artists(figure, label):
    axes = figure.axes[0]
    return [artist for artist in (*axes.patches, *axes.lines) if artist.get_label() == label]


def lightness(colour):
    return np.dot(to_rgb(colour), (0.299, 0.587, 0.114))


def test_inputs_outputs_and_ops_of_a_graph_are_told_apart():
    figure = graph_figure(NASFPN)
    legend = 1  # each mark stands in the legend once
    inputs, outputs = artists(figure, 'input ring'), artists(figure, 'output ring')
    assert len(inputs) == 5 + legend and len(outputs) == 5 + legend
    red, green, _ = np.array([to_rgb(rings[0].get_edgecolor()) for rings in (outputs, inputs)]).T
    assert red[0] > 2 * green[0] and green[1] > 1.5 * red[1]
    sums, gps = artists(figure, 'sum'), artists(figure, 'gp')
    assert (len(sums), len(gps)) == (3 + legend, 4 + legend)
    assert type(sums[0]) is not type(gps[0])
    assert lightness(sums[0].get_facecolor()[:3]) - lightness(gps[0].get_facecolor()[:3]) > 0.5
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count('sum') == 3 + legend and words.count('GP') == 4 + legend
    assert {*map(str, range(12)), 'level 3', 'stride 8', 'level 7', 'stride 128'} <= {*words}


def test_inputs_outputs_and_ops_of_a_box_diagram_are_told_apart():
    figure = boxes_figure(NASFPN)
    legend = 1
    counts = dict(input=2 * 5, output=5, sum=3 + 2, gp=4, rcb=7 + 2)  # two gp cells add loose ends
    boxes = {kind: [box for box in artists(figure, kind) if box in figure.axes[0].patches]
             for kind in counts}
    assert {kind: len(found) - legend for kind, found in boxes.items()} == counts
    faces = {kind: to_rgb(found[0].get_facecolor()) for kind, found in boxes.items()}
    assert len({*faces.values()}) == 5
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {'C3', 'C7', 'P3, node 7', 'P7, node 10', 'Sum', 'GP', 'R-C-B', 'node 6'} <= {*words}


@BOTH
def test_loose_ends_are_dashed_and_gates_hollow(make):
    figure = make(NASFPN)
    loose, others = artists(figure, 'loose end'), artists(figure, 'input')
    assert len(loose) == 2 + 1 and all(line.get_linestyle() == '--' for line in loose)
    others = [line for line in others if line in figure.axes[0].lines]
    assert len(others) >= 14 and all(line.get_linestyle() == '-' for line in others)
    gates, heads = artists(figure, 'gate'), artists(figure, 'head')
    assert len(gates) == 4 + 1
    assert all(lightness(gate.get_facecolor()[:3]) == pytest.approx(1) for gate in gates)
    assert all(lightness(head.get_facecolor()[:3]) < 0.6 for head in heads)


def test_the_legend_explains_only_what_is_there():
    words = {text.get_text() for text in graph_figure(get_genotype('fpn')).axes[0].texts}
    assert 'cell of one input' in words
    assert not [word for word in words if 'loose' in word or 'global' in word or 'gates' in word]


@pytest.mark.parametrize('draw', [draw_graph, draw_boxes])
@pytest.mark.parametrize(('suffix', 'start'), [
    ('.png', b'\x89PNG'), ('.svg', b'<?xml'), ('.pdf', b'%PDF')])
def test_the_suffix_says_the_format_and_folders_are_made(tmp_path, draw, suffix, start):
    out = tmp_path / 'a' / 'b' / f'drawing{suffix}'
    draw(NASFPN, out, title='NAS-FPN')
    assert out.read_bytes().startswith(start)


@pytest.mark.parametrize('draw', [draw_graph, draw_boxes])
@pytest.mark.parametrize('name', ['drawing.jpg', 'drawing'])
def test_another_suffix_is_refused_by_name(tmp_path, draw, name):
    with pytest.raises(ValueError, match=r"drawing.*', but must end in one of \.png, \.svg"):
        draw(NASFPN, tmp_path / 'a' / name)
    assert not list(tmp_path.iterdir())


def test_the_tool_draws_a_name_and_a_file(tmp_path, tool_env):
    mine = tmp_path / 'mine.json'
    mine.write_text(random_genotype(4, 3, 0).to_json())
    run_python('tools/draw_genotype.py', 'nasfpn', '--out', tmp_path / 'a.png', env=tool_env)
    run_python('tools/draw_genotype.py', mine, '--out', tmp_path / 'b.png', '--style', 'boxes',
               env=tool_env)
    for name in ('a.png', 'b.png'):
        assert cv2.imread(str(tmp_path / name)).std() > 10
