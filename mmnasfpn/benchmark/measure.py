"""How long models take, and how much memory, against each other."""
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

CaseT = TypeVar('CaseT')


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one case."""

    milliseconds: list[float]  # of each round
    peak_mib: float  # the most memory that a run held at once, on top of what there was before it

    @property
    def median(self) -> float:
        """The median of the rounds, in milliseconds."""
        return median(self.milliseconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        low, high = np.quantile(self.milliseconds, (0.25, 0.75))
        return float(high - low) / 2 / self.median


def measure(runs: Mapping[CaseT, Callable[[], Any]], rounds: Iterable[int],
            device: torch.device) -> dict[CaseT, Measurement]:
    """Run cases in turn, round by round, so that a change of the machine's speed meets all.

    Args:
        runs (Mapping): What runs each case once.
        rounds (Iterable[int]): Numbers of the rounds, e.g. ``range(10)``.
        device (torch.device): Where they run.

    Returns:
        dict: Of each case. The memory is that of a run of its own, after one that does not count.
    """
    peaks = {}
    for case, run in runs.items():
        run()
        peaks[case] = peak_memory(run, device) / 2 ** 20
    times: dict[CaseT, list[float]] = {case: [] for case in runs}
    for number in rounds:
        for case in order_of(list(runs), number):
            times[case].append(_time(runs[case], device))
    return {case: Measurement(times[case], peaks[case]) for case in runs}


def order_of(cases: Sequence[CaseT], number: int) -> Sequence[CaseT]:
    """Return cases in the order of a round: each second one backwards, so that none is always first."""
    return cases[::-1 if number % 2 else 1]


def peak_memory(run: Callable[[], Any], device: torch.device) -> int:
    """Return the most bytes that PyTorch held at once during a call, beyond those before it."""
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
    events = [event for event in profiler.profiler.kineto_results.events()
              if event.name() == '[memory]' and event.device_type() == DeviceType.CPU]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(0, int(np.cumsum(sizes).max(initial=0)))


def _time(run: Callable[[], Any], device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)
