"""Detections of the whole batch at once: those of MMDetection as installed."""
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict

from mmnasfpn.models.dense_heads import batched_detections
from tests.heads import FOCAL, Count, make_maps, make_pair, make_truth, make_usual_truth

TEST_CFGS = [
    {}, dict(score_thr=0.3), dict(score_thr=0.0, nms_pre=7), dict(max_per_img=4),
    dict(score_thr=1.0), dict(min_bbox_size=12, score_thr=0.5), dict(min_bbox_size=-1),
    dict(nms=dict(type='soft_nms', iou_threshold=0.5, min_score=0.05), score_thr=0.6),
    dict(nms=dict(type='nms', iou_threshold=0.3, class_agnostic=True)), dict(nms_pre=-1)]


def with_scores_apart(maps, seed, is_softmax):
    """Return logits of scores that differ by more than rounding, which may exchange two of them else."""
    shapes = [(len(x), 4, 3, *x.shape[-2:]) for x in maps]  # image, anchor, class
    numbers = [np.prod(shape).item() for shape in shapes]
    order = torch.randperm(sum(numbers), generator=torch.Generator().manual_seed(seed)).double()
    parts = ((order + 1) / (3.1 * sum(numbers))).split(numbers)  # the sum of classes is below 1
    scores = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
    logits = ([torch.cat([x, 1 - x.sum(2, keepdim=True)], 2).log() for x in scores] if is_softmax
              else [(3 * x).logit() for x in scores])
    return [x.flatten(1, 2).float() for x in logits]


@given(seed=st.integers(0, 2 ** 32), change=st.sampled_from(TEST_CFGS), is_softmax=st.booleans(),
       size=st.tuples(st.integers(20, 130), st.integers(20, 130)), rescale=st.booleans(),
       with_nms=st.booleans(), clip=st.booleans(), batch=st.integers(1, 3))
@settings(max_examples=40)
def test_detections_are_those_of_mmdet(seed, change, is_softmax, size, rescale, with_nms, clip, batch):
    loss_cls = dict(type='CrossEntropyLoss') if is_softmax else FOCAL
    coder = dict(type='DeltaXYWHBBoxCoder', clip_border=clip,
                 target_means=(0, 0, 0.1, 0), target_stds=(0.3, 0.3, 0.5, 0.5))
    ours, theirs = make_pair(loss_cls=loss_cls, bbox_coder=coder, stacked_convs=0)
    scores, deltas = make_maps(ours, size, batch, seed, torch.float32)
    scores = with_scores_apart(scores, seed, is_softmax)
    _, metas, _ = make_truth(seed, [0] * batch, size)
    for index, meta in enumerate(metas):
        meta['scale_factor'] = (0.7 + index, 1.3)
    cfg = ConfigDict({**ours.test_cfg, **change})
    results = [head.predict_by_feat(scores, deltas, None, metas, cfg, rescale, with_nms)
               for head in (ours, theirs)]
    for one, other in zip(*results, strict=True):
        assert set(one.keys()) == set(other.keys()) == {'bboxes', 'scores', 'labels'}
        torch.testing.assert_close(dict(one.items()), dict(other.items()))


def test_candidates_are_looked_for_in_groups_of_images(monkeypatch):
    ours, _ = make_pair()
    scores, deltas = make_maps(ours, (64, 96), 3, dtype=torch.float32)
    metas = make_usual_truth((0, 0, 0))[1]
    together = ours.predict_by_feat(scores, deltas, batch_img_metas=metas)
    monkeypatch.setattr(batched_detections, 'MAX_SCORES', 1)
    for one, other in zip(together, ours.predict_by_feat(scores, deltas, batch_img_metas=metas),
                          strict=True):
        assert len(one)
        torch.testing.assert_close(dict(one.items()), dict(other.items()), rtol=0, atol=0)


def test_detections_take_few_operations_and_waits(monkeypatch):
    ours, theirs = make_pair()
    lists = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, 'tolist', lambda x: (lists.append(x), tolist(x))[1])
    maps, metas = make_maps(ours, (64, 96), 8), make_usual_truth([0] * 8)[1]
    counts = []
    for head in (ours, theirs):
        head.predict_by_feat(*maps, batch_img_metas=metas, with_nms=False)  # makes anchors
        with Count() as count:
            head.predict_by_feat(*maps, batch_img_metas=metas, with_nms=False)
        counts.append(count)
    assert len(counts[0].names) <= 55 and not counts[0].waits
    assert len(lists) == 2 * 2  # twice, for the numbers of candidates, and of those of min_bbox_size
    assert len(counts[1].names) > 400 and len(counts[1].waits) > 20
