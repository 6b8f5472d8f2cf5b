"""MMDetection's ``MaxIoUAssigner`` for all images at once, without waiting for the device."""
from collections.abc import Sequence

import numpy as np
import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from torch import Tensor

from mmnasfpn.models.dense_heads.cached_anchors import to_device

#: Pairs of a box and an anchor that are compared at once, at least those of one image: about 0.4 GB.
MAX_PAIRS = 2 ** 24

#: Of a union of boxes, in pixels, as in MMDetection.
_LEAST_AREA = 1e-6


def pad(tensors: Sequence[Tensor]) -> Tensor:
    """Put one tensor of each image, (n_i, ...), in one of shape (N, max(n_i, 1), ...), with zeros."""
    rows = torch.cat([*tensors, tensors[0].new_zeros(1, *tensors[0].shape[1:])])
    return rows[to_device(_rows([len(x) for x in tensors]), rows.device)]


def _rows(counts: Sequence[int]) -> np.ndarray:
    """For each image, where its rows are among those of all images; the one after them pads."""
    index = np.full((len(counts), max(*counts, 1)), sum(counts))
    for row, count, end in zip(index, counts, np.cumsum(counts), strict=True):
        row[:count] = np.arange(end - count, end)
    return index


def assign(assigner: MaxIoUAssigner, anchors: Tensor, boxes: Tensor, counts: Sequence[int],
           ignored: Tensor | None, inside: Tensor | None) -> Tensor:
    """Assign anchors to boxes as ``assigner`` does.

    Images are taken in groups where they have many boxes, to save memory and time.

    Args:
        assigner (MaxIoUAssigner): Its settings.
        anchors (Tensor): x1, y1, x2, y2, (A, 4).
        boxes (Tensor): Boxes of each image, padded with zeros, (N, G, 4).
        counts (Sequence[int]): How many boxes each image has.
        ignored (Tensor | None): Regions in which anchors are neither positive nor negative, padded with
            zeros, (N, I, 4).
        inside (Tensor | None): Which anchors are used in which image, (N, A). None means all.

    Returns:
        Tensor: For each anchor the number of its box, from 1; 0 if it is negative, -1 if it is neither.
        Shape (N, A).
    """
    is_real = to_device(np.arange(boxes.shape[1]) < np.asarray(counts)[:, None], boxes.device)
    num_ignored = 0 if ignored is None else ignored.shape[1]
    groups = _groups([max(count, 1) + num_ignored for count in counts],
                     MAX_PAIRS // max(1, len(anchors)))
    parts = []
    for images in groups:
        # Images of about as many boxes: an image of hundreds does not make the others as large.
        most = max(1, *(counts[image] for image in images))
        part = slice(None) if len(groups) == 1 else to_device(np.array(images), boxes.device)
        parts.append(_assign(assigner, anchors, boxes[part][:, :most], is_real[part][:, :most],
                             None if ignored is None else ignored[part],
                             None if inside is None else inside[part]))
    if len(groups) == 1:
        return parts[0]
    return torch.cat(parts)[to_device(np.argsort(np.concatenate(groups)), boxes.device)]


def _groups(widths: Sequence[int], most: int) -> list[list[int]]:
    """Group images by their numbers of boxes, so that a group, padded, has at most ``most``.

    An image that has more by itself is a group of its own.
    """
    groups: list[list[int]] = []
    for image in sorted(range(len(widths)), key=widths.__getitem__):
        if groups and (len(groups[-1]) + 1) * widths[image] <= most:
            groups[-1].append(image)
        else:
            groups.append([image])
    if len(groups) == 1:
        groups[0].sort()  # as they come
    return groups


def _assign(assigner: MaxIoUAssigner, anchors: Tensor, boxes: Tensor, is_real: Tensor,
            ignored: Tensor | None, inside: Tensor | None) -> Tensor:
    overlaps = _overlaps(boxes, anchors)  # (N, G, A), 0 for padding
    if ignored is not None:
        of = 'anchors' if assigner.ignore_wrt_candidates else 'boxes'
        is_ignored = _overlaps(ignored, anchors, of).amax(1) > assigner.ignore_iof_thr
        overlaps.masked_fill_(is_ignored[:, None], -1)
    if inside is not None:
        overlaps.masked_fill_(~inside[:, None], -torch.inf)
    best, index = overlaps.max(1)  # (N, A); of equal ones the first
    is_positive = best >= assigner.pos_iou_thr
    assigned = (index + 1) * is_positive
    assigned.masked_fill_(~(is_positive | _is_negative(assigner, best)), -1)
    if assigner.match_low_quality:
        matched = _low_quality_matches(assigner, overlaps, is_real)
        assigned = torch.where(matched > 0, matched, assigned)
    # An image without boxes has no anchor that is neither.
    assigned.masked_fill_(~is_real[:, :1], 0)
    return assigned if inside is None else assigned.masked_fill_(~inside, -1)


def _is_negative(assigner: MaxIoUAssigner, best: Tensor) -> Tensor:
    low, high = 0.0, assigner.neg_iou_thr
    if isinstance(high, tuple):
        low, high = high
    elif not isinstance(high, float):  # MMDetection takes nothing else to mean anything
        return torch.zeros_like(best, dtype=torch.bool)
    return (best >= low) & (best < high)


def _low_quality_matches(assigner: MaxIoUAssigner, overlaps: Tensor, is_real: Tensor) -> Tensor:
    """Return the last box of which each anchor is the best, or one of the best; 0 if of none."""
    best, index = overlaps.max(2)  # (N, G)
    is_match = (best >= assigner.min_pos_iou) & is_real
    numbers = torch.arange(1, best.shape[1] + 1, device=best.device, dtype=torch.int32)
    if assigner.gt_max_assign_all:
        best = best.masked_fill(~is_match, torch.inf)
        return ((overlaps == best[..., None]) * numbers[:, None]).amax(1)
    empty = numbers.new_zeros(len(overlaps), overlaps.shape[2])
    return empty.scatter_reduce_(1, index, is_match * numbers, 'amax')


def _overlaps(boxes: Tensor, anchors: Tensor, of: str = 'union') -> Tensor:
    """Return intersections of boxes (N, G, 4) and anchors (A, 4) over unions, or over areas of one."""
    boxes = boxes[:, :, None]
    low = torch.maximum(boxes[..., :2], anchors[:, :2])  # (N, G, A, 2)
    sides = torch.minimum(boxes[..., 2:], anchors[:, 2:]).sub_(low).clamp_(min=0)
    overlaps = sides[..., 0] * sides[..., 1]
    whole = {'boxes': _area(boxes), 'anchors': _area(anchors)} if of != 'union' else {
        of: (_area(boxes) + _area(anchors)).sub_(overlaps)}
    return overlaps.div_(whole[of].clamp_(min=_LEAST_AREA))


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
