"""MMDetection's box coder in few operations, without waiting for the device."""
import math
from typing import Any

import numpy as np
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import Tensor

from mmnasfpn.models.dense_heads.cached_anchors import to_device

#: Boxes get at most so many times larger or smaller than the anchor, as in MMDetection.
_MAX_LOG_RATIO = abs(math.log(16 / 1000))


def encode(coder: DeltaXYWHBBoxCoder, anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return what ``coder.encode`` does.

    Args:
        coder (DeltaXYWHBBoxCoder): Its means and standard deviations.
        anchors (Tensor): x1, y1, x2, y2, (A, 4).
        boxes (Tensor): One for each anchor, (..., A, 4).

    Returns:
        Tensor: Shifts in sizes of the anchor and logarithms of ratios of sizes, (..., A, 4).
    """
    centre, size = _centre_and_size(anchors)
    box_centre, box_size = _centre_and_size(boxes)
    deltas = torch.cat([(box_centre - centre) / size, torch.log(box_size / size)], -1)
    if any(coder.means):
        deltas.sub_(_constant(coder.means, deltas))
    if any(std != 1 for std in coder.stds):
        deltas.div_(_constant(coder.stds, deltas))
    return deltas


def decode(coder: DeltaXYWHBBoxCoder, anchors: Tensor, deltas: Tensor) -> Tensor:
    """Return what ``coder.decode`` does without ``max_shape``.

    Args:
        coder (DeltaXYWHBBoxCoder): Its means, standard deviations, and clamping.
        anchors (Tensor): x1, y1, x2, y2, (M, 4).
        deltas (Tensor): What :func:`encode` returns, (..., M, 4).

    Returns:
        Tensor: Boxes, x1, y1, x2, y2, (..., M, 4).
    """
    if any(std != 1 for std in coder.stds):
        deltas = deltas * _constant(coder.stds, deltas)
    if any(coder.means):
        deltas = deltas + _constant(coder.means, deltas)
    centre, size = _centre_and_size(anchors)
    shift, log_ratio = size * deltas[..., :2], deltas[..., 2:]
    if coder.add_ctr_clamp:
        shift = shift.clamp(min=-coder.ctr_clamp, max=coder.ctr_clamp)
        log_ratio = log_ratio.clamp(max=_MAX_LOG_RATIO)
    else:
        log_ratio = log_ratio.clamp(min=-_MAX_LOG_RATIO, max=_MAX_LOG_RATIO)
    centre, half = centre + shift, size * log_ratio.exp() * 0.5
    return torch.cat([centre - half, centre + half], -1)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) * 0.5, high - low


def _constant(values: Any, like: Tensor) -> Tensor:
    return to_device(np.asarray(values), like.device, like.dtype)
