"""What the necks have in common: which backbone maps they take, and the checks of them."""
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmnasfpn._checks import check_whole_number
from mmnasfpn.models.batch_norm import without_counter

#: Batch normalisation as the authors run it: TensorFlow's momentum 0.997, epsilon 1e-4.
AUTHORS_NORM_CFG: Mapping[str, Any] = MappingProxyType(dict(type='BN', momentum=0.003, eps=1e-4))
#: MMDetection's initialisation for pyramids.
XAVIER_INIT_CFG: Mapping[str, Any] = MappingProxyType(dict(type='Caffe2Xavier', layer='Conv2d'))


def build_conv(in_channels: int, out_channels: int, kernel_size: int,
               norm_cfg: Mapping[str, Any] | None, separable: bool, stride: int = 1,
               bias_under_norm: bool = False) -> nn.Module:
    """Build a neck's convolution: padded to keep its size, normalised, no activation after it.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        kernel_size (int): Kernel size, odd.
        norm_cfg (Mapping | None): Normalisation, as mmcv builds it; None for none, and a bias.
        separable (bool): Depthwise and pointwise in place of one convolution, with nothing
            between the two (NAS-FPNLite, section 4.3).
        stride (int): Divides the size, rounded up. Defaults to 1.
        bias_under_norm (bool): Give it a bias although its normalisation shifts as well. Defaults to
            False.
    """
    kind = DepthwiseSeparableConvModule if separable else ConvModule
    no_norm_between = dict(dw_norm_cfg=None, dw_act_cfg=None) if separable else {}
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Unnecessary conv bias')  # those who ask know
        conv = kind(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2,
                    bias=bias_under_norm or norm_cfg is None,
                    norm_cfg=None if norm_cfg is None else without_counter(norm_cfg), act_cfg=None,
                    **no_norm_between)
    if separable:  # the pointwise convolution's bias is enough
        conv.depthwise_conv.conv.register_parameter('bias', None)
    return conv


class PyramidNeck(BaseModule):
    """A neck that takes consecutive backbone maps and returns ``num_outs`` of one dimension.

    The arguments are those of :class:`mmnasfpn.models.necks.FPN`.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int,
                 start_level: int, end_level: int,
                 init_cfg: Mapping[str, Any] | Sequence | None) -> None:
        super().__init__(dict(init_cfg) if isinstance(init_cfg, Mapping) else init_cfg)
        if isinstance(in_channels, str) or not isinstance(in_channels, Sequence):
            raise ValueError(f'in_channels is {in_channels!r}, but must be a list of the channels '
                             'of each backbone map')
        for name, value, least in (
                *((f'in_channels[{i}]', channels, 1) for i, channels in enumerate(in_channels)),
                ('out_channels', out_channels, 1), ('num_outs', num_outs, 1),
                ('start_level', start_level, 0), ('end_level', end_level, -1)):
            check_whole_number(name, value, least)
        last = len(in_channels) - 1
        if start_level > last:
            raise ValueError(f'start_level is {start_level}, but must be one of the {last + 1} '
                             f'in_channels: 0..{last}')
        if end_level != -1 and not start_level <= end_level <= last:
            raise ValueError(f'end_level is {end_level}, but must be -1 or one of the in_channels '
                             f'from start_level on: {start_level}..{last}')
        used = slice(start_level, None if end_level == -1 else end_level + 1)
        if len(in_channels[used]) > num_outs:
            raise ValueError(
                f'start_level and end_level take {len(in_channels[used])} backbone maps, but '
                f'num_outs is {num_outs}: raise start_level or lower end_level')
        self.in_channels = tuple(in_channels)
        self.out_channels = out_channels
        self.num_outs = num_outs
        self.used_inputs = used

    def check_inputs(self, inputs: Sequence[Tensor]) -> None:
        """Check that the maps are those that the neck was made for.

        Does nothing while the neck is compiled or traced, where sizes are symbols.

        Args:
            inputs (Sequence[Tensor]): The backbone's maps, as ``forward`` takes them.

        Raises:
            ValueError: If their number, channels, batch or sizes do not fit; names the map.
        """
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return
        if len(inputs) != len(self.in_channels):
            raise ValueError(f'the neck got {len(inputs)} maps, but in_channels names '
                             f"{len(self.in_channels)}: make the backbone's out_indices and the "
                             "neck's in_channels agree")
        for index, (x, channels) in enumerate(zip(inputs, self.in_channels, strict=True)):
            if x.dim() != 4 or x.shape[1] != channels:
                raise ValueError(
                    f'map {index} has the shape {tuple(x.shape)}, but in_channels[{index}] is '
                    f'{channels}, so that it must be (N, {channels}, H, W): set in_channels to the '
                    "channels of the backbone's maps")
        for index in range(len(inputs))[self.used_inputs][1:]:
            before, x = inputs[index - 1:index + 1]
            if x.shape[0] != before.shape[0]:
                raise ValueError(f'map {index} has a batch of {x.shape[0]}, but map {index - 1} '
                                 f'one of {before.shape[0]}: all maps must come from the same images')
            height, width = (-(-size // 2) for size in before.shape[-2:])
            if x.shape[-2:] != (height, width):
                raise ValueError(
                    f'map {index} is {x.shape[-2]}x{x.shape[-1]}, but must be {height}x{width}, half '
                    f'of map {index - 1} ({before.shape[-2]}x{before.shape[-1]}) rounded up: take '
                    'consecutive backbone levels, or, where the backbone rounds down, pad the '
                    'images (pad_size_divisor=32)')
