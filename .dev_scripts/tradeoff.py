"""Figures 8 and 9 of the paper, with the counted FLOPs and parameters."""
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper_rows import Row

_GREEN, _BLUE, _ORANGE, _GREY = '#2e8b57', '#2f6db3', '#d9822b', '#8a939c'
_DARK, _INK = '#5c6670', '#2f3b4a'


@dataclass(frozen=True)
class Series:
    """Models that one line joins.

    Args:
        name (str): Text of the legend.
        points (Mapping[str, str]): Row of each model, and the text beside its marker.
        colour (str): Colour of line and markers.
        marker (str): Matplotlib's marker.
        sides (str): Where the text of a marker stands: ``'l'`` left, ``'r'`` right, ``'a'`` above,
            ``'b'`` below or ``'c'`` at the lower right corner; one letter for each panel that shows
            the series. Defaults to above.
        joined (bool): Whether a line joins them. Defaults to True.
    """

    name: str
    points: Mapping[str, str]
    colour: str
    marker: str
    sides: str = 'a'
    joined: bool = True


def _stacks(pattern: str, stacks: Sequence[int] = (1, 3, 5, 7)) -> dict[str, str]:
    return {_row(pattern.format(n)): str(n) for n in stacks}


def _row(config: str) -> str:
    """Return the row of a config: that of Table 1 where it has one."""
    return {'retinanet_r50_nasfpn-7x256_crop640-50e_coco': 'nasfpn-r50-7x256-640'}.get(config, config)


#: The panels of Figure 8, all at 640x640; texts are the numbers of stacks.
FIGURE_8: dict[str, tuple[Series, ...]] = {
    '(a) number of pyramid networks': (
        Series('NAS-FPN, R-50 @ 256', _stacks('retinanet_r50_nasfpn-{}x256_crop640-50e_coco'),
               _GREEN, 'o'),
        Series('stacked FPN, R-50 @ 256', _stacks('retinanet_r50_stacked-fpn-{}x256_crop640-50e_coco'),
               _GREY, 's', 'b')),
    '(b) backbone': (
        Series('MobileNetV2 @ 256', _stacks('retinanet_mobilenetv2_nasfpn-{}x256_crop640-50e_coco'),
               _ORANGE, '^', 'b'),
        Series('R-50 @ 256', _stacks('retinanet_r50_nasfpn-{}x256_crop640-50e_coco'), _GREEN, 'o'),
        Series('AmoebaNet-D @ 256', _stacks('retinanet_amoebanet-d_nasfpn-{}x256_crop640-50e_coco'),
               _BLUE, 'D')),
    '(c) feature dimension': (
        Series('R-50 @ 128', _stacks('retinanet_r50_nasfpn-{}x128_crop640-50e_coco', (3, 7)),
               _ORANGE, '^'),
        Series('R-50 @ 256', _stacks('retinanet_r50_nasfpn-{}x256_crop640-50e_coco', (3, 7)),
               _GREEN, 'o'),
        Series('R-50 @ 384', _stacks('retinanet_r50_nasfpn-{}x384_crop640-50e_coco', (3,)),
               _BLUE, 'D')),
}

#: APs that the paper prints for models of Figure 8, whose own it only plots: one on test-dev in
#: Table 1, the other in section 4.3, without a word on which set.
PRINTED_AP = {
    'nasfpn-r50-7x256-640': 'AP 39.9 (test-dev)',
    'retinanet_mobilenetv2_nasfpn-3x256_crop640-50e_coco': 'AP 36.6 (text)',
}

#: The rows of Figure 9; texts are the image sizes and what else tells models of a series apart.
FIGURE_9: dict[str, tuple[Series, ...]] = {
    '(a) accurate models': (
        Series('NAS-FPN of 7 stacks, R-50', {
            'nasfpn-r50-7x256-640': '@ 256, 640', 'nasfpn-r50-7x256-1024': '@ 256, 1024',
            'nasfpn-r50-7x256-1280': '@ 256, 1280', 'nasfpn-r50-7x384-1280-db': '@ 384, 1280, DB'},
            _GREEN, 'o', 'llr'),
        Series('NAS-FPN of 7 stacks, AmoebaNet-D', {
            'nasfpn-amoebanet-7x384-1280-db': '@ 384, 1280, DB'}, _BLUE, 'D', 'lll'),
        Series('FPN, R-50', {'fpn-r50-256-640': '640', 'fpn-r50-256-1024': '1024'}, _GREY, 's', 'rrl'),
        Series('FPN, R-101', {
            'fpn-r101-256-640': '640', 'fpn-r101-256-1024': '1024'}, _DARK, 'v', 'rrl'),
        Series('FPN, AmoebaNet-D', {'fpn-amoebanet-256-1280': '1280'}, '#9b7fc0', 'P', 'rrr'),
        Series('Mask R-CNN X-152', {'maskrcnn-x152': ''}, _ORANGE, '*', 'rrr')),
    '(b) fast models, 320x320': (
        Series('NAS-FPNLite', {
            'nasfpnlite-mbv2-3x48-320': '3 @ 48', 'nasfpnlite-mbv2-7x64-320': '7 @ 64'},
            _GREEN, 'o', 'lll'),
        Series('FPNLite', {
            'fpnlite-mbv2-64-320': '@ 64', 'fpnlite-mbv2-128-320': '@ 128'}, _GREY, 's', 'rrr'),
        Series('SSDLite', {
            'ssdlite-mbv2-320': 'MobileNetV2', 'ssdlite-mnasnet-320': 'MnasNet',
            'ssdlite-mnasnet92-320': 'MnasNet-92'}, _ORANGE, '^', 'rrl', joined=False)),
}


def figure_rows() -> list[str]:
    """Return the rows that the two figures show."""
    panels = [*FIGURE_8.values(), *FIGURE_9.values()]
    return list(dict.fromkeys(row for panel in panels for series in panel for row in series.points))


def draw_figure_8(rows: Mapping[str, Row], out: str | os.PathLike[str]) -> None:
    """Draw what capacity costs: counted parameters over counted FLOPs, stacks above the markers.

    The paper plots APs over FLOPs here but prints hardly any; those that it prints stand at their
    markers.
    """
    figure = Figure(figsize=(13.5, 4.6), layout='constrained')
    for axes, (title, panel) in zip(figure.subplots(1, 3), FIGURE_8.items(), strict=True):
        for series in panel:
            points = [(rows[row].flops_b, rows[row].params_m, text)
                      for row, text in series.points.items()]
            draw_series(axes, series, points, series.sides)
            for (x, y, _), row in zip(points, series.points, strict=True):
                if row in PRINTED_AP and x is not None and y is not None:
                    _annotate(axes, PRINTED_AP[row], x, y, 'c', series.colour)
        axes.set(title=title, xlabel='FLOPs, billion (counted)', ylabel='parameters, million (counted)')
        finish(axes, 'upper left')
    figure.suptitle("640x640, 90 classes; numbers: pyramid networks; APs: the paper's, where it prints "
                    'them', color=_INK)
    save(figure, out)


def draw_figure_9(rows: Mapping[str, Row], out: str | os.PathLike[str]) -> None:
    """Draw the paper's AP over the paper's latency, counted FLOPs and counted parameters.

    Models that were not counted are left out of the panels of FLOPs and parameters.
    """
    figure = Figure(figsize=(15, 9.6), layout='constrained')
    columns: tuple[tuple[str, Callable[[Row], float | None]], ...] = (
        ('latency, ms (paper)', lambda row: row.paper_latency_ms),
        ('FLOPs, billion (counted)', lambda row: row.flops_b),
        ('parameters, million (counted)', lambda row: row.params_m))
    for line, (title, panel) in zip(figure.subplots(2, 3), FIGURE_9.items(), strict=True):
        for column, (axes, (label, value)) in enumerate(zip(line, columns, strict=True)):
            for series in panel:
                points = [(value(rows[row]), rows[row].paper_test_dev_ap, text)
                          for row, text in series.points.items()]
                draw_series(axes, series, points, series.sides[column])
            axes.set(title=title, xlabel=label, ylabel='AP on test-dev (paper)')
            finish(axes, 'best' if column == 0 else None)
    figure.suptitle("AP and latency are the paper's; FLOPs and parameters are counted, 90 classes",
                    color=_INK)
    save(figure, out)


def draw_series(axes: Axes, series: Series, points: Sequence[tuple[float | None, float | None, str]],
                side: str) -> None:
    """Draw models, (x, y, text) each, where both are known, with their text at one of the sides."""
    known = [(x, y, text) for x, y, text in points if x is not None and y is not None]
    axes.plot([x for x, _, _ in known], [y for _, y, _ in known], label=series.name,
              color=series.colour, marker=series.marker, markersize=8, linewidth=1.8,
              linestyle='-' if series.joined else 'none')
    for x, y, text in known:
        _annotate(axes, text, x, y, side, series.colour)


def _annotate(axes: Axes, text: str, x: float, y: float, side: str, colour: str) -> None:
    offset, across, upward = {
        'l': ((-9, 0), 'right', 'center'), 'r': ((9, 0), 'left', 'center'),
        'a': ((0, 8), 'center', 'bottom'), 'b': ((0, -8), 'center', 'top'),
        'c': ((9, -9), 'left', 'top')}[side]
    axes.annotate(text, (x, y), xytext=offset, textcoords='offset points', fontsize=9, color=colour,
                  horizontalalignment=across, verticalalignment=upward)


def finish(axes: Axes, legend: Literal['best', 'upper left', 'lower right'] | None) -> None:
    """Give axes their look, and the legend's place; None draws none."""
    axes.margins(0.29, 0.12)
    axes.grid(color='#e4e8ec')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    if legend:
        axes.legend(fontsize=9, frameon=False, loc=legend)


def save(figure: Figure, out: str | os.PathLike[str]) -> None:
    """Write a figure to a file, whose folder is made."""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
