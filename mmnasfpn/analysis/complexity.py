"""Parameters and FLOPs of a detector, counted on its real modules."""
import copy
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry


@dataclass(frozen=True)
class Complexity:
    """What a model costs for one image.

    Args:
        params (int): Number of parameters.
        flops (int): Floating point operations of one forward pass, 2 for each multiply-add.
        uncounted (tuple[str, ...]): Operators that ran but have no formula in PyTorch's counter
            (element-wise ones, pooling, normalisation, resizing, compiled ones of mmcv), sorted.
    """

    params: int
    flops: int
    uncounted: tuple[str, ...]


class _UncountedOperators(TorchDispatchMode):
    """Note the operators for which the counter has no formula."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._overloadpacket not in flop_registry and not func.is_view:
            self.names.add(str(func._overloadpacket))
        return func(*args, **(kwargs or {}))


def count_complexity(cfg: Config, image_size: tuple[int, int],
                     num_classes: int | None = None) -> Complexity:
    """Build the detector of a config and count it for one image.

    The forward pass ends with the head's raw outputs: neither decoding nor NMS is counted. Models of one
    stage are built and run without memory for their weights; of two stages, whose second stage depends
    on values, with random weights.

    Args:
        cfg (Config): A config of MMDetection's kind; left as it is.
        image_size (tuple[int, int]): Rows and columns of the image, in pixels.
        num_classes (int | None): Replaces the config's number of classes in every head; None leaves it.
            Defaults to None.
    """
    model_cfg = copy.deepcopy(cfg.model)
    if num_classes is not None:
        set_everywhere(model_cfg, 'num_classes', num_classes)
    two_stage = 'roi_head' in model_cfg
    scope = cfg.get('default_scope', 'mmdet')
    device = torch.device('cpu' if two_stage else 'meta')
    with DefaultScope.overwrite_default_scope(scope), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with device:
            model = MODELS.build(model_cfg)
        model.train(False)  # mmdet's own train() may return None
        flops, uncounted = _run(model, torch.zeros(1, 3, *image_size, device=device), two_stage)
    return Complexity(sum(p.numel() for p in model.parameters()), flops, uncounted)


def test_image_size(cfg: Config) -> tuple[int, int] | None:
    """Return rows and columns that the test pipeline of a config gives at most, padding included.

    Returns:
        tuple[int, int] | None: None if it does not say to which size it resizes.
    """
    dataset: Any = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset.dataset
    for transform in dataset.get('pipeline', ()):
        if transform['type'].split('.')[-1] == 'Resize' and transform.get('scale'):
            columns, rows = transform['scale']
            divisor = (cfg.model.get('data_preprocessor') or {}).get('pad_size_divisor', 1)
            return -(-rows // divisor) * divisor, -(-columns // divisor) * divisor
    return None


def _run(model: nn.Module, image: Tensor, two_stage: bool) -> tuple[int, tuple[str, ...]]:
    inputs: tuple[Any, ...] = (image,)
    if two_stage:
        shape = tuple(image.shape[-2:])
        inputs = (image, [DetDataSample(metainfo=dict(
            img_shape=shape, ori_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0)))])
    log = _UncountedOperators()
    with torch.no_grad(), log, FlopCounterMode(display=False) as counter:
        model(*inputs, mode='tensor')
    compiled = {f'mmcv.ops.{type(m).__name__}' for m in model.modules()
                if type(m).__module__.startswith('mmcv.ops')}
    return counter.get_total_flops(), tuple(sorted(log.names | compiled))


def set_everywhere(cfg: Any, key: str, value: Any) -> None:
    """Set a key in all dicts of a config that have it."""
    if isinstance(cfg, dict):
        if key in cfg:
            cfg[key] = value
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        for part in cfg:
            set_everywhere(part, key, value)
