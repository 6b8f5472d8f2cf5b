"""Write what was detected: painted images and videos, and JSON lines."""
import contextlib
import dataclasses
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer

from mmnasfpn._files import atomic_write
from mmnasfpn.prediction.inputs import Source
from mmnasfpn.prediction.predictor import Prediction
from mmnasfpn.prediction.reading import LEAST_PART, Skip, count_frames

#: Takes a prediction and writes it.
Write = Callable[[Prediction], None]

#: The kinds of files that are painted as they are; others become JPEGs and MP4s.
_IMAGES = ('.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
_VIDEOS = ('.mp4', '.m4v', '.mov', '.avi', '.mkv')
#: MPEG-4, which OpenCV writes everywhere and into all of them.
_CODEC = 'mp4v'
#: Frames a second of a camera or video that does not say them, or more than MPEG-4 can have.
_FPS, _MAX_FPS = 25.0, 1000


def painted_name(source: Source) -> str:
    """Return the name of the file that a source is painted into: its own, if that can be written."""
    kinds, other = (_IMAGES, '.jpg') if source.kind in ('image', 'array') else (_VIDEOS, '.mp4')
    return source.name if source.name.lower().endswith(kinds) else source.name + other


def paint(prediction: Prediction, palette: list[tuple[int, int, int]] | None = None) -> np.ndarray:
    """Return the image with its detections, (H, W, 3), blue, green, red.

    Args:
        prediction (Prediction): What was detected.
        palette (list | None): Red, green and blue of each class. Defaults to None, colours of chance
            that are the same each time.
    """
    line_width = max(3, max(prediction.width, prediction.height) / 400)  # pixels
    visualizer = DetLocalVisualizer(line_width=line_width)
    visualizer.dataset_meta = dict(classes=prediction.classes, palette=palette)
    sample = DetDataSample(pred_instances=prediction.instances)
    # A $ in the name of a class is no formula, and boxes may end at the edge of the image.
    with matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*out of bounds', UserWarning)
        visualizer.add_datasample('', _to_rgb(prediction.image), sample, draw_gt=False,
                                  pred_score_thr=-1)
    return visualizer.get_image()[..., ::-1]


def _to_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image, as pipelines read it, in RGB of 8 bits, (H, W, 3)."""
    if image.dtype == np.uint16:
        image = image >> 8
    image = image.clip(0, 255).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(image[..., 2::-1])  # without an alpha channel


@contextlib.contextmanager
def painted(out: Path, palette: list[tuple[int, int, int]] | None, score_thr: float,
            skip: Skip) -> Iterator[Write]:
    """Paint images and videos into a folder, each file whole or not at all.

    Args:
        out (Path): The folder.
        palette (list | None): As :func:`paint` takes it.
        score_thr (float): Detections of a lower score are not painted.
        skip (Callable): Called with the path of an image that cannot be painted, and why.
    """
    with contextlib.ExitStack() as video:
        current: tuple[Source, Callable[[np.ndarray], None]] | None = None

        def write(prediction: Prediction) -> None:
            nonlocal current
            if current is not None and prediction.source is not current[0]:
                video.close()  # of another source
                current = None
            instances = prediction.instances[prediction.instances.scores >= score_thr]
            shown = dataclasses.replace(prediction, instances=instances)
            path = out / painted_name(prediction.source)
            if prediction.frame is None:
                if (data := _painted_file(shown, palette, path.suffix)) is None:
                    skip(prediction.path, f'is of {prediction.width}x{prediction.height} pixels, too '
                                          f'large to be painted as {path.suffix}')
                else:
                    atomic_write(path, data)
                return
            if current is None:
                current = prediction.source, video.enter_context(_video(path, prediction))
            current[1](paint(shown, palette))

        yield write


def _painted_file(prediction: Prediction, palette: list[tuple[int, int, int]] | None,
                  suffix: str) -> bytes | None:
    """Return what is in the file; None where the image is too large for the format or the memory."""
    try:
        done, data = cv2.imencode(suffix, paint(prediction, palette))
    except (cv2.error, MemoryError):
        return None
    return data.tobytes() if done else None


@contextlib.contextmanager
def _video(path: Path, prediction: Prediction) -> Iterator[Callable[[np.ndarray], None]]:
    """Give what writes frames of a video that takes its place when it is whole, or has been stopped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.stem}.unfinished{path.suffix}')  # the ending says the format
    fps = prediction.fps if 0 < prediction.fps <= _MAX_FPS else _FPS
    writer = cv2.VideoWriter(str(unfinished), cv2.VideoWriter.fourcc(*_CODEC), fps,
                             (prediction.width, prediction.height))
    if not writer.isOpened():
        raise OSError(f'{path} cannot be written as a video by this OpenCV: paint nothing (--no-paint)')
    number = 0

    def write(image: np.ndarray) -> None:
        nonlocal number
        writer.write(image)
        number += 1

    try:
        yield write
        writer.release()
        if count_frames(unfinished) < LEAST_PART * number:  # OpenCV reports no error
            raise OSError(f'{path} cannot be written whole: is the disk full?')
        os.replace(unfinished, path)
    finally:
        writer.release()
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def json_lines(path: Path) -> Iterator[Write]:
    """Write one line of JSON for each image, at once, so that a kill leaves those that are done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'wb', buffering=0) as file:
        def write(prediction: Prediction) -> None:
            rest = json.dumps(to_dict(prediction)).encode() + b'\n'
            try:
                while rest:  # on a disk that gets full, only a part is written, without an error
                    rest = rest[file.write(rest):]
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error

        yield write


def to_dict(prediction: Prediction) -> dict[str, Any]:
    """Return what a line of JSON says of an image."""
    found = zip(prediction.names, prediction.scores.tolist(), prediction.boxes.tolist(), strict=True)
    detections = [{'class': name, 'score': score, 'xyxy': box} for name, score, box in found]
    for detection, mask in zip(detections, prediction.masks or (), strict=False):
        detection['mask'] = mask
    data = dict(file=prediction.path, frame=prediction.frame, width=prediction.width,
                height=prediction.height, detections=detections)
    if prediction.exit_stack is not None:
        data['exit'] = prediction.exit_stack
    return data
