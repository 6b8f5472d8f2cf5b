"""Operators of PyTorch that become those of ONNX which we want."""
from collections.abc import Callable
from typing import Any

import torch
from mmcv.ops import nms
from torch import Tensor


@torch.library.custom_op('mmnasfpn::keep_by_nms', mutates_args=())
def keep_by_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, max_per_img: int) -> Tensor:
    """Say which boxes non-maximum suppression keeps.

    Args:
        boxes (Tensor): x1, y1, x2, y2, (N, M, 4).
        scores (Tensor): Shape (N, M). Those not above 0 are not kept.
        iou_threshold (float): Of two boxes that overlap by more, the one of the lower score is removed.
        max_per_img (int): How many to keep at most, the best ones.

    Returns:
        Tensor: 1 or 0 for each box, (N, M).
    """
    keep = torch.zeros_like(scores)
    for own_boxes, own_scores, own_keep in zip(boxes, scores, keep, strict=True):
        candidates = (own_scores > 0).nonzero().flatten()
        _, kept = nms(own_boxes[candidates], own_scores[candidates], iou_threshold)
        own_keep[candidates[kept[:max_per_img]]] = 1
    return keep


@keep_by_nms.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, max_per_img: int) -> Tensor:
    return torch.empty_like(scores)


def _onnx_keep_by_nms(boxes: Any, scores: Any, iou_threshold: float, max_per_img: int) -> Any:
    """Write :func:`keep_by_nms` in ONNX's operators."""
    from onnxscript import opset18

    op: Any = opset18
    number = op.Constant(value_ints=[max_per_img])
    overlap = op.Constant(value_floats=[iou_threshold])
    least = op.Constant(value_floats=[0.0])
    classes = op.Unsqueeze(scores, op.Constant(value_ints=[1]))  # (N, 1, M)
    selected = op.NonMaxSuppression(boxes, classes, number, overlap, least)  # (S, 3): image, class, box
    index = op.Gather(selected, op.Constant(value_ints=[0, 2]), axis=1)  # (S, 2)
    ones = op.Expand(op.Constant(value_float=1.0), op.Shape(selected, start=0, end=1))
    return op.ScatterND(op.Sub(scores, scores), index, ones)


@torch.library.custom_op('mmnasfpn::quotient', mutates_args=())
def quotient(index: Tensor, divisor: int) -> Tensor:
    """Divide whole numbers that are not negative, and leave out the remainder.

    ``//`` does so for negative ones too, which in ONNX takes six operators more.
    """
    return index // divisor


@quotient.register_fake
def _(index: Tensor, divisor: int) -> Tensor:
    return torch.empty_like(index)


def _onnx_quotient(index: Any, divisor: int) -> Any:
    from onnxscript import opset18

    op: Any = opset18
    return op.Div(index, op.Constant(value_int=divisor))


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what PyTorch's exporter calls for each of our operators."""
    return {torch.ops.mmnasfpn.keep_by_nms.default: _onnx_keep_by_nms,
            torch.ops.mmnasfpn.quotient.default: _onnx_quotient}
