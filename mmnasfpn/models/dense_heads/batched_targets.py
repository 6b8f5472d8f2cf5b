"""What anchors are to learn, for all images and levels at once, and the losses of it."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.losses import (
    BoundedIoULoss,
    CIoULoss,
    CrossEntropyLoss,
    DIoULoss,
    EIoULoss,
    FocalLoss,
    GIoULoss,
    IoULoss,
    L1Loss,
    SIoULoss,
    SmoothL1Loss,
)
from mmdet.models.task_modules.assigners import BboxOverlaps2D, MaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.models.task_modules.samplers import PseudoSampler
from mmdet.models.utils import multi_apply
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from mmnasfpn.models.dense_heads.box_deltas import decode, encode
from mmnasfpn.models.dense_heads.cached_anchors import (
    CachedAnchors,
    Sizes,
    join_levels,
    sizes_of,
    to_device,
)
from mmnasfpn.models.dense_heads.max_iou import assign, pad

#: Losses that are a sum over anchors, so that levels can be summed together. Exactly these classes.
_SUMMED_CLS = (FocalLoss, CrossEntropyLoss)
_SUMMED_BBOX = (L1Loss, SmoothL1Loss, IoULoss, BoundedIoULoss, GIoULoss, DIoULoss, CIoULoss, EIoULoss,
                SIoULoss)

#: Methods of ``AnchorHead`` that what is done here stands for.
_REPLACED = ('get_anchors', 'get_targets', '_get_targets_single', 'loss_by_feat_single')


@dataclass(frozen=True)
class Targets:
    """What the A anchors of all levels are to learn in N images, as MMDetection has it.

    Attributes:
        labels (Tensor): Classes, ``num_classes`` for background, (N, A).
        label_weights (Tensor): 0 where an anchor is neither positive nor negative, (N, A).
        boxes (Tensor): Deltas, or boxes with ``reg_decoded_bbox``; 0 if not positive, (N, A, 4).
        box_weights (Tensor): 1 for positive anchors, else 0, (N, A).
        avg_factor (Tensor): What losses are divided by: the number of positive anchors, of each image
            at least 1. Shape ().
    """

    labels: Tensor
    label_weights: Tensor
    boxes: Tensor
    box_weights: Tensor
    avg_factor: Tensor


#: What has been made inside :func:`share_targets`, by what it depends on.
_SHARED: ContextVar[dict[Any, tuple[Targets, Any]] | None] = ContextVar('shared_targets', default=None)


@contextmanager
def share_targets() -> Iterator[None]:
    """Inside it, targets are made once for heads of the same settings, sizes and ground truth."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


class BatchedTargets(CachedAnchors):
    """Mix-in over MMDetection's ``AnchorHead``: its targets and losses in few operations.

    Targets are made for all images and levels at once, losses are calculated for all levels at once, and
    nothing waits for the device. What a head or its settings do in another way than
    ``MaxIoUAssigner`` without sampling is left to MMDetection.
    """

    def loss_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor],
                     batch_gt_instances: list[InstanceData], batch_img_metas: list[dict],
                     batch_gt_instances_ignore: list[InstanceData] | None = None) -> dict:
        """Calculate the losses, as MMDetection's ``AnchorHead`` does.

        Args:
            cls_scores (list[Tensor]): For each level, (N, anchors * classes, H, W).
            bbox_preds (list[Tensor]): For each level, (N, anchors * 4, H, W).
            batch_gt_instances (list[InstanceData]): For each image ``bboxes`` (x1, y1, x2, y2) in pixels
                and ``labels``.
            batch_img_metas (list[dict]): For each image ``pad_shape`` and ``img_shape``.
            batch_gt_instances_ignore (list[InstanceData] | None): For each image the ``bboxes`` of
                regions to ignore, or None.

        Returns:
            dict: ``loss_cls`` and ``loss_bbox``, each a list: of one sum over all levels, or of one loss
            for each level where the loss is of a class that may not be a sum.

        Raises:
            ValueError: If no anchor is inside one of the images, or, on a CPU, a label is impossible.
        """
        targets = self.make_targets(cls_scores, batch_gt_instances, batch_img_metas,
                                    batch_gt_instances_ignore)
        if targets is None:
            return super().loss_by_feat(cls_scores, bbox_preds, batch_gt_instances, batch_img_metas,
                                        batch_gt_instances_ignore)
        return self.loss_of_targets(cls_scores, bbox_preds, targets)

    @torch.no_grad()
    def make_targets(self, cls_scores: Sequence[Tensor], batch_gt_instances: Sequence[InstanceData],
                     batch_img_metas: Sequence[Mapping[str, Any]],
                     batch_gt_instances_ignore: Sequence[InstanceData | None] | None = None
                     ) -> Targets | None:
        """Make the targets of a batch, which do not depend on what the head predicts.

        Args:
            cls_scores (Sequence[Tensor]): For each level, of any values, (N, channels, H, W).
            batch_gt_instances (Sequence[InstanceData]): As for :meth:`loss_by_feat`.
            batch_img_metas (Sequence[Mapping]): As for :meth:`loss_by_feat`.
            batch_gt_instances_ignore (Sequence[InstanceData | None] | None): As for
                :meth:`loss_by_feat`.

        Returns:
            Targets | None: None where they are to be made by MMDetection.

        Raises:
            ValueError: If no anchor is inside one of the images, or, on a CPU, a label is impossible.
        """
        sizes, device = sizes_of(cls_scores), cls_scores[0].device
        if not (self._is_plain() and self._are_usual(batch_gt_instances, device)):
            return None
        truth = batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        shared = _SHARED.get()
        if shared is None:
            return self._make_targets(sizes, device, *truth)
        sources = [*(x for own in batch_gt_instances for x in (own.bboxes, own.labels)),
                   *(batch_gt_instances_ignore or ())]
        key = sizes, device, *map(id, sources), *self._settings()
        if key not in shared:  # the sources live on, so that no others get their ids
            shared[key] = self._make_targets(sizes, device, *truth), sources
        return shared[key][0]

    def _make_targets(self, sizes: Sizes, device: torch.device,
                      batch_gt_instances: Sequence[InstanceData],
                      batch_img_metas: Sequence[Mapping[str, Any]],
                      batch_gt_instances_ignore: Sequence[InstanceData | None] | None) -> Targets:
        self._check_labels(batch_gt_instances)
        boxes = [get_box_tensor(instances.bboxes) for instances in batch_gt_instances]
        ignored = self._ignored(batch_gt_instances_ignore)
        anchors = self._anchors_of(sizes, device, torch.float32)
        flags = self._inside_flags(sizes, batch_img_metas)
        padded = pad(boxes)
        assigned = assign(self.assigner, anchors, padded, [len(x) for x in boxes],
                          None if ignored is None else pad(ignored),
                          None if flags is None else to_device(flags, device))
        labels = pad([instances.labels for instances in batch_gt_instances])
        return self._targets_of(assigned, anchors, padded, labels)

    def _settings(self) -> tuple[Any, ...]:
        """Return what targets depend on besides the images, to be compared with another head's."""
        return (self.num_classes, self.reg_decoded_bbox, str(self.train_cfg), str(vars(self.assigner)),
                str(vars(self.bbox_coder)), str(self.prior_generator))

    def _check_labels(self, batch_gt_instances: Sequence[InstanceData]) -> None:
        """Refuse impossible classes where they can be looked at without waiting."""
        for instances in batch_gt_instances:
            labels = instances.labels
            if labels.is_cpu and type(labels) is Tensor and len(labels):
                low, high = int(labels.numpy().min()), int(labels.numpy().max())
                if low < 0 or high >= self.num_classes:
                    raise ValueError(f'a label is {low if low < 0 else high}, but num_classes is '
                                     f'{self.num_classes}, so that labels must be in '
                                     f'0..{self.num_classes - 1}: set num_classes of the head to that '
                                     'of the data set')

    def _ignored(self, instances: Sequence[InstanceData | None] | None) -> list[Tensor] | None:
        """Return the regions to ignore of each image; None where there are none."""
        if instances is None or self.assigner.ignore_iof_thr <= 0:
            return None
        boxes = [None if own is None else get_box_tensor(own.bboxes) for own in instances]
        some = next((x for x in boxes if x is not None and len(x)), None)
        if some is None:
            return None
        return [some[:0] if x is None else x for x in boxes]

    def _targets_of(self, assigned: Tensor, anchors: Tensor, boxes: Tensor, labels: Tensor) -> Targets:
        is_positive, is_other = assigned > 0, assigned <= 0
        index = (assigned - 1).clamp_(min=0)
        own_labels = labels.gather(1, index).masked_fill_(is_other, self.num_classes)
        own = boxes.gather(1, index[..., None].expand(-1, -1, 4))
        if not self.reg_decoded_bbox:
            own = encode(self.bbox_coder, anchors, own)
        label_weights = (assigned >= 0).float()
        if self.train_cfg['pos_weight'] > 0:
            label_weights.masked_fill_(is_positive, self.train_cfg['pos_weight'])
        return Targets(own_labels, label_weights, own.masked_fill_(is_other[..., None], 0),
                       is_positive.float(), is_positive.sum(1).clamp_(min=1).sum())

    def loss_of_targets(self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor],
                        targets: Targets) -> dict[str, list[Tensor]]:
        """Calculate the losses.

        Args:
            cls_scores (Sequence[Tensor]): As for :meth:`loss_by_feat`.
            bbox_preds (Sequence[Tensor]): As for :meth:`loss_by_feat`.
            targets (Targets): What :meth:`make_targets` returned for the same images.

        Returns:
            dict[str, list[Tensor]]: As :meth:`loss_by_feat` returns.
        """
        self._raw_positive_infos.clear()
        if not self._is_summed():
            return self._loss_by_level(cls_scores, bbox_preds, targets)
        scores = join_levels(cls_scores, self.cls_out_channels).flatten(0, 1)
        labels, weights = targets.labels.flatten(), targets.label_weights.flatten()
        if self._takes_one_hot(scores):
            classes = torch.arange(scores.shape[1], device=scores.device)
            labels, weights = labels[:, None] == classes, weights[:, None]
        loss_cls = self.loss_cls(scores, labels, weights, avg_factor=targets.avg_factor)

        deltas = join_levels(bbox_preds, 4)
        if self.reg_decoded_bbox:
            anchors = self._anchors_of(sizes_of(cls_scores), deltas.device, torch.float32)
            deltas = decode(self.bbox_coder, anchors, deltas)
        # With weights, these losses would wait to see whether one of them is above 0.
        each = self.loss_bbox(deltas.flatten(0, 1), targets.boxes.flatten(0, 1),
                              reduction_override='none')
        weights = targets.box_weights.view(-1, *[1] * (each.dim() - 1))
        eps = torch.finfo(torch.float32).eps  # as MMDetection has it
        return dict(loss_cls=[loss_cls], loss_bbox=[(each * weights).sum() / (targets.avg_factor + eps)])

    def _loss_by_level(self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor],
                       targets: Targets) -> dict[str, list[Tensor]]:
        sizes = sizes_of(cls_scores)
        anchors = self._anchors_of(sizes, cls_scores[0].device, torch.float32)
        everything = (anchors.expand(len(targets.labels), -1, -1), targets.labels, targets.label_weights,
                      targets.boxes, targets.box_weights[..., None].expand_as(targets.boxes))
        numbers = [rows * columns * self.num_base_priors for rows, columns in sizes]
        losses_cls, losses_bbox = multi_apply(
            self.loss_by_feat_single, cls_scores, bbox_preds, *(x.split(numbers, 1) for x in everything),
            avg_factor=targets.avg_factor)
        return dict(loss_cls=losses_cls, loss_bbox=losses_bbox)

    def get_positive_infos(self) -> list[InstanceData] | None:
        """Return what MMDetection's instance segmentation asks heads for.

        Raises:
            RuntimeError: If the last targets were made for all images at once: nothing of it is kept.
        """
        if not self._raw_positive_infos:
            raise RuntimeError(
                f'mmnasfpn.{type(self).__name__} keeps no positive samples of its last loss: take '
                "MMDetection's head (mmdet.RetinaHead) in a detector that asks for them")
        return super().get_positive_infos()

    def _is_plain(self) -> bool:
        """Say whether the head makes targets as it is done here."""
        assigner, generator = self.assigner, self.prior_generator
        return (all(getattr(type(self), name) is getattr(AnchorHead, name) for name in _REPLACED)
                and type(assigner) is MaxIoUAssigner and assigner.perm_repeat_gt_cfg is None
                and type(assigner.iou_calculator) is BboxOverlaps2D
                and assigner.iou_calculator.dtype != 'fp16'
                and type(self.sampler) is PseudoSampler
                and type(self.bbox_coder) is DeltaXYWHBBoxCoder
                and isinstance(generator, AnchorGenerator) and not generator.use_box_type
                and len(set(generator.num_base_priors)) == 1)

    def _are_usual(self, batch_gt_instances: Sequence[InstanceData], device: torch.device) -> bool:
        """Say whether the ground truth is as MMDetection's pipelines give it."""
        boxes = [instances.bboxes for instances in batch_gt_instances]
        return (all(isinstance(x, Tensor | HorizontalBoxes) and x.dtype is torch.float32
                    and x.shape[1:] == (4,) and x.device == device for x in boxes)
                and all(instances.labels.dtype is torch.int64 for instances in batch_gt_instances)
                # Where it matters, MMDetection compares that many boxes on the CPU.
                and not 0 < self.assigner.gpu_assign_thr < max(map(len, boxes)))

    def _is_summed(self) -> bool:
        """Say whether losses of all levels together are the sum of those of the levels."""
        loss_cls, loss_bbox = self.loss_cls, self.loss_bbox
        return (type(loss_cls) in _SUMMED_CLS and type(loss_bbox) in _SUMMED_BBOX
                and loss_cls.reduction == loss_bbox.reduction == 'mean'
                and not getattr(loss_cls, 'use_mask', False))

    def _takes_one_hot(self, scores: Tensor) -> bool:
        """Say whether the loss takes classes as 0 or 1 for each, with which it does not wait."""
        if type(self.loss_cls) is FocalLoss:  # on a GPU, MMCV's takes their numbers
            return not scores.is_cuda or self.loss_cls.activated
        return self.loss_cls.use_sigmoid and self.loss_cls.ignore_index is None
