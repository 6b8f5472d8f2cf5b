"""Time tools/predict.py beside the config's pipeline and ``test_step`` alone, and measure its memory.

The images are generated, of 640x480 pixels. Runs of the kinds alternate, of some images each, and each
is compared with the one before it. Peak memory is that of a process of its own.
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn._markdown import to_table

_NUM_DRAWN = 20  # images; the others are copies
_NUM_ALIKE = 50  # images of one run


def generate(folder: Path, num_images: int) -> list[str]:
    """Write the images, once, and return their paths."""
    import mmcv

    from mmnasfpn.datasets import make_shapes
    images = folder / 'images'
    paths = [images / f'{number:06}.jpg' for number in range(num_images)]
    if not all(path.is_file() for path in paths):
        make_shapes(folder / 'shapes', num_train=1, num_val=_NUM_DRAWN, image_size=640)
        drawn = sorted((folder / 'shapes/val').iterdir())
        for number, path in enumerate(paths):
            if number < _NUM_DRAWN:
                mmcv.imwrite(mmcv.imread(drawn[number])[:480], str(path))
            else:
                shutil.copyfile(paths[number % _NUM_DRAWN], path)
    return [str(path) for path in paths]


def run_alone(cfg: Any, model: Any, paths: Sequence[str], batch_size: int) -> float:
    """Return the seconds that pipeline and ``test_step`` take."""
    import torch
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose, pseudo_collate
    pipeline = Compose(get_test_pipeline_cfg(cfg))
    start = time.perf_counter()
    with torch.no_grad():
        for first in range(0, len(paths), batch_size):
            model.test_step(pseudo_collate([pipeline(dict(img_path=path, img_id=0))
                                            for path in paths[first:first + batch_size]]))
    return time.perf_counter() - start


def run_tool(cfg: Any, checkpoint: str, paths: Sequence[str], batch_size: int, paints: bool) -> float:
    """Return the seconds that the tool takes, once it is loaded, for JSON alone or for painting."""
    from mmnasfpn.prediction.run import predict_files
    with tempfile.TemporaryDirectory() as folder:
        report = predict_files(cfg, checkpoint, paths, batch_size=batch_size,
                               out=folder if paints else None,
                               json_path=None if paints else f'{folder}/results.json')
    assert (report.num_images, report.skipped) == (len(paths), {})
    return report.seconds


def compare(cfg: Any, checkpoint: str, paths: Sequence[str], batch_size: int) -> dict[str, Any]:
    """Return images a second of each kind, and the median of the ratios to what is alone."""
    from mmnasfpn.prediction import Predictor
    model = Predictor(cfg, checkpoint).model
    run_alone(cfg, model, paths[:_NUM_ALIKE], batch_size)  # the first is slower
    seconds: dict[str, list[float]] = dict(alone=[], json=[], painted=[])
    for first in range(0, len(paths), _NUM_ALIKE):
        part = paths[first:first + _NUM_ALIKE]
        seconds['alone'].append(run_alone(cfg, model, part, batch_size))
        seconds['json'].append(run_tool(cfg, checkpoint, part, batch_size, paints=False))
        seconds['painted'].append(run_tool(cfg, checkpoint, part, batch_size, paints=True))
    alone = np.array(seconds['alone'])
    return {kind: dict(rate=len(paths) / sum(values), of_alone=float(np.median(alone / values)))
            for kind, values in seconds.items()}


def peak_memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if 'VmHWM' in line)
    return int(line.split()[1]) / 2 ** 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark_predict'))
    parser.add_argument('--images', type=int, default=500)
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--json', type=Path, metavar='FILE')
    parser.add_argument('--memory', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    from mmnasfpn.engine.config import load_config
    paths = generate(args.work_dir, args.images)
    cfg = load_config(args.config)
    if args.memory:
        run_tool(cfg, args.checkpoint, paths, args.batch_size, paints=False)
        print(peak_memory())  # for the process that asked
        return
    found = compare(cfg, args.checkpoint, paths, args.batch_size)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f'{args.images} images of 640x480, batches of {args.batch_size}')
    console.print(to_table(('', 'images/s', 'of alone'), [
        (kind, f"{values['rate']:.1f}", f"{values['of_alone']:.2f}") for kind, values in found.items()]))
    memory = {}
    for number in (args.images // 5, args.images):
        done = subprocess.run(
            [sys.executable, __file__, args.config, args.checkpoint, '--work-dir', str(args.work_dir),
             '--images', str(number), '--batch-size', str(args.batch_size), '--memory'],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        memory[number] = float(done.stdout.splitlines()[-1])
        console.print(f'{number} images: {memory[number]:.0f} MiB')
    if args.json:
        write_json(args.json, dict(speed=found, memory=memory))


if __name__ == '__main__':
    main()
