"""The demo: from nothing to detections that one can look at."""
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmnasfpn._files import OUR_CONFIGS
from mmnasfpn.analysis.coco_metrics import METRICS
from mmnasfpn.engine.hooks.resume import last_checkpoint
from mmnasfpn.visualization.predictions import draw_predictions

CONFIG = 'retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'


class DemoFailed(RuntimeError):  # noqa: N818
    """MIM could not train or test."""


def run_demo(work_dir: str | os.PathLike[str], json_path: str | os.PathLike[str] | None = None,
             options: Sequence[str] = ()) -> None:
    """Train the demo's config with MIM, test it with MIM, draw images, and print the AP.

    An interrupted demo goes on where it stopped, and a finished one is evaluated again.

    Args:
        work_dir (str | PathLike): Where to leave the checkpoint, ``predictions.png``,
            ``curves.png`` and all else.
        json_path (str | PathLike | None): Where to write the metrics. Defaults to ``metrics.json``
            in the work dir.
        options (Sequence[str]): Overrides of the config, as ``a.b=value``.

    Raises:
        DemoFailed: If MIM fails.
    """
    start = time.monotonic()
    work_dir = Path(work_dir)
    config = str((OUR_CONFIGS / CONFIG).resolve())
    predictions = work_dir / 'predictions.pkl'
    metrics_file = Path(json_path or work_dir / 'metrics.json')
    overrides = ['--cfg-options', *options] if options else []
    _mim('train', 'mmnasfpn', config, '--work-dir', str(work_dir), '--resume', *overrides)
    checkpoint = last_checkpoint(work_dir)
    assert checkpoint is not None  # of the training
    _mim('test', 'mmnasfpn', config, '--checkpoint', checkpoint, '--work-dir', str(work_dir / 'test'),
         '--out', str(predictions), '--json', str(metrics_file), *overrides)
    used = Config.fromfile(work_dir / Path(config).name)  # as trained
    dataset = used.test_dataloader.dataset
    draw_predictions(predictions, used.test_evaluator.ann_file,
                     Path(dataset.data_root) / dataset.data_prefix.img, work_dir / 'predictions.png')
    _report(metrics_file,
            [work_dir / 'predictions.png', work_dir / 'curves.png', metrics_file, Path(checkpoint)])
    Console().print(f'{time.monotonic() - start:.0f} s')


def _report(metrics_file: Path, made: Sequence[Path]) -> None:
    metrics = json.loads(metrics_file.read_text())['metrics']
    table = Table(*METRICS, title='COCO metrics on held-out images of shapes')
    found = (metrics.get(key) for key in METRICS.values())  # none where nothing is detected
    table.add_row(*('-' if value is None else f'{value:.3f}' for value in found))
    console = Console()
    console.print(table)
    for path in made:
        console.print(os.path.relpath(path), markup=False, emoji=False, soft_wrap=True)


def _mim(*arguments: str) -> None:
    done = subprocess.run([sys.executable, '-m', 'mim', *arguments], check=False)
    if done.returncode != 0:
        raise DemoFailed(f'mim {arguments[0]} failed, as said above')
