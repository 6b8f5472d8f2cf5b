"""Paint detections onto the images as the detector saw them, without overwriting one by another."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from mmengine.runner import Runner

from mmnasfpn.datasets.image_rules import Reader
from mmnasfpn.engine.preflight.data_config import leaves
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class PaintHook(DetVisualizationHook):
    """MMDetection's hook, but images are read as in the test and painted below ``test_out_dir``.

    Each is decoded as the pipeline of its data set decodes it, so that boxes fit where that does not
    turn images by their EXIF orientation. Where all images of the test set lie in one folder, they are
    painted straight into ``test_out_dir``, as MMDetection does with all. Otherwise the folders below the
    lowest that holds them all are kept. A name that does not end as OpenCV writes images, such as one
    that ends in ``.jfif``, gets ``.jpg`` appended.

    Takes the arguments of MMDetection's ``DetVisualizationHook``.
    """

    test_out_dir: str | None
    _root: str | None = None
    _reader = Reader()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._readers: dict[str, Reader] = {}  # of images that are read differently from most

    def before_test_epoch(self, runner: Runner) -> None:
        """Find the folder that holds all images, and how they are read."""
        if not self.draw:
            return
        dataset = runner.test_dataloader.dataset
        folders = {os.path.dirname(os.path.abspath(path)) for path in _image_paths(dataset)}
        self._root = os.path.commonpath(folders) if folders else None
        parts = [(part, _reader_of(part)) for part in leaves(dataset)]
        self._reader = parts[0][1]
        self._readers = {path: reader for part, reader in parts if reader != self._reader
                         for path in _image_paths(part)}

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                        outputs: Sequence[DetDataSample] | None = None) -> None:
        """Paint a batch."""
        if not self.draw:
            return
        for sample in outputs or ():
            self._test_index += 1
            name = os.path.basename(sample.img_path)
            self._visualizer.add_datasample(
                name if self.show else 'test_img', self._read(sample.img_path), data_sample=sample,
                show=self.show, wait_time=self.wait_time, pred_score_thr=self.score_thr,
                out_file=self._out_file(runner, sample.img_path), step=self._test_index)

    def _read(self, path: str) -> np.ndarray:
        """Return an image as the test reads it, in RGB of 8 bits, (H, W, 3)."""
        reader = self._readers.get(path, self._reader)
        image = mmcv.imfrombytes(get(path, backend_args=self.backend_args), flag=reader.color_type,
                                 backend=reader.imdecode_backend)
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        if image.ndim == 2 or image.shape[2] == 1:
            return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        return np.ascontiguousarray(image[..., 2::-1])  # without an alpha channel

    def _out_file(self, runner: Runner, path: str) -> str | None:
        if self.test_out_dir is None:
            return None
        folder = Path(runner.work_dir) / runner.timestamp / self.test_out_dir
        if self._root is not None:
            folder /= os.path.relpath(os.path.dirname(os.path.abspath(path)), self._root)
        folder.mkdir(parents=True, exist_ok=True)
        name = os.path.basename(path)
        return str(folder / (name if cv2.haveImageWriter(name) else f'{name}.jpg'))


def _reader_of(dataset: Any) -> Reader:
    """Return how a data set reads image files; MMCV's defaults where that is not known."""
    for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if isinstance(transform, mmcv.LoadImageFromFile):
            return Reader(transform.color_type, transform.imdecode_backend)
    return Reader()


def _image_paths(dataset: Any) -> list[str]:
    """Return the paths of all images, or none if the data set does not name them."""
    try:
        return [os.fspath(dataset.get_data_info(index)['img_path']) for index in range(len(dataset))]
    except (AttributeError, KeyError, TypeError):  # of another kind than MMDetection's
        return []
