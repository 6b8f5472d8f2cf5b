"""Export checkpoints: what ``tools/export_onnx.py`` does."""
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from mmnasfpn._checks import check_whole_number
from mmnasfpn.analysis.complexity import test_image_size
from mmnasfpn.checkpoints.fit import load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.errors import UsageError
from mmnasfpn.export.anytime import exit_file
from mmnasfpn.export.detector import MAX_CANDIDATES, ExportableDetector
from mmnasfpn.export.onnx_detector import METADATA, Frame
from mmnasfpn.export.parts import detector_to_onnx
from mmnasfpn.export.precision import PRECISIONS, to_fp16, to_int8
from mmnasfpn.export.tensorrt import check_for_tensorrt
from mmnasfpn.export.to_onnx import Progress, check_installed, no_progress, write_onnx
from mmnasfpn.models.detectors import AnytimeDetector
from mmnasfpn.models.padding import fix_padding
from mmnasfpn.version import __version__

#: What an exported model can be for: any runtime, or TensorRT.
TARGETS = ('any', 'tensorrt')

#: Of the images with which a model of open sizes is made. PyTorch would take a size that is 1 for
#: constant, also that of the map of any level.
EXAMPLE_SIZE = (768, 1024)


@dataclass(frozen=True)
class Form:
    """What an exported model takes, computes in, and gives.

    Args:
        image_size (tuple[int, int] | None): Rows and columns of the images that it takes. Defaults to
            None, the size of the config's test pipeline.
        batch_size (int): How many at a time. Defaults to 1.
        is_dynamic (bool): Size and number of the images are left open. Defaults to False.
        is_raw (bool): It gives what the head returns, instead of detections. Defaults to False.
        max_candidates (int): As :class:`ExportableDetector` takes it.
        precision (str): ``'fp32'``, ``'fp16'`` (:func:`to_fp16`) or ``'int8'`` (:func:`to_int8`).
            Defaults to ``'fp32'``.
        target (str): ``'any'`` runtime, or ``'tensorrt'``: of one size, without NMS, and with integers
            as TensorRT has them. Defaults to ``'any'``.

    Raises:
        ValueError: If a number is not a whole number of at least 1, a name is unknown, or they exclude
            each other.
    """

    image_size: tuple[int, int] | None = None
    batch_size: int = 1
    is_dynamic: bool = False
    is_raw: bool = False
    max_candidates: int = MAX_CANDIDATES
    precision: str = 'fp32'
    target: str = 'any'

    def __post_init__(self) -> None:
        for name, value in (*(('image_size', pixels) for pixels in self.image_size or ()),
                            ('batch_size', self.batch_size), ('max_candidates', self.max_candidates)):
            check_whole_number(name, value, 1)
        for name, text, known in (('precision', self.precision, PRECISIONS),
                                  ('target', self.target, TARGETS)):
            if text not in known:
                raise ValueError(f'{name} is {text!r}, but must be one of {", ".join(known)}')
        if self.target == 'tensorrt':
            if self.is_dynamic:
                raise UsageError('--dynamic leaves sizes open, but --target tensorrt needs one size: '
                                 'leave one out, and give --image-size')
            if self.max_candidates > MAX_CANDIDATES:
                raise UsageError(f'--max-candidates is {self.max_candidates}, but TensorRT sorts at '
                                 f'most {MAX_CANDIDATES}: lower it')

    @property
    def outputs(self) -> str:
        """What it gives, as :class:`ExportableDetector` names it."""
        return 'raw' if self.is_raw else 'candidates' if self.target == 'tensorrt' else 'detections'


def export_checkpoint(cfg: Config, checkpoint: str | os.PathLike[str], out: str | os.PathLike[str],
                      form: Form | None = None, examples: Sequence[Tensor] = (),
                      all_exits: bool = False, trust_checkpoint: bool = False,
                      progress: Progress = no_progress) -> list[Path]:
    """Write a detector as an ONNX model.

    Args:
        cfg (Config): Its config.
        checkpoint (str | PathLike): Its weights.
        out (str | PathLike): The ``.onnx`` file to write.
        form (Form | None): Defaults to None, that of a :class:`Form` without arguments.
        examples (Sequence[Tensor]): For int8: images to calibrate with, (3, H, W) each, pixels of
            0..255, as :func:`mmnasfpn.prediction.examples.example_images` reads them.
        all_exits (bool): Write a model for each exit of an anytime detector, beside each other:
            ``<out>-exit<k>.onnx``. Defaults to False: the exit in force.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.
        progress (Callable): Called with what is done next. Defaults to nothing.

    Returns:
        list[Path]: The files written: all of them, or none.

    Raises:
        ImportError: If what export needs is not installed.
        ValueError, CheckpointError: If the detector cannot be exported, or the checkpoint does not fit.
    """
    check_installed()
    form = form or Form()
    size = EXAMPLE_SIZE if form.is_dynamic else form.image_size or test_image_size(cfg)
    if size is None:
        raise UsageError(f'the test pipeline of {cfg.filename} does not say to which size it resizes: '
                         'give --image-size ROWS COLUMNS')
    _check_examples(form.precision, examples)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    detector: Any = MODELS.build(cfg.model)
    if all_exits and not isinstance(detector, AnytimeDetector):
        raise UsageError(f'the model is a {type(detector).__name__}, but only a '
                         'mmnasfpn.AnytimeDetector has exits: leave out --exits')
    loaded = load_checkpoint(checkpoint, trust=trust_checkpoint)
    load_weights(detector, state_dict_of(loaded))
    if form.is_dynamic:
        fix_padding(detector)
    out = Path(out)
    files = {exit_file(out, k): k for k in detector.exits} if all_exits else {out: None}
    example = torch.zeros(2 if form.is_dynamic else form.batch_size, 3, *size)
    models = {}
    for file, exit_stack in files.items():
        if exit_stack is not None:
            detector.test_cfg.exit_stack = exit_stack
        module = ExportableDetector(detector, form.outputs, form.max_candidates)
        about = dict(
            version=__version__, config=cfg.filename and Path(cfg.filename).name, target=form.target,
            outputs=form.outputs, exit_stack=getattr(detector, 'exit_stack', None),
            classes=(loaded.get('meta', {}).get('dataset_meta') or {}).get('classes'),
            background=_background(detector.data_preprocessor),
            least=_least_size(module.head, detector.data_preprocessor),
            nms=dict(module.nms), max_per_img=module.max_per_img)
        model = detector_to_onnx(module, example, form.is_dynamic, progress)
        models[file] = _finish(model, about, form.precision, examples, progress)
    for file, (model, about) in models.items():
        write_onnx(model, file, {METADATA: json.dumps(about)})
    return list(models)


def convert_model(path: str | os.PathLike[str], out: str | os.PathLike[str], precision: str,
                  examples: Sequence[Tensor] = (), progress: Progress = no_progress) -> None:
    """Write an exported model in another precision.

    Args:
        path (str | PathLike): A model of :func:`export_checkpoint`, in float32.
        out (str | PathLike): The ``.onnx`` file to write.
        precision (str): ``'fp16'`` or ``'int8'``.
        examples (Sequence[Tensor]): For int8, as there.
        progress (Callable): Called with what is done next. Defaults to nothing.

    Raises:
        ImportError: If what export needs is not installed.
        FileNotFoundError: If there is no such model.
        ValueError: If it is another, in another precision already, or its opset is too old.
    """
    check_installed()
    _check_examples(Form(precision=precision).precision, examples)
    model, about = _read(path)
    if precision == 'fp32':
        raise UsageError(f'{os.fspath(path)} is exported already: give --precision int8 or fp16, or a '
                         'checkpoint')
    model, about = _finish(model, about, precision, examples, progress)
    write_onnx(model, out, {METADATA: json.dumps(about)})


def _read(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """Return an exported model, and what it says of itself."""
    import onnx

    if not os.path.isfile(path):
        raise FileNotFoundError(f'{os.fspath(path)} does not exist')
    try:
        model = onnx.load(os.fspath(path))
        metadata = {prop.key: prop.value for prop in model.metadata_props}
        return model, json.loads(metadata[METADATA])
    except Exception:  # protobuf's, of what is no model at all, or KeyError
        raise UsageError(f'{os.fspath(path)} is no model of tools/export_onnx.py: give a checkpoint'
                         ) from None


def _check_examples(precision: str, examples: Sequence[Tensor]) -> None:
    if precision == 'int8' and len(examples) == 0:
        raise UsageError('int8 needs images to calibrate with: give --calibration')


def _finish(model: Any, about: Mapping[str, Any], precision: str, examples: Sequence[Tensor],
            progress: Progress) -> tuple[Any, dict[str, Any]]:
    """Return a model in a precision, checked for its target, and what it says of itself."""
    if precision == 'int8':
        progress('Quantising')
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        frame = Frame.of(shape, about, 'the model')
        model = to_int8(model, _Batches(frame, examples), about.get('target') == 'tensorrt')
    elif precision == 'fp16':
        progress('Halving')
        model = to_fp16(model)
    if about.get('target') == 'tensorrt':
        progress('Checking')
        check_for_tensorrt(model)
    return model, {**about, 'precision': precision}


@dataclass(frozen=True)
class _Batches:
    """Images in the batches of a frame, as often as they are iterated."""

    frame: Frame
    images: Sequence[Tensor]

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.frame.batches(self.images)


def _least_size(head: Any, preprocessor: Any) -> int:
    """Return the fewest rows and columns that give the coarsest level, when padded, a whole pixel."""
    strides = getattr(getattr(head, 'prior_generator', None), 'strides', [])
    divisor = getattr(preprocessor, 'pad_size_divisor', 1)
    return max([1, *(max(stride) - divisor + 1 for stride in strides)])


def _background(preprocessor: Any) -> list[float]:
    """Return the pixel, in the order of the input's channels, that becomes what is padded with."""
    if not isinstance(preprocessor, ImgDataPreprocessor):
        return [0.0] * 3
    pixel = torch.full((3,), float(preprocessor.pad_value))
    if preprocessor._enable_normalize:
        pixel = pixel * preprocessor.std.flatten().cpu() + preprocessor.mean.flatten().cpu()
    return (pixel.flip(0) if preprocessor._channel_conversion else pixel).tolist()
