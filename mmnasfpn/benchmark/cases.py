"""What a config's neck and detector are timed against."""
import copy
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmnasfpn._checks import check_whole_number
from mmnasfpn.benchmark.measure import CONVOLUTIONS, FPN, MMDET, OURS, Contender
from mmnasfpn.errors import UsageError
from mmnasfpn.export import ExportableDetector, to_onnx
from mmnasfpn.export.onnx_detector import open_session
from mmnasfpn.export.to_onnx import check_installed, missing_packages
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.models.fold import fold_norms
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.models.precision import give_rois_plain_maps, keep_boxes_float32

#: What a way to run is put together from, with ``+`` between; ``eager`` is none of them.
SWITCHES = dict(
    folded='batch normalisation is folded into the convolutions; for inference',
    channels_last='tensors are stored channels last',
    bf16='automatic mixed precision in bfloat16',
    recomputed='the neck recomputes its stacks in the backward pass; for training',
    compiled='by torch.compile',
    onnx='exported, by ONNX Runtime, on its own; for inference on a CPU')

#: The ways that are measured by PyTorch unless others are given.
WAYS = dict(infer=('eager', 'channels_last', 'folded', 'folded+channels_last'),
            train=('eager', 'channels_last', 'channels_last+recomputed'))

#: The config that is measured unless another is given.
CONFIG = 'retinanet_r50_nasfpn-3x256_crop640-50e_coco'


def ways_of(mode: str, device: torch.device) -> tuple[str, ...]:
    """Return the ways that are measured unless others are given: ONNX Runtime's too, where it is."""
    has_onnx = mode == 'infer' and device.type == 'cpu' and not missing_packages()
    return (*WAYS[mode], 'onnx') if has_onnx else WAYS[mode]


def parse_way(way: str, mode: str) -> frozenset[str]:
    """Return the switches of a way to run.

    Args:
        way (str): ``'eager'``, or some of :data:`SWITCHES` with ``+`` between.
        mode (str): ``'infer'`` or ``'train'``.

    Raises:
        UsageError: If it is none.
    """
    switches = frozenset() if way == 'eager' else frozenset(way.split('+'))
    if unknown := sorted(switches - set(SWITCHES)):
        raise UsageError(f'way {way!r}: there is no {unknown[0]!r}; it is eager, or some of '
                         f'{", ".join(SWITCHES)} with + between')
    for wrong in switches & ({'folded', 'onnx'} if mode == 'train' else {'recomputed'}):
        raise UsageError(f'way {way!r}: {wrong} is {SWITCHES[wrong]}, and this is --mode {mode}')
    if 'onnx' in switches and len(switches) > 1:
        raise UsageError(f'way {way!r}: onnx is {SWITCHES["onnx"]}')
    return switches


@dataclass(frozen=True)
class Setting:
    """What is run.

    Args:
        image_size (tuple[int, int]): Rows and columns.
        batch_size (int): Images at a time.
        mode (str): ``'infer'``, or ``'train'``: a forward and a backward pass.
        device (torch.device): Where.
    """

    image_size: tuple[int, int]
    batch_size: int
    mode: str
    device: torch.device


def contenders(cfg: Config, setting: Setting, parts: Sequence[str], ways: Sequence[str],
               models: Sequence[str] = (OURS, CONVOLUTIONS, MMDET, FPN)) -> Iterator[Contender]:
    """Build what is timed: the neck or the detector of a config, and what it is compared with.

    These are the same with MMDetection's NASFPN, where it has the same shape, and with the authors' FPN;
    and the convolutions of ours alone, each on an input of its own. Weights are random, and nothing is
    detected.

    Args:
        cfg (Config): A config with a NASFPN neck.
        setting (Setting): What is run.
        parts (Sequence[str]): ``'neck'``, ``'detector'``, or both.
        ways (Sequence[str]): Ways to run, as :func:`parse_way` takes them.
        models (Sequence[str]): Which of them. Defaults to all.

    Raises:
        ValueError: If the config has another neck, or a setting or a way cannot be.
    """
    neck = cfg.model.get('neck') or {}
    if not isinstance(neck, dict) or neck.get('type') not in ('mmnasfpn.NASFPN', 'NASFPN'):
        raise ValueError(f'{cfg.filename} has no mmnasfpn.NASFPN as its neck')
    for name, value in (('batch_size', setting.batch_size),
                        *(('image_size', pixels) for pixels in setting.image_size)):
        check_whole_number(name, value, 1)
    switches = {way: parse_way(way, setting.mode) for way in ways}
    if 'onnx' in switches:
        check_installed()
        if setting.device.type != 'cpu':
            raise UsageError(f"way 'onnx': it is {SWITCHES['onnx']}, and this is --device "
                             f'{setting.device.type}')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    for part in parts:
        for model, model_neck in _necks(neck, setting.image_size).items():
            if model not in models and not (model == OURS and CONVOLUTIONS in models):
                continue
            model_cfg = copy.deepcopy(cfg.model)
            model_cfg.neck = model_neck
            torch.manual_seed(0)
            detector = MODELS.build(model_cfg).to(setting.device)
            if hasattr(detector, 'bbox_head'):
                # Random scores would all go into NMS, more of one model than of another.
                detector.bbox_head.test_cfg.score_thr = 1.0
            for way, on in switches.items():
                if 'recomputed' in on and model != OURS:
                    continue
                own = copy.deepcopy(detector)
                if 'onnx' in on:
                    if model in models:
                        yield Contender(part, model, way, _run_onnx(part, own, setting))
                    continue
                run = _run_neck if part == 'neck' else _run_detector
                prepared, once = run(own, setting, on)
                if model in models:
                    yield Contender(part, model, way, once)
                if model == OURS and CONVOLUTIONS in models and not {'compiled', 'recomputed'} & on:
                    yield Contender(part, CONVOLUTIONS, way, convolutions(prepared, once, setting, on))


def growth(cfg: Config, setting: Setting, way: str, stacks: Sequence[int] = (),
           channels: Sequence[int] = (), image_sizes: Sequence[int] = ()) -> Iterator[Contender]:
    """Build necks of other sizes than a config's, to see what each costs: one size at a time is another.

    Args:
        cfg (Config): A config with a NASFPN neck.
        setting (Setting): What is run.
        way (str): As :func:`parse_way` takes it.
        stacks (Sequence[int]): How many stacks.
        channels (Sequence[int]): Feature dimensions.
        image_sizes (Sequence[int]): Rows, and columns, of the image.

    Yields:
        Contender: Its ``part`` is what is changed, ``stacks``, ``feature dimension`` or ``image size``;
        its ``model`` is to what.

    Raises:
        ValueError: As :func:`contenders` does.
    """
    for part, key, values in (('stacks', 'stack_times', stacks),
                              ('feature dimension', 'out_channels', channels),
                              ('image size', None, image_sizes)):
        for value in values:
            changed = copy.deepcopy(cfg)
            if key:
                changed.model.neck[key] = value
                own = setting
            else:
                own = replace(setting, image_size=(value, value))
            [contender] = contenders(changed, own, ['neck'], [way], [OURS])
            yield replace(contender, part=part, model=str(value))


def _necks(neck: dict[str, Any], image_size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Return the config of our neck and of those that it is compared with."""
    shared: dict[str, Any] = {
        key: neck[key] for key in ('in_channels', 'out_channels', 'num_outs', 'start_level', 'end_level')
        if key in neck}
    norm = dict(norm_cfg=neck['norm_cfg']) if 'norm_cfg' in neck else {}
    found = {OURS: neck}
    is_theirs = (get_genotype(neck.get('genotype', 'nasfpn')) == get_genotype('nasfpn')
                 and not neck.get('separable') and neck.get('dropblock_cfg') is None
                 and all(pixels % 128 == 0 for pixels in image_size))
    if is_theirs:
        found[MMDET] = dict(type='mmdet.NASFPN', stack_times=neck['stack_times'], **shared, **norm)
    found[FPN] = dict(type='mmnasfpn.FPN', separable=neck.get('separable', False), **shared, **norm)
    return found


def _prepare(model: Any, setting: Setting, on: frozenset[str]) -> Any:
    model.train(setting.mode == 'train')
    if 'folded' in on:
        fold_norms(model)
    if 'channels_last' in on:
        give_rois_plain_maps(model.to(memory_format=torch.channels_last))
    for module in model.modules():
        if isinstance(module, NASFPN):
            module.with_cp = 'recomputed' in on
    return model


def _run_neck(detector: Any, setting: Setting,
              on: frozenset[str]) -> tuple[nn.Module, Callable[[], Any]]:
    detector.eval()
    with torch.no_grad():
        maps = detector.backbone(_noise((setting.batch_size, 3, *setting.image_size), setting, on))
    is_training = setting.mode == 'train'
    maps = [_laid_out(x, on).requires_grad_(is_training) for x in maps]
    neck = _prepare(detector.neck, setting, on)
    if 'compiled' in on:
        neck.compile()

    def forward() -> Any:
        return neck(maps)

    if not is_training:
        return neck, functools.partial(_infer, forward, setting, on)
    return neck, functools.partial(_step, forward, [neck, *maps], setting, on)


def _run_detector(detector: Any, setting: Setting,
                  on: frozenset[str]) -> tuple[nn.Module, Callable[[], Any]]:
    images = _noise((setting.batch_size, 3, *setting.image_size), setting, on)
    samples = [_sample(setting) for _ in range(setting.batch_size)]
    _prepare(detector, setting, on)
    if 'compiled' in on:
        for name in ('backbone', 'neck', 'bbox_head'):
            if hasattr(detector, name):
                getattr(detector, name).compile()
    if 'bf16' in on:
        keep_boxes_float32(detector)
    if setting.mode != 'train':
        predict = functools.partial(detector.predict, images, samples)
        return detector, functools.partial(_infer, predict, setting, on)

    def forward() -> list[Tensor]:
        losses = detector.loss(images, samples)
        return [x for loss in losses.values() for x in (loss if isinstance(loss, list) else [loss])
                if x.requires_grad]

    return detector, functools.partial(_step, forward, [detector], setting, on)


def _run_onnx(part: str, detector: Any, setting: Setting) -> Callable[[], Any]:
    image = _noise((setting.batch_size, 3, *setting.image_size), setting, frozenset())
    detector.eval()
    with torch.no_grad():
        module, inputs = (ExportableDetector(detector), [image]) if part == 'detector' else (
            _OfMaps(detector.neck), detector.backbone(image))
    names = [f'input_{index}' for index in range(len(inputs))]
    with tempfile.TemporaryDirectory() as folder:
        to_onnx(module, inputs, Path(folder) / 'model.onnx', names)
        session = open_session(Path(folder) / 'model.onnx')
    arrays = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    return lambda: session.run(None, arrays)


class _OfMaps(nn.Module):
    """A neck that takes its maps one by one, as an exporter names them."""

    def __init__(self, neck: nn.Module) -> None:
        super().__init__()
        self.neck = neck

    def forward(self, *maps: Tensor) -> Any:
        return self.neck(maps)


def _infer(forward: Callable[[], Any], setting: Setting, on: frozenset[str]) -> Any:
    with torch.no_grad(), torch.autocast(setting.device.type, torch.bfloat16, enabled='bf16' in on):
        return forward()


def _step(forward: Callable[[], Sequence[Tensor]], leaves: Sequence[nn.Module | Tensor],
          setting: Setting, on: frozenset[str]) -> None:
    for leaf in leaves:
        if isinstance(leaf, nn.Module):
            leaf.zero_grad(set_to_none=True)
        else:
            leaf.grad = None
    with torch.autocast(setting.device.type, torch.bfloat16, enabled='bf16' in on):
        outputs = forward()
    torch.autograd.backward([x.sum() for x in outputs])


def convolutions(model: nn.Module, run: Callable[[], Any], setting: Setting,
                 on: frozenset[str]) -> Callable[[], Any]:
    """Return what runs the convolutions of a model alone, each on an input of its own.

    Args:
        model (nn.Module): The model.
        run (Callable): Runs it once, to see what its convolutions take.
        setting (Setting): As it is run.
        on (frozenset[str]): The switches of its way.
    """
    seen: list[tuple[nn.Conv2d, Tensor]] = []

    def see(conv: nn.Conv2d, inputs: tuple[Tensor]) -> None:
        x = torch.rand_like(inputs[0]).requires_grad_(inputs[0].requires_grad)
        seen.append((conv, x))

    hooks = [module.register_forward_pre_hook(see) for module in model.modules()
             if isinstance(module, nn.Conv2d)]
    run()
    for hook in hooks:
        hook.remove()
    if setting.mode != 'train':
        return functools.partial(_infer, lambda: [None for conv, x in seen if conv(x) is None],
                                 setting, on)
    gradients: dict[tuple[torch.Size, torch.dtype], Tensor] = {}
    with torch.no_grad(), torch.autocast(setting.device.type, torch.bfloat16, enabled='bf16' in on):
        for conv, x in seen:
            y = conv(x)
            gradients.setdefault((y.shape, y.dtype), torch.ones_like(y))

    def step() -> None:
        for conv, x in seen:
            conv.weight.grad = x.grad = None
            with torch.autocast(setting.device.type, torch.bfloat16, enabled='bf16' in on):
                y = conv(x)
            if y.requires_grad:  # not where the backbone is frozen
                y.backward(gradients[y.shape, y.dtype])

    return step


def _noise(shape: tuple[int, ...], setting: Setting, on: frozenset[str]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return _laid_out(torch.randn(shape, generator=generator).to(setting.device), on)


def _laid_out(x: Tensor, on: frozenset[str]) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last if 'channels_last' in on
                        else torch.contiguous_format)


def _sample(setting: Setting) -> DetDataSample:
    """Return a picture with ten boxes of classes 0 and 1."""
    rows, columns = setting.image_size
    sample = DetDataSample(metainfo=dict(
        img_shape=setting.image_size, ori_shape=setting.image_size, pad_shape=setting.image_size,
        batch_input_shape=setting.image_size, scale_factor=(1.0, 1.0)))
    corners = torch.rand(10, 2, generator=torch.Generator().manual_seed(0))  # as shares of the picture
    size = torch.tensor([columns, rows, columns, rows])
    boxes = torch.cat([corners * 0.7, corners * 0.7 + 0.25], dim=1) * size
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(10) % 2).to(setting.device)
    return sample
