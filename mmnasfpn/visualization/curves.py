"""Curves of a training: its losses and its AP."""
import json
import os
from pathlib import Path

from matplotlib.figure import Figure


def draw_curves(work_dir: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Draw the loss and the AP of a training run over its epochs, or over its iterations.

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
    epochs = [entry['epoch'] for entry in losses.values() if 'epoch' in entry]
    steps_per_unit = max(losses) / max(epochs) if epochs else 1
    unit = 'epoch' if epochs else 'iteration'
    figure = Figure(figsize=(10, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for key in sorted({key for entry in losses.values() for key in entry if 'loss' in key}):
        points = [(step / steps_per_unit, entry[key]) for step, entry in losses.items()
                  if key in entry]
        left.plot(*zip(*points, strict=True), label=key, linewidth=2.5 if key == 'loss' else 1.5)
    left.set(xlabel=unit, ylabel='training loss', title='Loss')
    left.set_ylim(bottom=0)
    left.legend()
    for key, name in (('coco/bbox_mAP_50', 'AP50'), ('coco/bbox_mAP', 'AP'),
                      ('coco/bbox_mAP_75', 'AP75')):
        points = [(epoch, entry[key]) for epoch, entry in validations.items() if key in entry]
        if points:
            right.plot(*zip(*points, strict=True), marker='o', label=name)
    right.set(xlabel=unit, ylabel='COCO AP on held-out images', title='AP', ylim=(0, 1))
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
        tuple: Training entries by step and validation entries by epoch, or by step in a training by
        iterations, in order. Lines that a killed run left unfinished are passed over.
    """
    losses: dict[int, dict] = {}
    validations: dict[int, dict] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            step = entry['step']
            if 'loss' in entry:
                losses[step] = entry
            else:  # by iterations, MMEngine counts no epochs unless log_metric_by_epoch=False
                validations[step or max(losses, default=0)] = entry
    return dict(sorted(losses.items())), dict(sorted(validations.items()))
