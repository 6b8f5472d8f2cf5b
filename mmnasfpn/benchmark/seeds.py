"""How much a result depends on the seed: the same training, several times."""
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import mmnasfpn
from mmnasfpn._files import write_text
from mmnasfpn._markdown import to_table
from mmnasfpn.genotypes import Genotype
from mmnasfpn.visualization.curves import read_log

_TRAIN = Path(mmnasfpn.__file__).parent / '.mim/tools/train.py'
#: The parts of a Markdown file that the tables replace.
SEEDS_PART, GENOTYPES_PART = 'seeds', 'genotypes'


class RunsFailed(RuntimeError):  # noqa: N818
    """Some of the trainings failed."""


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        config (str): Name of the config.
        seed (int): Its seed.
        ap (float | None): AP on the held-out pictures after the last epoch, 0 where the detector
            detects nothing; None where the training failed.
        reason (str): Why it failed, or that it detects nothing; else empty.
    """

    config: str
    seed: int
    ap: float | None
    reason: str = ''


def write_children(config: str | os.PathLike[str], genotypes: Mapping[str, Genotype],
                   folder: str | os.PathLike[str]) -> list[str]:
    """Write a child of a config for each genotype, and return their paths.

    Args:
        config (str | PathLike): A config with a NASFPN neck.
        genotypes (Mapping[str, Genotype]): The genotypes, by what to call their configs.
        folder (str | PathLike): Where to write ``<name>.py`` and ``<name>.json``.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name, genotype in genotypes.items():
        write_text(folder / f'{name}.json', genotype.to_json())
        write_text(
            folder / f'{name}.py',
            f'_base_ = [{str(Path(config).absolute())!r}]\n'
            f"model = dict(neck=dict(genotype={str(folder / f'{name}.json')!r}))\n")
    return [str(folder / f'{name}.py') for name in genotypes]


def train_seeds(configs: Sequence[str], seeds: Sequence[int], work_dir: str | os.PathLike[str],
                jobs: int, options: Sequence[str] = ()) -> Iterator[Run]:
    """Train each config with each seed, seed by seed, and yield each run as it ends.

    Each is a process of its own with one thread, so that its sums do not vary with ``jobs``. What
    an earlier call finished is not trained again; what was cut goes on from its last checkpoint.

    Args:
        configs (Sequence[str]): Paths of configs.
        seeds (Sequence[int]): Seeds.
        work_dir (str | PathLike): Where each gets a folder ``<config>/seed_<seed>``.
        jobs (int): How many run at a time.
        options (Sequence[str]): Overrides of the configs, as ``a.b=value``.

    Raises:
        ValueError: If ``work_dir`` holds such a run with other options.
    """
    runs = [(config, seed, Path(work_dir) / Path(config).stem / f'seed_{seed}')
            for seed in seeds for config in configs]
    for _, _, folder in runs:
        used = folder / 'options.json'
        before = json.loads(used.read_text()) if used.is_file() else list(options)
        if before != list(options):
            raise ValueError(f'{folder} was trained with {before}, but the options are now '
                             f'{list(options)}: give another --work-dir')
        folder.mkdir(parents=True, exist_ok=True)
        write_text(used, json.dumps(list(options)))
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_train, config, seed, folder, options) for config, seed, folder in runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def to_markdown(runs: Sequence[Run]) -> str:
    """Return the runs as a Markdown table: one row for each config, in the order of their first run."""
    lines = []
    seeds = sorted({run.seed for run in runs})
    for config in dict.fromkeys(run.config for run in runs):
        ap = {run.seed: run.ap for run in runs if run.config == config}
        found = [value for value in ap.values() if value is not None]
        median = statistics.median(found) if found else None
        spread = max(abs(value - median) for value in found) if median is not None else None
        lines.append((config, *(_number(ap[seed]) if seed in ap else '' for seed in seeds),
                      _number(median), _number(spread)))
    return to_table(('config', *(f'seed {seed}' for seed in seeds), 'median', 'farthest from it'), lines)


def draw_seeds(runs: Sequence[Run], out: str | os.PathLike[str]) -> None:
    """Draw the AP of each run, one line for each config, and the median.

    Args:
        runs (Sequence[Run]): What ran.
        out (str | PathLike): Picture to write.
    """
    configs = list(dict.fromkeys(run.config for run in runs))
    figure = Figure(figsize=(8, 1.2 + 0.6 * len(configs)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for y, config in enumerate(configs):
        found = [run.ap for run in runs if run.config == config and run.ap is not None]
        axes.plot(found, [y] * len(found), 'o', alpha=0.6, markersize=8)
        if found:
            axes.plot([statistics.median(found)], [y], '|', color='black', markersize=24)
    axes.set_yticks(range(len(configs)), configs)
    axes.set_ylim(len(configs) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlabel('AP of each seed, and their median')
    axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)


def _train(config: str, seed: int, folder: Path, options: Sequence[str]) -> Run:
    name = Path(config).stem
    finished = folder / 'run.json'
    if finished.is_file():
        return Run(**json.loads(finished.read_text()))
    # Only where there is something to resume: it would put a config's load_from aside.
    resume = ['--resume'] if (folder / 'last_checkpoint').is_file() else []
    with open(folder / 'train.log', 'w') as log:
        done = subprocess.run(
            [sys.executable, str(_TRAIN), config, '--work-dir', str(folder), *resume, '--cfg-options',
             f'randomness.seed={seed}', *options],
            stdout=log, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if done.returncode != 0:
        lines = (folder / 'train.log').read_text().strip().splitlines()
        return Run(name, seed, None, lines[-1] if lines else f'exit status {done.returncode}')
    try:
        run = _read(name, seed, folder)
    except (KeyError, ValueError) as error:
        return Run(name, seed, None, f'its log has no COCO metrics by epoch: {error!r}')
    write_text(finished, json.dumps(asdict(run)))
    return run


def _read(name: str, seed: int, folder: Path) -> Run:
    losses, evaluations = read_log(folder)
    last_epoch = max(entry['epoch'] for entry in losses.values())
    ap = evaluations.get(last_epoch, {}).get('coco/bbox_mAP')
    if ap is not None:
        return Run(name, seed, ap)
    # MMDetection then logs no metrics, but says so.
    if 'testing results of the whole dataset is empty' not in (folder / 'train.log').read_text():
        raise ValueError(f'there is no coco/bbox_mAP of epoch {last_epoch}')
    return Run(name, seed, 0.0, 'detects nothing')


def _number(value: float | None) -> str:
    return 'failed' if value is None else f'{value:.3f}'
