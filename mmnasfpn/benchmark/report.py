"""Tables and plots of what was measured."""
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from mmnasfpn._markdown import to_table
from mmnasfpn.benchmark.cases import Case, NeckSize
from mmnasfpn.benchmark.measure import Measurement
from mmnasfpn.benchmark.settings import CONVOLUTIONS, FPN, MMDET, OURS


def to_markdown(found: Mapping[Case, Measurement]) -> str:
    """Return the cases as a Markdown table, each beside those that it is compared with."""
    rows = []
    for case, m in found.items():
        mmdet_eager = found.get(replace(case, model=MMDET, way='eager'))
        mmdet = found.get(replace(case, model=MMDET))
        convolutions = found.get(replace(case, model=CONVOLUTIONS)) if case.model == OURS else None
        rows.append((case.part, case.model, case.way, f'{m.median:.1f}', f'{m.spread:.0%}',
                     _time_ratio(m, mmdet_eager), _time_ratio(m, mmdet), _time_ratio(m, convolutions),
                     f'{m.peak_mib:.0f}', _memory_ratio(m, mmdet or mmdet_eager)))
    head = ('part', 'model', 'way', 'ms, median', 'spread', "time / MMDetection's, eager",
            'the same, in the same way', 'time / convolutions', 'peak memory, MiB', "/ MMDetection's")
    return to_table(head, rows)


def draw(found: Mapping[Case, Measurement], out: str | os.PathLike[str]) -> None:
    """Draw the times as bars, with the quartiles of the rounds, and axes for each part."""
    colours = {OURS: 'C0', MMDET: 'C1', FPN: 'C2', CONVOLUTIONS: 'C3'}
    sizes = Counter(case.part for case in found)
    figure = Figure(figsize=(9, 1.2 * len(sizes) + 0.3 * len(found)), layout='constrained')
    grid = figure.subplots(len(sizes), squeeze=False, height_ratios=list(sizes.values()))
    for axes, part in zip(grid[:, 0], sizes, strict=True):
        cases = [case for case in found if case.part == part]
        own = [found[case] for case in cases]
        axes.barh(range(len(own)), [m.median for m in own], xerr=_errors(own),
                  color=[colours[case.model] for case in cases],
                  error_kw=dict(lw=1, capsize=2))
        axes.set_yticks(range(len(cases)), [f'{case.model}: {case.way}' for case in cases], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f'{part}: milliseconds, median and quartiles')
        axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)


def sizes_to_markdown(found: Mapping[NeckSize, Measurement]) -> str:
    """Return the sizes of a neck as a Markdown table, each beside the first of its kind."""
    first: dict[str, Measurement] = {}
    rows = []
    for size, m in found.items():
        reference = first.setdefault(size.name, m)
        rows.append((size.name, str(size.value), f'{m.median:.1f}', f'{m.spread:.0%}',
                     _time_ratio(m, reference), f'{m.peak_mib:.0f}', _memory_ratio(m, reference)))
    head = ('changed', 'to', 'ms, median', 'spread', 'time / the first', 'peak memory, MiB',
            '/ the first')
    return to_table(head, rows)


def draw_sizes(found: Mapping[NeckSize, Measurement], out: str | os.PathLike[str]) -> None:
    """Draw time and memory over each size that was changed."""
    names = list(dict.fromkeys(size.name for size in found))
    figure = Figure(figsize=(3.4 * len(names) + 0.6, 5), layout='constrained')
    grid = figure.subplots(2, len(names), squeeze=False, sharex='col', sharey='row')
    for (above, below), name in zip(grid.T, names, strict=True):
        values = sorted(size.value for size in found if size.name == name)
        own = [found[NeckSize(name, value)] for value in values]
        above.errorbar(values, [m.median for m in own], yerr=_errors(own), marker='o', capsize=3)
        below.plot(values, [m.peak_mib for m in own], marker='o', color='C1')
        below.set_xlabel(f'{name}, pixels' if name == 'image size' else name)
        below.set_xticks(values)
        for axes in (above, below):
            axes.grid(alpha=0.3)
    for axes in grid[:, 0]:  # once all is in the rows, which share it
        axes.set_ylim(bottom=0)
    grid[0, 0].set_ylabel('median and quartiles, ms')
    grid[1, 0].set_ylabel('peak memory, MiB')
    figure.savefig(out, dpi=110)


def _errors(measurements: Sequence[Measurement]) -> list[list[float]]:
    """Return how far the quartiles are below and above the medians: two rows."""
    low, middle, high = np.quantile([m.milliseconds for m in measurements], (0.25, 0.5, 0.75), axis=1)
    return [(middle - low).tolist(), (high - middle).tolist()]


def _time_ratio(m: Measurement, other: Measurement | None) -> str:
    """Return the median of the ratios to another's time in the same round."""
    return f'{np.median(np.divide(m.milliseconds, other.milliseconds)):.3f}' if other else ''


def _memory_ratio(m: Measurement, other: Measurement | None) -> str:
    return f'{m.peak_mib / other.peak_mib:.3f}' if other and other.peak_mib else ''
