"""Run the model of a training or a test faster: channels last, in mixed precision, folded."""
import gc
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmnasfpn.checkpoints.fit import unwrapped
from mmnasfpn.models.fold import fold_norms
from mmnasfpn.models.precision import give_rois_plain_maps, run_in_autocast
from mmnasfpn.registry import HOOKS

_DTYPES = dict(bfloat16=torch.bfloat16, float16=torch.float16)


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Store the weights channels last, so that all maps are stored so.

    Checkpoints are the same either way.

    Raises:
        ValueError: When training starts on a CPU, if the model has a convolution that cannot be trained
            so: 1x1 with a stride, of fewer than 16 channels.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model, before its weights are drawn or loaded."""
        give_rois_plain_maps(runner.model.to(memory_format=torch.channels_last))
        if isinstance(runner.model, DistributedDataParallel):
            # It has taken down how gradients are stored: those of the first step would be mixed up.
            model = runner.model.module
            runner.model = None
            gc.collect()  # and with it what it hung on the weights
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)

    def before_train(self, runner: Runner) -> None:
        """Refuse what crashes or is computed wrong: https://github.com/uxlfoundation/oneDNN/issues/6035."""
        for name, conv in unwrapped(runner.model).named_modules():
            if (isinstance(conv, nn.Conv2d) and conv.weight.device.type == 'cpu'
                    and conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.in_channels < 16):
                raise ValueError(
                    f'{name} is a 1x1 convolution with a stride and {conv.in_channels} channels: with '
                    'fewer than 16, PyTorch trains it wrong channels last on a CPU; leave that out')


@HOOKS.register_module()
class AutocastHook(Hook):
    """Train, validate and test in mixed precision, on a CPU or a GPU.

    Weights, boxes and losses stay in float32. Of several such hooks the last is in force.

    Args:
        dtype (str): ``'bfloat16'``, or ``'float16'``, which is not for training. Defaults to
            ``'bfloat16'``.

    Raises:
        ValueError: If ``dtype`` is another, or when training in float16 starts.
    """

    def __init__(self, dtype: str = 'bfloat16') -> None:
        if dtype not in _DTYPES:
            raise ValueError(f'dtype is {dtype!r}, but must be one of {", ".join(map(repr, _DTYPES))}')
        self.dtype = dtype

    def before_run(self, runner: Runner) -> None:
        """Put autocast into the model, since MMEngine's loops for validation and test turn it off."""
        run_in_autocast(unwrapped(runner.model), _DTYPES[self.dtype])

    def before_train(self, runner: Runner) -> None:
        """Refuse to train in float16."""
        if self.dtype == 'float16':
            raise ValueError("AutocastHook's dtype is 'float16', in which small gradients vanish unless "
                             "the loss is scaled: train with --amp, which does, or in 'bfloat16'")


@HOOKS.register_module()
class FoldNormsHook(Hook):
    """Fold batch normalisation into the convolutions before it (``fold_norms``) while testing.

    Neither training nor validation is changed.
    """

    priority = 'VERY_HIGH'  # unfolds before hooks that swap weights back, such as EMAHook

    def __init__(self) -> None:
        self._children: list[tuple[nn.Module, dict[str, nn.Module | None]]] = []

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Fold, once the weights to test are in the model."""
        if batch_idx == 0:
            self._children = [(module, dict(module._modules)) for module in runner.model.modules()]
            fold_norms(runner.model)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Unfold."""
        for module, children in self._children:
            module._modules.update(children)
        self._children = []
