"""Time tools/predict.py beside the config's pipeline and ``test_step`` alone, and measure its memory.

The images are generated, of 640x480 pixels. Each run is in a process of its own, which tells its time
without the loading of the detector, and its peak memory; runs of all kinds alternate.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: What is compared: a name, and the number of images as a part of all.
RUNS = (('alone', 1.0), ('json', 1.0), ('json', 0.2), ('painted', 0.2))
_NUM_DRAWN = 20  # the others are copies


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


def run_alone(config: str, checkpoint: str, paths: list[str], batch_size: int) -> float:
    """Return the seconds that pipeline and ``test_step`` take."""
    import torch
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose, pseudo_collate

    from mmnasfpn.engine.config import load_config
    from mmnasfpn.prediction import Predictor
    cfg = load_config(config)
    model = Predictor(cfg, checkpoint).model
    pipeline = Compose(get_test_pipeline_cfg(cfg))
    start = time.perf_counter()
    with torch.no_grad():
        for first in range(0, len(paths), batch_size):
            model.test_step(pseudo_collate([pipeline(dict(img_path=path, img_id=0))
                                            for path in paths[first:first + batch_size]]))
    return time.perf_counter() - start


def run_tool(config: str, checkpoint: str, paths: list[str], batch_size: int, paints: bool) -> float:
    """Return the seconds that the tool takes, with JSON alone or painted files alone."""
    from mmnasfpn.engine.config import load_config
    from mmnasfpn.prediction.run import predict_files
    with tempfile.TemporaryDirectory() as folder:
        report = predict_files(load_config(config), checkpoint, paths, batch_size=batch_size,
                               out=folder if paints else None,
                               json_path=None if paints else f'{folder}/results.json')
    assert (report.num_images, report.skipped) == (len(paths), {})
    return report.seconds


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
    parser.add_argument('--runs', type=int, default=3, help='medians of so many (%(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE')
    parser.add_argument('--run', choices=[name for name, _ in RUNS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    paths = generate(args.work_dir, args.images)
    if args.run:
        arguments = args.config, args.checkpoint, paths, args.batch_size
        seconds = (run_alone(*arguments) if args.run == 'alone'
                   else run_tool(*arguments, paints=args.run == 'painted'))
        print(json.dumps(dict(rate=len(paths) / seconds, mib=peak_memory())))
        return
    found: dict[tuple[str, int], list[dict]] = {}
    for _ in range(args.runs):
        for name, part in RUNS:
            number = round(part * args.images)
            command = [sys.executable, __file__, args.config, args.checkpoint, '--work-dir',
                       str(args.work_dir), '--images', str(number), '--batch-size', str(args.batch_size),
                       '--run', name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
            found.setdefault((name, number), []).append(json.loads(done.stdout.splitlines()[-1]))
    alone = found['alone', args.images]
    print(f'640x480, batches of {args.batch_size}, medians of {args.runs}\n')
    print('| run | images | images/s | of alone | peak MiB |\n| --- | ---: | ---: | ---: | ---: |')
    for (name, number), runs in found.items():
        ratio = np.median([run['rate'] / other['rate'] for run, other in zip(runs, alone, strict=True)])
        rate, mib = (np.median([run[key] for run in runs]) for key in ('rate', 'mib'))
        print(f'| {name} | {number} | {rate:.1f} | {ratio:.2f} | {mib:.0f} |')
    if args.json:
        data = [dict(run=name, images=number, runs=runs) for (name, number), runs in found.items()]
        args.json.write_text(json.dumps(data, indent=1) + '\n')


if __name__ == '__main__':
    main()
