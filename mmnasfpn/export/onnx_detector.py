"""An exported detector in place of the one that it was exported from."""
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import batched_nms
from mmdet.models.utils.misc import samplelist_boxtype2tensor
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from mmnasfpn.export.runtimes import open_model
from mmnasfpn.registry import MODELS

#: Under which the exporter says what a model is.
METADATA = 'mmnasfpn'


@MODELS.register_module()
class OnnxDetector(BaseModel):
    """An exported model, for ``mim test`` and whatever else tests a detector of MMDetection's.

    Args:
        path (str | PathLike): What ``tools/export_onnx.py`` wrote.
        backend (str): What runs it: ``'onnx'``, ONNX Runtime, or ``'openvino'``. Defaults to ``'onnx'``.

    Raises:
        ImportError: If the runtime is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else than a detector that ``tools/export_onnx.py`` exported.
    """

    def __init__(self, path: str | os.PathLike[str], backend: str = 'onnx') -> None:
        super().__init__(BaseDataPreprocessor())  # leaves images as they were read
        self.path = os.fspath(path)
        self.runtime = open_model(path, backend)
        self.about: dict[str, Any] = json.loads(self.runtime.metadata.get(METADATA, '{}'))
        if self.about.get('outputs') not in ('detections', 'candidates'):
            raise ValueError(f'{path} gives no detections of tools/export_onnx.py: export it without '
                             '--raw')
        self.frame = Frame.of(self.runtime.shape, self.about, self.path, backend)

    def forward(self, inputs: Sequence[Tensor], data_samples: Sequence[DetDataSample],
                mode: str = 'predict') -> list[DetDataSample]:
        """Detect.

        Args:
            inputs (Sequence[Tensor]): Images as the test pipeline gives them, (3, H_i, W_i), 0..255.
            data_samples (Sequence[DetDataSample]): What is known of them.
            mode (str): ``'predict'`` only.

        Returns:
            list[DetDataSample]: The data samples, with ``pred_instances`` as MMDetection's detectors
            give them, in pixels of the original images.

        Raises:
            ValueError: If an image is larger than the model takes.
        """
        if mode != 'predict':
            raise ValueError(f'mode is {mode!r}, but an exported model can only predict')
        samples = iter(data_samples)
        for images in self.frame.batches(inputs):
            found = self.runtime.run(images)
            # The samples last: of a batch that is filled up, they end first.
            for *found_in_image, sample in zip(*found, samples, strict=False):
                instances = _to_instances(*found_in_image)
                if self.about['outputs'] == 'candidates':
                    instances = self._suppress(instances)
                instances.bboxes = _on_original(instances.bboxes, sample)
                sample.pred_instances = instances
        samplelist_boxtype2tensor(data_samples)  # as MMDetection's preprocessors do
        return list(data_samples)

    def _suppress(self, candidates: InstanceData) -> InstanceData:
        """Return what the config's NMS keeps, the best first."""
        _, keep = batched_nms(candidates.bboxes, candidates.scores, candidates.labels,
                              dict(self.about['nms']))
        return candidates[keep[:self.about['max_per_img']]]


@dataclass(frozen=True)
class Frame:
    """What images an exported model takes.

    Args:
        batch (int | None): How many at a time. None: any number, of one size.
        size (tuple[int, int] | None): Rows and columns. None: any.
        background (tuple[float, ...]): The pixel with which a smaller image is filled up.
        path (str): The model.
        least (int): The fewest rows and columns, where the size is open. Defaults to 1.
    """

    batch: int | None
    size: tuple[int, int] | None
    background: tuple[float, ...]
    path: str
    least: int = 1

    @classmethod
    def of(cls, shape: Sequence[Any], about: Mapping[str, Any], path: str,
           backend: str = 'onnx') -> 'Frame':
        """Return that of a model by the shape of its input, with a name, 0 or -1 for an open size."""
        batch, _, rows, columns = (size if isinstance(size, int) and size > 0 else None
                                   for size in shape)
        # OpenVINO cannot pool a map smaller than the window, and with one thread it does not say so.
        least = about.get('least', 1) if backend == 'openvino' else 1
        return cls(batch, None if rows is None or columns is None else (rows, columns),
                   tuple(about['background']), path, least)

    def stack(self, images: Sequence[Tensor]) -> np.ndarray:
        """Return a batch of as many images as the model takes, of the size that it takes.

        Args:
            images (Sequence[Tensor]): Images, (3, H_i, W_i) each, pixels of 0..255, at least one and no
                more than the model takes. The first stands in for those that are missing.

        Returns:
            ndarray: (N, 3, H, W) of float32.

        Raises:
            ValueError: If an image is larger than the model takes.
        """
        filled = [self._fill_up(image) for image in images]
        return np.stack(filled + filled[:1] * ((self.batch or 1) - len(filled)))

    def batches(self, images: Sequence[Tensor]) -> Iterator[np.ndarray]:
        """Yield all images, batch by batch, one by one where the model takes any number."""
        for start in range(0, len(images), self.batch or 1):
            yield self.stack(images[start:start + (self.batch or 1)])

    def _fill_up(self, image: Tensor) -> np.ndarray:
        """Put an image into the top left of one of the size that the model takes."""
        pixels = image.detach().cpu().float()
        if self.size is None:
            if min(pixels.shape[-2:]) < self.least:
                raise ValueError(
                    f'an image is {pixels.shape[-2]}x{pixels.shape[-1]}, but OpenVINO runs {self.path} '
                    f'on no fewer than {self.least} rows and columns: use ONNX Runtime, or export it '
                    'for that size, without --dynamic')
            return pixels.numpy()
        below, beside = (size - own for size, own in zip(self.size, pixels.shape[-2:], strict=True))
        if min(below, beside) < 0:
            raise ValueError(
                f'an image is {pixels.shape[-2]}x{pixels.shape[-1]}, but {self.path} takes at most '
                f'{self.size[0]}x{self.size[1]}: export it with --dynamic, or with that --image-size')
        background = torch.tensor(self.background)[:, None, None]
        return (F.pad(pixels - background, (0, beside, 0, below)) + background).numpy()


def _to_instances(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> InstanceData:
    found = labels >= 0
    return InstanceData(bboxes=torch.from_numpy(boxes[found]), scores=torch.from_numpy(scores[found]),
                        labels=torch.from_numpy(labels[found]))


def _on_original(boxes: Tensor, sample: DetDataSample) -> Tensor:
    """Return boxes clipped to their image and in pixels of the original one."""
    rows, columns = sample.img_shape[:2]
    return boxes.minimum(boxes.new_tensor([columns, rows, columns, rows])) / boxes.new_tensor(
        [*sample.scale_factor, *sample.scale_factor])
