"""The paper's FPN baseline, as its authors run it."""
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmnasfpn._checks import check_mapping
from mmnasfpn.models.batch_norm import without_counter
from mmnasfpn.models.necks.base import AUTHORS_NORM_CFG, XAVIER_INIT_CFG, PyramidNeck, build_conv
from mmnasfpn.models.ops import upsample
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class FPN(PyramidNeck):
    """The FPN of RetinaNet in the authors' code, the baseline of Table 1.

    Each backbone map goes through a 1x1 convolution without normalisation; coarse maps are added
    to fine ones after nearest-neighbour upsampling; a 3x3 convolution makes each output. Coarser
    outputs are 3x3 convolutions of stride 2: the first of the coarsest output, the others of the one
    before after ReLU. Normalisation comes last, one for each output: coarser outputs are made of maps
    that are not normalised.

    Args:
        in_channels (Sequence[int]): Channels of each map that the backbone gives, fine to
            coarse, those before ``start_level`` and after ``end_level`` included.
        out_channels (int): Channels of every map in the neck, the feature dimension.
        num_outs (int): Number of output levels, at least as many as maps are used.
        start_level (int): Index of the first backbone map that is used. Defaults to 0.
        end_level (int): Index of the last one; -1 for the last that there is. Defaults to -1.
        separable (bool): Depthwise separable convolutions throughout, as in FPNLite. Defaults to
            False.
        norm_cfg (Mapping): Normalisation of the outputs. Defaults to the authors' batch
            normalisation.
        init_cfg (Mapping | Sequence | None): MMEngine's initialisation. Defaults to
            Caffe2Xavier on every convolution.

    Raises:
        ValueError: If the arguments are impossible or do not fit each other.

    Example:
        >>> import torch
        >>> neck = FPN([512, 1024, 2048], 256, num_outs=5).eval()
        >>> maps = [torch.rand(1, c, s, s) for c, s in zip(neck.in_channels, (16, 8, 4))]
        >>> [tuple(x.shape[-2:]) for x in neck(maps)]
        [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int,
                 start_level: int = 0, end_level: int = -1, separable: bool = False,
                 norm_cfg: Mapping[str, Any] = AUTHORS_NORM_CFG,
                 init_cfg: Mapping[str, Any] | Sequence | None = XAVIER_INIT_CFG) -> None:
        super().__init__(in_channels, out_channels, num_outs, start_level, end_level, init_cfg)
        check_mapping('norm_cfg', norm_cfg)
        used = self.in_channels[self.used_inputs]
        self.laterals = nn.ModuleList(
            build_conv(channels, out_channels, 1, None, separable) for channels in used)
        self.output_convs = nn.ModuleList(
            build_conv(out_channels, out_channels, 3, None, separable) for _ in used)
        self.coarser_convs = nn.ModuleList(
            build_conv(out_channels, out_channels, 3, None, separable, stride=2)
            for _ in range(num_outs - len(used)))
        self.norms = nn.ModuleList(
            build_norm_layer(without_counter(norm_cfg), out_channels)[1] for _ in range(num_outs))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Make the pyramid; takes and returns maps as :meth:`NASFPN.forward` does."""
        self.check_inputs(inputs)
        maps = [lateral(x) for lateral, x in zip(self.laterals, inputs[self.used_inputs], strict=True)]
        for fine in reversed(range(len(maps) - 1)):
            maps[fine] = maps[fine] + upsample(maps[fine + 1], 1, maps[fine].shape[-2:])
        outs = [conv(x) for conv, x in zip(self.output_convs, maps, strict=True)]
        for index, conv in enumerate(self.coarser_convs):
            outs.append(conv(outs[-1] if index == 0 else F.relu(outs[-1])))
        return tuple(norm(x) for norm, x in zip(self.norms, outs, strict=True))
