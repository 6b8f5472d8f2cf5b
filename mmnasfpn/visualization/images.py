"""Pictures of what a detector learned."""
import json
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.fileio import load
from pycocotools.coco import COCO


def draw_predictions(predictions: str | os.PathLike[str], ann_file: str | os.PathLike[str],
                     image_dir: str | os.PathLike[str], out: str | os.PathLike[str],
                     num_images: int = 8, score_thr: float = 0.3) -> None:
    """Draw a grid of pictures: ground truth on the left, detections on the right of each pair.

    Args:
        predictions (str | PathLike): Pickle that ``tools/test.py --out`` wrote.
        ann_file (str | PathLike): COCO annotation file of the same pictures.
        image_dir (str | PathLike): Folder of the pictures.
        out (str | PathLike): PNG to write.
        num_images (int): How many pictures, from the first on. Defaults to 8.
        score_thr (float): Detections below this score, in 0..1, are left out. Defaults to 0.3.
    """
    coco = COCO(str(ann_file))
    category_ids = coco.getCatIds()
    names = [category['name'] for category in coco.loadCats(category_ids)]
    shown = sorted(load(str(predictions)), key=lambda p: p['img_id'])[:num_images]
    pairs_per_row = 2
    rows = -(-len(shown) // pairs_per_row)
    figure = Figure(figsize=(4 * 2 * pairs_per_row, 4.25 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 2 * pairs_per_row, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for place, prediction in enumerate(shown):
        row, column = divmod(place, pairs_per_row)
        truth, detected = axes[row, 2 * column:2 * column + 2]
        image = coco.loadImgs(prediction['img_id'])[0]
        pixels = matplotlib.image.imread(Path(image_dir) / image['file_name'])
        truth.imshow(pixels)
        truth.set_title(f"{image['file_name']}: ground truth")
        for ann in coco.loadAnns(coco.getAnnIds(imgIds=image['id'])):
            x, y, w, h = ann['bbox']
            label = category_ids.index(ann['category_id'])
            _draw_box(truth, (x, y, x + w, y + h), names[label], label)
        detected.imshow(pixels)
        found = prediction['pred_instances']
        kept = found['scores'] >= score_thr
        detected.set_title(f'{int(kept.sum())} detections of score >= {score_thr}')
        best_last = found['scores'].argsort()  # so that its label is not hidden by a worse one
        for index in best_last[kept[best_last]].tolist():
            label, score = int(found['labels'][index]), float(found['scores'][index])
            _draw_box(detected, found['bboxes'][index].tolist(), f'{names[label]} {score:.2f}', label)
    figure.savefig(out, dpi=80)


def _draw_box(axis: Axes, box: Sequence[float], text: str, label: int) -> None:
    left, top, right, bottom = box
    colour = matplotlib.colormaps['tab10'](label % 10)
    axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=2,
                             edgecolor=colour))
    axis.text(left, max(top, 9), text, fontsize=8, color='white', verticalalignment='bottom',
              clip_on=True,
              bbox=dict(facecolor=colour, edgecolor='none', pad=1, alpha=0.85))


def draw_curves(work_dir: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Draw the loss and the AP of a training run over its epochs.

    Args:
        work_dir (str | PathLike): Work dir of the run. Where it was resumed, all of its parts are
            joined; what a later part trained again counts.
        out (str | PathLike): PNG to write.

    Raises:
        FileNotFoundError: If the work dir holds no training log.
    """
    losses, validations = read_log(work_dir)
    if not losses:
        raise FileNotFoundError(f'{work_dir} holds no training log (*/vis_data/scalars.json)')
    steps_per_epoch = max(losses) / max(entry['epoch'] for entry in losses.values())
    figure = Figure(figsize=(10, 4), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for key in sorted({key for entry in losses.values() for key in entry if 'loss' in key}):
        points = [(step / steps_per_epoch, entry[key]) for step, entry in losses.items()
                  if key in entry]
        left.plot(*zip(*points, strict=True), label=key, linewidth=2.5 if key == 'loss' else 1.5)
    left.set(xlabel='epoch', ylabel='training loss', title='Loss')
    left.set_ylim(bottom=0)
    left.legend()
    for key, name in (('coco/bbox_mAP_50', 'AP50'), ('coco/bbox_mAP', 'AP'),
                      ('coco/bbox_mAP_75', 'AP75')):
        points = [(epoch, entry[key]) for epoch, entry in validations.items() if key in entry]
        if points:
            right.plot(*zip(*points, strict=True), marker='o', label=name)
    right.set(xlabel='epoch', ylabel='COCO AP on held-out pictures', title='AP', ylim=(0, 1))
    if validations:
        right.legend(loc='lower right')
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.set_xlim(left=0)
    figure.savefig(out, dpi=100)


def read_log(work_dir: str | os.PathLike[str]) -> tuple[dict[int, dict], dict[int, dict]]:
    """Read what MMEngine logged in a work dir.

    Args:
        work_dir (str | PathLike): Work dir of a training run.

    Returns:
        tuple: Training entries by step and validation entries by epoch, in order. Lines that a
        killed run left unfinished are passed over.
    """
    losses: dict[int, dict] = {}
    validations: dict[int, dict] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            (losses if 'loss' in entry else validations)[entry['step']] = entry
    return dict(sorted(losses.items())), dict(sorted(validations.items()))
