"""NAS-FPN as a neck for any MMDetection detector."""
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmnasfpn._checks import check_whole_number
from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.models.necks.merging_cell import build_conv
from mmnasfpn.models.necks.pyramid_network import PyramidNetwork
from mmnasfpn.models.ops import downsample
from mmnasfpn.registry import MODELS

#: Batch normalisation as the authors run it: TensorFlow's momentum 0.997, epsilon 1e-4.
AUTHORS_NORM_CFG: Mapping[str, Any] = MappingProxyType(dict(type='BN', momentum=0.003, eps=1e-4))
#: MMDetection's initialisation for pyramids.
XAVIER_INIT_CFG: Mapping[str, Any] = MappingProxyType(dict(type='Caffe2Xavier', layer='Conv2d'))


@MODELS.register_module()
class NASFPN(BaseModule):
    """A stack of pyramid networks, each compiled from one genotype (section 3).

    Each backbone map goes through a 1x1 convolution and normalisation to ``out_channels``;
    levels coarser than the backbone's are stride-2 max pools of the level before. The pyramid
    networks follow, each taking what the one before returns. Outputs are not rectified.

    Images of any size work; they need no padding for the neck's sake. Inputs are left as they
    are.

    Args:
        in_channels (Sequence[int]): Channels of each map that the backbone gives, fine to
            coarse, those before ``start_level`` and after ``end_level`` included.
        out_channels (int): Channels of every map in the neck, the feature dimension.
        num_outs (int): Number of output levels; must be the genotype's.
        stack_times (int): Number of pyramid networks, the N of "N @ dimension".
        start_level (int): Index of the first backbone map that is used. Defaults to 0.
        end_level (int): Index of the last one; -1 for the last that there is. Defaults to -1.
        genotype (Genotype | Mapping | str | PathLike): The architecture: a name, plain data, a
            ``.json`` file or a genotype. Its levels are relative: its lowest is the map at
            ``start_level``. Defaults to ``'nasfpn'``, the paper's, of 5 levels.
        separable (bool): Depthwise separable convolutions throughout, as in NAS-FPNLite.
            Defaults to False.
        norm_cfg (Mapping | None): Normalisation after each convolution; None for none.
            Defaults to the authors' batch normalisation. Its momentum needs thousands of steps;
            for runs of a few hundred give ``dict(type='BN')``.
        init_cfg (Mapping | Sequence | None): MMEngine's initialisation. Defaults to
            Caffe2Xavier on every convolution.

    Raises:
        GenotypeError: If ``genotype`` is not one.
        ValueError: If the other arguments are impossible or do not fit each other.

    Example:
        >>> neck = NASFPN([256, 512, 1024, 2048], 256, num_outs=5, stack_times=7, start_level=1)
        >>> maps = [torch.rand(1, c, s, s) for c, s in zip(neck.in_channels, (32, 16, 8, 4))]
        >>> [tuple(x.shape[-2:]) for x in neck.eval()(maps)]
        [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int,
                 stack_times: int, start_level: int = 0, end_level: int = -1,
                 genotype: Genotype | Mapping[str, Any] | str | os.PathLike[str] = 'nasfpn',
                 separable: bool = False,
                 norm_cfg: Mapping[str, Any] | None = AUTHORS_NORM_CFG,
                 init_cfg: Mapping[str, Any] | Sequence | None = XAVIER_INIT_CFG) -> None:
        super().__init__(dict(init_cfg) if isinstance(init_cfg, Mapping) else init_cfg)
        self.genotype = get_genotype(genotype)
        if isinstance(in_channels, str) or not isinstance(in_channels, Sequence):
            raise ValueError(f'in_channels is {in_channels!r}, but must be a list of the channels '
                             'of each backbone map')
        for name, value, least in (
                *((f'in_channels[{i}]', channels, 1) for i, channels in enumerate(in_channels)),
                ('out_channels', out_channels, 1), ('num_outs', num_outs, 1),
                ('stack_times', stack_times, 1), ('start_level', start_level, 0),
                ('end_level', end_level, -1)):
            check_whole_number(name, value, least)
        if num_outs != self.genotype.num_levels:
            raise ValueError(
                f'num_outs is {num_outs}, but the genotype has {self.genotype.num_levels} levels '
                f'({self.genotype.min_level}..{self.genotype.max_level}): give that, or a genotype '
                f'of {num_outs} levels')
        last = len(in_channels) - 1
        if start_level > last:
            raise ValueError(f'start_level is {start_level}, but must be one of the '
                             f'{len(in_channels)} in_channels: 0..{last}')
        if end_level != -1 and not start_level <= end_level <= last:
            raise ValueError(f'end_level is {end_level}, but must be -1 or one of the in_channels '
                             f'from start_level on: {start_level}..{last}')
        used = slice(start_level, None if end_level == -1 else end_level + 1)
        if len(in_channels[used]) > num_outs:
            raise ValueError(
                f'start_level and end_level take {len(in_channels[used])} backbone maps, but the '
                f'genotype has {num_outs} levels: raise start_level or lower end_level')

        self.in_channels = tuple(in_channels)
        self.out_channels = out_channels
        self.num_outs = num_outs
        self.stack_times = stack_times
        self.used_inputs = used
        self.laterals = nn.ModuleList(
            build_conv(channels, out_channels, 1, norm_cfg, separable)
            for channels in in_channels[used])
        self.pyramids = nn.ModuleList(
            PyramidNetwork(self.genotype, out_channels, norm_cfg, separable)
            for _ in range(stack_times))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run all stacks.

        Args:
            inputs (Sequence[Tensor]): The backbone's maps, fine to coarse, one per entry of
                ``in_channels``: (N, in_channels[i], H_i, W_i), each half the size of the one
                before, rounded up.

        Returns:
            tuple[Tensor, ...]: ``num_outs`` maps, fine to coarse, (N, out_channels, H_l, W_l).

        Raises:
            ValueError: If the maps are not those that the neck was made for.
        """
        *_, last = self.iter_pyramids(inputs)
        return last

    def iter_pyramids(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the pyramid after each stack; a stack runs only when its pyramid is asked for.

        Args:
            inputs (Sequence[Tensor]): As in :meth:`forward`.

        Yields:
            tuple[Tensor, ...]: As :meth:`forward` returns.

        Raises:
            ValueError: If the maps are not those that the neck was made for.
        """
        if not (torch.compiler.is_compiling() or torch.jit.is_tracing()):  # sizes are symbols there
            self.check_inputs(inputs)
        pyramid = self._input_pyramid(inputs[self.used_inputs])
        for network in self.pyramids:
            pyramid = network(pyramid)
            yield pyramid

    def _input_pyramid(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        maps = [lateral(x) for lateral, x in zip(self.laterals, inputs, strict=True)]
        while len(maps) < self.num_outs:
            maps.append(downsample(maps[-1], 1))  # (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2))
        return tuple(maps)

    def check_inputs(self, inputs: Sequence[Tensor]) -> None:
        """Check that the maps are those that the neck was made for.

        Args:
            inputs (Sequence[Tensor]): As in :meth:`forward`.

        Raises:
            ValueError: If their number, channels, batch or sizes do not fit; names the map.
        """
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
        used = inputs[self.used_inputs]
        for coarser, (before, x) in enumerate(pairwise(used), 1):
            index = self.used_inputs.start + coarser
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
