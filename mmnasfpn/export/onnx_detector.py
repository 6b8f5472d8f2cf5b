"""An exported detector in place of the one that it was exported from."""
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.utils.misc import samplelist_boxtype2tensor
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from mmnasfpn.export.to_onnx import check_installed
from mmnasfpn.registry import MODELS

#: Under which the exporter says what a model is.
METADATA = 'mmnasfpn'


@MODELS.register_module()
class OnnxDetector(BaseModel):
    """Detect by ONNX Runtime, for ``mim test`` and whatever else tests a detector of MMDetection's.

    Args:
        path (str | PathLike): What ``tools/export_onnx.py`` wrote.

    Raises:
        ImportError: If ONNX Runtime is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else than a detector that ``tools/export_onnx.py`` exported.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(BaseDataPreprocessor())  # leaves images as they were read
        self.path = os.fspath(path)
        self.session = open_session(path)
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.about: dict[str, Any] = json.loads(metadata.get(METADATA, '{}'))
        if self.about.get('outputs') != 'detections':
            raise ValueError(f'{path} gives no detections of tools/export_onnx.py: export it without '
                             '--raw')
        # A name stands for a size that is left open.
        self.batch, _, *self.size = self.session.get_inputs()[0].shape

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
        batch_size = self.batch if isinstance(self.batch, int) else 1
        for start in range(0, len(inputs), batch_size):
            samples = data_samples[start:start + batch_size]
            images = [self._fill_up(x) for x in inputs[start:start + batch_size]]
            images += images[:1] * (batch_size - len(images))
            found = self.session.run(None, {'images': np.stack(images)})
            for sample, boxes, scores, labels in zip(samples, *found, strict=False):
                sample.pred_instances = _to_instances(sample, boxes, scores, labels)
        samplelist_boxtype2tensor(data_samples)  # as MMDetection's preprocessors do
        return list(data_samples)

    def _fill_up(self, image: Tensor) -> np.ndarray:
        """Put an image into the top left of one of the size that the model takes."""
        pixels = image.detach().cpu().float()
        if not all(isinstance(size, int) for size in self.size):
            return pixels.numpy()
        below, beside = (size - own for size, own in zip(self.size, pixels.shape[-2:], strict=True))
        if min(below, beside) < 0:
            raise ValueError(
                f'an image is {pixels.shape[-2]}x{pixels.shape[-1]}, but {self.path} takes at most '
                f'{self.size[0]}x{self.size[1]}: export it with --dynamic, or with that --image-size')
        background = torch.tensor(self.about['background'])[:, None, None]
        return (F.pad(pixels - background, (0, beside, 0, below)) + background).numpy()


def open_session(path: str | os.PathLike[str]) -> Any:
    """Open a model with ONNX Runtime, on as many threads as PyTorch has.

    Raises:
        ImportError: If it is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ONNX model.
    """
    check_installed()
    import onnxruntime

    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} does not exist')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(path, options,
                                            providers=onnxruntime.get_available_providers())
    except Exception as error:  # of ONNX Runtime's own many kinds
        raise ValueError(f'{path} is no model that ONNX Runtime can run: {error}') from None


def _to_instances(sample: DetDataSample, boxes: np.ndarray, scores: np.ndarray,
                  labels: np.ndarray) -> InstanceData:
    found = labels >= 0
    rows, columns = sample.img_shape[:2]
    edge = np.array([columns, rows, columns, rows], np.float32)
    scale = np.array([*sample.scale_factor, *sample.scale_factor], np.float32)
    return InstanceData(bboxes=torch.from_numpy(np.minimum(boxes[found], edge) / scale),
                        scores=torch.from_numpy(scores[found]), labels=torch.from_numpy(labels[found]))
