"""The anytime detector: its exits are plain detectors, and what comes after an exit is not computed."""
import copy
import json
import re
import time
import warnings
from dataclasses import replace

import pytest
import torch
from mmcv.cnn import is_norm
from mmdet.structures import DetDataSample
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage, bias_init_with_prob
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.anytime.slim import slim_config, slim_state_dict, spread_head
from mmnasfpn.checkpoints.fit import load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.converters import ConversionError
from mmnasfpn.models.detectors.anytime import HEADS
from mmnasfpn.models.detectors.calibration import (
    Calibration,
    CalibrationError,
    InputLatencies,
    machine_of,
    model_of,
)
from mmnasfpn.models.necks import NASFPN
from tests.conftest import DEMO_CONFIG, REPO

KINDS = {
    'RetinaNet': str(DEMO_CONFIG),
    'FCOS': 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'ATSS': str(REPO / 'configs/nasfpn/atss_r50_nasfpn-3x256-gn_1x_coco.py'),
}
SIZE = (101, 133)


def config(tmp_path, head='RetinaNet', stacks=3, **more):
    path = tmp_path / f'{head}.py'
    path.write_text(f'_base_ = {KINDS[head]!r}\n')
    cfg = Config.fromfile(path)
    backbone = dict(cfg.model.backbone, depth=18, base_channels=4, init_cfg=None)
    neck = dict(type='mmnasfpn.NASFPN', in_channels=[4, 8, 16, 32], out_channels=16, num_outs=5,
                start_level=1, stack_times=stacks, norm_cfg=dict(type='BN'))
    norm = dict(type='GN', num_groups=4) if head != 'RetinaNet' else dict(type='BN')
    cfg.merge_from_dict({'model.bbox_head': dict(
        num_classes=3, in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=norm)})
    cfg.model.type, cfg.model.backbone, cfg.model.neck = 'mmnasfpn.AnytimeDetector', backbone, neck
    cfg.model.data_preprocessor.pad_size_divisor = 1
    cfg.model.test_cfg.score_thr = 0.0
    for key, value in more.items():
        cfg.model[key] = value
    return cfg


def build(cfg, seed=0):
    init_default_scope('mmdet')
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        for p in model.parameters():  # so that exits differ
            if p.dim() == 1:
                p.add_(0.1 * torch.randn_like(p))
        for name, buffer in model.named_buffers():
            if name.endswith('running_mean'):
                buffer.add_(0.1 * torch.randn_like(buffer))
    model.train(False)
    return model


def batch(number=2, seed=0):
    torch.manual_seed(seed)
    return demo_mm_inputs(number, [[3, *SIZE]] * number, num_classes=3, num_items=[2, 3][:number])


def boxes_of(samples):
    return [tuple(sample.pred_instances[key] for key in ('bboxes', 'scores', 'labels'))
            for sample in samples]


def same(one, other):
    return all(torch.equal(x, y) for a, b in zip(one, other, strict=True)
               for x, y in zip(a, b, strict=True))


def flat(outputs):
    return [x for part in outputs for x in part]


def poison(model, exit_stack):
    """Make everything that comes after an exit NaN, and everything that belongs to other exits only."""
    used = {x.data_ptr() for x in slim_state_dict(model.state_dict(), exit_stack).values()}
    for x in model.state_dict().values():
        if x.is_floating_point() and x.data_ptr() not in used:
            x.fill_(torch.nan)


@pytest.mark.parametrize('heads', HEADS)
@pytest.mark.parametrize('head', KINDS)
def test_exits_equal_plain_detectors_bit_for_bit(head, heads, tmp_path):
    cfg = config(tmp_path, head, heads=heads)
    model = build(cfg)
    data = batch()
    with torch.no_grad():
        at_once = {k: boxes_of(samples) for k, samples in model.anytime(copy.deepcopy(data))}
    assert list(at_once) == [1, 2, 3]
    assert not same(at_once[1], at_once[3])
    x = torch.rand(1, 3, *SIZE)
    for k in (1, 2, 3):
        plain = MODELS.build(slim_config(cfg, k).model)
        assert not hasattr(plain, 'exits') and plain.neck.stack_times == k
        plain.load_state_dict(slim_state_dict(model.state_dict(), k))
        plain.train(False)
        model.test_cfg.exit_stack = k
        with torch.no_grad():
            expected = boxes_of(plain.test_step(copy.deepcopy(data)))
            assert same(expected, boxes_of(model.test_step(copy.deepcopy(data))))
            assert same(expected, at_once[k])
            raw, plain_raw = flat(model(x)), flat(plain(x))
        assert all(torch.equal(a, b) for a, b in zip(raw, plain_raw, strict=True))
        assert sum(len(boxes) for boxes, _, _ in expected) > 0


@pytest.mark.parametrize('heads', HEADS)
@pytest.mark.parametrize('exit_stack', [1, 2])
def test_poisoned_weights_after_the_exit_change_nothing(exit_stack, heads, tmp_path):
    model = build(config(tmp_path, heads=heads))
    model.test_cfg.exit_stack = exit_stack
    data = batch()
    x = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        expected, raw = boxes_of(model.test_step(copy.deepcopy(data))), flat(model(x))
        poison(model, exit_stack)
        assert same(expected, boxes_of(model.test_step(copy.deepcopy(data))))
        assert all(torch.equal(a, b) for a, b in zip(raw, flat(model(x)), strict=True))
        model.test_cfg.exit_stack = 3
        assert not any(part.isfinite().all() for part in flat(model(x)))


@pytest.mark.parametrize('heads', HEADS)
def test_an_abandoned_loop_runs_nothing_further(heads, tmp_path):
    model = build(config(tmp_path, heads=heads))
    ran = []
    for name, module in model.named_modules():
        if name == 'backbone' or name in [f'neck.pyramids.{i}' for i in range(3)]:
            module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    for k in (1, 2, 3):
        model.head_of(k).register_forward_pre_hook(lambda *_, k=k: ran.append(f'head {k}'))
    loop = model.anytime(torch.rand(1, 3, *SIZE))
    assert ran == []  # lazy from the start
    assert next(loop)[0] == 1
    head_runs = [name for name in ran if 'head' in name]
    assert [name for name in ran if 'head' not in name] == ['backbone', 'neck.pyramids.0']
    assert 'head 1' in head_runs
    assert len(head_runs) == (1 if heads == 'separate' else 3)  # one head for all has three hooks
    loop.close()
    assert len(ran) == 2 + len(head_runs)
    ran.clear()
    assert [k for k, _ in model.anytime(torch.rand(1, 3, *SIZE))] == [1, 2, 3]
    assert [name for name in ran if 'head' not in name] == [
        'backbone', 'neck.pyramids.0', 'neck.pyramids.1', 'neck.pyramids.2']
    assert torch.is_grad_enabled()


def test_detections_of_each_exit_are_samples_of_their_own(tmp_path):
    model = build(config(tmp_path))
    data = model.data_preprocessor(batch(), False)
    found = dict(model.anytime(data['inputs'], data['data_samples']))
    assert len({id(sample) for samples in found.values() for sample in samples}) == 6
    for samples in found.values():
        for sample, given in zip(samples, data['data_samples'], strict=True):
            assert isinstance(sample, DetDataSample)
            assert sample.ori_shape == given.ori_shape and not sample.pred_instances.bboxes.requires_grad
            assert torch.equal(sample.gt_instances.bboxes, given.gt_instances.bboxes)
    assert 'pred_instances' not in data['data_samples'][0]


def test_a_bare_tensor_is_an_image_that_fills_it(tmp_path):
    model = build(config(tmp_path))
    ((_, (sample,)), *_) = model.anytime(torch.rand(1, 3, *SIZE))
    boxes = sample.pred_instances.bboxes
    assert sample.img_shape == sample.ori_shape == SIZE
    assert len(boxes) and (boxes <= boxes.new_tensor([133, 101, 133, 101])).all()


@pytest.mark.parametrize('heads', HEADS)
@pytest.mark.parametrize('head', KINDS)
def test_losses_of_every_exit_are_weighted_and_reach_every_parameter(head, heads, tmp_path):
    cfg = config(tmp_path, head, heads=heads, exits=[1, 3], loss_weights=[0.25, 2])
    model = build(cfg)
    data = model.data_preprocessor(batch(), True)
    names = {'loss_cls', 'loss_bbox', *(['loss_centerness'] if head != 'RetinaNet' else [])}
    with torch.no_grad():
        weighted = model(**data, mode='loss')  # in evaluation mode: batch norm is as below
    assert set(weighted) == {f'exit{k}.{name}' for k in (1, 3) for name in names}
    for k, weight in ((1, 0.25), (3, 2)):
        plain = MODELS.build(slim_config(cfg, k).model)
        plain.load_state_dict(slim_state_dict(model.state_dict(), k))
        plain.train(False)
        with torch.no_grad():
            losses = plain(**model.data_preprocessor(batch(), True), mode='loss')
        for name, value in losses.items():
            found = weighted[f'exit{k}.{name}']
            total = sum(value) if isinstance(value, list) else value
            assert (sum(found) if isinstance(found, list) else found) == pytest.approx(
                float(weight * total), rel=1e-6)
    model.train()
    loss, logged = model.parse_losses(model(**data, mode='loss'))
    assert {f'exit1.{name}' for name in names} < set(logged)
    assert loss.item() == pytest.approx(float(sum(logged[name] for name in logged if name != 'loss')))
    loss.backward()
    for name, p in model.named_parameters():
        if p.requires_grad:  # some backbones are frozen in part
            assert p.grad is not None and p.grad.isfinite().all(), name


def test_the_last_exit_alone_is_the_plain_detector(tmp_path):
    cfg = config(tmp_path, exits=[3])
    model = build(cfg)
    plain = MODELS.build(slim_config(cfg, 3).model)
    plain.load_state_dict(model.state_dict())
    plain.train()
    model.train()
    data = model.data_preprocessor(batch(), True)
    loss, logged = model.parse_losses(model(**data, mode='loss'))
    expected, _ = plain.parse_losses(plain(**data, mode='loss'))
    assert loss == expected and set(logged) == {'loss', 'exit3.loss_cls', 'exit3.loss_bbox'}
    loss.backward()
    expected.backward()
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_an_exit_of_weight_0_adds_nothing(tmp_path):
    model = build(config(tmp_path, loss_weights=[0, 0, 1]))
    data = model.data_preprocessor(batch(), True)
    _, logged = model.parse_losses(model(**data, mode='loss'))
    assert logged['exit1.loss_cls'] == logged['exit2.loss_bbox'] == 0 < logged['exit3.loss_cls']


def test_each_head_is_initialised_like_the_plain_one(tmp_path):
    init_default_scope('mmdet')
    model = MODELS.build(config(tmp_path, heads='separate').model)
    model.init_weights()
    assert list(model.exit_heads) == ['1', '2'] and model.head_of(3) is model.bbox_head
    for k in (1, 2, 3):
        head = model.head_of(k)
        assert head.retina_cls.bias.unique().tolist() == pytest.approx([bias_init_with_prob(0.01)])
        assert head.retina_reg.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert not torch.equal(model.head_of(1).retina_cls.weight, model.head_of(3).retina_cls.weight)


@pytest.mark.parametrize('heads', HEADS)
def test_a_plain_checkpoint_gets_its_head_after_every_exit(heads, tmp_path):
    cfg = config(tmp_path, heads=heads)
    plain = build(Config(dict(model=slim_config(cfg, 3).model)))
    model = build(cfg, seed=1)
    model.load_state_dict(spread_head(plain.state_dict(), model.state_dict()))
    for k in model.exits:
        slim = slim_state_dict(model.state_dict(), k)
        for name, x in plain.bbox_head.state_dict().items():
            assert torch.equal(slim[f'bbox_head.{name}'], x)
    if heads != 'shared':
        with pytest.raises(ConversionError, match='is of an anytime detector, for it has .*exit'):
            spread_head(model.state_dict(), model.state_dict())


def test_norms_alone_are_each_exits_own(tmp_path):
    plain, shared, own_norms, separate = (
        build(cfg) for cfg in (Config(dict(model=slim_config(config(tmp_path), 3).model)),
                               *(config(tmp_path, heads=heads) for heads in HEADS)))
    size, shared_size, own_norms_size, separate_size = (
        sum(p.numel() for p in model.parameters()) for model in (plain, shared, own_norms, separate))
    head = sum(p.numel() for p in plain.bbox_head.parameters())
    norms = sum(p.numel() for m in plain.bbox_head.modules() if is_norm(m) for p in m.parameters())
    assert (shared_size, own_norms_size, separate_size) == (size, size + 2 * norms, size + 2 * head)
    model = copy.deepcopy(own_norms).train()
    data = model.data_preprocessor(batch(), True)
    model.parse_losses(model(**data, mode='loss'))
    means = [norm.running_mean for norm in model.bbox_head.cls_convs[0][0].bn.values()]
    assert not torch.equal(means[0], means[1]) and not torch.equal(means[1], means[2])


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_older_checkpoints_are_read(prefix, tmp_path):
    model = build(config(tmp_path))
    older = {}
    for name, x in model.state_dict().items():
        if found := re.fullmatch(r'bbox_head\.(.+)\.exit(\d)\.(\w+)', name):
            name = f'exit_norms.{found[2]}.{found[1].replace(".", "/")}.{found[3]}'
        older[prefix + name] = x
    assert f'{prefix}exit_norms.1.cls_convs/0/0/bn.weight' in older
    loaded = build(config(tmp_path), seed=1)
    parent = torch.nn.ModuleDict({'module': loaded}) if prefix else loaded
    parent.load_state_dict(older)
    assert all(torch.equal(x, model.state_dict()[name]) for name, x in loaded.state_dict().items())
    load_weights(build(config(tmp_path)), state_dict_of(dict(state_dict=older)))
    with pytest.raises(CheckpointError, match='weights of exits'):
        load_weights(build(config(tmp_path, heads='shared')), state_dict_of(older))


def test_an_optimizer_and_an_average_of_the_weights_meet_each_parameter_once(tmp_path):
    model = build(config(tmp_path, 'FCOS'))
    optim_wrapper = build_optim_wrapper(model, dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, weight_decay=1e-4),
        paramwise_cfg=dict(bias_lr_mult=2.0, norm_decay_mult=0.0)))
    groups = [p for group in optim_wrapper.optimizer.param_groups for p in group['params']]
    assert {id(p) for p in groups} == {id(p) for p in model.parameters() if p.requires_grad}
    average = ExponentialMovingAverage(model, momentum=0.1, update_buffers=True)
    average.update_parameters(model)  # the first only copies
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    average.update_parameters(model)
    for (name, p), q in zip(model.named_parameters(), average.module.parameters(), strict=True):
        assert torch.allclose(p - 0.9, q, atol=1e-5), name
    x = torch.rand(1, 3, *SIZE)
    average.module.train(False)
    loaded = build(config(tmp_path, 'FCOS'), seed=1)
    loaded.load_state_dict(average.module.state_dict())
    for one, other in zip(average.module.anytime(x), loaded.anytime(x), strict=True):
        assert same(boxes_of(one[1]), boxes_of(other[1]))


def test_norms_of_every_exit_are_initialised_like_those_of_the_last(tmp_path):
    init_default_scope('mmdet')
    model = MODELS.build(config(tmp_path).model)
    first, _, last = model.bbox_head.cls_convs[0][0].bn.values()
    torch.nn.init.constant_(last.weight, 0.5)
    model.bbox_head.init_weights = lambda: None  # so that this norm stays
    model.init_weights()
    assert first.weight.unique().tolist() == [0.5]


@pytest.mark.parametrize(('arguments', 'words'), [
    (dict(heads='own'), r"heads is 'own', but must be one of 'shared', 'own_norms', 'separate'"),
    *((dict(exits=exits), r'exits is .*, but must be a list of at least one of the 3 stacks .*, 1..3')
      for exits in ([0, 3], [1, 4], [], [1, 1, 3], [3, 1], [1.5, 3], [True, 3], 3, '13')),
    *((dict(loss_weights=weights), r'loss_weights is .*, but must be a list of 3 .* exits \[1, 2, 3\]')
      for weights in ([1, 1], [1, -0.5, 1], [1, float('nan'), 1], [1, '2', 1], [0, 0, 0],
                      [1, True, 1], '111', 3)),
    (dict(exits=[1, 3], loss_weights=[1, 1, 1]), r'must be a list of 2 numbers .*exits \[1, 3\]'),
    (dict(test_cfg=dict(exit_stack=4)), r'exit_stack is 4, but there are heads after .*only: 1, 2, 3'),
    (dict(exits=[1, 3], test_cfg=dict(exit_stack=2)), r'exit_stack is 2, .*only: 1, 3'),
    (dict(test_cfg=dict(exit_stack=1.0)), r'exit_stack is 1.0, '),
    (dict(test_cfg=dict(exit_stack=True)), r'exit_stack is True, '),
    (dict(neck=dict(type='mmdet.FPN', in_channels=[4, 8, 16, 32], out_channels=16, num_outs=5)),
     r'the neck is a FPN, but must be a mmnasfpn.NASFPN'),
    (dict(neck=None), r'the neck is a NoneType, but must be a mmnasfpn.NASFPN'),
])
def test_impossible_arguments_are_named(arguments, words, tmp_path):
    cfg = config(tmp_path, **arguments)
    init_default_scope('mmdet')
    with pytest.raises(ValueError, match=words):
        MODELS.build(cfg.model)


def test_stacks_that_no_exit_uses_are_warned_of(tmp_path):
    cfg = config(tmp_path, exits=[1, 2])
    init_default_scope('mmdet')
    with pytest.warns(UserWarning, match=r'stacks after the last exit, 3..3, .*lower stack_times to 2'):
        model = MODELS.build(cfg.model)
    model.train(False)
    assert model.exit_stack == 2
    assert not any(p.requires_grad for p in model.neck.pyramids[2].parameters())
    poison(model, 2)
    assert all(x.isfinite().all() for x in flat(model(torch.rand(1, 3, *SIZE))))


def test_an_exit_without_a_head_is_refused_on_the_built_model(tmp_path):
    model = build(config(tmp_path, exits=[1, 3], test_cfg=dict(
        nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)))
    assert model.exit_stack == 3
    model.test_cfg.exit_stack = 1
    model.test_step(batch())
    model.test_cfg.exit_stack = 2
    for call in (lambda: model.test_step(batch()), lambda: model(torch.rand(1, 3, *SIZE))):
        with pytest.raises(ValueError, match=r'exit_stack is 2, .*only: 1, 3'):
            call()


def test_training_mode_and_inputs_of_another_kind_are_refused(tmp_path):
    model = build(config(tmp_path)).train()
    with pytest.raises(RuntimeError, match=r'training mode.*model.train\(False\)'):
        next(model.anytime(torch.rand(1, 3, *SIZE)))
    model.eval()
    with pytest.raises(ValueError, match=r'inputs is a list, but must be a tensor'):
        next(model.anytime([torch.rand(3, *SIZE)]))
    with pytest.raises(ValueError, match=r'there are 1 data_samples, but 2 images'):
        next(model.anytime(torch.rand(2, 3, *SIZE), [DetDataSample()]))


@pytest.fixture
def calibrated(tmp_path):
    model = build(config(tmp_path))
    with pytest.raises(RuntimeError, match=r'no calibration: .*tools/calibrate.py'):
        model.predict_within(batch(1), 15)
    path = tmp_path / 'c' / 'calibration.json'
    Calibration(machine_of(torch.device('cpu')), model_of(model), (
        InputLatencies(1, SIZE, {1: 10.0, 2: 20.0, 3: 30.0}),
        InputLatencies(2, SIZE, {1: 100.0, 2: 200.0, 3: 300.0}))).save(path)
    model.load_calibration(path)
    return model


def test_the_deepest_exit_that_fits_is_taken(calibrated):
    model = calibrated
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for deadline, expected in ((10, 1), (19.9, 1), (20, 2), (35, 3), (float('inf'), 3)):
            exit_stack, samples = model.predict_within(batch(1), deadline)
            assert exit_stack == expected
            model.test_cfg.exit_stack = expected
            assert same(boxes_of(samples), boxes_of(model.test_step(batch(1))))
        assert model.predict_within(batch(2), 250)[0] == 2  # two images at a time are calibrated apart
        assert model.predict_within(torch.rand(1, 3, *SIZE), 21)[0] == 2


def test_a_deadline_that_no_exit_meets_gives_the_first_and_one_warning(calibrated):
    model = calibrated
    with pytest.warns(RuntimeWarning, match=r'no exit takes 3 ms or less: the first takes 10.0 ms'):
        assert model.predict_within(batch(1), 3)[0] == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for deadline in (3, 0, -1):
            assert model.predict_within(batch(1), deadline)[0] == 1


def test_stacks_beyond_the_deadline_are_not_computed(calibrated):
    model = calibrated
    _, expected = model.predict_within(batch(1), 20)
    poison(model, 2)
    _, samples = model.predict_within(batch(1), 20)
    assert same(boxes_of(expected), boxes_of(samples))


@pytest.mark.parametrize('deadline', [float('nan'), 'soon', None, True])
def test_a_deadline_is_a_number(calibrated, deadline):
    with pytest.raises(ValueError, match='deadline_ms is'):
        calibrated.predict_within(batch(1), deadline)


def test_calibrations_of_something_else_are_refused(calibrated, tmp_path):
    model = calibrated
    with pytest.raises(CalibrationError, match=r'\(1 of 101x133, 2 of 101x133\), not of 1 of 64x64'):
        model.predict_within(torch.rand(1, 3, 64, 64), 20)
    ours = model.calibration
    for what, other, words in (
            ('machine', replace(ours, machine={**ours.machine, 'name': 'Abacus'}),
             r"another machine \(name was 'Abacus', but is .*calibrate.py makes one here"),
            ('threads', replace(ours, machine={**ours.machine, 'threads': 99}), r'threads was 99'),
            ('model', replace(ours, model={**ours.model, 'exits': [1, 2]}),
             r'another model \(exits was \[1, 2\], but is \[1, 2, 3\]'),
            ('exits', replace(ours, inputs=(InputLatencies(1, SIZE, {2: 1.0}),)),
             r'has the exits \[2\], but the model \[1, 2, 3\]')):
        other.save(tmp_path / what)
        with pytest.raises(CalibrationError, match=words):
            model.load_calibration(tmp_path / what)
        assert model.calibration == ours  # the one before stays
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(CalibrationError, match='another machine'):
            model.predict_within(batch(1), 20)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize('text', ['', '[]', '{"machine": {}}', json.dumps(dict(
    machine={}, model={}, inputs=[dict(batch_size=1, image_size=[1], exits={})]))])
def test_a_file_that_is_no_calibration_is_named(text, calibrated, tmp_path):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(CalibrationError, match=r'x.json is not a calibration .*calibrate.py makes one'):
        calibrated.load_calibration(tmp_path / 'x.json')
    with pytest.raises(CalibrationError, match=r'none.json: there is no such file'):
        calibrated.load_calibration(tmp_path / 'none.json')


def test_the_neck_of_exit_1_of_7_takes_at_most_a_quarter_of_the_whole():
    neck = NASFPN([512, 1024, 2048], 128, 5, 7, init_cfg=None)
    neck.train(False)
    maps = [torch.rand(1, c, s, s) for c, s in ((512, 40), (1024, 20), (2048, 10))]

    def run(exit_stack):
        start = time.process_time()  # of this process alone, whatever else the machine does
        pyramids = neck.iter_pyramids(maps)
        for _ in range(exit_stack):
            next(pyramids)
        return time.process_time() - start

    with torch.no_grad():
        run(7)
        times = [(run(1), run(7)) for _ in range(7)]
    shares = sorted(first / whole for first, whole in times)
    assert shares[len(shares) // 2] <= 0.25


def test_a_neck_of_the_users_own_is_asked_for_pyramids(tmp_path):
    @MODELS.register_module(force=True)
    class OwnNeck(NASFPN):
        def forward(self, inputs):
            return super().forward(inputs)

    cfg = config(tmp_path)
    plain = build(cfg)
    cfg.model.neck.type = 'mmnasfpn.OwnNeck'
    model = build(cfg)
    data = batch(1)
    for found, expected in zip(model.anytime(data), plain.anytime(data), strict=True):
        assert same(boxes_of(found[1]), boxes_of(expected[1]))
