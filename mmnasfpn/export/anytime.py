"""The exported exits of an anytime detector, as one detector."""
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from mmnasfpn.errors import UsageError
from mmnasfpn.export.onnx_detector import OnnxDetector
from mmnasfpn.models.detectors.calibration import cpu_name
from mmnasfpn.models.detectors.deadlines import KeepsDeadlines


def exit_file(path: str | os.PathLike[str], exit_stack: int) -> Path:
    """Return the file of an exit: ``model-exit2.onnx`` beside ``model.onnx``."""
    path = Path(path)
    return path.with_stem(f'{path.stem}-exit{exit_stack}')


def find_exits(path: str | os.PathLike[str]) -> dict[int, Path]:
    """Return the files that there are of :func:`exit_file`, by exit, in rising order."""
    path = Path(path)
    name = re.compile(rf'{re.escape(path.stem)}-exit(\d+){re.escape(path.suffix)}')
    found = {int(match[1]): file for file in path.parent.glob('*')
             if (match := name.fullmatch(file.name))}
    return dict(sorted(found.items()))


class AnytimeOnnxDetector(KeepsDeadlines, BaseModel):
    """A model for each exit, of which one runs: ``test_cfg.exit_stack``, or what a deadline leaves.

    Args:
        path (str | PathLike): What ``tools/export_onnx.py --exits`` was given as its output.
        backend (str): As :class:`OnnxDetector` takes it. Defaults to ``'onnx'``.

    Raises:
        FileNotFoundError: If there are no exits of that name.
        ImportError, ValueError: As :class:`OnnxDetector`; or if they are not exits of one export.
    """

    def __init__(self, path: str | os.PathLike[str], backend: str = 'onnx') -> None:
        super().__init__(BaseDataPreprocessor())
        files = find_exits(path)
        if not files:
            raise FileNotFoundError(f'there is no {exit_file(path, 1)}, as tools/export_onnx.py --exits '
                                    'writes it')
        detectors = {k: OnnxDetector(file, backend) for k, file in files.items()}
        self.detectors = torch.nn.ModuleDict({str(k): detector for k, detector in detectors.items()})
        self.exits = tuple(detectors)
        self.test_cfg = ConfigDict()
        last = detectors[self.exits[-1]]
        self.about, self.frame, self.runtime = last.about, last.frame, last.runtime
        for k, detector in detectors.items():
            if detector.about != {**self.about, 'exit_stack': k}:
                raise ValueError(f'{files[k]} and {last.path} are not of one export: export all exits '
                                 'anew, by tools/export_onnx.py --exits')

    def machine(self) -> dict[str, Any]:
        """Return what the speed depends on: the processor, threads, and the runtime with its version."""
        return dict(device=self.runtime.device, name=cpu_name(), threads=torch.get_num_threads(),
                    runtime=self.runtime.name)

    def identity(self) -> dict[str, Any]:
        """Return its exits, the config that it was exported with, and its precision."""
        return dict(exits=list(self.exits), config=self.about.get('config'),
                    precision=self.about.get('precision'))

    def input_shape(self, images: Sequence[Tensor]) -> tuple[int, int, int]:
        """Return images, rows and columns of what the models see for images of one size.

        Raises:
            UsageError: If they are more than the models take at a time.
        """
        batch = self.frame.batch or 1
        if len(images) > batch:
            raise UsageError(f'the batch has {len(images)} images, but the models take {batch} at a '
                             'time: give fewer, or export with that --batch-size')
        rows, columns = self.frame.size or images[0].shape[-2:]
        return batch, rows, columns

    def forward(self, inputs: Sequence[Tensor], data_samples: Sequence[DetDataSample],
                mode: str = 'predict') -> list[DetDataSample]:
        """Detect at the exit in force, as :class:`OnnxDetector` does."""
        return self.detectors[str(self.exit_stack)](inputs, data_samples, mode)

    def predict_within(self, inputs: Mapping[str, Any],
                       deadline_ms: float) -> tuple[int, list[DetDataSample]]:
        """Detect at the deepest exit that takes no longer than the deadline, by the calibration.

        Where none is fast enough, the first exit is taken, with a warning the first time.

        Args:
            inputs (Mapping): A batch of a data loader, of as many images as the models take.
            deadline_ms (float): Milliseconds from now.

        Returns:
            tuple[int, list[DetDataSample]]: The exit, and the data samples with their detections.

        Raises:
            RuntimeError, ValueError: As :meth:`exit_within`.
        """
        data = self.data_preprocessor(inputs, False)
        exit_stack = self.exit_within(deadline_ms, self.input_shape(data['inputs']))
        return exit_stack, self.detectors[str(exit_stack)](data['inputs'], data['data_samples'])
