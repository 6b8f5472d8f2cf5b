"""Look at a detector's mistakes: what ``tools/analyze.py`` does."""
import datetime
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmnasfpn._files import write_json
from mmnasfpn.engine.run import evaluate
from mmnasfpn.errors import UsageError
from mmnasfpn.mistakes.coco import COLUMNS
from mmnasfpn.mistakes.figures import draw_confusions, draw_costs, draw_curves
from mmnasfpn.mistakes.page import write_page
from mmnasfpn.mistakes.paint import paint_worst
from mmnasfpn.mistakes.read import read_detections, read_truth
from mmnasfpn.mistakes.report import Report, look_at
from mmnasfpn.mistakes.tide import KINDS
from mmnasfpn.version import __version__


def analyze(cfg: Config, out: str | os.PathLike[str], checkpoint: str | None = None,
            predictions: str | os.PathLike[str] | None = None, score_thr: float = 0.3,
            iou_thr: float = 0.5, num_images: int = 12, **options: Any) -> Report:
    """Look at a detector's mistakes on the images of a config's ``test_dataloader``.

    Args:
        cfg (Config): The config, as from :func:`~mmnasfpn.engine.config.load_config`.
        out (str | PathLike): Folder for ``index.html``, ``analysis.json``, drawings, painted images, and
            ``predictions.pkl`` where a checkpoint is given.
        checkpoint (str | None): What to run, as for :func:`~mmnasfpn.engine.run.evaluate`.
        predictions (str | PathLike | None): In place of it: detections, as for
            :func:`~mmnasfpn.mistakes.read.read_detections`.
        score_thr (float): From which score on, in 0..1, detections are in the confusion matrix and on
            painted images. Defaults to 0.3.
        iou_thr (float): From which IoU on they are of a box in the confusion matrix. Defaults to 0.5.
        num_images (int): How many images are painted. Defaults to 12.
        **options: More arguments of :func:`~mmnasfpn.engine.run.evaluate`.

    Raises:
        FileNotFoundError, ValueError: If config, data, checkpoint or predictions do not fit.
    """
    if (checkpoint is None) == (predictions is None):
        raise UsageError('give either a checkpoint or --predictions')
    changes = [value for value in options.values() if value not in (None, False, 'fp32')]
    if predictions is not None and changes:
        raise UsageError('--predictions runs no model: leave out --backend, --tta, --channels-last, '
                         '--dtype, --fuse, --compile and --trust-checkpoint')
    out = Path(out)
    truth = read_truth(cfg)
    if checkpoint is not None:
        predictions = out / 'predictions.pkl'
        cfg.work_dir = str(out / 'test')
        evaluate(cfg, checkpoint, out=predictions, **options)
    assert predictions is not None
    detections = read_detections(predictions, truth)
    about = dict(name=Path(cfg.filename or 'the detector').stem, config=str(cfg.filename),
                 checkpoint=checkpoint, predictions=str(predictions), annotations=truth.source,
                 made=f'{datetime.date.today()}, by mmnasfpn {__version__}')
    report = look_at(truth, detections, {name: text for name, text in about.items() if text is not None},
                     score_thr, iou_thr)
    write_report(report, out, num_images)
    print_report(report, out)
    return report


def write_report(report: Report, out: Path, num_images: int = 12) -> None:
    """Write the page, the drawings, the painted images and all figures into a folder."""
    truth = report.truth
    files = {name: out / f'{name}.png' for name in ('costs', 'curves', 'confusions')}
    painted = paint_worst(report, out / 'painted', num_images)
    draw_costs(report.costs, files['costs'])
    draw_curves(report.ap, dict(zip(truth.category_ids, report.classes, strict=True)), files['curves'])
    draw_confusions(report.confusions, report.classes, files['confusions'])
    write_json(out / 'analysis.json', dict(report.to_dict(), painted=[
        dict(id=image.image_id, file=str(image.path.relative_to(out))) for image in painted]))
    write_page(report, painted, files, out / 'index.html')


def print_report(report: Report, out: Path) -> None:
    """Print the main tables, and where all else is."""
    by_class = Table('class', *COLUMNS, 'boxes', title='AP by class and size')
    for column in by_class.columns[1:]:
        column.justify = 'right'
    totals = dict(report.ap.total, boxes=report.truth.num_boxes)
    lines = {'all': totals, **{escape(name): report.ap.of_class[key] for key, name in zip(
        report.truth.category_ids, report.classes, strict=True)}}
    for name, values in lines.items():
        numbers = ('-' if values[key] is None else f'{values[key]:.3f}' for key in COLUMNS)
        by_class.add_row(name, *numbers, str(values['boxes']))
    costs, counts = report.costs, report.shown.num_of_kinds()
    kinds = Table('kind', 'AP50 if put right', f'errors (score >= {report.score_thr:g})',
                  title=f'What costs AP50, {costs.ap:.3f}')
    for kind in sorted(KINDS, key=lambda kind: -costs.of_kind[kind]):
        kinds.add_row(kind, f'+{costs.of_kind[kind]:.3f}', str(counts[kind]))
    console = Console()
    console.print(by_class)
    console.print(kinds)
    console.print(str(out / 'index.html'), markup=False, emoji=False, soft_wrap=True)
