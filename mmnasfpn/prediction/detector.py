"""Build a detector from a config and a checkpoint, or an exported model, ready to detect."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader

from mmnasfpn.anytime.evaluate import check_checkpoint
from mmnasfpn.checkpoints.fit import classes_of, load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import CheckpointError, load_checkpoint, trust_checkpoints
from mmnasfpn.engine.preflight import check_model
from mmnasfpn.engine.preflight.data_config import leaves
from mmnasfpn.engine.run import DTYPES
from mmnasfpn.errors import ConfigError, UsageError
from mmnasfpn.export.anytime import AnytimeOnnxDetector, find_exits
from mmnasfpn.export.onnx_detector import OnnxDetector
from mmnasfpn.models.compile import compile_networks
from mmnasfpn.models.detectors.deadlines import KeepsDeadlines
from mmnasfpn.models.fold import fold_norms
from mmnasfpn.models.precision import give_rois_plain_maps, run_in_autocast
from mmnasfpn.registry import class_of


@dataclass(frozen=True)
class Speed:
    """How a detector computes.

    Args:
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` for mixed precision.
        channels_last (bool): Store weights and maps channels last.
        fuse (bool): Fold batch normalisation into the convolutions before it.
        compile_mode (str | None): Compile the networks by ``torch.compile`` in this mode.

    Raises:
        ValueError: If ``dtype`` is another.
    """

    dtype: str = 'fp32'
    channels_last: bool = False
    fuse: bool = False
    compile_mode: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f'dtype is {self.dtype!r}, but must be one of '
                             f'{", ".join(map(repr, DTYPES))}')


@dataclass(frozen=True)
class Detector:
    """A detector, and what it knows.

    Args:
        model (nn.Module): The model, in evaluation mode.
        classes (tuple[str, ...]): The names of its labels.
        palette (list | None): Their colours, (red, green, blue); None leaves them open.
    """

    model: Any
    classes: tuple[str, ...]
    palette: list[tuple[int, int, int]] | None


def load_detector(cfg: Config, checkpoint: str, device: str | None = None,
                  trust_checkpoint: bool = False, speed: Speed | None = None,
                  backend: str | None = None) -> Detector:
    """Build a detector and load all its weights.

    Its classes are those that the checkpoint was trained with, by what it says itself, or where it does
    not say them, those of the config's test set.

    Args:
        cfg (Config): The config.
        checkpoint (str): Path or URL of a checkpoint, or path of a model of ``tools/export_onnx.py``:
            with ``--exits``, the path that it was given.
        device (str | None): E.g. ``'cpu'`` or ``'cuda:1'``. Defaults to None: a GPU if there is one.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.
        speed (Speed | None): How it computes. Defaults to None: plainly.
        backend (str | None): What runs an exported model: ``'onnx'``, ONNX Runtime, or ``'openvino'``.
            Defaults to None: ONNX Runtime.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If config or checkpoint do not fit, or an argument is impossible.
    """
    if cfg.get('model') is None:
        raise ConfigError('model is missing in the config: give the detector')
    are_exits = (checkpoint.endswith('.onnx') and not os.path.exists(checkpoint)
                 and bool(find_exits(checkpoint)))
    if '://' not in checkpoint and not are_exits:
        check_checkpoint(checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    speed = speed or Speed()
    meta: Mapping[str, Any]
    if checkpoint.endswith('.onnx'):
        if speed != Speed() or device is not None:
            raise UsageError('--device, --dtype, --channels-last, --fuse and --compile cannot change an '
                             'exported model: leave them out')
        kind: Any = AnytimeOnnxDetector if are_exits else OnnxDetector
        model: Any = kind(checkpoint, backend or 'onnx').eval()
        meta = dict(dataset_meta=dict(classes=model.about['classes']))
    elif backend is not None:
        raise UsageError(f'--backend is {backend!r}, which is for an exported model (.onnx): leave it '
                         'out')
    else:
        model, meta = _build(cfg, checkpoint, _device(device), trust_checkpoint)
    classes = tuple(classes_of(dict(meta=meta)) or _classes_of_config(cfg))
    check_model(model, classes)
    _speed_up(model, speed)
    palette: Any = (meta.get('dataset_meta') or {}).get('palette')
    if not isinstance(palette, list | tuple) or len(palette) < len(classes):
        palette = None
    return Detector(model, classes, palette and [tuple(color) for color in palette])


def choose_exit(model: Any, exit_stack: int | None, deadline_ms: float | None,
                calibration: str | os.PathLike[str] | None) -> None:
    """Set where an anytime detector stops.

    Args:
        model (nn.Module): The detector.
        exit_stack (int | None): The exit. None leaves what the config says.
        deadline_ms (float | None): Milliseconds for each image, by which the exit is chosen.
        calibration (str | PathLike | None): The file of ``tools/calibrate.py`` that this needs.

    Raises:
        UsageError: If it is no anytime detector, has no such exit, or one of them is missing.
        CalibrationError: If the calibration is of another machine or model.
    """
    if exit_stack is None and deadline_ms is None and calibration is None:
        return
    if not isinstance(model, KeepsDeadlines):
        advice = ('export all exits (tools/export_onnx.py --exits), and give the path given there'
                  if isinstance(model, OnnxDetector) else 'leave them out')
        raise UsageError('--exit, --deadline-ms and --calibration are for a mmnasfpn.AnytimeDetector, '
                         f'but the model is a {type(model).__name__}: {advice}')
    if exit_stack is not None and deadline_ms is not None:
        raise UsageError('--exit names the exit and --deadline-ms chooses it: leave one out')
    if (deadline_ms is None) != (calibration is None):
        raise UsageError('--deadline-ms needs --calibration FILE, and that is for nothing else: make '
                         'the file on this machine, by tools/calibrate.py CONFIG CHECKPOINT --out FILE')
    if exit_stack is not None:
        if exit_stack not in model.exits:
            raise UsageError(f'--exit is {exit_stack}, but the exits of this detector are '
                             f'{", ".join(map(str, model.exits))}: choose one of them')
        model.test_cfg.exit_stack = exit_stack
    if calibration is not None:
        model.load_calibration(calibration)


def _build(cfg: Config, checkpoint: str, device: torch.device,
           trust: bool) -> tuple[Any, Mapping[str, Any]]:
    """Return the model with its weights, and what the checkpoint says of itself."""
    model = MODELS.build(cfg.model)
    if '://' in checkpoint:
        with trust_checkpoints(trust):
            loaded = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    else:
        loaded = load_checkpoint(checkpoint, trust=trust)
    try:
        load_weights(model, state_dict_of(loaded))
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint} does not fit {cfg.filename}: {error}') from error
    return model.to(device).eval(), loaded.get('meta') or {}


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or get_device())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # of a name, or of a device that is not there
        raise UsageError(f'--device is {name!r}, which cannot be used: {str(error).splitlines()[0]}'
                         ) from None
    return device


def _speed_up(model: Any, speed: Speed) -> None:
    if speed.fuse:
        fold_norms(model)
    if speed.channels_last:
        give_rois_plain_maps(model.to(memory_format=torch.channels_last))
    if name := DTYPES[speed.dtype]:
        run_in_autocast(model, getattr(torch, name))
    if speed.compile_mode is not None:
        compile_networks(model, speed.compile_mode)


def _classes_of_config(cfg: Config) -> Sequence[str]:
    for dataset in leaves((cfg.get('test_dataloader') or {}).get('dataset') or {}):
        kind: Any = class_of(DATASETS, dataset, cfg)
        if issubclass(kind, BaseDataset):
            classes = kind._load_metainfo(dataset.get('metainfo')).get('classes')
            if classes and not isinstance(classes, str):
                return classes
    raise ConfigError('neither the checkpoint nor test_dataloader.dataset says what the classes are: '
                      'set metainfo=dict(classes=(...)) there')
