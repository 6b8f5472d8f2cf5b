"""The evaluation of one genotype, in whatever process."""
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mmengine.utils import import_modules_from_strings

from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.rewards import Pruned, Reward


class Evaluation(NamedTuple):
    """What became of an evaluation, and what it cost.

    Args:
        values (tuple[float, ...] | None): The reward, or one value for each goal; None if it failed.
        reason (str): Why it failed.
        is_pruned (bool): Whether it was stopped early. The value is then what it had last reported.
        details (Mapping[str, float]): What the reward leaves for the record.
        seconds (float): How long it took.
        cpu_seconds (float): What it took of all processors.
    """

    values: tuple[float, ...] | None
    reason: str = ''
    is_pruned: bool = False
    details: Mapping[str, float] = MappingProxyType({})
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def evaluate(reward: Reward, genotype: Genotype, work_dir: Path,
             reporter: Callable[[int, float], bool] | None = None) -> Evaluation:
    """Evaluate a genotype.

    Args:
        reward (Reward): What to evaluate.
        genotype (Genotype): Of which genotype.
        work_dir (Path): Folder for what is written.
        reporter (Callable | None): Takes what the reward reports on its way, a step and a value, and
            returns whether to stop. Defaults to None: it reports nothing.
    """
    start, cpu_start = time.monotonic(), cpu_seconds()
    values, reason, is_pruned = None, '', False
    reported: list[float] = []

    def report(step: int, value: float) -> bool:
        reported.append(value)
        assert reporter is not None
        return reporter(step, value)

    reward.reporter = reporter and report
    reward.details = {}  # not those of an earlier call
    try:
        if reward.cfg.get('custom_imports'):
            import_modules_from_strings(**reward.cfg.custom_imports)
        values, reason = _checked(reward(genotype, work_dir), reward)
    except Pruned:
        values, is_pruned = (reported[-1],), True
    except Exception as error:
        traceback.print_exc()
        reason = f'{type(error).__name__}: {error}'
    return Evaluation(values, reason, is_pruned, dict(reward.details),
                      time.monotonic() - start, cpu_seconds() - cpu_start)


def _checked(found: float | Sequence[float],
             reward: Reward) -> tuple[tuple[float, ...] | None, str]:
    values = tuple(map(float, found if isinstance(found, Sequence) else [found]))
    if len(values) != len(reward.goals):
        return None, f'the reward has {len(values)} values, but {len(reward.goals)} goals'
    for value in values:
        if not math.isfinite(value):
            return None, f'the reward is {value}, but must be a finite number'
    return values, ''


def cpu_seconds() -> float:
    """Return the seconds of all processors that this process used, and those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
