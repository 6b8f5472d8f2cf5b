"""The merging cell as a module (section 3.1, Figure 3)."""
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmnasfpn.models.necks.base import build_conv
from mmnasfpn.models.necks.drop_block import DropBlock
from mmnasfpn.models.ops import get_variant
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class MergingCellModule(BaseModule):
    """Merge maps of one size, then ReLU, 3x3 convolution, normalisation, DropBlock.

    The other arguments are those of :class:`PyramidNetwork`.

    Args:
        level (int): Level of the map that the cell makes.
        op (str): ``'sum'`` or ``'gp'``.
        input_levels (Sequence[int]): Levels of the maps that it takes: two, or one for ``'sum'``.
        conv (nn.Module | None): Convolution and normalisation, shared with others. Defaults to None: the
            cell has its own.
    """

    def __init__(self, level: int, op: str, input_levels: Sequence[int], channels: int,
                 norm_cfg: Mapping[str, Any] | None, separable: bool = False,
                 dropblock_cfg: Mapping[str, Any] | None = None, variant: str = 'authors',
                 conv: nn.Module | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.level = level
        self.op = op
        self.input_levels = tuple(input_levels)
        rules = get_variant(variant)
        self.merge = rules.merge_ops[op]
        self.upsampling_steps = max(0, *input_levels, level) - level if rules.is_aligned else 0
        self.conv = conv if conv is not None else build_conv(
            channels, channels, 3, norm_cfg, separable, bias_under_norm=rules.has_conv_bias)
        self.drop_block = None if dropblock_cfg is None else DropBlock(**dropblock_cfg)

    def forward(self, inputs: Sequence[Tensor], loose_ends: Sequence[Tensor] = ()) -> Tensor:
        """Merge the inputs.

        Args:
            inputs (Sequence[Tensor]): The maps, (N, C, H, W), each resized to the cell's level; but with
                ``variant='authors'`` the coarser of two stays at its own level where that is above the
                cell's, which upsamples it.
            loose_ends (Sequence[Tensor]): Maps of the cell's own level that are added before
                the ReLU, (N, C, H, W).

        Returns:
            Tensor: Shape (N, C, H, W), without a ReLU: the next cell starts with its own.
        """
        merged = inputs[0]
        if len(inputs) == 2:
            coarse, fine = inputs
            if self.input_levels[0] < self.input_levels[1]:
                coarse, fine = fine, coarse
            merged = self.merge(coarse, fine, self.upsampling_steps)
        for x in loose_ends:
            merged = merged + x
        # In place where the map is this cell's own: nothing needs what it was before.
        x = self.conv(F.relu(merged, inplace=len(inputs) + len(loose_ends) > 1))
        return x if self.drop_block is None else self.drop_block(x)

    def extra_repr(self) -> str:
        """Say what the cell merges, for ``print(model)``."""
        return f'level={self.level}, op={self.op}, input_levels={self.input_levels}'
