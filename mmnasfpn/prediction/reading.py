"""Read images and frames one after the other, through the test pipeline of a config."""
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS

from mmnasfpn.engine.preflight.data_config import leaves, type_name
from mmnasfpn.errors import ConfigError
from mmnasfpn.prediction.inputs import Source

#: Called with the path of what cannot be used, and why.
Skip = Callable[[str, str], None]

T = TypeVar('T')

#: A video that has fewer of the frames that its header says has been cut short.
LEAST_PART = 0.95


class UnreadableError(ValueError):
    """An image or video that cannot be read: says why."""


@dataclass(frozen=True, eq=False)
class Item:
    """An image, read and ready for the detector.

    Args:
        source (Source): Where it is from.
        frame (int | None): Its number in a video or of a camera, from 0; None for an image.
        fps (float): Frames a second of the video.
        image (ndarray): As it was read, (H, W, 3), blue, green, red.
        sample (dict): What the test pipeline makes of it.
    """

    source: Source
    frame: int | None
    fps: float
    image: np.ndarray
    sample: dict[str, Any]


class InputPipeline:
    """The test pipeline of a config, for files and for images in memory, without annotations.

    Files are read by the config's own ``LoadImageFromFile``, with its colours and orientation.

    Raises:
        ConfigError: If the config has no test pipeline, or it does not begin by reading a file.
    """

    def __init__(self, cfg: Config) -> None:
        loader = cfg.get('test_dataloader') or {}
        dataset: Any = next(leaves(loader['dataset']), {}) if 'dataset' in loader else {}
        load, *rest = [transform for transform in dataset.get('pipeline') or ()
                       if not type_name(transform).endswith('Annotations')] or [{}]
        if type_name(load) != 'LoadImageFromFile':
            raise ConfigError('test_dataloader.dataset.pipeline does not begin with LoadImageFromFile, '
                              'which reads the images: give the config such a test pipeline')
        self._load = TRANSFORMS.build(load)
        self._take = TRANSFORMS.build(dict(type='mmdet.LoadImageFromNDArray',
                                           to_float32=self._load.to_float32))
        self._rest = Compose(rest)

    def read(self, source: Source, number: int) -> Item:
        """Read an image file.

        Raises:
            UnreadableError: If that cannot be.
        """
        try:
            results = self._load(dict(img_path=source.path, img_id=number))
        except Exception as error:  # of the decoders' own many kinds
            raise UnreadableError(_why_unreadable(source.path, error)) from error
        return self._prepare(source, None, 0, results)

    def take(self, source: Source, image: np.ndarray, number: int, frame: int | None = None,
             fps: float = 0) -> Item:
        """Take an image in memory.

        Raises:
            UnreadableError: If the pipeline cannot bring it to its size.
        """
        if self._load.color_type.startswith('grayscale'):
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return self._prepare(source, frame, fps, self._take(dict(img=image, img_id=number)))

    def _prepare(self, source: Source, frame: int | None, fps: float, results: dict[str, Any]) -> Item:
        image = results['img']
        try:
            return Item(source, frame, fps, image, self._rest(results))
        except cv2.error as error:
            raise UnreadableError(f'is of {image.shape[1]}x{image.shape[0]} pixels, which cannot be '
                                  f'resized ({error.err})') from error


def read_items(sources: Iterable[Source], pipeline: InputPipeline, skip: Skip) -> Iterator[Item]:
    """Yield all images and frames, in their order; what cannot be read is skipped.

    Args:
        sources (Iterable[Source]): What to read.
        pipeline (InputPipeline): How to read it.
        skip (Callable): Called with the path of what is skipped, and why.
    """
    for number, source in enumerate(sources):
        try:
            if source.kind == 'image':
                yield pipeline.read(source, number)
            elif source.array is not None:
                yield pipeline.take(source, source.array, number)
            else:
                yield from _read_video(source, pipeline, number)
        except UnreadableError as error:
            skip(source.path, str(error))


def _read_video(source: Source, pipeline: InputPipeline, number: int) -> Iterator[Item]:
    is_camera = source.kind == 'camera'
    capture = cv2.VideoCapture(int(source.path) if is_camera else source.path)
    try:
        if not capture.isOpened():
            raise UnreadableError('there is no such camera, or another program uses it' if is_camera
                                  else 'cannot be opened as a video' + _if_empty(source.path))
        fps = capture.get(cv2.CAP_PROP_FPS)
        frame = 0
        while (image := capture.read()[1]) is not None:
            yield pipeline.take(source, image, number, frame, fps)
            frame += 1
        expected = 0 if is_camera else capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if not frame:
            raise UnreadableError('has no frames')
        if frame < LEAST_PART * expected - 1:
            raise UnreadableError(f'ends after {frame} of {expected:.0f} frames, which are done: it is '
                                  'damaged or cut short')
    finally:
        capture.release()


def count_images(sources: Iterable[Source]) -> int | None:
    """Return how many images and frames there are, by the headers of the videos; None with a camera."""
    total = 0
    for source in sources:
        if source.kind == 'camera':
            return None
        if source.kind == 'video':
            total += count_frames(source.path)
        else:
            total += 1
    return total


def count_frames(path: str | os.PathLike[str]) -> int:
    """Return how many frames a video has, by its header; 0 where it cannot be opened."""
    return max(0, int(cv2.VideoCapture(os.fspath(path)).get(cv2.CAP_PROP_FRAME_COUNT)))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of so many items, the last as many as are left."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, while the next one is made in a thread."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item


def _why_unreadable(path: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        return f'cannot be read: {error.strerror}'
    if empty := _if_empty(path):
        return f'cannot be read{empty}'
    if 'CV_IO_MAX_IMAGE' in text:
        return ('has more pixels than OpenCV reads: make it smaller, or raise '
                'OPENCV_IO_MAX_IMAGE_PIXELS (2**30), _WIDTH and _HEIGHT (2**20) in the environment')
    if isinstance(error, MemoryError) or 'Insufficient memory' in text:
        return 'needs more memory than there is'
    if isinstance(error, AssertionError):  # of MMCV, where the decoder returns nothing
        return 'cannot be decoded: it is damaged, cut short or no image'
    return f'cannot be read: {type(error).__name__}: {text}'


def _if_empty(path: str) -> str:
    return ': it is an empty file' if os.path.isfile(path) and not os.path.getsize(path) else ''
