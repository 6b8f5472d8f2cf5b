"""Samplers of a search against each other, on equal terms."""
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.config import Config

from mmnasfpn.analysis.model_tables import to_table
from mmnasfpn.search.run import search


def compare_samplers(cfg: Config, samplers: Sequence[str], seeds: Sequence[int], num_trials: int,
                     work_dir: str | os.PathLike[str],
                     num_workers: int | None = None) -> Iterator[dict[str, Any]]:
    """Search with each sampler and each seed, and yield the results of each search as it ends.

    What an earlier call finished is not searched again; what was cut goes on.

    Args:
        cfg (Config): The config of the search.
        samplers (Sequence[str]): Names of samplers.
        seeds (Sequence[int]): Seeds.
        num_trials (int): Trials of each search.
        work_dir (str | PathLike): Where each gets a folder ``<sampler>/seed_<seed>``.
        num_workers (int | None): As for :func:`mmnasfpn.search.run.search`.

    Yields:
        dict: The results as ``search`` returns them, with the ``seed``.
    """
    for seed in seeds:
        for sampler in samplers:
            folder = Path(work_dir) / sampler / f'seed_{seed}'
            summary = search(cfg, folder, num_trials, num_workers, sampler=sampler, seed=seed)
            yield dict(summary, seed=seed)


def to_markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the searches as a Markdown table: one row for each sampler, in the order of their first."""
    seeds = sorted({run['seed'] for run in runs})
    lines = []
    for sampler in dict.fromkeys(run['sampler'] for run in runs):
        own = {run['seed']: run for run in runs if run['sampler'] == sampler}
        means = {seed: run['mean_reward_last_200'] for seed, run in own.items()}
        lines.append((
            sampler, *(f'{means[seed]:.3f}' if seed in means else '' for seed in seeds),
            f'{statistics.mean(means.values()):.3f}',
            f"{statistics.mean(run['best']['reward'] for run in own.values()):.3f}",
            f"{statistics.mean(run['repeated_last_500'] for run in own.values()):.0%}",
            f"{statistics.median(1000 * run['seconds'] / run['trials'] for run in own.values()):.0f}"))
    return to_table(
        ('sampler', *(f'seed {seed}' for seed in seeds), 'mean', 'best reward, mean',
         'repeats among the last 500', 'ms a trial, median'), lines)


def draw_comparison(runs: Sequence[Mapping[str, Any]], out: str | os.PathLike[str]) -> None:
    """Draw the mean of the last 200 rewards of each search, one line for each sampler.

    Args:
        runs (Sequence[Mapping]): What :func:`compare_samplers` yielded.
        out (str | PathLike): Picture to write.
    """
    samplers = list(dict.fromkeys(run['sampler'] for run in runs))
    figure = Figure(figsize=(8, 1.2 + 0.6 * len(samplers)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for y, sampler in enumerate(samplers):
        means = [run['mean_reward_last_200'] for run in runs if run['sampler'] == sampler]
        axes.plot(means, [y] * len(means), 'o', alpha=0.6, markersize=8)
    axes.set_yticks(range(len(samplers)), samplers)
    axes.set_ylim(len(samplers) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel('mean of the last 200 rewards, one mark for each seed')
    axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)
