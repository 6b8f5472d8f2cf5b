"""The head of NAS-FPNLite (section 4.3)."""
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from mmcv.cnn import DepthwiseSeparableConvModule, build_activation_layer, build_norm_layer
from mmengine.model import bias_init_with_prob, caffe2_xavier_init, normal_init
from torch import Tensor, nn

from mmnasfpn._checks import check_mapping, check_whole_number
from mmnasfpn.models.batch_norm import without_counter
from mmnasfpn.models.dense_heads.batched_detections import BatchedDetections
from mmnasfpn.models.dense_heads.batched_targets import BatchedTargets
from mmnasfpn.models.necks.base import build_conv
from mmnasfpn.registry import MODELS

#: RetinaNet's 9 anchors per position, of sizes from 4 strides on, at P3 to P6.
RETINA_ANCHORS: Mapping[str, Any] = MappingProxyType(dict(
    type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3, ratios=[0.5, 1.0, 2.0],
    strides=[8, 16, 32, 64]))


@MODELS.register_module()
class LiteRetinaHead(BatchedTargets, BatchedDetections):
    """A RetinaNet head with one tower of separable convolutions for classes and boxes.

    The tower's convolutions are shared by all levels, their normalisation is not. The last
    convolutions, for classes and for boxes, are separable too. The paper describes no head; this
    one, of the object detection API that it names, fits the FLOPs and parameters of Table 1.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the neck's maps.
        num_ins (int): Number of levels. Defaults to 4, P3 to P6.
        stacked_convs (int): Convolutions in the tower. Defaults to 4.
        feat_channels (int | None): Channels inside the tower. Defaults to ``in_channels``.
        norm_cfg (Mapping): Normalisation after each convolution of the tower.
        act_cfg (Mapping): Activation after that. Defaults to ReLU6.
        anchor_generator (Mapping): Defaults to RetinaNet's 9 anchors at P3 to P6.
        **kwargs: As for MMDetection's ``AnchorHead``.

    Raises:
        ValueError: If an argument is impossible.
    """

    def __init__(self, num_classes: int, in_channels: int, num_ins: int = 4,
                 stacked_convs: int = 4, feat_channels: int | None = None,
                 norm_cfg: Mapping[str, Any] = MappingProxyType(dict(type='BN')),
                 act_cfg: Mapping[str, Any] = MappingProxyType(dict(type='ReLU6')),
                 anchor_generator: Mapping[str, Any] = RETINA_ANCHORS,
                 **kwargs: Any) -> None:
        feat_channels = in_channels if feat_channels is None else feat_channels
        check_whole_number('num_ins', num_ins, 1)
        check_whole_number('stacked_convs', stacked_convs, 0)
        check_whole_number('feat_channels', feat_channels, 1)
        check_mapping('norm_cfg', norm_cfg)
        check_mapping('act_cfg', act_cfg)
        self.num_ins = num_ins
        self.stacked_convs = stacked_convs
        self.norm_cfg = dict(norm_cfg)
        self.act_cfg = dict(act_cfg)
        super().__init__(num_classes, in_channels, feat_channels,
                         anchor_generator=dict(anchor_generator), **{'init_cfg': None, **kwargs})

    def _init_layers(self) -> None:
        channels = [self.in_channels, *[self.feat_channels] * self.stacked_convs]
        self.convs = nn.ModuleList(
            DepthwiseSeparableConvModule(*pair, 3, padding=1, bias=False, act_cfg=None)
            for pair in pairwise(channels))
        norm_cfg = without_counter(self.norm_cfg)
        self.norms = nn.ModuleList(
            nn.ModuleList(build_norm_layer(norm_cfg, self.feat_channels)[1] for _ in self.convs)
            for _ in range(self.num_ins))
        self.act = build_activation_layer(self.act_cfg)
        self.retina_cls = build_conv(
            channels[-1], self.num_base_priors * self.cls_out_channels, 3, None, separable=True)
        self.retina_reg = build_conv(
            channels[-1], self.num_base_priors * self.bbox_coder.encode_size, 3, None, separable=True)

    def init_weights(self) -> None:
        """Initialise as RetinaNet does: normal of 0.01, and a prior of 0.01 for each class.

        That holds for the pointwise convolutions; the depthwise ones before them keep the scale of
        their maps: after two of 0.01 in a row, maps and gradients would be close to zero.
        """
        super().init_weights()
        for conv in (*self.convs, self.retina_cls, self.retina_reg):
            caffe2_xavier_init(conv.depthwise_conv.conv)
            normal_init(conv.pointwise_conv.conv, std=0.01)
        last: Any = self.retina_cls.pointwise_conv
        nn.init.constant_(last.conv.bias, bias_init_with_prob(0.01))

    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Predict.

        Args:
            feats (Sequence[Tensor]): The neck's maps, fine to coarse, (N, in_channels, H_l, W_l).

        Returns:
            tuple[list[Tensor], list[Tensor]]: Per level, the class logits
            (N, 9 * num_classes, H_l, W_l) and the box deltas (N, 9 * 4, H_l, W_l), where there
            are 9 anchors.
        """
        scores, deltas = [], []
        for x, norms in zip(feats, self.norms, strict=True):
            for conv, norm in zip(self.convs, norms.children(), strict=True):
                x = self.act(norm(conv(x)))
            scores.append(self.retina_cls(x))
            deltas.append(self.retina_reg(x))
        return scores, deltas
