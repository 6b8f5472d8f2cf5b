"""Detections of all images and levels at once."""
import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.structures import InstanceData
from torch import Tensor

from mmnasfpn.models.dense_heads.box_deltas import decode
from mmnasfpn.models.dense_heads.cached_anchors import CachedAnchors, join_levels, sizes_of, to_device

#: Scores that are looked through at once: about 0.3 GB.
MAX_SCORES = 2 ** 25


class BatchedDetections(CachedAnchors):
    """Mix-in over MMDetection's ``AnchorHead``: its detections in few operations.

    The candidates of all levels and images are found, sorted and decoded at once. Then each image goes
    through MMDetection's non-maximum suppression. The device is waited for once for the number of
    candidates, once more where ``test_cfg.min_bbox_size`` is set, and by the suppression.
    """

    def predict_by_feat(self, cls_scores: list[Tensor], bbox_preds: list[Tensor],
                        score_factors: list[Tensor] | None = None,
                        batch_img_metas: list[dict] | None = None, cfg: Any = None,
                        rescale: bool = False, with_nms: bool = True) -> list[InstanceData]:
        """Return the detections that MMDetection's ``BaseDenseHead`` does, in the same order.

        Args:
            cls_scores (list[Tensor]): For each level, (N, anchors * classes, H, W).
            bbox_preds (list[Tensor]): For each level, (N, anchors * 4, H, W).
            score_factors (list[Tensor] | None): Left to MMDetection. Defaults to None.
            batch_img_metas (list[dict]): For each image ``img_shape``, and ``scale_factor`` to rescale.
            cfg (ConfigDict | None): Defaults to ``test_cfg``.
            rescale (bool): Give boxes in pixels of the original image. Defaults to False.
            with_nms (bool): Remove overlapping boxes. Defaults to True.

        Returns:
            list[InstanceData]: For each image ``bboxes`` (x1, y1, x2, y2) in pixels, ``scores`` in 0..1
            and ``labels``.
        """
        cfg = self.test_cfg if cfg is None else cfg
        if not self._decodes_plainly(score_factors, cfg):
            return super().predict_by_feat(cls_scores, bbox_preds, score_factors, batch_img_metas, cfg,
                                           rescale, with_nms)
        assert batch_img_metas is not None
        each = sum(x[0].numel() for x in cls_scores)
        step = max(1, MAX_SCORES // each)  # images at a time, so that memory stays bounded
        results = []
        for start in range(0, len(batch_img_metas), step):
            part = slice(start, start + step)
            results += self._detect([x[part].detach() for x in cls_scores],
                                    [x[part].detach() for x in bbox_preds], batch_img_metas[part], cfg,
                                    rescale, with_nms)
        return results

    def _decodes_plainly(self, score_factors: Any, cfg: Mapping[str, Any]) -> bool:
        """Say whether the head finds its detections as it is done here."""
        generator = self.prior_generator
        return (score_factors is None and cfg.get('nms_pre', -1) > 0
                and all(getattr(type(self), name) is getattr(BaseDenseHead, name)
                        for name in ('_predict_by_feat_single', '_bbox_post_process'))
                and type(self.bbox_coder) is DeltaXYWHBBoxCoder and not self.bbox_coder.use_box_type
                and isinstance(generator, AnchorGenerator) and not generator.use_box_type
                and len(set(generator.num_base_priors)) == 1
                and not getattr(self.loss_cls, 'custom_cls_channels', False)
                and not torch.jit.is_tracing())

    def _detect(self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor],
                metas: Sequence[Mapping[str, Any]], cfg: Any, rescale: bool,
                with_nms: bool) -> list[InstanceData]:
        sizes = sizes_of(cls_scores)
        logits = join_levels(cls_scores, self.cls_out_channels)
        scores = logits.sigmoid_() if self.use_sigmoid_cls else logits.softmax(-1)[..., :-1]
        counts, index, best = self._candidates(scores, sizes, cfg)
        rows, labels = index // scores.shape[2], index % scores.shape[2]
        anchors = self._anchors_of(sizes, scores.device, cls_scores[0].dtype)
        deltas = join_levels(bbox_preds, 4).flatten(0, 1)
        boxes = decode(self.bbox_coder, anchors[rows % len(anchors)], deltas[rows])
        images = rows // len(anchors)
        boxes = self._in_pixels(boxes, images, metas, rescale)
        if cfg.get('min_bbox_size', -1) >= 0:
            is_large = (boxes[:, 2:] - boxes[:, :2] > cfg['min_bbox_size']).all(1)
            sums = images.new_zeros(len(metas)).index_add_(0, images, is_large.long())
            counts = sums.tolist()  # waits
            large = _nonzero(is_large, sum(counts))
            boxes, best, labels = boxes[large], best[large], labels[large]
            cfg = copy.deepcopy(cfg)
            cfg['min_bbox_size'] = -1  # done
        ends = np.cumsum([0, *counts]).tolist()
        return [self._bbox_post_process(
            InstanceData(bboxes=boxes[start:end], scores=best[start:end], labels=labels[start:end]),
            cfg, with_nms=with_nms, img_meta=meta)
            for (start, end), meta in zip(pairwise(ends), metas, strict=True)]

    def _candidates(self, scores: Tensor, sizes: Sequence[tuple[int, int]],
                    cfg: Mapping[str, Any]) -> tuple[list[int], Tensor, Tensor]:
        """Find the best scores of each level of each image.

        Returns:
            tuple[list[int], Tensor, Tensor]: How many there are of each image; where they are in the
            flattened scores, and their values. Of each image the finest level's come first, and of each
            level the best.
        """
        is_candidate = scores > cfg.get('score_thr', 0)
        numbers = [rows * columns * self.num_base_priors for rows, columns in sizes]
        sums = torch.stack([x.sum((1, 2)) for x in is_candidate.split(numbers, 1)], 1)  # (N, levels)
        found = np.array(sums.tolist())  # waits
        index = _nonzero(is_candidate.flatten(), int(found.sum()))
        values = scores.flatten()[index]
        # A stable sort by score, then one by group, as each level's own sort.
        groups = to_device(np.repeat(np.arange(found.size), found.flatten()), scores.device)
        order = values.sort(descending=True, stable=True).indices
        order = order[groups[order].sort(stable=True).indices]
        kept = np.minimum(found, cfg['nms_pre'])
        if (kept < found).any():
            starts = np.cumsum(found) - found.flatten()
            first = [start + np.arange(number)
                     for start, number in zip(starts, kept.flatten(), strict=True)]
            order = order[to_device(np.concatenate(first), scores.device)]
        return kept.sum(1).tolist(), index[order], values[order]

    def _in_pixels(self, boxes: Tensor, images: Tensor, metas: Sequence[Mapping[str, Any]],
                   rescale: bool) -> Tensor:
        """Clip boxes (M, 4) to their images, and scale them to the original images."""
        if self.bbox_coder.clip_border:
            shapes = np.array([meta['img_shape'][:2] for meta in metas])[:, [1, 0, 1, 0]]
            limits = to_device(shapes, boxes.device, boxes.dtype)
            boxes = torch.minimum(boxes.clamp_(min=0), limits[images])
        if rescale:
            factors = np.array([[1 / s for s in meta['scale_factor']] * 2 for meta in metas])
            boxes = boxes * to_device(factors, boxes.device, boxes.dtype)[images]
        return boxes


def _nonzero(flags: Tensor, count: int) -> Tensor:
    """Return where flags (M,) are set, of which there are ``count``, without waiting if possible."""
    try:
        return flags.nonzero_static(size=count)[:, 0]
    except NotImplementedError:  # on CUDA before PyTorch 2.7
        return flags.nonzero()[:, 0]
