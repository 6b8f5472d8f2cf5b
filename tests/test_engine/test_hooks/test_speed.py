"""The switches for speed leave what is trained and detected, but for the precision asked for."""
import copy
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.structures.bbox import bbox_overlaps
from mmengine.fileio import load
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from mmnasfpn.checkpoints.fit import unwrapped
from mmnasfpn.engine import run as engine
from mmnasfpn.engine.hooks import AutocastHook, ChannelsLastHook
from mmnasfpn.engine.run import evaluate, load_config, train
from mmnasfpn.models.fold import fold_norms
from mmnasfpn.models.precision import give_rois_plain_maps
from mmnasfpn.registry import HOOKS
from tests.conftest import run_tool_here
from tests.test_engine.test_hooks.test_drop_block import StoppedError
from tests.test_models import test_anytime as anytime
from tests.test_models.test_fold import with_statistics

#: Wide enough to be trained channels last on a CPU.
WIDE = {'model.backbone.base_channels': 16, 'model.neck.in_channels': [16, 32, 64, 128],
        'model.test_cfg.score_thr': 0.0}


@HOOKS.register_module()
class WatchHook(Hook):
    """Note what neck and head give, what arrives there backward, and which norms run."""

    priority = 'LOWEST'
    seen: Counter = Counter()

    def before_run(self, runner):
        self.seen.clear()
        model = unwrapped(runner.model)
        model.neck.register_forward_hook(self.see_maps)
        model.bbox_head.register_forward_hook(self.see_outputs)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_hook(lambda *_: self.seen.update(['norm']))

    def see_maps(self, neck, inputs, maps):
        mode = 'train' if neck.training else 'test'
        # Not the coarsest, where the layouts are hard to tell apart.
        self.seen.update((mode, 'map', x.dtype, layout(x)) for x in maps[:2])
        if neck.training:
            for x in maps[:2]:
                x.register_hook(lambda grad: self.seen.update([('gradient', layout(grad))]))

    def see_outputs(self, head, inputs, outputs):
        self.seen.update(('output', x.dtype) for maps in outputs for x in maps)


def layout(x):
    assert not (x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last))
    return 'last' if x.is_contiguous(memory_format=torch.channels_last) else 'first'


def config_of(tiny_config, work_dir, *hooks, **options):
    cfg = load_config(str(tiny_config), str(work_dir), {**WIDE, **options})
    cfg.experiment_name = cfg.visualizer.name = f'{work_dir}-{len(list(work_dir.glob("*")))}'
    cfg.custom_hooks = [*hooks, dict(type='mmnasfpn.WatchHook')]
    return cfg


def trained(tiny_config, work_dir, *hooks, epochs=1, options=None, **switches):
    """Train, and return the weights and what was seen."""
    cfg = config_of(tiny_config, work_dir, *hooks, **{
        'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs, **(options or {})})
    train(cfg, **switches)
    return weights(work_dir, epochs), set(WatchHook.seen)


def weights(work_dir, epoch=3):
    return torch.load(work_dir / f'epoch_{epoch}.pth', weights_only=False)['state_dict']


def detected(tiny_config, work_dir, checkpoint, *hooks, **switches):
    """Test, and return the metrics, each image's detections and what was seen."""
    cfg = config_of(tiny_config, work_dir, *hooks)
    metrics = evaluate(cfg, str(checkpoint), out=str(work_dir / 'out.pkl'), **switches)
    samples = [sample['pred_instances'] for sample in load(str(work_dir / 'out.pkl'))]
    return metrics, samples, set(WatchHook.seen)


def build(tiny_config):
    cfg = load_config(str(tiny_config), cfg_options=WIDE)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = with_statistics(MODELS.build(cfg.model).eval())
    with torch.no_grad():  # so that scores and boxes are spread, but not out of range
        model.bbox_head.retina_cls.weight *= 0.1
        model.bbox_head.retina_reg.weight *= 0.02
    return model


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """A checkpoint of random weights and statistics."""
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict=build(tiny_config).state_dict()), path)
    return path


def autocast(model, dtype='bfloat16'):
    AutocastHook(dtype).before_run(SimpleNamespace(model=model))


def assert_same(found, expected, tolerance=1e-3):
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert len(theirs['scores']) > 0
        for key, value in theirs.items():
            torch.testing.assert_close(mine[key], value, rtol=tolerance, atol=tolerance)


def assert_near(found, expected, start):
    """Check that trained weights differ by far less than the training changed them."""
    start = torch.load(start, weights_only=False)['state_dict']
    found, expected, start = (torch.cat([x.flatten() for name, x in state.items() if 'weight' in name])
                              for state in (found, expected, start))
    assert (expected - start).norm() > 0
    assert (found - expected).norm() < 0.01 * (expected - start).norm()


def test_channels_last_trains_and_validates_with_all_maps_so(tiny_config, tmp_path, checkpoint):
    # The same random numbers are other weights channels last; AdamW magnifies the smallest gradients.
    start = {'load_from': str(checkpoint), 'optim_wrapper.optimizer.type': 'SGD'}
    plain, seen = trained(tiny_config, tmp_path / 'plain', options=start)
    assert {entry[-1] for entry in seen if 'map' in entry or 'gradient' in entry} == {'first'}
    found, seen = trained(tiny_config, tmp_path / 'last', options=start, channels_last=True)
    assert {entry[-1] for entry in seen if 'map' in entry} == {'last'}
    assert {entry[0] for entry in seen if 'map' in entry} == {'train', 'test'}
    assert ('gradient', 'last') in seen
    assert_near(found, plain, checkpoint)


def test_a_run_channels_last_that_is_stopped_goes_on_equal(tiny_config, tmp_path):
    whole, _ = trained(tiny_config, tmp_path / 'whole', epochs=2, channels_last=True)
    with pytest.raises(StoppedError):
        trained(tiny_config, tmp_path / 'cut', dict(type='mmnasfpn.StopAfter', epochs=1), epochs=2,
                channels_last=True)
    found, seen = trained(tiny_config, tmp_path / 'cut', epochs=2, channels_last=True, resume=True)
    assert ('train', 'map', torch.float32, 'last') in seen
    for name, value in whole.items():
        assert torch.equal(found[name], value), name


def test_a_checkpoint_saved_channels_last_tests_the_same_either_way(tiny_config, tmp_path, checkpoint):
    path = tmp_path / 'last.pth'
    model = build(tiny_config).to(memory_format=torch.channels_last)
    torch.save(dict(state_dict=model.state_dict()), path)
    expected_metrics, expected, seen = detected(tiny_config, tmp_path / 'plain', checkpoint)
    assert ('test', 'map', torch.float32, 'first') in seen
    for name, channels_last in (('first', False), ('last', True)):
        metrics, found, seen = detected(tiny_config, tmp_path / name, path, channels_last=channels_last)
        assert ('test', 'map', torch.float32, name) in seen
        assert_same(found, expected)
        assert metrics == pytest.approx(expected_metrics, abs=1e-3)


def test_folding_changes_no_detection(tiny_config, tmp_path, checkpoint):
    metrics, expected, seen = detected(tiny_config, tmp_path / 'plain', checkpoint)
    assert 'norm' in seen
    found_metrics, found, seen = detected(tiny_config, tmp_path / 'fused', checkpoint, fuse=True)
    assert 'norm' not in seen
    assert_same(found, expected)
    assert found_metrics == pytest.approx(metrics, abs=1e-3)


def test_folding_takes_the_averaged_weights(tiny_config, tmp_path):
    average = dict(type='EMAHook', momentum=0.5)
    trained(tiny_config, tmp_path / 'w', average)
    path = tmp_path / 'w/epoch_1.pth'
    _, expected, _ = detected(tiny_config, tmp_path / 'plain', path, average)
    _, found, seen = detected(tiny_config, tmp_path / 'fused', path, average, fuse=True)
    assert 'norm' not in seen
    assert_same(found, expected)


def test_folding_is_for_the_test_alone(tiny_config, tmp_path):
    fold = dict(type='mmnasfpn.FoldNormsHook')
    found, seen = trained(tiny_config, tmp_path / 'w', fold)
    assert 'norm' in seen
    assert found.keys() == build(tiny_config).state_dict().keys()
    cfg = config_of(tiny_config, tmp_path / 'both', fold, **{'train_cfg.max_epochs': 1})
    runner = engine.build_runner(cfg, ('test_dataloader',), strict_checkpoint=False)
    before = copy.deepcopy(runner.model.state_dict())
    runner.test()
    assert not any('norm' in entry for entry in WatchHook.seen)
    after = runner.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_all_switches_hold_in_test_time_augmentation(tiny_config, tmp_path, checkpoint):
    metrics, found, seen = detected(tiny_config, tmp_path / 'tta', checkpoint, tta=True, fuse=True,
                                    channels_last=True, dtype='bf16')
    assert {entry for entry in seen if 'map' in entry} == {('test', 'map', torch.bfloat16, 'last')}
    assert ('output', torch.float32) in seen and 'norm' not in seen
    assert len(found) == 4 and 'coco/bbox_mAP' in metrics


@pytest.mark.parametrize(('dtype', 'torch_dtype'), [('bf16', torch.bfloat16), ('fp16', torch.float16)])
def test_a_test_of_mixed_precision_finds_nearly_the_same_in_float32(
        dtype, torch_dtype, tiny_config, tmp_path, checkpoint):
    _, expected, _ = detected(tiny_config, tmp_path / 'fp32', checkpoint)
    _, found, seen = detected(tiny_config, tmp_path / dtype, checkpoint, dtype=dtype)
    assert {entry for entry in seen if 'map' in entry} == {('test', 'map', torch_dtype, 'first')}
    assert {entry[1] for entry in seen if 'output' in entry} == {torch.float32}
    for mine, theirs in zip(found, expected, strict=True):
        assert mine['bboxes'].dtype == mine['scores'].dtype == torch.float32
        best = theirs['scores'].topk(10).indices
        overlaps = bbox_overlaps(theirs['bboxes'][best], mine['bboxes'])
        overlaps *= theirs['labels'][best, None] == mine['labels']
        overlap, match = overlaps.max(1)
        is_same = overlap > 0.95  # NMS may keep another of several that overlap
        assert is_same.sum() >= 7
        torch.testing.assert_close(
            mine['scores'][match][is_same], theirs['scores'][best][is_same], rtol=0, atol=0.02)
        assert not torch.equal(mine['scores'], theirs['scores'])


def test_training_in_bfloat16_keeps_weights_and_outputs_float32(tiny_config, tmp_path):
    plain, _ = trained(tiny_config, tmp_path / 'fp32')
    found, seen = trained(tiny_config, tmp_path / 'bf16', dtype='bf16')
    assert {entry for entry in seen if 'map' in entry} == {
        (mode, 'map', torch.bfloat16, 'first') for mode in ('train', 'test')}
    assert {entry[1] for entry in seen if 'output' in entry} == {torch.float32}
    assert {x.dtype for x in found.values() if x.is_floating_point()} == {torch.float32}
    vector, expected = (torch.cat([x.flatten() for name, x in state.items() if 'weight' in name])
                        for state in (found, plain))
    assert 0 < (vector - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize('heads', ['shared', 'own_norms', 'separate'])
def test_every_exit_of_an_anytime_detector_gives_float32(heads, tmp_path):
    model = anytime.build(anytime.config(tmp_path, heads=heads))
    autocast(model)
    maps = []
    model.neck.pyramids[0].register_forward_hook(lambda _, inputs, outputs: maps.extend(outputs))
    data = anytime.batch(1)
    inputs = model.data_preprocessor(data)
    for exit_stack in model.exits:
        model.test_cfg.exit_stack = exit_stack
        with torch.no_grad():
            outputs = model(inputs['inputs'], mode='tensor')
            sample, = model.test_step(data)
        assert {x.dtype for level in outputs for x in level} == {torch.float32}
        assert sample.pred_instances.bboxes.dtype == torch.float32
    assert {x.dtype for x in maps} == {torch.bfloat16}


@pytest.mark.parametrize('heads', ['shared', 'own_norms', 'separate'])
def test_exits_are_the_same_channels_last_and_folded(heads, tmp_path):
    model = anytime.build(anytime.config(tmp_path, heads=heads))
    other = copy.deepcopy(model)
    ChannelsLastHook().before_run(SimpleNamespace(model=other))
    fold_norms(other)
    data = anytime.batch(1)
    inputs = model.data_preprocessor(data)['inputs']
    for exit_stack in model.exits:
        with torch.no_grad():
            expected, found = [], []
            for each, outputs in ((model, expected), (other, found)):
                each.test_cfg.exit_stack = exit_stack
                outputs.extend(x for level in each(inputs, mode='tensor') for x in level)
        for x, y in zip(found, expected, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4 * y.abs().max().item())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_roi_extractors_take_maps_of_any_precision_and_layout(dtype, memory_format):
    extractor = give_rois_plain_maps(SingleRoIExtractor(
        dict(type='RoIAlign', output_size=2, sampling_ratio=0), out_channels=2, featmap_strides=[8]))
    rois = torch.tensor([[0, 100.3, 100.3, 300.7, 300.7]])
    column = torch.arange(64.).expand(1, 64, 64)
    x = torch.stack([column, -column], dim=1)
    found = extractor([x.to(dtype, memory_format=memory_format)], rois)[0]
    left, right = 100.3 / 8 - 0.5, 300.7 / 8 - 0.5
    expected = torch.tensor([left + (right - left) / 4, right - (right - left) / 4]).expand(2, 2)
    torch.testing.assert_close(found, torch.stack([expected, -expected]), rtol=0, atol=1e-3)


def test_of_several_the_last_precision_is_in_force(tiny_config):
    model = build(tiny_config)
    for dtype in ('float16', 'bfloat16', 'bfloat16'):
        autocast(model, dtype)
    dtypes = []
    model.neck.register_forward_hook(lambda neck, inputs, maps: dtypes.extend(x.dtype for x in maps))
    with torch.no_grad():
        model(torch.rand(1, 3, 64, 64), mode='tensor')
    assert set(dtypes) == {torch.bfloat16}
    assert len(model.bbox_head._forward_hooks) == 1


def test_what_pytorch_trains_wrong_channels_last_is_refused(tiny_config, tmp_path):
    cfg = config_of(tiny_config, tmp_path / 'w', **{
        'model.backbone.base_channels': 8, 'model.neck.in_channels': [8, 16, 32, 64]})
    with pytest.raises(ValueError, match=r'backbone\.layer2\.0\.downsample\.0 .* and 8 channels'):
        train(cfg, channels_last=True)
    assert not list((tmp_path / 'w').glob('epoch_*.pth'))


@pytest.mark.parametrize(('arguments', 'words'), [
    (dict(amp=True, dtype='bf16'), '--amp .* --dtype is bf16: leave one out'),
    (dict(dtype='fp16'), "'float16', .*train with --amp, .*or in 'bfloat16'"),
    (dict(dtype='int8'), "dtype is 'int8', .*'fp32', 'bf16', 'fp16'"),
])
def test_a_precision_that_cannot_be_ends_training_before_it_starts(
        arguments, words, tiny_config, tmp_path):
    with pytest.raises(ValueError, match=words):
        train(config_of(tiny_config, tmp_path / 'w'), **arguments)
    assert not list((tmp_path / 'w').glob('epoch_*.pth'))


def test_the_hook_names_a_dtype_that_is_none():
    with pytest.raises(ValueError, match="dtype is 'bf16', but must be one of 'bfloat16', 'float16'"):
        AutocastHook('bf16')


def test_a_config_without_hooks_gets_those_asked_for():
    cfg = engine.Config(dict())
    engine._add_speed_hooks(cfg, channels_last=False, dtype='fp32')
    assert cfg.custom_hooks == []
    cfg = engine.Config(dict(custom_hooks=[dict(type='mmdet.NumClassCheckHook')]))
    engine._add_speed_hooks(cfg, channels_last=True, dtype='fp16', fuse=True)
    assert [hook['type'].split('.')[1] for hook in cfg.custom_hooks] == [
        'NumClassCheckHook', 'ChannelsLastHook', 'AutocastHook', 'FoldNormsHook']


@pytest.mark.parametrize(('tool', 'options', 'expected'), [
    ('train', [], dict(channels_last=False, dtype='fp32')),
    ('train', ['--channels-last', '--dtype', 'bf16'], dict(channels_last=True, dtype='bf16')),
    ('test', ['x.pth'], dict(channels_last=False, dtype='fp32', fuse=False)),
    ('test', ['x.pth', '--channels-last', '--dtype', 'fp16', '--fuse'],
     dict(channels_last=True, dtype='fp16', fuse=True)),
])
def test_the_tools_hand_the_switches_on(tool, options, expected, tiny_config, monkeypatch):
    handed = {}
    function = dict(test='evaluate').get(tool, tool)
    monkeypatch.setattr(engine, function, lambda *args, **kwargs: handed.update(kwargs))
    run_tool_here(monkeypatch, tool, tiny_config, *options)
    assert handed.items() >= expected.items()
