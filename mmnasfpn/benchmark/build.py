"""Build what is timed: a function that runs a case once. Weights are random, and nothing is detected."""
import copy
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmnasfpn.benchmark.cases import Case, NeckSize, Setting, necks, switches_of
from mmnasfpn.benchmark.settings import CONVOLUTIONS, MMDET, OURS
from mmnasfpn.export import ExportableDetector, to_onnx, write_onnx
from mmnasfpn.export.runtimes import open_session
from mmnasfpn.models.compile import compile_networks
from mmnasfpn.models.fold import fold_norms
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.models.precision import give_rois_plain_maps, keep_boxes_float32

#: Heads of which we have a faster twin, so that MMDetection's detector is compared as it is.
_MMDET_HEADS = {f'mmnasfpn.{name}': f'mmdet.{name}' for name in ('RetinaHead', 'RetinaSepBNHead')}

#: Runs a case once.
Run = Callable[[], Any]


def build(case: Case, cfg: Config, setting: Setting) -> Run:
    """Build one of the cases that :func:`~mmnasfpn.benchmark.cases.plan` returns."""
    switches = switches_of(case.way, setting.mode)
    detector = _build_detector(case.model, cfg, setting)
    layout = torch.channels_last if 'channels_last' in switches else torch.contiguous_format
    images = torch.randn(setting.batch_size, 3, *setting.image_size,
                         generator=torch.Generator().manual_seed(0))
    images = images.to(device=setting.device, memory_format=layout)
    if 'onnx' in switches:
        return _onnx(case.part, detector, images)

    is_training = setting.mode == 'train'
    autocast = (torch.autocast(setting.device.type, torch.bfloat16) if 'bf16' in switches
                else nullcontext())
    model, leaves = detector, []
    if case.part == 'neck':
        detector.eval()
        with torch.no_grad():
            leaves = [x.contiguous(memory_format=layout).requires_grad_(is_training)
                      for x in detector.backbone(images)]
        model = detector.neck
        forward = partial(model, leaves)
    else:
        samples = [_sample(setting) for _ in images]
        forward = partial(_losses, detector, images, samples) if is_training else partial(
            detector.predict, images, samples)
    _prepare(model, is_training, switches)
    run = (partial(_step, forward, [*leaves, *model.parameters()], autocast) if is_training
           else partial(_infer, forward, autocast))
    return _convolutions(model, run, is_training, autocast) if case.model == CONVOLUTIONS else run


def build_size(size: NeckSize, cfg: Config, setting: Setting, way: str) -> Run:
    """Build the neck of a config with one size changed."""
    cfg = copy.deepcopy(cfg)
    if size.name == 'image size':
        setting = replace(setting, image_size=(size.value, size.value))
    else:
        argument = {'stacks': 'stack_times', 'feature dimension': 'out_channels'}[size.name]
        cfg.model.neck[argument] = size.value
    return build(Case('neck', OURS, way), cfg, setting)


def _build_detector(model: str, cfg: Config, setting: Setting) -> Any:
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model_cfg = copy.deepcopy(cfg.model)
    model_cfg.neck = necks(model_cfg.neck, setting.image_size)[model]
    if model == MMDET and 'bbox_head' in model_cfg:
        model_cfg.bbox_head.type = _MMDET_HEADS.get(model_cfg.bbox_head.type, model_cfg.bbox_head.type)
    torch.manual_seed(0)
    with torch.device('meta' if setting.device.type == 'meta' else 'cpu'):  # there, nothing is drawn
        detector = MODELS.build(model_cfg).to(setting.device)
    if hasattr(detector, 'bbox_head'):
        # Random scores would all go into NMS, more of one model than of another.
        detector.bbox_head.test_cfg.score_thr = 1.0
    return detector


def _prepare(model: Any, is_training: bool, switches: frozenset[str]) -> None:
    model.train(is_training)
    if 'folded' in switches:
        fold_norms(model)
    if 'channels_last' in switches:
        give_rois_plain_maps(model.to(memory_format=torch.channels_last))
    for module in model.modules():
        if isinstance(module, NASFPN):
            module.with_cp = 'recomputed' in switches
    if 'bf16' in switches:
        keep_boxes_float32(model)
    if 'compiled' in switches:
        compile_networks(model)


def _infer(forward: Run, autocast: AbstractContextManager) -> Any:
    with torch.no_grad(), autocast:
        return forward()


def _step(forward: Run, leaves: Sequence[Tensor], autocast: AbstractContextManager) -> None:
    for leaf in leaves:
        leaf.grad = None
    with autocast:
        outputs = forward()
    torch.autograd.backward([x.sum() for x in outputs])


def _losses(detector: Any, images: Tensor, samples: list[DetDataSample]) -> list[Tensor]:
    losses = detector.loss(images, samples)
    return [x for loss in losses.values() for x in (loss if isinstance(loss, list) else [loss])
            if x.requires_grad]


def _convolutions(model: nn.Module, run: Run, is_training: bool,
                  autocast: AbstractContextManager) -> Run:
    """Return what runs the convolutions of a model alone, each on an input of its own."""
    calls: list[tuple[nn.Conv2d, Tensor, Tensor]] = []
    gradients: dict[tuple[torch.Size, torch.dtype], Tensor] = {}

    def note(conv: nn.Conv2d, inputs: tuple[Tensor], y: Tensor) -> None:
        x = torch.rand_like(inputs[0]).requires_grad_(inputs[0].requires_grad)
        calls.append((conv, x, gradients.setdefault((y.shape, y.dtype), torch.ones_like(y))))

    hooks = [module.register_forward_hook(note) for module in model.modules()
             if isinstance(module, nn.Conv2d)]
    run()
    for hook in hooks:
        hook.remove()

    def infer() -> None:
        with torch.no_grad(), autocast:
            for conv, x, _ in calls:
                conv(x)

    def step() -> None:
        for conv, x, gradient in calls:
            conv.weight.grad = x.grad = None
            with autocast:
                y = conv(x)
            if y.requires_grad:  # not where the backbone is frozen
                y.backward(gradient)

    return step if is_training else infer


def _onnx(part: str, detector: Any, images: Tensor) -> Run:
    detector.eval()
    with torch.no_grad():
        module, inputs = (detector.neck, detector.backbone(images)) if part == 'neck' else (
            ExportableDetector(detector), [images])
    arguments: Any = [inputs] if part == 'neck' else inputs
    names = [f'input_{index}' for index in range(len(inputs))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        write_onnx(to_onnx(module, arguments, names), path)
        session = open_session(path)
    return partial(session.run, None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})


def _sample(setting: Setting) -> DetDataSample:
    """Return an image with ten boxes of classes 0 and 1."""
    size = setting.image_size
    sample = DetDataSample(metainfo=dict(
        img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0)))
    corners = torch.rand(10, 2, generator=torch.Generator().manual_seed(0))  # as shares of the image
    boxes = torch.cat([corners * 0.7, corners * 0.7 + 0.25], dim=1) * torch.tensor(2 * size[::-1])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(10) % 2).to(setting.device)
    return sample
