"""How good a proxy is: what it says of genotypes, against what they reach in the end."""
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from rich.progress import track
from scipy.stats import bootstrap, kendalltau

from mmnasfpn._files import write_json
from mmnasfpn._markdown import to_table
from mmnasfpn.analysis.complexity import test_image_size
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.costs import cost_of
from mmnasfpn.search.evaluation import cpu_seconds
from mmnasfpn.search.run import search, space_of
from mmnasfpn.search.settings import SearchSettings

#: The part of a Markdown file that the table replaces.
PROXIES_PART = 'proxies'
_SAMPLES = 9999  # of the bootstrap
_MANY = 1000  # genotypes: what a search evaluates


@dataclass(frozen=True)
class Scores:
    """What a proxy, or the final training, says of some genotypes.

    Args:
        name (str): Its name.
        values (Sequence[float]): One value for each genotype, the higher the better.
        cpu_seconds (float): What one genotype takes of all processors, on average.
        seconds (float): How long one genotype takes, on average, beside others as they ran.
        setup_cpu_seconds (float): What was taken once, before the first genotype.
        setup_seconds (float): How long that took.
    """

    name: str
    values: Sequence[float]
    cpu_seconds: float
    seconds: float
    setup_cpu_seconds: float = 0.0
    setup_seconds: float = 0.0


@dataclass(frozen=True)
class Agreement:
    """How well a proxy's order of genotypes is that of the final training.

    Args:
        name (str): The proxy's name.
        tau (float): Kendall's tau-b, -1..1.
        low, high (float): Its 95% interval, by the bootstrap over genotypes.
        ahead (tuple[float, float, float] | None): Tau less that of the first proxy, and its 95% interval
            by the same bootstrap of both; None for the first one.
    """

    name: str
    tau: float
    low: float
    high: float
    ahead: tuple[float, float, float] | None = None


def sample_genotypes(cfg: Config, number: int, seed: int) -> dict[str, Genotype]:
    """Draw genotypes of the space of a config, by names."""
    space, rng = space_of(cfg), random.Random(seed)
    return {f'random_{index}': space.sample(rng) for index in range(number)}


def score(cfg: Config, name: str, genotypes: Mapping[str, Genotype], work_dir: Path,
          num_workers: int | None = None) -> Scores:
    """Evaluate genotypes by the reward of a config: a search that draws none.

    What an earlier call finished is not evaluated again; what was stopped goes on.

    Args:
        cfg (Config): The config of a search.
        name (str): What it is called.
        genotypes (Mapping[str, Genotype]): The genotypes, by names.
        work_dir (Path): Of the search.
        num_workers (int | None): As for :class:`SearchSettings`.

    Raises:
        RuntimeError: If some cannot be evaluated.
    """
    summary = search(cfg, work_dir, SearchSettings(
        len(genotypes), num_workers, sampler='random', start=genotypes))
    found = summary['starts']
    if missing := [name for name in genotypes if name not in found]:
        raise RuntimeError(f'{len(missing)} of {len(genotypes)} genotypes could not be evaluated, such '
                           f'as {missing[0]}: the logs are in {work_dir / "trials"}')
    rows = [found[name] for name in genotypes]
    setup = summary['preparation']
    return Scores(name, [row['reward'] for row in rows],
                  float(np.mean([row['cpu_seconds'] for row in rows])),
                  float(np.mean([row['seconds'] for row in rows])),
                  setup['cpu_seconds'], setup['seconds'])


def count(cfg: Config, cost: str, genotypes: Mapping[str, Genotype], path: Path) -> Scores:
    """Count what genotypes cost, as a proxy: the more, the better.

    Args:
        cfg (Config): The config of a detector.
        cost (str): One of :data:`mmnasfpn.search.costs.COSTS`.
        genotypes (Mapping[str, Genotype]): The genotypes, by names.
        path (Path): JSON file that keeps what was counted.

    Raises:
        ValueError: If the config does not say how large its images are.
    """
    size = test_image_size(cfg)
    if size is None:
        raise ValueError(f'{cfg.filename} does not say to which size it resizes images: {cost} cannot '
                         'be counted')
    kept: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for name, genotype in track(genotypes.items(), f'Counting {cost}'):
        key = f'{genotype.to_json()} {size}'
        if key not in kept:
            start, cpu_start = time.monotonic(), cpu_seconds()
            value = cost_of(cost, cfg, genotype, size)
            kept[key] = (value, cpu_seconds() - cpu_start, time.monotonic() - start)
            write_json(path, kept)
    rows = [kept[f'{genotype.to_json()} {size}'] for genotype in genotypes.values()]
    values, cpu, seconds = zip(*rows, strict=True)
    return Scores(cost, values, float(np.mean(cpu)), float(np.mean(seconds)))


def agreements(final: Sequence[float], proxies: Sequence[Scores], seed: int = 0) -> list[Agreement]:
    """Compare what proxies say with what genotypes reach in the end.

    Args:
        final (Sequence[float]): What each genotype reaches.
        proxies (Sequence[Scores]): What each proxy says of the same genotypes, in the same order.
        seed (int): Of the bootstrap. Defaults to 0.
    """
    found = []
    for scores in proxies:
        tau, low, high = _with_interval(_tau, (final, scores.values), seed)
        ahead = None
        if scores is not proxies[0]:
            ahead = _with_interval(lambda a, b, c: _tau(a, b) - _tau(a, c),
                                   (final, scores.values, proxies[0].values), seed)
        found.append(Agreement(scores.name, tau, low, high, ahead))
    return found


def _tau(a: Any, b: Any) -> float:
    tau = kendalltau(a, b).statistic
    return 0.0 if np.isnan(tau) else float(tau)  # all equal: there is no order


def _with_interval(statistic: Any, data: Sequence[Sequence[float]],
                   seed: int) -> tuple[float, float, float]:
    """Return a statistic and its 95% interval, by the percentile bootstrap over genotypes."""
    interval = bootstrap(tuple(map(np.asarray, data)), statistic, n_resamples=_SAMPLES, paired=True,
                         vectorized=False, method='percentile',
                         rng=np.random.default_rng(seed)).confidence_interval
    return statistic(*data), float(interval.low), float(interval.high)


def to_markdown(final: Scores, proxies: Sequence[Scores], found: Sequence[Agreement]) -> str:
    """Return a table of proxies: how well they agree with the final training, and what they cost."""
    lines = []
    for scores, one in zip(proxies, found, strict=True):
        once = scores.setup_cpu_seconds
        many = once + _MANY * scores.cpu_seconds
        ahead = '' if one.ahead is None else '{:+.2f} ({:+.2f} to {:+.2f})'.format(*one.ahead)
        lines.append((
            scores.name, f'{one.tau:.2f}', f'{one.low:.2f} to {one.high:.2f}', ahead,
            f'{once:,.0f}', f'{scores.cpu_seconds:.1f}', f'{many / 3600:.1f}',
            f'{one.tau / (many / _MANY):.3f}'))
    lines.append(('the final training', '', '', '', f'{final.setup_cpu_seconds:,.0f}',
                  f'{final.cpu_seconds:.1f}', f'{_MANY * final.cpu_seconds / 3600:.1f}', ''))
    return to_table(
        ('proxy', "Kendall's tau", '95% interval', f'ahead of {proxies[0].name}', 'CPU s, once',
         'CPU s a genotype', f'CPU h for {_MANY:,}', f'tau for each CPU s a genotype, of {_MANY:,}'),
        lines)


def to_json(final: Scores, proxies: Sequence[Scores], found: Sequence[Agreement],
            genotypes: Mapping[str, Genotype]) -> dict[str, Any]:
    """Return everything as plain data."""
    return dict(genotypes={name: genotype.to_dict() for name, genotype in genotypes.items()},
                final=asdict(final),
                proxies=[{**asdict(scores), **asdict(one)}
                         for scores, one in zip(proxies, found, strict=True)])


def draw_proxies(final: Scores, proxies: Sequence[Scores], found: Sequence[Agreement],
                 out: Path) -> None:
    """Draw what each genotype reaches in the end over what each proxy says of it."""
    num_columns = min(4, len(proxies))
    num_rows = -(-len(proxies) // num_columns)
    figure = Figure(figsize=(3.6 * num_columns, 3.6 * num_rows), layout='constrained')
    panels = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(proxies):]:
        axes.axis('off')
    for axes, scores, one in zip(panels, proxies, found, strict=False):
        axes.plot(scores.values, final.values, 'o', color='#1f4e8c', markersize=4, alpha=0.7)
        axes.set(xlabel=scores.name, title=f'tau {one.tau:.2f} ({one.low:.2f} to {one.high:.2f})')
        axes.grid(alpha=0.3)
    for axes in panels[::num_columns]:
        axes.set_ylabel('final AP')
    figure.savefig(out, dpi=100)
