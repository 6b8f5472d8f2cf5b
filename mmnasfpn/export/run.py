"""Export checkpoints: what ``tools/export_onnx.py`` does."""
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from mmnasfpn.export.detector import MAX_CANDIDATES, ExportableDetector
from mmnasfpn.export.onnx_detector import METADATA, Frame
from mmnasfpn.export.precision import PRECISIONS, to_fp16, to_int8
from mmnasfpn.export.to_onnx import (
    Progress,
    check_installed,
    no_progress,
    to_onnx,
    write_onnx,
)
from mmnasfpn.models.detectors import AnytimeDetector
from mmnasfpn.models.padding import fix_padding
from mmnasfpn.version import __version__

#: Of the images with which a model of open sizes is made. PyTorch would take a size that is 1 for
#: constant, also that of the map of any level.
EXAMPLE_SIZE = (768, 1024)


def export_checkpoint(cfg: Config, checkpoint: str | os.PathLike[str], out: str | os.PathLike[str],
                      image_size: tuple[int, int] | None = None, batch_size: int = 1,
                      is_dynamic: bool = False, all_exits: bool = False, is_raw: bool = False,
                      max_candidates: int = MAX_CANDIDATES, trust_checkpoint: bool = False,
                      precision: str = 'fp32', examples: Sequence[Tensor] = (),
                      progress: Progress = no_progress) -> list[Path]:
    """Write a detector as an ONNX model.

    Args:
        cfg (Config): Its config.
        checkpoint (str | PathLike): Its weights.
        out (str | PathLike): The ``.onnx`` file to write.
        image_size (tuple[int, int] | None): Rows and columns of the images that the model takes.
            Defaults to the size of the config's test pipeline.
        batch_size (int): How many at a time. Defaults to 1.
        is_dynamic (bool): Leave size and number of the images open. Defaults to False.
        all_exits (bool): Write a model for each exit of an anytime detector, beside each other:
            ``<out>-exit<k>.onnx``. Defaults to False: the exit in force.
        is_raw (bool): Export what the head returns, instead of detections. Defaults to False.
        max_candidates (int): As :class:`ExportableDetector` takes it.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.
        precision (str): ``'fp32'``, ``'fp16'`` (:func:`to_fp16`) or ``'int8'`` (:func:`to_int8`).
            Defaults to ``'fp32'``.
        examples (Sequence[Tensor]): For ``'int8'``: images to calibrate with, (3, H, W) each, pixels of
            0..255, as :func:`mmnasfpn.prediction.examples.example_images` reads them.
        progress (Callable): Called with what is done next. Defaults to nothing.

    Returns:
        list[Path]: The files written.

    Raises:
        ImportError: If what export needs is not installed.
        ValueError, CheckpointError: If the detector cannot be exported, or the checkpoint does not fit.
    """
    check_installed()
    size = EXAMPLE_SIZE if is_dynamic else image_size or test_image_size(cfg)
    if size is None:
        raise UsageError(f'the test pipeline of {cfg.filename} does not say to which size it resizes: '
                         'give --image-size ROWS COLUMNS')
    rows, columns = size
    for name, value in (('image_size', rows), ('image_size', columns), ('batch_size', batch_size)):
        check_whole_number(name, value, 1)
    if precision not in PRECISIONS:
        raise ValueError(f'precision is {precision!r}, but must be one of {", ".join(PRECISIONS)}')
    if precision == 'int8' and not examples:
        raise UsageError('int8 needs images to calibrate with: give --calibration')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    detector: Any = MODELS.build(cfg.model)
    if all_exits and not isinstance(detector, AnytimeDetector):
        raise UsageError(f'the model is a {type(detector).__name__}, but only a '
                         'mmnasfpn.AnytimeDetector has exits: leave out --exits')
    loaded = load_checkpoint(checkpoint, trust=trust_checkpoint)
    load_weights(detector, state_dict_of(loaded))
    if is_dynamic:
        fix_padding(detector)
    out = Path(out)
    if all_exits:
        files = {k: out.with_stem(f'{out.stem}-exit{k}') for k in detector.exits}
    else:
        files = {getattr(detector, 'exit_stack', None): out}
    example = torch.zeros(2 if is_dynamic else batch_size, 3, rows, columns)
    for exit_stack, file in files.items():
        if exit_stack is not None:
            detector.test_cfg.exit_stack = exit_stack
        module = ExportableDetector(detector, is_raw, max_candidates)
        about: dict[str, Any] = dict(
            version=__version__, config=cfg.filename and Path(cfg.filename).name, precision=precision,
            outputs='raw' if is_raw else 'detections', exit_stack=exit_stack,
            classes=(loaded.get('meta', {}).get('dataset_meta') or {}).get('classes'),
            background=_background(detector.data_preprocessor),
            least=_least_size(module.head, detector.data_preprocessor))
        model = to_onnx(module, [example], ['images'], _output_names(module),
                        (0, 2, 3) if is_dynamic else (), progress)
        if precision == 'int8':
            progress('Quantising')
            frame = Frame(None if is_dynamic else batch_size, None if is_dynamic else size,
                          tuple(about['background']), os.fspath(file))
            model = to_int8(model, frame.batches(examples))
        elif precision == 'fp16':
            progress('Halving')
            model = to_fp16(model)
        write_onnx(model, file, {METADATA: json.dumps(about)})
    return list(files.values())


def _output_names(module: ExportableDetector) -> list[str]:
    if not module.is_raw:
        return ['boxes', 'scores', 'labels']
    with torch.no_grad():  # of any size: to see what the head returns
        outputs = module.head(module.detector.extract_feat(torch.zeros(1, 3, 128, 128)))
    kinds = ('scores', 'boxes', 'factors')
    return [f'{kind}_{level}' for kind, maps in zip(kinds, outputs, strict=False)
            for level in range(len(maps))]


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
