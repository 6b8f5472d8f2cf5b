"""Reports on the exits of an anytime detector: tables and a figure."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmnasfpn._markdown import to_table
from mmnasfpn.analysis.coco_metrics import METRICS
from mmnasfpn.analysis.complexity import Complexity
from mmnasfpn.anytime.latency import ExitLatency


@dataclass(frozen=True)
class ExitReport:
    """One exit of an anytime detector: what it costs for one image, and its AP."""

    exit_stack: int
    params: int
    flops: int
    latency: ExitLatency
    #: :data:`METRICS`, in 0..1, the mean over the checkpoints; -1 where no objects are of that size.
    metrics: Mapping[str, float]
    #: Of the checkpoints with deep supervision, and of those without.
    ap_of_each: Sequence[float]
    plain_ap_of_each: Sequence[float]

    @property
    def plain_ap(self) -> float | None:
        """Mean AP without deep supervision; None where that was not asked for."""
        return float(np.mean(self.plain_ap_of_each)) if self.plain_ap_of_each else None


@dataclass(frozen=True)
class AnytimeReport:
    """The evaluation of an anytime detector."""

    config: str
    checkpoints: Sequence[str]
    plain_checkpoints: Sequence[str]
    num_pictures: int  # images that the AP is of
    image_size: tuple[int, int]  # rows and columns of most of the model's inputs
    machine: Mapping[str, Any]
    exits: Sequence[ExitReport]
    area: float  # of :func:`area_under_ap`, of the mean APs


@dataclass(frozen=True)
class ShapeReport:
    """What was measured for inputs of one shape."""

    input_shape: tuple[int, int, int]  # images, rows, columns
    latencies: Sequence[ExitLatency]
    costs: Mapping[int, Complexity]  # of each exit, for one image

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return dict(input_shape=self.input_shape, exits=[
            dict(asdict(latency), params=cost.params, flops=cost.flops)
            for latency, cost in zip(self.latencies, self.costs.values(), strict=True)])


def area_under_ap(latencies: Sequence[float], aps: Sequence[float]) -> float:
    """Return the area under AP over time, as a share of the time that the slowest exit takes.

    It is the expected AP of a detector that is stopped at a random moment before it has finished: 0
    before the first exit, then that of the last exit that it has reached.

    Args:
        latencies (Sequence[float]): Latency of each exit, in any unit.
        aps (Sequence[float]): AP of each, in 0..1.
    """
    exits = sorted(zip(latencies, aps, strict=True))
    ends = [latency for latency, _ in exits[1:]] + [exits[-1][0]]
    return sum(ap * (end - start) for (start, ap), end in zip(exits, ends, strict=True)) / exits[-1][0]


def calibration_to_markdown(machine: Mapping[str, Any], shapes: Sequence[ShapeReport]) -> str:
    """Return the latencies for each shape of input as a table in Markdown, below a line about it."""
    parts = [_describe(machine)]
    for shape in shapes:
        images, rows, columns = shape.input_shape
        costs = list(shape.costs.values())
        last = shape.latencies[-1]
        lines = [[
            str(part.exit_stack), f'{cost.params / 1e6:.2f}',
            f'{cost.flops / 1e9:.2f} ({cost.flops / costs[-1].flops:.3f})',
            _ms(part.forward, last.forward), _ms(part.backbone), _ms(part.neck, last.neck),
            _ms(part.head), _ms(part.rest), _ms(part.total), _ms(part.total_95)]
            for part, cost in zip(shape.latencies, costs, strict=True)]
        parts += [f'batches of {images}, {rows}x{columns}; medians of {last.runs} runs; FLOPs of one '
                  'image; in brackets the share of the last exit',
                  to_table(('exit', 'params, M', 'FLOPs, B', 'forward, ms', 'backbone', 'neck', 'head',
                            'NMS etc.', 'all', '95% within'), lines)]
    return '\n'.join(parts)


def _ms(value: float | None, of: float | None = None) -> str:
    """Return milliseconds as text, and their share of others in brackets; '' for None."""
    if value is None:
        return ''
    return f'{value:.1f}' if of is None else f'{value:.1f} ({value / of:.3f})'


def _describe(machine: Mapping[str, Any]) -> str:
    return ', '.join(f'{key} {value}' for key, value in machine.items())


def to_markdown(report: AnytimeReport) -> str:
    """Return a report as a table in Markdown, with notes below it."""
    head = ['exit', 'params, M', 'FLOPs, B', 'forward, ms', 'with NMS, ms', *METRICS]
    if report.plain_checkpoints:
        head.append('AP without deep supervision')
    lines = []
    for part in report.exits:
        line = [str(part.exit_stack), f'{part.params / 1e6:.2f}', f'{part.flops / 1e9:.2f}',
                _ms(part.latency.forward), _ms(part.latency.total),
                *('-' if value < 0 else f'{value:.3f}' for value in part.metrics.values())]
        if part.plain_ap is not None:
            line.append(f'{part.plain_ap:.3f}')
        lines.append(line)
    return f'{to_table(head, lines)}\n{_notes(report)}'


def draw_anytime(report: AnytimeReport, out: str | os.PathLike[str]) -> None:
    """Draw AP over latency: a step at each exit, and the same exits without deep supervision."""
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.subplots()
    times = [part.latency.total for part in report.exits]
    end = times[-1] * 1.12
    lines = [('deep supervision; the numbers are the exits', '#2e8b57', 'o',
              [part.ap_of_each for part in report.exits])]
    if report.plain_checkpoints:
        lines.append(('the plain detector, its head put after each stack', '#8a939c', 's',
                      [part.plain_ap_of_each for part in report.exits]))
    highest = 0.0
    for name, colour, marker, each in lines:
        aps = [float(np.mean(values)) for values in each]
        highest = max(highest, *aps)
        axes.step([times[0], *times, end], [0, *aps, aps[-1]], where='post', color=colour, alpha=0.5)
        axes.plot(times, aps, marker, color=colour, label=name, markersize=8, clip_on=False)
        for time, values in zip(times, each, strict=True):
            if len(values) > 1:
                axes.plot([time] * len(values), values, '_', color=colour, markersize=9)
    for part, time in zip(report.exits, times, strict=True):
        axes.annotate(str(part.exit_stack), (time, part.metrics['AP']), textcoords='offset points',
                      xytext=(0, 9), ha='center')
    axes.set_xlim(0, end)
    axes.set_ylim(0, max(1.3 * highest, 0.1))
    axes.set_xlabel(f'latency of a real exit, NMS included, ms, on {report.machine["name"]}')
    several = len(report.checkpoints) > 1
    axes.set_ylabel('AP, mean of the checkpoints (dashes: each)' if several else 'AP')
    axes.grid(alpha=0.3)
    axes.legend(loc='upper left')
    figure.savefig(out, dpi=110)


def _notes(report: AnytimeReport) -> str:
    rows, columns = report.image_size
    of = f', the mean of {len(report.checkpoints)} checkpoints' if len(report.checkpoints) > 1 else ''
    first, last = report.exits[0], report.exits[-1]
    notes = [f'AP on {report.num_pictures} images{of}. Parameters and FLOPs: of the plain detector '
             f'that the exit is, at {rows}x{columns}.',
             f'Latencies: medians of {first.latency.runs} runs of one image '
             f'({_describe(report.machine)}).',
             f'Area under AP over time, as a share of the time of the last exit: {report.area:.3f}.']
    if last.metrics['AP']:
        share = first.metrics['AP'] / last.metrics['AP']
        notes.append(f"The first exit's AP is {share:.2f} of the last one's.")
    if last.plain_ap is not None:
        difference = last.metrics['AP'] - last.plain_ap
        notes.append(f"The last exit's AP is {difference:+.3f} from the plain detector's.")
    return ''.join(f'- {note}\n' for note in notes)
