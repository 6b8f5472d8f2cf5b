"""How much a result depends on the seed: the same training, several times."""
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from math import inf, isinf, sqrt
from operator import itemgetter
from pathlib import Path
from statistics import mean, median, stdev

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from scipy.special import stdtrit

import mmnasfpn
from mmnasfpn._files import write_text
from mmnasfpn._markdown import to_table
from mmnasfpn.genotypes import Genotype
from mmnasfpn.visualization.curves import read_log

_TRAIN = Path(mmnasfpn.__file__).parent / '.mim/tools/train.py'
#: The parts of a Markdown file that the tables replace.
SEEDS_PART, GENOTYPES_PART = 'seeds', 'genotypes'

#: What :class:`Cost` has for a table.
COST_COLUMNS = ('params, M', 'FLOPs, B', 'latency, ms')


class RunError(RuntimeError):
    """Some of the trainings failed."""


@dataclass(frozen=True)
class Run:
    """One training.

    Its AP is that on the held-out images at its end, 0 where the detector detects nothing, and None
    where the training failed. The reason says so; else it is empty. The seconds are those of its
    processes, earlier ones that it was resumed from included.
    """

    config: str
    seed: int
    ap: float | None
    reason: str = ''
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Cost:
    """What a detector costs for one image.

    Args:
        params (int): Number of parameters.
        flops (int): Floating point operations, 2 for each multiply-add, of backbone, neck and head.
        milliseconds (float): Median time on the CPU, from the image as a tensor to its boxes, where none
            is detected.
    """

    params: int
    flops: int
    milliseconds: float

    def cells(self) -> tuple[str, str, str]:
        """Return the cells of a table under ``COST_COLUMNS``."""
        return f'{self.params / 1e6:.2f}', f'{self.flops / 1e9:.2f}', f'{self.milliseconds:.1f}'


def write_children(config: str | os.PathLike[str], genotypes: Mapping[str, Genotype],
                   folder: str | os.PathLike[str]) -> list[str]:
    """Write a child ``<folder>/<name>.py`` of a config for each genotype, and return their paths.

    Raises:
        ValueError: If the folder has a child of this name with another genotype.
    """
    children = {name: Path(folder).absolute() / f'{name}.py' for name in genotypes}
    for name, child in children.items():
        genotype = child.with_suffix('.json')
        if genotype.is_file() and Genotype.from_json(genotype.read_text()) != genotypes[name]:
            raise ValueError(f'{genotype} is of another genotype than {name} is now, and may have been '
                             'trained: give another name, or another --work-dir')
        write_text(genotype, genotypes[name].to_json())
        write_text(child, f'_base_ = [{str(Path(config).absolute())!r}]\n'
                          f'model = dict(neck=dict(genotype={str(genotype)!r}))\n')
    return list(map(str, children.values()))


def train_seeds(configs: Sequence[str], seeds: Sequence[int], work_dir: str | os.PathLike[str],
                jobs: int, options: Sequence[str] = ()) -> Iterator[Run]:
    """Train each config with each seed, seed by seed, and yield each run as it ends.

    Each is a process of its own with one thread, so that its sums do not vary with ``jobs``. What an
    earlier call finished is not trained again; what was stopped goes on from its last checkpoint.

    Args:
        configs (Sequence[str]): Paths of configs.
        seeds (Sequence[int]): Seeds.
        work_dir (str | PathLike): Where each gets a folder ``<config>/seed_<seed>``.
        jobs (int): How many run at a time.
        options (Sequence[str]): Overrides of the configs, as ``a.b=value``.

    Raises:
        ValueError: If ``work_dir`` holds such a run with other options.
    """
    options = list(options)
    runs = [(config, seed, Path(work_dir) / Path(config).stem / f'seed_{seed}')
            for seed in seeds for config in configs]
    for _, _, folder in runs:
        _check_options(folder, options)
        write_text(folder / 'options.json', json.dumps(options))
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_train, *run, options) for run in runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def read_seeds(configs: Sequence[str], seeds: Sequence[int], work_dir: str | os.PathLike[str],
               options: Sequence[str] = ()) -> list[Run]:
    """Return the runs that :func:`train_seeds` has finished in a work dir, by config, then by seed.

    Raises:
        RunError: If there is none.
        ValueError: If ``work_dir`` holds such a run with other options.
    """
    folders = [Path(work_dir) / Path(config).stem / f'seed_{seed}'
               for config in configs for seed in sorted(seeds)]
    finished = [folder for folder in folders if (folder / 'run.json').is_file()]
    if not finished:
        raise RunError(f'{work_dir} has no finished run of these configs and seeds: leave out '
                       '--no-train to train them')
    for folder in finished:
        _check_options(folder, list(options))
    return [Run(**json.loads((folder / 'run.json').read_text())) for folder in finished]


def show_progress(runs: Iterable[Run], configs: Sequence[str], total: int,
                  console: Console) -> list[Run]:
    """Show runs as they end, and return them in the order of their configs and seeds.

    Args:
        runs (Iterable[Run]): The runs, as :func:`train_seeds` yields them.
        configs (Sequence[str]): Paths of the configs.
        total (int): How many runs there will be.
        console (Console): Where to show them.
    """
    ended = []
    for run in track(runs, 'Training', total=total, console=console):
        console.print(f'{run.config}, seed {run.seed}: AP {run.ap} {run.reason}', markup=False)
        ended.append(run)
    names = [Path(config).stem for config in configs]
    return sorted(ended, key=lambda run: (names.index(run.config), run.seed))


def to_markdown(runs: Sequence[Run], costs: Mapping[str, Cost] | None = None,
                baseline: str | None = None) -> str:
    """Return the runs as a Markdown table: one row for each config, in the order of their first run.

    Args:
        runs (Sequence[Run]): The runs.
        costs (Mapping[str, Cost] | None): What the detector of each config costs, for columns of their
            own. Defaults to None.
        baseline (str | None): Config from which each is to be subtracted, for a column with the mean
            difference over the seeds that both have, and its 95% interval. Defaults to None.
    """
    seeds = sorted({run.seed for run in runs})
    head = ['config', *(COST_COLUMNS if costs else ()), *(f'seed {seed}' for seed in seeds), 'median',
            'farthest from it', *([f'minus {baseline}'] if baseline else ())]
    rows = []
    for config, found in _found(runs).items():
        cells = {run.seed: _number(run.ap) for run in runs if run.config == config}
        middle = median(found) if found else None
        spread = _number(max(abs(ap - median(found)) for ap in found)) if len(found) > 1 else ''
        row = [config, *(costs[config].cells() if costs else ()),
               *(cells.get(seed, '') for seed in seeds), _number(middle), spread]
        if baseline:
            row.append('' if config == baseline else _difference(runs, config, baseline))
        rows.append(row)
    return to_table(head, rows)


def draw_seeds(runs: Sequence[Run], out: str | os.PathLike[str]) -> None:
    """Draw the AP of each run, one line for each config, and the median, and write the image."""
    found_by_config = _found(runs)
    figure = Figure(figsize=(8, 1.2 + 0.6 * len(found_by_config)), layout='constrained')
    axes = figure.subplots()
    for y, found in enumerate(found_by_config.values()):
        axes.plot(found, [y] * len(found), 'o', alpha=0.6, markersize=8)
        if found:
            axes.plot([median(found)], [y], '|', color='black', markersize=24)
    axes.set_yticks(range(len(found_by_config)), list(found_by_config))
    axes.set_ylim(len(found_by_config) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlabel('AP of each seed, and their median')
    axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)


def draw_tradeoff(runs: Sequence[Run], costs: Mapping[str, Cost], out: str | os.PathLike[str]) -> None:
    """Draw the AP of each config over its latency, and write the image.

    A mark is the mean over the seeds, a bar goes from the lowest to the highest. A line joins the Pareto
    front: those that no other is both faster and better than.
    """
    found = _found(runs)
    points = sorted((costs[config].milliseconds, mean(aps), config)
                    for config, aps in found.items() if aps)
    front = [point for index, point in enumerate(points)
             if all(point[1] > ap for _, ap, _ in points[:index])]
    figure = Figure(figsize=(10, 5), layout='constrained')
    axes = figure.subplots()
    axes.plot([x for x, _, _ in front], [y for _, y, _ in front], '-', color='black', alpha=0.5,
              label='Pareto front')
    # The legend names the best first, as they are seen from above.
    best_first = sorted(points, key=itemgetter(1), reverse=True)
    for (milliseconds, ap, config), marker in zip(best_first, itertools.cycle('osD^vP'), strict=False):
        aps = found[config]
        axes.errorbar(milliseconds, ap, [[ap - min(aps)], [max(aps) - ap]], fmt=marker, capsize=3,
                      label=config)
    axes.margins(x=0.1, y=0.1)
    axes.set_xlabel('milliseconds for one image on the CPU')
    axes.set_ylabel('AP, mean of the seeds, lowest to highest')
    axes.grid(alpha=0.3)
    figure.legend(loc='outside right upper', fontsize=8)
    figure.savefig(out, dpi=110)


def paired_difference(runs: Sequence[Run], config: str, baseline: str) -> tuple[float, float] | None:
    """Compare two configs over the seeds that both have.

    Returns:
        tuple[float, float] | None: The mean of the AP of ``config`` minus that of ``baseline``, and half
        the width of its 95% interval by Student's t; infinite for a single seed. None where no seed is
        in both.
    """
    aps = {(run.config, run.seed): run.ap for run in runs if run.ap is not None}
    differences = [ap - aps[baseline, seed] for (name, seed), ap in aps.items()
                   if name == config and (baseline, seed) in aps]
    if not differences:
        return None
    if len(differences) == 1:
        return differences[0], inf
    quantile = float(stdtrit(len(differences) - 1, 0.975))
    return mean(differences), quantile * stdev(differences) / sqrt(len(differences))


def _check_options(folder: Path, options: list[str]) -> None:
    used = folder / 'options.json'
    if used.is_file() and (before := json.loads(used.read_text())) != options:
        raise ValueError(f'{folder} was trained with {before}, but the options are now {options}: '
                         'give the same --cfg-options, or another --work-dir')


def _difference(runs: Sequence[Run], config: str, baseline: str) -> str:
    difference = paired_difference(runs, config, baseline)
    if difference is None:
        return ''
    middle, half = difference
    return f'{middle:+.3f}' if isinf(half) else f'{middle:+.3f} ± {half:.3f}'


def _found(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Return the APs of each config, in the order of their first run."""
    return {config: [run.ap for run in runs if run.config == config and run.ap is not None]
            for config in dict.fromkeys(run.config for run in runs)}


def _train(config: str, seed: int, folder: Path, options: Sequence[str]) -> Run:
    name, finished, log = Path(config).stem, folder / 'run.json', folder / 'train.log'
    if finished.is_file():
        return Run(**json.loads(finished.read_text()))
    # Only where there is something to resume: it would put a config's load_from aside.
    resume = ['--resume'] if (folder / 'last_checkpoint').is_file() else []
    with _counting_seconds(folder / 'seconds'), log.open('w') as output:
        done = subprocess.run(
            [sys.executable, str(_TRAIN), config, '--work-dir', str(folder), *resume, '--cfg-options',
             f'randomness.seed={seed}', *options],
            stdout=output, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, 'OMP_NUM_THREADS': '1'})
    text = log.read_text()
    if done.returncode != 0:
        return Run(name, seed, None, (text.strip() or f'exit status {done.returncode}').splitlines()[-1])
    try:
        losses, evaluations = read_log(folder)
        last_step = max(losses)
    except ValueError as error:
        return Run(name, seed, None, f'its log has no losses: {error!r}')
    # Evaluations are counted in epochs, where there are some. The last steps may not be in the log.
    end = losses[last_step].get('epoch', last_step)
    final = max((key for key in evaluations if key >= end), default=None)
    run = Run(name, seed, None if final is None else evaluations[final].get('coco/bbox_mAP'))
    if run.ap is None:  # MMDetection logs no metrics where nothing is detected, but says so
        if 'testing results of the whole dataset is empty' not in text:
            return Run(name, seed, None, f'its log has no coco/bbox_mAP of its end, {end}')
        run = Run(name, seed, 0.0, 'detects nothing')
    run = replace(run, seconds=float((folder / 'seconds').read_text()))
    write_text(finished, json.dumps(asdict(run)))
    return run


@contextmanager
def _counting_seconds(path: Path) -> Iterator[None]:
    """Add the seconds that something takes to those in a file."""
    before = float(path.read_text()) if path.is_file() else 0.0
    start = time.monotonic()
    try:
        yield
    finally:
        write_text(path, f'{before + time.monotonic() - start:.2f}')


def _number(value: float | None) -> str:
    return 'failed' if value is None else f'{value:.3f}'
