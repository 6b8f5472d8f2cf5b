"""A whole detector as one function of images, without anything that an exporter cannot follow."""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from torch import Tensor, nn

from mmnasfpn._checks import check_whole_number
from mmnasfpn.export.operators import keep_by_nms, quotient
from mmnasfpn.models.dense_heads.batched_detections import BatchedDetections
from mmnasfpn.models.detectors import AnytimeDetector

#: What an :class:`ExportableDetector` can return.
OUTPUTS = ('detections', 'candidates', 'raw')

#: TensorRT's TopK gives no more.
MAX_CANDIDATES = 3840

#: Methods that a head must not override, but by ours, which return the same.
_DECODING = ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')
_DECODERS = (BaseDenseHead, BatchedDetections)


class ExportableDetector(nn.Module):
    """Preprocessing, network, and what MMDetection does after it, NMS included.

    The numbers of candidates and detections do not depend on what is in the image. The best
    ``max_candidates`` pairs of a prior and a class go into NMS, and of each level at most
    ``test_cfg.nms_pre``. Otherwise the detections are those of the detector with
    ``test_cfg.nms_pre=max_candidates``.

    Args:
        detector (SingleStageDetector): Of any head that leaves decoding to MMDetection's
            ``BaseDenseHead``: RetinaNet, FCOS, ATSS, RTMDet and others. An :class:`AnytimeDetector` at
            the exit in force. It is put into evaluation mode.
        outputs (str): ``'detections'``; ``'candidates'``, what goes into NMS, for a runtime that has no
            NMS; or ``'raw'``, what the head returns. Defaults to ``'detections'``.
        max_candidates (int): At least 1. Defaults to 3840, the most that TensorRT can sort.

    Raises:
        ValueError: If the detector is of another kind, or there is no such output.
    """

    def __init__(self, detector: nn.Module, outputs: str = 'detections',
                 max_candidates: int = MAX_CANDIDATES) -> None:
        super().__init__()
        check_whole_number('max_candidates', max_candidates, 1)
        if outputs not in OUTPUTS:
            raise ValueError(f'outputs is {outputs!r}, but must be one of {", ".join(OUTPUTS)}')
        if not isinstance(detector, SingleStageDetector):
            raise ValueError(f'the detector is a {type(detector).__name__}, but only single-stage ones '
                             'can be exported')
        self.detector = detector.eval()
        self.head: Any = (detector.head_of(detector.exit_stack)
                          if isinstance(detector, AnytimeDetector) else detector.bbox_head).eval()
        self.outputs = outputs
        self.max_candidates = max_candidates
        cfg = self.head.test_cfg or {}
        self.score_thr = cfg.get('score_thr', 0)
        self.nms_pre = cfg.get('nms_pre', -1)
        self.min_bbox_size = cfg.get('min_bbox_size', -1)
        self.max_per_img = cfg.get('max_per_img', max_candidates)
        self.nms = cfg.get('nms') or {}
        preprocessor = detector.data_preprocessor
        # MMEngine's, which changes no pixel, stands in where there is none.
        if type(preprocessor) is not BaseDataPreprocessor and not isinstance(preprocessor,
                                                                             ImgDataPreprocessor):
            raise ValueError(f'model.data_preprocessor is a {type(preprocessor).__name__}, and export '
                             'knows only that of MMDetection: use mmdet.DetDataPreprocessor')
        if outputs != 'raw':
            self._check_decoding()

    def _check_decoding(self) -> None:
        name = type(self.head).__name__
        own = [method for method in _DECODING
               if getattr(type(self.head), method, None)
               not in [getattr(decoder, method) for decoder in _DECODERS]]
        loss = getattr(self.head, 'loss_cls', None)  # SSD's head has none
        if own or getattr(loss, 'custom_cls_channels', False):
            raise ValueError(f'{name} decodes its boxes in a way of its own ({", ".join(own)}): export '
                             'what it returns instead (--raw)')
        unknown = sorted(set(self.nms) - {'type', 'iou_threshold', 'class_agnostic', 'split_thr'})
        if self.nms.get('type', 'nms') != 'nms' or 'iou_threshold' not in self.nms or unknown:
            raise ValueError(f"model.test_cfg.nms is {dict(self.nms)}, but ONNX has only "
                             "dict(type='nms', iou_threshold=...): set that, or export what the head "
                             'returns (--raw)')

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            images (Tensor): Pixels of 0..255, (N, 3, H, W), of the channel order in which MMCV reads
                images, BGR.

        Returns:
            tuple[Tensor, ...]: For each image, the best first: ``boxes`` (N, K, 4), x1, y1, x2, y2 in
            pixels of the images; ``scores`` (N, K) in 0..1; ``labels`` (N, K). K is
            ``test_cfg.max_per_img``. Where there are fewer, the rest have score 0 and label -1.
            Candidates are the same, in no order, and K at most ``max_candidates``. Or what the head
            returns, level after level, all class scores first.
        """
        maps = self.run_network(images)
        return maps if self.outputs == 'raw' else self.decode(maps, edge_of(images))

    def run_network(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what the head returns, level after level, all class scores first."""
        outputs = self.head(self.detector.extract_feat(self.preprocess(images)))
        return tuple(x for maps in outputs for x in maps)

    def decode(self, maps: Sequence[Tensor], edge: Tensor) -> tuple[Tensor, ...]:
        """Return the detections or candidates, as :meth:`forward` does.

        Args:
            maps (Sequence[Tensor]): What the head returned.
            edge (Tensor): The largest values of a box in the images, as :func:`edge_of` returns them.
        """
        levels = self.head.prior_generator.num_levels
        outputs = [maps[start:start + levels] for start in range(0, len(maps), levels)]
        boxes, scores, labels = self._candidates(*outputs, edge=edge)
        if self.outputs == 'candidates':
            return _blank(boxes, scores, labels)
        keep = keep_by_nms(self._set_apart(boxes, labels), scores, float(self.nms['iou_threshold']),
                           self.max_per_img)
        kept = torch.where(keep > 0, scores, torch.full_like(scores, -1))
        scores, index = kept.topk(min(self.max_per_img, kept.shape[1]))  # (N, K)
        return _blank(_take(boxes, index), scores, labels.gather(1, index))

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise images, and pad them at the bottom and the right until the size divides.

        As the detector's data preprocessor does at test time; without one, images stay as they are.
        """
        preprocessor: Any = self.detector.data_preprocessor
        if not isinstance(preprocessor, ImgDataPreprocessor):
            return images
        if preprocessor._channel_conversion:
            images = images.flip(1)
        if preprocessor._enable_normalize:
            images = (images - preprocessor.mean) / preprocessor.std
        divisor = preprocessor.pad_size_divisor
        below, beside = (-pixels % divisor for pixels in images.shape[-2:])
        return F.pad(images, (0, beside, 0, below), value=preprocessor.pad_value)

    def _candidates(self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor],
                    score_factors: Sequence[Tensor] | None = None, *,
                    edge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (N, M, 4), scores (N, M), -1 where there is none, and labels (N, M)."""
        head = self.head
        priors = torch.cat(head.prior_generator.grid_priors(
            [x.shape[-2:] for x in cls_scores], dtype=cls_scores[0].dtype, device=cls_scores[0].device))
        classes = head.cls_out_channels - (not head.use_sigmoid_cls)  # without the background
        best, index = self._best_of_levels(cls_scores)
        prior = quotient(index, classes)
        labels = index - prior * classes
        prior = prior.minimum(prior.new_full((), priors.shape[0] - 1))
        deltas = _take(_flat(bbox_preds, head.bbox_coder.encode_size), prior)
        points = priors[prior]
        # (N * M, 4) each: MMDetection's coders take no batches.
        boxes = head.bbox_coder.decode(points.flatten(0, 1), deltas.flatten(0, 1))
        boxes = boxes.unflatten(0, best.shape)
        if head.bbox_coder.clip_border:
            boxes = boxes.clamp(min=0).minimum(edge)
        is_valid = best > self.score_thr
        if self.min_bbox_size >= 0:
            is_valid = is_valid & (boxes[..., 2:] - boxes[..., :2] > self.min_bbox_size).all(-1)
        if score_factors is not None:
            best = best * _flat(score_factors, 1).sigmoid().squeeze(-1).gather(1, prior)
        return boxes, torch.where(is_valid, best, torch.full_like(best, -1)), labels

    def _best_of_levels(self, cls_scores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the best scores (N, M), and which of all levels' pairs of a prior and a class they are.

        Where a level has fewer than it should give, the rest are -1.
        """
        head = self.head
        wanted = self.nms_pre if 0 < self.nms_pre < self.max_candidates else self.max_candidates
        parts = []
        start = 0
        for level in cls_scores:
            scores = _flat([level], head.cls_out_channels)  # (N, priors, classes)
            scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[..., :-1]
            scores = scores.flatten(1)
            best, index = F.pad(scores, (0, wanted), value=-1).topk(wanted)
            parts.append((best, index + start))
            start += scores.shape[1]
        best, index = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        if best.shape[1] > self.max_candidates:
            best, order = best.topk(self.max_candidates)
            index = index.gather(1, order)
        return best, index

    def _set_apart(self, boxes: Tensor, labels: Tensor) -> Tensor:
        """Move the boxes of each class to where those of no other are, as MMCV's NMS does."""
        if self.nms.get('class_agnostic', False):
            return boxes
        return boxes + (labels * (boxes.amax((1, 2))[:, None] + 1))[..., None]


def edge_of(images: Tensor) -> Tensor:
    """Return the largest x1, y1, x2 and y2 of a box in images, (4,): their columns and rows."""
    rows, columns = (torch.full((), pixels, dtype=images.dtype, device=images.device)
                     for pixels in images.shape[-2:])
    return torch.stack([columns, rows, columns, rows])


def _blank(boxes: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """Return them with score 0, label -1 and an empty box where the score is not above 0."""
    found = scores > 0
    return boxes * found[..., None], scores * found, torch.where(found, labels, -1)


def _flat(maps: Sequence[Tensor], channels: int) -> Tensor:
    """(N, priors * channels, H_i, W_i) each -> (N, sum of H_i * W_i * priors, channels)."""
    return torch.cat([x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, channels) for x in maps], 1)


def _take(x: Tensor, index: Tensor) -> Tensor:
    """(N, n, C), (N, M) -> (N, M, C)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
