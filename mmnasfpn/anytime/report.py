"""What the exits of an anytime detector are worth: tables and a picture."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmnasfpn._markdown import to_table
from mmnasfpn.analysis.coco_metrics import METRICS
from mmnasfpn.analysis.complexity import Complexity
from mmnasfpn.anytime.latency import ExitLatency

#: The part of a Markdown file that the table replaces.
ANYTIME_PART = 'exits'


@dataclass(frozen=True)
class ExitReport:
    """One exit of an anytime detector.

    Args:
        exit_stack (int): The exit.
        params (int): Parameters of the plain detector that it is.
        flops (int): FLOPs for one image, as :func:`count_complexity` counts them.
        latency (ExitLatency): Of one image, measured.
        metrics (Mapping[str, float]): :data:`METRICS`, in 0..1, the mean over the checkpoints; -1
            where there are no objects of that size.
        ap_of_each (Sequence[float]): AP of each checkpoint.
        plain_ap_of_each (Sequence[float]): AP of the same exit in each of the detectors that were
            trained without deep supervision.
    """

    exit_stack: int
    params: int
    flops: int
    latency: ExitLatency
    metrics: Mapping[str, float]
    ap_of_each: Sequence[float]
    plain_ap_of_each: Sequence[float]

    @property
    def plain_ap(self) -> float | None:
        """Mean AP without deep supervision; None where that was not asked for."""
        return float(np.mean(self.plain_ap_of_each)) if self.plain_ap_of_each else None


@dataclass(frozen=True)
class AnytimeReport:
    """What was found of an anytime detector.

    Args:
        config (str): Path of the config.
        checkpoints (Sequence[str]): The checkpoints.
        plain_checkpoints (Sequence[str]): Those trained without deep supervision.
        num_pictures (int): Pictures that the AP is of.
        image_size (tuple[int, int]): Rows and columns that the model saw, most often.
        machine (Mapping[str, Any]): What it ran on.
        exits (Sequence[ExitReport]): The exits.
        area (float): As :func:`area_under_ap` defines it, of the mean APs.
    """

    config: str
    checkpoints: Sequence[str]
    plain_checkpoints: Sequence[str]
    num_pictures: int
    image_size: tuple[int, int]
    machine: Mapping[str, Any]
    exits: Sequence[ExitReport]
    area: float


def area_under_ap(latencies: Sequence[float], aps: Sequence[float]) -> float:
    """Return the area under AP over time, as a share of the time that the slowest exit takes.

    It is the AP to expect of a detector that is stopped at a random moment before it is through: none
    before the first exit, then that of the last exit it has reached.

    Args:
        latencies (Sequence[float]): When each exit is there, in any unit.
        aps (Sequence[float]): AP of each, in 0..1.
    """
    exits = sorted(zip(latencies, aps, strict=True))
    ends = [latency for latency, _ in exits[1:]] + [exits[-1][0]]
    return sum(ap * (end - start) for (start, ap), end in zip(exits, ends, strict=True)) / exits[-1][0]


def latency_to_markdown(latencies: Sequence[ExitLatency], costs: Mapping[int, Complexity]) -> str:
    """Return the latency of each exit as a table in Markdown: medians in ms, and the rest in words.

    Args:
        latencies (Sequence[ExitLatency]): Of the exits.
        costs (Mapping[int, Complexity]): What each exit costs.
    """
    last = latencies[-1]
    lines = []
    for latency in latencies:
        cost, whole = costs[latency.exit_stack], costs[last.exit_stack]
        lines.append([
            str(latency.exit_stack), f'{cost.params / 1e6:.2f}',
            f'{cost.flops / 1e9:.2f} ({cost.flops / whole.flops:.3f})',
            f'{latency.forward:.1f} ({latency.forward / last.forward:.3f})', f'{latency.backbone:.1f}',
            f'{latency.neck:.1f} ({latency.neck / last.neck:.3f})', f'{latency.head:.1f}',
            f'{latency.rest:.1f}', f'{latency.total:.1f}', f'{latency.total_95:.1f}'])
    return to_table(('exit', 'params, M', 'FLOPs, B', 'forward, ms', 'backbone', 'neck', 'head',
                     'NMS etc.', 'all', '95% within'), lines)


def to_markdown(report: AnytimeReport) -> str:
    """Return a report as a table in Markdown, with what it is of below it."""
    head = ['exit', 'params, M', 'FLOPs, B', 'forward, ms', 'with NMS, ms', *METRICS]
    if report.plain_checkpoints:
        head.append('AP without deep supervision')
    lines = []
    for part in report.exits:
        line = [str(part.exit_stack), f'{part.params / 1e6:.2f}', f'{part.flops / 1e9:.2f}',
                f'{part.latency.forward:.1f}', f'{part.latency.total:.1f}',
                *('-' if value < 0 else f'{value:.3f}' for value in part.metrics.values())]
        if part.plain_ap is not None:
            line.append(f'{part.plain_ap:.3f}')
        lines.append(line)
    return f'{to_table(head, lines)}\n{_notes(report)}'


def draw_anytime(report: AnytimeReport, out: str | os.PathLike[str]) -> None:
    """Draw AP over latency: a step at each exit, and the same exits without deep supervision.

    Args:
        report (AnytimeReport): What was found.
        out (str | PathLike): Picture to write.
    """
    figure = Figure(figsize=(8, 5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    times = [part.latency.total for part in report.exits]
    end = times[-1] * 1.12
    lines: list[tuple[str, str, str, list[float], list[Sequence[float]]]] = [
        ('deep supervision; the numbers are the exits', '#2e8b57', 'o',
         [part.metrics['AP'] for part in report.exits], [part.ap_of_each for part in report.exits])]
    if report.plain_checkpoints:
        lines.append(('the plain detector, its head put after each stack', '#8a939c', 's',
                      [part.plain_ap or 0.0 for part in report.exits],
                      [part.plain_ap_of_each for part in report.exits]))
    for name, colour, marker, aps, each in lines:
        axes.step([times[0], *times, end], [0, *aps, aps[-1]], where='post', color=colour, alpha=0.5)
        axes.plot(times, aps, marker, color=colour, label=name, markersize=8, clip_on=False)
        for time, values in zip(times, each, strict=True):
            if len(values) > 1:
                axes.plot([time] * len(values), values, '_', color=colour, markersize=9)
    for part, time in zip(report.exits, times, strict=True):
        axes.annotate(str(part.exit_stack), (time, part.metrics['AP']), textcoords='offset points',
                      xytext=(0, 9), ha='center')
    axes.set_xlim(0, end)
    axes.set_ylim(0, max(1.3 * max(max(aps) for *_, aps, _ in lines), 0.1))
    axes.set_xlabel(f'latency of a real exit, NMS included, ms, on {report.machine["name"]}')
    several = len(report.checkpoints) > 1
    axes.set_ylabel('AP, mean of the checkpoints (dashes: each)' if several else 'AP')
    axes.grid(alpha=0.3)
    axes.legend(loc='upper left')
    figure.savefig(out, dpi=110)


def _notes(report: AnytimeReport) -> str:
    rows, columns = report.image_size
    of = f', the mean of {len(report.checkpoints)} checkpoints' if len(report.checkpoints) > 1 else ''
    machine = ', '.join(f'{key} {value}' for key, value in report.machine.items())
    first, last = report.exits[0], report.exits[-1]
    notes = [f'AP on {report.num_pictures} pictures{of}. Parameters and FLOPs: of the plain detector '
             f'that the exit is, at {rows}x{columns}.',
             f'Latencies: medians of {first.latency.runs} runs of one picture ({machine}).',
             f'Area under AP over time, as a share of the time of the last exit: {report.area:.3f}.']
    if last.metrics['AP']:
        share = first.metrics['AP'] / last.metrics['AP']
        notes.append(f"The first exit's AP is {share:.2f} of the last one's.")
    if last.plain_ap is not None:
        difference = last.metrics['AP'] - last.plain_ap
        notes.append(f"The last exit's AP is {difference:+.3f} from the plain detector's.")
    return ''.join(f'- {note}\n' for note in notes)
