"""How good a proxy is: what it says of genotypes, against what they reach in the end."""
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from rich.progress import track
from scipy import stats

from mmnasfpn._files import write_json
from mmnasfpn._markdown import to_table
from mmnasfpn.analysis.complexity import test_image_size
from mmnasfpn.engine.config import find_config, load_config
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.costs import COSTS, cost_of
from mmnasfpn.search.evaluation import cpu_seconds
from mmnasfpn.search.run import search, space_of
from mmnasfpn.search.settings import SearchSettings

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


@dataclass(frozen=True)
class Comparison:
    """The final values of some genotypes, what proxies say of them, and how well these agree.

    Args:
        genotypes (Mapping[str, Genotype]): The genotypes by name.
        final (Scores): What they reach in the end.
        proxies (Sequence[Scores]): What each proxy says of them.
        agreements (Sequence[Agreement]): How well each proxy agrees.
    """

    genotypes: Mapping[str, Genotype]
    final: Scores
    proxies: Sequence[Scores]
    agreements: Sequence[Agreement]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return dict(genotypes={name: genotype.to_dict() for name, genotype in self.genotypes.items()},
                    final=asdict(self.final),
                    proxies=[{**asdict(scores), **asdict(agreement)} for scores, agreement
                             in zip(self.proxies, self.agreements, strict=True)])


def compare(config: str, proxies: Sequence[str], number: int, seed: int, work_dir: Path,
            settings: SearchSettings = SearchSettings()) -> Comparison:  # noqa: B008 (it is frozen)
    """Compare what proxies say of random genotypes with what these reach in the end.

    Args:
        config (str): Config of a search whose reward is the final training.
        proxies (Sequence[str]): Configs of searches in the same space, whose rewards are the proxies, or
            names of :data:`mmnasfpn.search.costs.COSTS`.
        number (int): How many genotypes.
        seed (int): Of the genotypes.
        work_dir (Path): Where all is kept; another call goes on with it.
        settings (SearchSettings): How many workers and retries, and the time limit. Defaults to those
            of a search.

    Raises:
        ValueError: If a config cannot be used, or is of another space.
        RuntimeError: If some genotypes cannot be evaluated.
    """
    config = find_config(config)
    cfg = load_config(config)
    space = space_of(cfg)
    own, *names = [proxy if proxy in COSTS else Path(proxy).stem for proxy in (config, *proxies)]
    if len({own, *names}) <= len(names):
        raise ValueError(f'two have the same name among {", ".join([own, *names])}: what each evaluates '
                         'is kept by its name')
    found = {proxy: load_config(find_config(proxy)) for proxy in proxies if proxy not in COSTS}
    for proxy, other in found.items():
        if space_of(other) != space:
            raise ValueError(f'{proxy} searches another space than {config}: give proxies of one space')
    genotypes = space.random_genotypes(number, seed)
    if seed:  # so that a work dir can hold those of several seeds
        work_dir = work_dir / f'seed_{seed}'
    scores = []
    for proxy, name in zip(proxies, names, strict=True):
        if proxy in COSTS:
            scores.append(count(cfg, proxy, genotypes, work_dir / f'{own}_{proxy}.json'))
        else:
            scores.append(score(found[proxy], name, genotypes, work_dir / name, settings))
    final = score(cfg, own, genotypes, work_dir / own, settings)
    return Comparison(genotypes, final, scores, agreements(final.values, scores))


def score(cfg: Config, name: str, genotypes: Mapping[str, Genotype], work_dir: Path,
          settings: SearchSettings = SearchSettings()) -> Scores:  # noqa: B008 (it is frozen)
    """Evaluate genotypes by the reward of a config: a search that draws none.

    What an earlier call finished is not evaluated again; what was stopped goes on.

    Args:
        cfg (Config): The config of a search.
        name (str): What it is called.
        genotypes (Mapping[str, Genotype]): The genotypes, by names.
        work_dir (Path): Of the search.
        settings (SearchSettings): As for :func:`compare`.

    Raises:
        RuntimeError: If some cannot be evaluated.
    """
    summary = search(cfg, work_dir, settings.for_given(genotypes))
    found = summary['starts']
    if missing := [name for name in genotypes if name not in found]:
        raise RuntimeError(f'{len(missing)} of {len(genotypes)} genotypes could not be evaluated, such '
                           f'as {missing[0]}: the logs are in {work_dir / "trials"}. Once that is '
                           f'repaired, more --retries than {settings.max_retries} tries them again')
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
    for genotype in track(list(genotypes.values()), f'Counting {cost}'):
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
    tau = stats.kendalltau(a, b).statistic
    return 0.0 if np.isnan(tau) else float(tau)  # all equal: there is no order


def _with_interval(statistic: Any, data: Sequence[Sequence[float]],
                   seed: int) -> tuple[float, float, float]:
    """Return a statistic and its 95% interval, by the percentile bootstrap over genotypes."""
    interval = stats.bootstrap(
        tuple(map(np.asarray, data)), statistic, n_resamples=_SAMPLES, paired=True, vectorized=False,
        method='percentile', rng=np.random.default_rng(seed)).confidence_interval
    return statistic(*data), float(interval.low), float(interval.high)


def short_names(names: Sequence[str]) -> list[str]:
    """Return names of configs without the words that all of them begin or end with."""
    words = [name.split('_') for name in names if name not in COSTS]
    start, end = _num_common(words), _num_common([each[::-1] for each in words])
    if any(len(each) <= start + end for each in words):  # nothing would be left of some
        return list(names)
    return [name if name in COSTS else '_'.join(name.split('_')[start:-end or None]) for name in names]


def _num_common(lists: Sequence[Sequence[str]]) -> int:
    """Return how many items all lists begin with."""
    return len(list(takewhile(lambda items: len(set(items)) == 1, zip(*lists, strict=False))))


def to_markdown(comparison: Comparison) -> str:
    """Return a table of proxies: how well they agree with the final training, and what they cost.

    "tau per CPU s" is tau, where it is above 0, over what one of a thousand genotypes takes, its share
    of what is done once included.
    """
    final, proxies = comparison.final, comparison.proxies
    short, *names = short_names([final.name, *(scores.name for scores in proxies)])
    lines = []
    for name, scores, one in zip(names, proxies, comparison.agreements, strict=True):
        once = scores.setup_cpu_seconds
        many = once + _MANY * scores.cpu_seconds
        ahead = '' if one.ahead is None else '{:+.2f} ({:+.2f} to {:+.2f})'.format(*one.ahead)
        lines.append((
            name, f'{one.tau:.2f}', f'{one.low:.2f} to {one.high:.2f}', ahead,
            f'{once:,.0f}', f'{scores.cpu_seconds:.1f}', f'{scores.setup_seconds:,.0f}',
            f'{scores.seconds:.1f}', f'{_MANY * one.tau / many:.3f}' if many and one.tau > 0 else ''))
    lines.append((f'{short}, the final training', '', '', '', f'{final.setup_cpu_seconds:,.0f}',
                  f'{final.cpu_seconds:.1f}', f'{final.setup_seconds:,.0f}', f'{final.seconds:.1f}', ''))
    return to_table(
        ('proxy', "Kendall's tau", '95% interval', f'ahead of {names[0]}', 'CPU s, once',
         'CPU s per genotype', 's, once', 's per genotype', 'tau per CPU s'), lines)


def draw_proxies(comparison: Comparison, out: Path) -> None:
    """Draw what each genotype reaches in the end over what each proxy says of it."""
    proxies = comparison.proxies
    short, *names = short_names([comparison.final.name, *(scores.name for scores in proxies)])
    num_columns = min(4, len(proxies))
    num_rows = -(-len(proxies) // num_columns)
    figure = Figure(figsize=(3.6 * num_columns, 3.6 * num_rows), layout='constrained')
    panels = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(proxies):]:
        axes.axis('off')
    for axes, name, scores, one in zip(panels, names, proxies, comparison.agreements, strict=False):
        axes.plot(scores.values, comparison.final.values, 'o', color='#1f4e8c', markersize=4, alpha=0.7)
        axes.set(xlabel=name, title=f'tau {one.tau:.2f} ({one.low:.2f} to {one.high:.2f})')
        axes.grid(alpha=0.3)
    for axes in panels[::num_columns]:
        axes.set_ylabel(f'reward of {short}')
    figure.savefig(out, dpi=100)
