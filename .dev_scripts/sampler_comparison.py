"""Samplers of a search against each other, on equal terms."""
import copy
import os
import statistics
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from mmengine.config import Config

from mmnasfpn._markdown import to_table
from mmnasfpn.search.run import search, space_of
from mmnasfpn.search.samplers import make_sampler
from mmnasfpn.search.settings import SearchSettings


@dataclass(frozen=True)
class Candidate:
    """A sampler with its arguments, which are those of the ``cfg`` of the search."""

    name: str
    sampler: str
    cfg: Config


def candidates(cfg: Config, samplers: Sequence[str], variants: Sequence[str]) -> list[Candidate]:
    """Return what is compared: samplers by their names, and variants of the controller.

    A variant is ``'name=value'`` or ``'name=value,name=value'``, arguments of the controller.

    Raises:
        ValueError: If a variant has another form, or the controller does not take its values.
    """
    found = [Candidate(sampler, sampler, cfg) for sampler in samplers]
    for variant in variants:
        try:
            values = {name: literal_eval(text) for name, _, text in (
                pair.partition('=') for pair in variant.split(','))}
        except (ValueError, SyntaxError):
            raise ValueError(f'{variant!r} must be NAME=VALUE, or several with commas between, '
                             'e.g. lr=0.002') from None
        changed = copy.deepcopy(cfg)
        changed.controller = {**(cfg.get('controller') or {}), **values}
        make_sampler('controller', space_of(changed), 0, 0, changed.controller)
        found.append(Candidate(f'controller, {variant}', 'controller', changed))
    return found


def compare(candidates: Sequence[Candidate], seeds: Sequence[int], num_trials: int,
            work_dir: str | os.PathLike[str],
            num_workers: int | None = None) -> Iterator[dict[str, Any]]:
    """Search with each candidate and seed, and yield the results of each search as it ends.

    They are what :func:`search` returns, with the ``name`` and the ``seed``. What an
    earlier call finished is not searched again; what was stopped goes on, in the folder
    ``<work_dir>/<name>/seed_<seed>``.
    """
    for seed in seeds:
        for candidate in candidates:
            folder = Path(work_dir) / candidate.name / f'seed_{seed}'
            summary = search(candidate.cfg, folder, SearchSettings(
                num_trials, num_workers, sampler=candidate.sampler, seed=seed))
            yield dict(summary, name=candidate.name, seed=seed)


def to_markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the searches as a Markdown table: a row for each candidate."""
    seeds = sorted({run['seed'] for run in runs})
    lines = []
    for name in dict.fromkeys(run['name'] for run in runs):
        own = {run['seed']: run for run in runs if run['name'] == name}
        means = {seed: run['mean_reward_last_200'] for seed, run in own.items()}
        lines.append((
            name, *(f'{means[seed]:.3f}' if seed in means else '' for seed in seeds),
            f'{statistics.mean(means.values()):.3f}',
            f"{statistics.mean(run['best']['reward'] for run in own.values()):.3f}",
            f"{statistics.mean(run['repeated_last_500'] for run in own.values()):.0%}",
            f"{statistics.median(1000 * run['seconds'] / run['trials'] for run in own.values()):.0f}"))
    return to_table(
        ('sampler', *(f'seed {seed}' for seed in seeds), 'mean', 'best reward, mean',
         'repeats among the last 500', 'ms a trial, median'), lines)


def draw_comparison(runs: Sequence[Mapping[str, Any]], out: str | os.PathLike[str]) -> None:
    """Draw the mean of the last 200 rewards of each search, one line for each candidate."""
    names = list(dict.fromkeys(run['name'] for run in runs))
    figure = Figure(figsize=(8, 1.2 + 0.6 * len(names)), layout='constrained')
    axes = figure.subplots()
    for y, name in enumerate(names):
        means = [run['mean_reward_last_200'] for run in runs if run['name'] == name]
        axes.plot(means, [y] * len(means), 'o', alpha=0.6, markersize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel('mean of the last 200 rewards, one mark for each seed')
    axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)
