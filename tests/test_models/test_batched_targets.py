"""Targets and losses of the whole batch at once: those of MMDetection as installed."""
import copy
import pickle
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models import dense_heads
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch._subclasses.fake_tensor import FakeTensorMode

from mmnasfpn.models.dense_heads import (
    LiteRetinaHead,
    RetinaHead,
    RetinaSepBNHead,
    batched_targets,
    max_iou,
)
from tests.conftest import DEMO_CONFIG
from tests.heads import (
    FOCAL,
    SMOOTH_L1,
    STRIDES,
    Count,
    make_maps,
    make_pair,
    make_truth,
    make_usual_truth,
)
from tests.test_models import test_anytime


def targets_of_mmdet(head, scores, instances, metas, ignored):
    anchors = head.get_anchors([x.shape[-2:] for x in scores], metas, device='cpu')
    *levels, factor = head.get_targets(*anchors, instances, metas, ignored)
    return [torch.cat(parts, 1) for parts in levels] + [factor]


def check_targets(ours, theirs, scores, truth):
    try:
        labels, label_weights, boxes, box_weights, factor = targets_of_mmdet(theirs, scores, *truth)
    except ValueError:
        with pytest.raises(ValueError, match=r'no anchor is inside an image of \(\d+, \d+\) pixels'):
            ours.make_targets(scores, *truth)
        return
    targets = ours.make_targets(scores, *truth)
    assert torch.equal(targets.labels, labels)
    assert torch.equal(targets.label_weights, label_weights)
    # Of boxes of no extent, or a negative one, it is infinite, or not a number.
    torch.testing.assert_close(targets.boxes, boxes, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(targets.box_weights[..., None].expand_as(boxes), box_weights)
    assert targets.avg_factor == factor


@given(seed=st.integers(0, 2 ** 32), data=st.data(), counts=st.lists(
           st.one_of(st.just(0), st.integers(0, 8), st.integers(0, 60)), min_size=1, max_size=3),
       size=st.tuples(st.integers(20, 130), st.integers(20, 130)))
@settings(max_examples=50)
def test_targets_are_exactly_those_of_mmdet(seed, data, counts, size):
    draw = data.draw
    assigner = dict(
        pos_iou_thr=draw(st.sampled_from([0.5, 0.3, 0.75])),
        neg_iou_thr=draw(st.sampled_from([0.5, 0.3, (0.1, 0.3), (0.05, 0.5), 0])),
        min_pos_iou=draw(st.sampled_from([0.0, 0.2, 0.5])),
        gt_max_assign_all=draw(st.booleans()), match_low_quality=draw(st.booleans()),
        ignore_iof_thr=draw(st.sampled_from([-1, 0.3, 0.7])), ignore_wrt_candidates=draw(st.booleans()))
    coder = dict(type='DeltaXYWHBBoxCoder', **draw(st.sampled_from([
        {}, dict(target_means=(0.1, 0, 0, -0.2), target_stds=(0.1, 0.1, 0.2, 0.3))])))
    ours, theirs = make_pair(
        assigner=assigner, reg_decoded_bbox=draw(st.booleans()), bbox_coder=coder, stacked_convs=0)
    border = draw(st.sampled_from([-1, 0, 10]))
    for head in (ours, theirs):
        head.train_cfg.allowed_border = border
        head.train_cfg.pos_weight = 2.0 if seed % 2 else -1
    truth = make_truth(seed, counts, size, ignored=draw(st.sampled_from([None, 0, 3])),
                       is_box_type=draw(st.booleans()))
    scores, _ = make_maps(ours, size, len(counts))
    check_targets(ours, theirs, scores, truth)


LOSSES = {
    'focal, smooth L1': (FOCAL, SMOOTH_L1, False),
    'focal, L1': (FOCAL, dict(type='L1Loss'), False),
    'binary cross entropy': (dict(type='CrossEntropyLoss', use_sigmoid=True), SMOOTH_L1, False),
    'cross entropy': (dict(type='CrossEntropyLoss', loss_weight=0.5), SMOOTH_L1, False),
    'ignored class': (dict(type='CrossEntropyLoss', use_sigmoid=True, ignore_index=1), SMOOTH_L1, False),
    'weighted classes': (dict(type='CrossEntropyLoss', class_weight=[1.0, 2, 3, 0.5]), SMOOTH_L1, False),
    'L1 of boxes': (FOCAL, dict(type='L1Loss'), True),
    **{name: (FOCAL, dict(type=f'{name}Loss'), True) for name in (
        'IoU', 'BoundedIoU', 'GIoU', 'DIoU', 'CIoU', 'EIoU', 'SIoU')},
    'by level': (FOCAL, dict(type='BalancedL1Loss'), False),
}


def losses_and_gradients(head, maps, truth):
    scores, deltas = maps
    losses = head.loss_by_feat(scores, deltas, *truth)
    losses = {name: sum(value) for name, value in losses.items()}
    gradients = [torch.autograd.grad(loss, leaves) for loss, leaves in zip(
        losses.values(), (scores, deltas), strict=True)]
    return losses, gradients


@pytest.mark.parametrize('name', LOSSES)
def test_losses_and_gradients_are_those_of_mmdet(name):
    loss_cls, loss_bbox, is_decoded = LOSSES[name]
    ours, theirs = make_pair(loss_cls=loss_cls, loss_bbox=loss_bbox, reg_decoded_bbox=is_decoded,
                             train_cfg=dict(pos_weight=2.0) if name == 'focal, L1' else {})
    for counts in ((5, 0, 2), (0, 0)):
        maps = make_maps(ours, (61, 97), len(counts))
        truth = make_usual_truth(counts, (61, 97))
        torch.testing.assert_close(losses_and_gradients(ours, maps, truth),
                                   losses_and_gradients(theirs, maps, truth), rtol=1e-6, atol=1e-9)
    numbers = [len(x) for x in ours.loss_by_feat(*maps, *truth).values()]
    assert numbers == ([3, 3] if name == 'by level' else [1, 1])


# MMDetection looks at values in the others.
@pytest.mark.parametrize('name', sorted(set(LOSSES) - {'ignored class', 'weighted classes', 'by level'}))
def test_losses_do_not_wait_for_the_device(name):
    loss_cls, loss_bbox, is_decoded = LOSSES[name]
    # Whatever asks for a value fails on the meta device.
    ours, theirs = make_pair(
        loss_cls=loss_cls, loss_bbox=loss_bbox, reg_decoded_bbox=is_decoded,
        assigner=dict(ignore_iof_thr=0.5, neg_iou_thr=(0.1, 0.4)))
    ours.train_cfg.allowed_border = 10
    scores, deltas = ([x.detach().to('meta').requires_grad_() for x in maps]
                      for maps in make_maps(ours, (64, 96), 3))
    instances, metas, ignored = make_truth(0, (5, 0, 2), (64, 96), ignored=3)
    truth = [own.to('meta') for own in instances], metas, [own and own.to('meta') for own in ignored]
    losses = ours.loss_by_feat(scores, deltas, *truth)
    sum(sum(value) for value in losses.values()).backward()
    assert all(x.grad.shape == x.shape for x in (*scores, *deltas))
    with pytest.raises((RuntimeError, NotImplementedError)):
        theirs.loss_by_feat(scores, deltas, *truth)


def test_losses_take_few_operations():
    ours, theirs = make_pair()
    maps, truth = make_maps(ours, (64, 96), 8, dtype=torch.float32), make_usual_truth([10] * 8)
    for head, most in ((ours, 160), (theirs, None)):
        head.loss_by_feat(*maps, *truth)  # makes anchors
        with Count() as count:
            sum(map(sum, head.loss_by_feat(*maps, *truth).values())).backward()
        if most is None:
            assert len(count.names) > 1000 and len(count.waits) > 100
        else:
            assert len(count.names) <= most and not count.waits


def test_images_are_compared_in_groups_that_bound_the_memory(monkeypatch):
    ours, _ = make_pair(assigner=dict(ignore_iof_thr=0.3))
    scores, _ = make_maps(ours, (64, 96), 4)
    truth = make_truth(1, (5, 0, 9, 1), (64, 96), ignored=3)
    ours.train_cfg.allowed_border = 20
    together = ours.make_targets(scores, *truth)
    pairs = []
    overlaps = max_iou._overlaps
    monkeypatch.setattr(max_iou, '_overlaps', lambda *args: (
        pairs.append(tuple(args[0].shape[:2])), overlaps(*args))[1])
    # Groups of boxes and of ignored regions, from the image with the fewest boxes on.
    for most, groups in ((1, [(1, 1), (1, 3), (1, 1), (1, 3), (1, 5), (1, 3), (1, 9), (1, 3)]),
                         (2 * 12 * 4 * 126, [(3, 5), (3, 3), (1, 9), (1, 3)])):
        monkeypatch.setattr(max_iou, 'MAX_PAIRS', most)
        apart = ours.make_targets(scores, *truth)
        torch.testing.assert_close(vars(apart), vars(together), rtol=0, atol=0, equal_nan=True)
        assert pairs == groups
        pairs.clear()


class OwnAssigner(MaxIoUAssigner):
    pass


class OwnHead(RetinaHead):
    def _get_targets_single(self, *args, **kwargs):
        return super()._get_targets_single(*args, **kwargs)


def fp16_overlaps(head):
    head.assigner.iou_calculator.dtype = 'fp16'


def own_assigner(head):
    head.assigner.__class__ = OwnAssigner


def few_on_gpu(head):
    head.assigner.gpu_assign_thr = 2


def moved_boxes(head):
    head.assigner.perm_repeat_gt_cfg = dict(iou_thr=0.7, perm_range=0.01)


@pytest.mark.parametrize('change', [fp16_overlaps, own_assigner, few_on_gpu, moved_boxes])
def test_what_is_assigned_in_another_way_is_left_to_mmdet(change):
    ours, theirs = make_pair()
    maps, truth = make_maps(ours, (64, 96), 2), make_usual_truth()
    assert ours.make_targets(maps[0], *truth) is not None
    for head in (ours, theirs):
        change(head)
    assert ours.make_targets(maps[0], *truth) is None
    with torch.random.fork_rng():
        results = []
        for head in (ours, theirs):
            torch.manual_seed(0)
            results.append(losses_and_gradients(head, maps, truth))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert len(ours.loss_by_feat(*maps, *truth)['loss_cls']) == 3


def test_what_a_subclass_does_in_another_way_is_left_to_it():
    ours, _ = make_pair(ours=OwnHead)
    assert ours.make_targets(make_maps(ours, (64, 96), 2)[0], *make_usual_truth()) is None


def test_samplers_that_sample_are_left_to_mmdet():
    ours, _ = make_pair(train_cfg=dict(sampler=dict(
        type='RandomSampler', num=8, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False)))
    maps, truth = make_maps(ours, (64, 96), 2), make_usual_truth()
    assert ours.make_targets(maps[0], *truth) is None
    assert sum(ours.loss_by_feat(*maps, *truth)['loss_cls']).isfinite()


def test_boxes_of_another_precision_are_left_to_mmdet():
    ours, _ = make_pair()
    instances, metas = make_usual_truth()
    instances[0].bboxes = instances[0].bboxes.double()
    assert ours.make_targets(make_maps(ours, (64, 96), 2)[0], instances, metas) is None


@pytest.mark.parametrize(('ours', 'theirs', 'kwargs'), [
    (RetinaHead, dense_heads.RetinaHead, {}),
    (RetinaSepBNHead, dense_heads.RetinaSepBNHead, dict(num_ins=3, norm_cfg=dict(type='BN')))])
def test_heads_have_the_keys_and_the_losses_of_mmdets(ours, theirs, kwargs):
    ours, theirs = make_pair(ours, theirs, **kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    feats = [torch.randn(2, 4, 64 // stride, 96 // stride) for stride in STRIDES]
    instances, metas = make_usual_truth()
    samples = [DetDataSample(metainfo=meta, gt_instances=own)
               for own, meta in zip(instances, metas, strict=True)]
    losses = [{name: sum(value) for name, value in head.loss(feats, samples).items()}
              for head in (ours, theirs)]
    torch.testing.assert_close(*losses)
    ours.eval(), theirs.eval()
    for one, other in zip(*(head.predict(feats, samples) for head in (ours, theirs)), strict=True):
        torch.testing.assert_close(dict(one.items()), dict(other.items()))


@pytest.mark.parametrize('number', [torch.float32, torch.bfloat16])
def test_heads_run_channels_last_and_in_autocast(number):
    ours, theirs = make_pair()
    feats = [torch.randn(2, 4, 64 // stride, 96 // stride).to(memory_format=torch.channels_last)
             for stride in STRIDES]
    instances, metas = make_usual_truth()
    results = []
    for head in (ours, theirs):
        head.to(memory_format=torch.channels_last).zero_grad()
        with torch.autocast('cpu', number, enabled=number is not torch.float32):
            losses = head.loss_by_feat(*head(feats), instances, metas)
        sum(map(sum, losses.values())).backward()
        results.append([*(sum(value).detach() for value in losses.values()),
                        *(p.grad for p in head.parameters())])
    tolerance = dict(rtol=0.02, atol=1e-3) if number is torch.bfloat16 else {}
    torch.testing.assert_close(*results, **tolerance)


def test_copies_and_pickles_after_a_step_hold_no_anchors_and_do_the_same():
    ours, _ = make_pair()
    maps, truth = make_maps(ours, (64, 96), 2), make_usual_truth()
    ours.train_cfg.allowed_border = 20
    expected = losses_and_gradients(ours, maps, truth)
    assert ours._anchors and ours._flags
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert not other._anchors and not other._flags
        torch.testing.assert_close(losses_and_gradients(other, maps, truth), expected, rtol=0, atol=0)
    assert not any('anchors' in name for name in ours.state_dict())


def test_anchors_are_made_once_for_each_of_the_last_sizes():
    ours, _ = make_pair()
    truth = make_usual_truth()
    made = []
    grid_priors = ours.prior_generator.grid_priors
    ours.prior_generator.grid_priors = lambda *args, **kwargs: (
        made.append(args), grid_priors(*args, **kwargs))[1]
    for size in (64, 96, 64, *range(128, 1000, 32), 64):
        ours.make_targets(make_maps(ours, (size, 32), 2)[0], *truth)
    assert len(made) == 2 + len(range(128, 1000, 32)) + 1
    assert len(ours._anchors) == 8


def test_anchors_of_a_tracer_are_not_kept():
    ours, _ = make_pair()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert ours.make_targets(make_maps(ours, (64, 96), 2)[0], *make_usual_truth()) is not None
    assert not ours._anchors


def test_anchors_made_in_inference_mode_train():
    ours, _ = make_pair(loss_bbox=dict(type='GIoULoss'), reg_decoded_bbox=True)
    maps, truth = make_maps(ours, (64, 96), 2, dtype=torch.float32), make_usual_truth()
    with torch.inference_mode():
        ours.predict_by_feat(*maps, batch_img_metas=truth[1])
    sum(ours.loss_by_feat(*maps, *truth)['loss_bbox']).backward()
    assert any(x.grad.any() for x in maps[1])


def test_positive_samples_are_not_kept():
    ours, _ = make_pair()
    ours.loss_by_feat(*make_maps(ours, (64, 96), 2), *make_usual_truth())
    with pytest.raises(RuntimeError, match=r'mmnasfpn.RetinaHead keeps no positive samples.*mmdet\.'):
        ours.get_positive_infos()


@pytest.mark.parametrize('heads', ['own_norms', 'separate'])
def test_anytime_exits_share_one_assignment(heads, tmp_path, monkeypatch):
    model = test_anytime.build(test_anytime.config(tmp_path, heads=heads)).train()
    data = model.data_preprocessor(test_anytime.batch(), True)
    calls = []
    assign = batched_targets.assign
    monkeypatch.setattr(batched_targets, 'assign', lambda *args: (calls.append(1), assign(*args))[1])
    together = model.loss(data['inputs'], data['data_samples'])
    assert len(calls) == 1
    monkeypatch.setattr('mmnasfpn.models.detectors.anytime.share_targets', nullcontext)
    apart = model.loss(data['inputs'], data['data_samples'])
    assert len(calls) == 1 + 3
    assert list(together) == [f'exit{k}.loss_{name}' for k in (1, 2, 3) for name in ('cls', 'bbox')]
    torch.testing.assert_close(together, apart, rtol=0, atol=0)
    model.loss(data['inputs'], data['data_samples'])
    assert len(calls) == 1 + 3 + 3  # nothing is kept for the next batch


def test_a_training_step_of_the_demos_head_takes_no_waits():
    model = test_anytime.build(Config.fromfile(DEMO_CONFIG)).train()
    assert isinstance(model.bbox_head, RetinaSepBNHead) and model.bbox_head._is_plain()
    instances, metas = make_usual_truth([10] * 2, (128, 128))
    samples = [DetDataSample(metainfo=meta, gt_instances=own)
               for own, meta in zip(instances, metas, strict=True)]
    with Count() as count:
        loss, _ = model.parse_losses(model.loss(torch.rand(2, 3, 128, 128), samples))
        loss.backward()
    assert not count.waits


def test_the_lite_head_makes_targets_at_once():
    head = LiteRetinaHead(3, 8, loss_cls=FOCAL, train_cfg=make_pair()[0].train_cfg)
    maps = [torch.randn(2, 27, 64 // stride, 64 // stride) for stride in (8, 16, 32, 64)]
    assert head.make_targets(maps, *make_usual_truth((3, 0), (64, 64))) is not None


def test_targets_are_made_anew_for_other_anchors_assigners_and_boxes():
    ours, theirs = make_pair()
    maps, truth = make_maps(ours, (64, 96), 2), make_usual_truth([3, 4])
    other = make_usual_truth([2, 5])

    def losses(head, truth):
        return float(sum(map(sum, head.loss_by_feat(*maps, *truth).values())))

    def assert_equal(truth):
        assert losses(ours, truth) == pytest.approx(losses(theirs, truth), rel=1e-5)

    with batched_targets.share_targets():
        assert_equal(truth)
        assert_equal(other)
        for head in (ours, theirs):
            head.assigner.pos_iou_thr = head.assigner.neg_iou_thr = 0.3
        assert_equal(truth)
        for head in (ours, theirs):
            head.prior_generator = TASK_UTILS.build(dict(
                type='AnchorGenerator', octave_base_scale=2, scales_per_octave=2, ratios=[0.5, 1.0],
                strides=STRIDES))
        assert_equal(truth)


@pytest.mark.parametrize('label', [-1, 2])
def test_impossible_labels_are_refused(label):
    ours, _ = make_pair()
    maps, truth = make_maps(ours, (64, 96), 1), make_usual_truth([3])
    truth[0][0].labels[1] = label
    ours.num_classes = 2
    with pytest.raises(ValueError, match=f'a label is {label}, but num_classes is 2'):
        ours.loss_by_feat(*maps, *truth)
