"""Train a small NAS-FPN on generated shapes, evaluate it, and draw what it sees."""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmnasfpn.analysis.pictures import draw_curves, draw_predictions

CONFIG = 'configs/nasfpn/retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'
COLUMNS = {'AP': 'bbox_mAP', 'AP50': 'bbox_mAP_50', 'AP75': 'bbox_mAP_75', 'AP small': 'bbox_mAP_s',
           'AP medium': 'bbox_mAP_m', 'AP large': 'bbox_mAP_l'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo', help='where to write (%(default)s)')
    return parser.parse_args()


def mim(*arguments: str) -> None:
    subprocess.run([sys.executable, '-m', 'mim', *arguments], check=True)


def main() -> None:
    start = time.monotonic()
    work_dir = Path(parse_args().work_dir)
    # --resume: an interrupted demo goes on, and a finished one is evaluated again.
    mim('train', 'mmnasfpn', CONFIG, '--work-dir', str(work_dir), '--resume')
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    predictions, metrics_file = work_dir / 'predictions.pkl', work_dir / 'metrics.json'
    mim('test', 'mmnasfpn', CONFIG, '--checkpoint', checkpoint, '--work-dir',
        str(work_dir / 'test'), '--out', str(predictions), '--json', str(metrics_file))
    draw_predictions(predictions, 'data/shapes/annotations/val.json', 'data/shapes/val',
                     work_dir / 'predictions.png')
    draw_curves(work_dir, work_dir / 'curves.png')

    metrics = json.loads(metrics_file.read_text())['metrics']
    table = Table(*COLUMNS, title='COCO metrics on 100 held-out pictures of shapes')
    table.add_row(*(f"{metrics[f'coco/{key}']:.3f}" for key in COLUMNS.values()))
    console = Console()
    console.print(table)
    for name in ('predictions.png', 'curves.png', 'metrics.json'):
        console.print(work_dir / name)
    console.print(work_dir / Path(checkpoint).name)
    console.print(f'{time.monotonic() - start:.0f} s')


if __name__ == '__main__':
    main()
