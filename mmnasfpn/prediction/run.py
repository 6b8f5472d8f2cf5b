"""Detect in the user's own files and write what was found: what ``tools/predict.py`` does."""
import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mmnasfpn.errors import UsageError
from mmnasfpn.prediction.coco import coco_results, find_category_ids, read_image_ids
from mmnasfpn.prediction.inputs import Input, Source, find_sources
from mmnasfpn.prediction.outputs import Write, json_lines, painted, painted_name
from mmnasfpn.prediction.predictor import Prediction, Predictor
from mmnasfpn.prediction.reading import count_images

#: Detections of a lower score are not painted, unless another threshold is asked for.
PAINTED_SCORE = 0.3


@dataclass(frozen=True)
class PredictionReport:
    """What was done.

    Args:
        num_images (int): Images and frames in which was detected.
        seconds (float): How long that took, the loading of the detector not counted.
        skipped (dict[str, str]): Why each file that could not be used was left out, by its path.
        num_left_out (int): Inputs that were left out, since the annotation file does not have them.
        category_ids_of (str): Where the category ids of the COCO results are from; '' without them.
    """

    num_images: int
    seconds: float
    skipped: dict[str, str]
    num_left_out: int
    category_ids_of: str


def predict_files(cfg: Config, checkpoint: str, inputs: Iterable[Input],
                  out: str | os.PathLike[str] | None = None,
                  json_path: str | os.PathLike[str] | None = None,
                  jsonl_path: str | os.PathLike[str] | None = None,
                  ann_file: str | os.PathLike[str] | None = None, score_thr: float | None = None,
                  classes: Sequence[str] | None = None, batch_size: int = 1,
                  **options: Any) -> PredictionReport:
    """Detect in images, videos and from cameras, and write painted files and JSON.

    Each prediction is written as it comes, and then let go. A camera is read until it ends or Ctrl-C.

    Args:
        cfg (Config): The config.
        checkpoint (str): A checkpoint of it, or a model of ``tools/export_onnx.py``.
        inputs (Iterable): As :func:`~mmnasfpn.prediction.inputs.find_sources` takes them.
        out (str | PathLike | None): Folder for painted images and videos. Defaults to None: none.
        json_path (str | PathLike | None): File for the results as COCO has them. Defaults to None.
        jsonl_path (str | PathLike | None): File for one line of JSON an image. Defaults to None.
        ann_file (str | PathLike | None): Annotation file in COCO format. Inputs that it does not have
            are left out, and the COCO results get its ids. Defaults to None: images are numbered from 1,
            and categories have the ids of the config's test set where its annotation file is there, else
            they are numbered from 1.
        score_thr (float | None): Detections of a lower score are left out. Defaults to None: none are
            left out of JSON, those below 0.3 out of the painted files.
        classes (Sequence[str] | None): Detections of other classes are left out. Defaults to None: all.
        batch_size (int): Images at a time. Defaults to 1.
        **options: Others of :class:`~mmnasfpn.prediction.Predictor`.

    Raises:
        FileNotFoundError: If an input does not exist, or has no image and no video.
        ValueError: If something does not fit, before anything is detected.
    """
    files = [Path(path) for path in (json_path, jsonl_path) if path is not None]
    if out is None and not files:
        raise UsageError('there is nothing to write: give --json FILE or --jsonl FILE, or --out DIR '
                         'without --no-paint')
    sources = find_sources(inputs, without=out)
    num_found = len(sources)
    _check_outputs(sources, [checkpoint, cfg.filename, ann_file, options.get('calibration')], out, files)
    image_ids = None
    if ann_file is not None:
        image_ids = read_image_ids(ann_file, sources)
        sources = [source for source in sources if source.path in image_ids]
    predictor = Predictor(cfg, checkpoint, **options)
    category_ids, origin = find_category_ids(cfg, ann_file, predictor.classes)
    skipped: dict[str, str] = {}
    predictions = predictor(sources, batch_size, score_thr or 0.0, classes, skipped.__setitem__)
    writers: list[AbstractContextManager[Write]] = []
    if out is not None:
        writers.append(painted(Path(out), predictor.palette,
                               PAINTED_SCORE if score_thr is None else score_thr,
                               skipped.__setitem__))
    if jsonl_path is not None:
        writers.append(json_lines(Path(jsonl_path)))
    if json_path is not None:
        writers.append(coco_results(Path(json_path), category_ids, image_ids))
    start = time.monotonic()
    num_images = _write_all(predictions, writers, sources)
    return PredictionReport(num_images, time.monotonic() - start, skipped, num_found - len(sources),
                            '' if json_path is None else origin)


def _write_all(predictions: Iterable[Prediction], writers: Iterable[AbstractContextManager[Write]],
               sources: Sequence[Source]) -> int:
    """Write each prediction as it comes, show the progress, and return how many there were."""
    number = 0
    with contextlib.ExitStack() as stack:
        writes = [stack.enter_context(writer) for writer in writers]
        progress = stack.enter_context(Progress(
            TextColumn('Detecting'), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()))
        task = progress.add_task('', total=count_images(sources))
        with _ended_by_ctrl_c(sources):
            for prediction in predictions:
                for write in writes:
                    write(prediction)
                number += 1
                progress.advance(task)
    return number


class _Rate(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text('' if speed is None else f'{speed:.1f} images/s', style='progress.data.speed')


@contextlib.contextmanager
def _ended_by_ctrl_c(sources: Sequence[Source]) -> Iterator[None]:
    """Let Ctrl-C end a camera, which nothing else does, as if it had come to its end."""
    try:
        yield
    except KeyboardInterrupt:
        if not any(source.kind == 'camera' for source in sources):
            raise


def _check_outputs(sources: Sequence[Source], read: Sequence[Any], out: str | os.PathLike[str] | None,
                   files: Sequence[Path]) -> None:
    """Refuse to write over what is read, and to write two results into one file."""
    inputs = {os.path.realpath(path) for path in read if path is not None}
    inputs |= {os.path.realpath(source.path) for source in sources if source.kind in ('image', 'video')}
    written: dict[str, str] = {}
    outputs = [(path, str(path)) for path in files]
    if out is not None:
        if Path(out).exists() and not Path(out).is_dir():
            raise UsageError(f'{os.fspath(out)} is a file: name a folder')
        outputs += [(Path(out) / painted_name(source), source.path) for source in sources]
    for path, origin in outputs:
        real = os.path.realpath(path)
        if real in inputs:
            raise UsageError(f'{path} would be written over, but it is read: name another file or '
                             'folder')
        if real in written:
            raise UsageError(f'{written[real]} and {origin} would both be written to {path}: give the '
                             'folder that holds both, or run the tool for each')
        written[real] = origin
