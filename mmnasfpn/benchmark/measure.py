"""How long models take, and how much memory, against each other."""
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from mmnasfpn._markdown import to_table

#: The models that are compared.
OURS, MMDET, FPN, CONVOLUTIONS = 'NAS-FPN', "MMDetection's NASFPN", 'FPN', 'convolutions alone'
#: The parts of a Markdown file that the tables replace.
BENCHMARK_PARTS = dict(infer='benchmark of inference', train='benchmark of training')
GROWTH_PARTS = dict(infer='growth in inference', train='growth in training')


@dataclass(frozen=True)
class Contender:
    """What is timed.

    Args:
        part (str): ``neck`` or ``detector``.
        model (str): One of the models above.
        way (str): How it is run, e.g. ``folded+channels_last``.
        run (Callable): Runs it once.
    """

    part: str
    model: str
    way: str
    run: Callable[[], Any]


@dataclass(frozen=True)
class Measurement:
    """What was measured of a contender.

    Args:
        part, model, way (str): As of the contender.
        milliseconds (list[float]): Of each round.
        peak_mib (float): The most memory that a run held at once, on top of what there was before it.
    """

    part: str
    model: str
    way: str
    milliseconds: list[float]
    peak_mib: float

    @property
    def median(self) -> float:
        """The median of the rounds, in milliseconds."""
        return median(self.milliseconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        low, high = np.quantile(self.milliseconds, (0.25, 0.75))
        return float(high - low) / 2 / self.median

    def ratio(self, other: 'Measurement') -> float:
        """Return the median of the ratios to another's time in the same round."""
        return median(a / b for a, b in zip(self.milliseconds, other.milliseconds, strict=True))


def measure(contenders: Sequence[Contender], rounds: int, device: torch.device,
            track: Callable[[Sequence[int]], Iterable[int]] = iter) -> list[Measurement]:
    """Run the contenders in turn, round by round, so that a change of the machine's speed meets all.

    Args:
        contenders (Sequence[Contender]): What to time.
        rounds (int): How many rounds.
        device (torch.device): Where they run.
        track (Callable): Shows the progress of the rounds. Defaults to showing nothing.

    Returns:
        list[Measurement]: Of each contender. The memory is that of a run of its own, after one that
        does not count.
    """
    peaks = []
    for contender in contenders:
        contender.run()
        peaks.append(peak_memory(contender.run, device) / 2 ** 20)
    times: list[list[float]] = [[] for _ in contenders]
    for number in track(range(rounds)):
        # Each second round the other way round, so that none is always first.
        for index in range(len(contenders))[::-1 if number % 2 else 1]:
            times[index].append(_time(contenders[index].run, device))
    return [Measurement(contender.part, contender.model, contender.way, own, peak)
            for contender, own, peak in zip(contenders, times, peaks, strict=True)]


def peak_memory(run: Callable[[], Any], device: torch.device) -> int:
    """Return the most bytes that PyTorch's allocator held at once during a call, beyond those before it.

    Args:
        run (Callable): What to call.
        device (torch.device): Where it runs.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Kineto, which PyTorch's profiler is made of, would say on stderr that it starts and stops.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [(event.start_ns(), event.nbytes())
              for event in profiler.profiler.kineto_results.events()
              if event.name() == '[memory]' and event.device_type() == DeviceType.CPU]
    held = np.cumsum([number for _, number in sorted(events, key=lambda event: event[0])])
    return max(0, int(held.max(initial=0)))


def _time(run: Callable[[], Any], device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


@dataclass(frozen=True)
class Comparison:
    """A measurement beside those that it is compared with.

    Args:
        measurement (Measurement): What was measured.
        to_mmdet (float | None): Ratio of its time to that of MMDetection's NASFPN, run eagerly; None
            where that was not measured.
        to_mmdet_same_way (float | None): The same, to that run in the same way.
        to_convolutions (float | None): Ratio to its convolutions alone, run in the same way.
        memory_to_mmdet (float | None): Ratio of its peak memory to that of MMDetection's NASFPN in the
            same way, or eager where it was not run so.
    """

    measurement: Measurement
    to_mmdet: float | None
    to_mmdet_same_way: float | None
    to_convolutions: float | None
    memory_to_mmdet: float | None


def compare(measurements: Sequence[Measurement]) -> Iterator[Comparison]:
    """Yield each measurement beside those of the same part that it is compared with."""
    found = {(m.part, m.model, m.way): m for m in measurements}
    for m in measurements:
        eager = found.get((m.part, MMDET, 'eager'))
        same = found.get((m.part, MMDET, m.way))
        # Nothing is recomputed in the convolutions alone.
        convolutions = found.get((m.part, CONVOLUTIONS, m.way)) if m.model == OURS else None
        memory = same or eager
        yield Comparison(m, m.ratio(eager) if eager else None, m.ratio(same) if same else None,
                         m.ratio(convolutions) if convolutions else None,
                         m.peak_mib / memory.peak_mib if memory and memory.peak_mib else None)


def to_markdown(measurements: Sequence[Measurement]) -> str:
    """Return the measurements as a Markdown table, those of a part together."""
    return to_table(
        ('part', 'model', 'way', 'ms, median', 'spread', "time / MMDetection's, eager",
         'the same, in the same way', 'time / convolutions', 'peak memory, MiB', "/ MMDetection's"),
        [(m.part, m.model, m.way, f'{m.median:.1f}', f'{m.spread:.0%}', _ratio(c.to_mmdet),
          _ratio(c.to_mmdet_same_way), _ratio(c.to_convolutions), f'{m.peak_mib:.0f}',
          _ratio(c.memory_to_mmdet))
         for c in compare(measurements) for m in [c.measurement]])


def _ratio(value: float | None) -> str:
    return '' if value is None else f'{value:.3f}'


def draw(measurements: Sequence[Measurement], out: str | os.PathLike[str]) -> None:
    """Draw the times as bars, with the quartiles of the rounds, a picture for each part.

    Args:
        measurements (Sequence[Measurement]): What was measured.
        out (str | PathLike): Picture to write.
    """
    parts = list(dict.fromkeys(m.part for m in measurements))
    models = [model for model in (OURS, MMDET, FPN, CONVOLUTIONS)
              if any(m.model == model for m in measurements)]
    sizes = [sum(m.part == part for m in measurements) for part in parts]
    figure = Figure(figsize=(9, 1.2 * len(parts) + 0.3 * sum(sizes)), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, part in zip(figure.subplots(len(parts), squeeze=False, height_ratios=sizes)[:, 0], parts,
                          strict=True):
        own = [m for m in measurements if m.part == part]
        for y, m in enumerate(own):
            low, high = np.quantile(m.milliseconds, (0.25, 0.75))
            axes.barh(y, m.median, color=f'C{models.index(m.model)}',
                      xerr=[[m.median - low], [high - m.median]], error_kw=dict(lw=1, capsize=2))
        axes.set_yticks(range(len(own)), [f'{m.model}: {m.way}' for m in own], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f'{part}: milliseconds, median and quartiles')
        axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)


def growth_to_markdown(measurements: Sequence[Measurement]) -> str:
    """Return measurements of one neck in several sizes as a Markdown table.

    Args:
        measurements (Sequence[Measurement]): Of what is changed (``part``) to what (``model``).
    """
    first: dict[str, Measurement] = {}
    for m in measurements:
        first.setdefault(m.part, m)
    return to_table(
        ('changed', 'to', 'ms, median', 'spread', 'time / the first', 'peak memory, MiB', '/ the first'),
        [(m.part, m.model, f'{m.median:.1f}', f'{m.spread:.0%}', _ratio(m.ratio(first[m.part])),
          f'{m.peak_mib:.0f}', _ratio(m.peak_mib / first[m.part].peak_mib)) for m in measurements])


def draw_growth(measurements: Sequence[Measurement], out: str | os.PathLike[str]) -> None:
    """Draw time and memory over each size that was changed.

    Args:
        measurements (Sequence[Measurement]): As for :func:`growth_to_markdown`.
        out (str | PathLike): Picture to write.
    """
    parts = list(dict.fromkeys(m.part for m in measurements))
    figure = Figure(figsize=(3.4 * len(parts) + 0.6, 5), layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(parts), squeeze=False, sharex='col', sharey='row')
    for (above, below), part in zip(grid.T, parts, strict=True):
        own = sorted((m for m in measurements if m.part == part), key=lambda m: int(m.model))
        sizes = [int(m.model) for m in own]
        low, high = np.quantile([m.milliseconds for m in own], (0.25, 0.75), axis=1)
        middle = np.array([m.median for m in own])
        above.errorbar(sizes, middle, yerr=[middle - low, high - middle], marker='o', capsize=3)
        below.plot(sizes, [m.peak_mib for m in own], marker='o', color='C1')
        below.set_xlabel(f'{part}, pixels' if part == 'image size' else part)
        below.set_xticks(sizes)
        for axes in (above, below):
            axes.grid(alpha=0.3)
    for axes in grid[:, 0]:  # once all is in the rows, which share it
        axes.set_ylim(bottom=0)
    grid[0, 0].set_ylabel('median and quartiles, ms')
    grid[1, 0].set_ylabel('peak memory, MiB')
    figure.savefig(out, dpi=110)
