"""Time the checks of annotations and images on files of COCO's size, beside pycocotools' reading.

Each is run in a process of its own, which tells its time and its peak memory without the imports.
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

NUM_CLASSES = 80


def read_by_pycocotools(root: Path):
    from pycocotools.coco import COCO
    return lambda: COCO(str(root / 'annotations.json'))


def check(root: Path):
    from mmnasfpn.datasets import Use, check_annotations, read_annotations
    use = Use(filter_empty=True, min_size=32)
    return lambda: check_annotations(read_annotations(root / 'annotations.json'), use)


def look_up(root: Path):
    from mmnasfpn.datasets import check_images
    names = [path.name for path in sorted((root / 'images').iterdir())]
    sizes = np.full((len(names), 2), np.nan)
    return lambda: check_images(root / 'images', names, sizes, num_opened=0)


PARTS = {'pycocotools.coco.COCO(file)': read_by_pycocotools, 'all checks of the annotations': check,
         "the images' presence": look_up}


def generate(root: Path, num_images: int, num_boxes: int) -> None:
    """Write an annotation file with boxes and polygons, and as many files for images, once."""
    done = root / 'done.json'
    if done.is_file() and json.loads(done.read_text()) == [num_images, num_boxes]:
        return
    (root / 'images').mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    images: list[dict] = [
        dict(id=number, file_name=f'{number:012}.jpg', height=480, width=640, license=1,
             date_captured='2013-11-14 17:02:52') for number in range(1, num_images + 1)]
    places = zip(rng.integers(1, num_images + 1, num_boxes).tolist(),
                 rng.integers(1, NUM_CLASSES + 1, num_boxes).tolist(),
                 rng.uniform(0, (500, 350), (num_boxes, 2)).round(2).tolist(),
                 rng.uniform(5, 130, (num_boxes, 2)).round(2).tolist(), strict=True)
    annotations = [
        dict(id=number, image_id=image, category_id=category, iscrowd=0, area=round(width * height, 2),
             bbox=[x, y, width, height], segmentation=[[x, y, x + width, y, x + width, y + height]])
        for number, (image, category, (x, y), (width, height)) in enumerate(places, 1)]
    categories = [dict(id=number, name=f'class {number}') for number in range(1, NUM_CLASSES + 1)]
    (root / 'annotations.json').write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)))
    for image in images:
        (root / 'images' / image['file_name']).write_bytes(b'x')
    done.write_text(json.dumps([num_images, num_boxes]))


def measure(root: Path, name: str) -> None:
    """Print seconds and MiB of one part."""
    run = PARTS[name](root)
    before = peak_memory()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    print(json.dumps(dict(seconds=seconds, mib=(peak_memory() - before) / 2 ** 10)))


def peak_memory() -> int:
    """Return the most memory that this process has had, in KiB."""
    # getrusage counts what the process had that started this one as well.
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if 'VmHWM' in line)
    return int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark_checks'))
    parser.add_argument('--images', type=int, default=118_000)
    parser.add_argument('--boxes', type=int, default=860_000)
    parser.add_argument('--runs', type=int, default=3, help='medians of so many (%(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE')
    parser.add_argument('--part', choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        measure(args.work_dir, args.part)
        return
    generate(args.work_dir, args.images, args.boxes)
    found: dict[str, list[dict]] = {name: [] for name in PARTS}
    for _ in range(args.runs):
        for name, runs in found.items():
            command = [sys.executable, __file__, '--work-dir', str(args.work_dir), '--part', name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {name: {key: float(np.median([run[key] for run in runs])) for key in ('seconds', 'mib')}
               for name, runs in found.items()}
    reference = medians['pycocotools.coco.COCO(file)']
    print(f'{args.images:,} images, {args.boxes:,} boxes, medians of {args.runs}\n')
    print('| part | seconds | of COCO(file) | MiB | of COCO(file) |')
    print('| --- | ---: | ---: | ---: | ---: |')
    for name, values in medians.items():
        ratios = {key: f'{values[key] / reference[key]:.2f}' for key in values}
        cells = (name, f"{values['seconds']:.2f}", ratios['seconds'],
                 f"{values['mib']:.0f}", ratios['mib'])
        print(f"| {' | '.join(cells)} |")
    if args.json:
        args.json.write_text(json.dumps(medians, indent=1) + '\n')


if __name__ == '__main__':
    main()
