"""A checkpoint that does not fit is refused before anything runs; nothing is written then."""
import re
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmdet.apis import DetInferencer
from mmdet.models import necks as mmdet_necks
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import get_state_dict, load_state_dict, weights_to_cpu
from mmengine.runner.checkpoint import save_checkpoint as save_by_mmengine

from mmnasfpn.checkpoints.fit import CheckpointFitHook, check_neck, load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import CheckpointError, load_checkpoint
from mmnasfpn.engine.run import evaluate as run_test
from mmnasfpn.engine.run import load_config, train
from mmnasfpn.genotypes import get_genotype
from tests.conftest import REPO, run_python
from tests.test_checkpoints.test_safe import Calls, make_file


def build(config, options=None):
    cfg = load_config(str(config), cfg_options=options)
    init_default_scope('mmdet')
    return MODELS.build(cfg.model)


def save(state_dict, path, **more):
    torch.save(dict(state_dict=state_dict, **more), path)
    return str(path)


def config_for(config, tmp_path, name=''):
    cfg = load_config(str(config), str(tmp_path / 'w'))
    cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}-{name}'
    return cfg


def with_mmdets_neck(config):
    state_dict = {name: value for name, value in build(config).state_dict().items()
                  if not name.startswith('neck.')}
    neck = mmdet_necks.NASFPN([4, 8, 16, 32], 8, 5, 2, start_level=1, norm_cfg=dict(type='BN'))
    return {**state_dict, **{f'neck.{name}': value for name, value in neck.state_dict().items()}}


def bring_in(way, cfg, checkpoint, **outputs):
    """Let a checkpoint in by one of the ways there are."""
    if way == 'test':
        run_test(cfg, checkpoint, **outputs)
    elif way == 'resume':
        train(cfg, resume=checkpoint)
    elif way == 'load_from':
        cfg.load_from = checkpoint
        train(cfg)
    elif way == 'init_cfg':
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
        train(cfg)
    else:
        DetInferencer(cfg, checkpoint, device='cpu')


WRONG = {
    'another variant': (lambda config: build(config, {'model.neck.variant': 'mmdet'}).state_dict(),
                        r"neck is of variant='mmdet', .* of variant='authors'"),
    'fewer stacks': (lambda config: build(config, {'model.neck.stack_times': 1}).state_dict(),
                     r'lacks \d+ weights .*neck\.pyramids\.1.*stack_times'),
    'more stacks': (lambda config: build(config, {'model.neck.stack_times': 3}).state_dict(),
                    r'has \d+ weights that the model has not .*neck\.pyramids\.2.*stack_times'),
    'another dimension': (lambda config: build(config, {
        'model.neck.out_channels': 16, 'model.bbox_head.in_channels': 16}).state_dict(),
        r'has \d+ weights of other shapes .*is \(16, .*but \(8, '),
    'another genotype of as many cells': (
        lambda config: build(config, {'model.neck.genotype': 'nasfpn_shapes'}).state_dict(),
        r"trained with the genotype 'nasfpn_shapes', but the neck has the genotype 'nasfpn': make "
        r'model\.neck\.genotype agree'),
    "MMDetection's neck": (with_mmdets_neck, r'own NASFPN: convert it .*--from mmdet'),
}


@pytest.mark.parametrize('what', WRONG)
@pytest.mark.parametrize('way', ['test', 'resume', 'load_from'])
def test_a_neck_that_does_not_fit_is_refused(what, way, tiny_config, tmp_path):
    make, words = WRONG[what]
    checkpoint = save(make(tiny_config), tmp_path / 'wrong.pth', meta=dict(epoch=1, iter=3))
    cfg = config_for(tiny_config, tmp_path)
    with pytest.raises(CheckpointError, match=words):
        bring_in(way, cfg, checkpoint, out=str(tmp_path / 'out.pkl'), json_path=str(tmp_path / 'm.json'))
    assert not [*tmp_path.glob('out.pkl'), *tmp_path.glob('m.json'), *tmp_path.glob('w/**/*.pth')]


def test_a_model_is_tested_and_resumed_with_all_of_its_weights(tiny_config):
    model = build(tiny_config)
    state_dict = {**model.state_dict(), 'teacher.w': torch.ones(1)}
    load_weights(model, state_dict)
    load_weights(model, {name: value for name, value in state_dict.items()
                         if not name.endswith('num_batches_tracked')})
    with pytest.raises(CheckpointError, match=r'lacks 1 weights .*backbone\.conv1\.weight'):
        load_weights(model, {name: value for name, value in state_dict.items()
                             if name != 'backbone.conv1.weight'})
    with pytest.raises(CheckpointError, match=r'(?s)other shapes.*retina_cls\.bias.*\[3\].*\[27\]'):
        load_weights(model, {**state_dict, 'bbox_head.retina_cls.bias': torch.ones(3)})


def test_checkpoints_know_their_genotype_whoever_saves_and_loads_them(tiny_config, tmp_path):
    model = build(tiny_config)
    other = build(tiny_config, {'model.neck.genotype': 'nasfpn_shapes'})
    save_by_mmengine(dict(state_dict=weights_to_cpu(get_state_dict(other))), str(tmp_path / 'x.pth'))
    checkpoint = load_checkpoint(tmp_path / 'x.pth')
    for load in (model.load_state_dict, partial(load_state_dict, model), partial(load_weights, model),
                 lambda weights: load_weights(model, state_dict_of(dict(state_dict=weights)))):
        with pytest.raises(ValueError, match="'nasfpn_shapes', but the neck has the genotype 'nasfpn'"):
            load(checkpoint['state_dict'])
    load_weights(model, dict(checkpoint['state_dict']))  # without what was noted
    load_weights(other, checkpoint['state_dict'])


def test_a_genotype_without_a_name_is_shown_by_its_cells(tiny_config):
    weights = build(tiny_config).state_dict()
    cells = [cell.to_dict() for cell in get_genotype('nasfpn').cells]
    cells[0]['op'] = 'sum'
    model = build(tiny_config, {'model.neck.genotype': dict(min_level=3, max_level=7, cells=cells)})
    with pytest.raises(CheckpointError, match=r'has a genotype of 7 cells \(sum of 1 and 3 at P4'):
        load_weights(model, weights)


def test_fine_tuning_may_change_the_head_or_bring_a_backbone_alone(tiny_config):
    model = build(tiny_config)
    check_neck(model, build(tiny_config, {'model.bbox_head.num_classes': 7}).state_dict())
    check_neck(model, {'backbone.conv1.weight': model.backbone.conv1.weight})
    check_neck(model, {'neck.lateral_convs.0.conv.weight': torch.ones(1)})  # an FPN's


def test_weights_alone_are_not_resumed(tiny_config, tmp_path):
    path = save(build(tiny_config).state_dict(), tmp_path / 'x.pth', meta=dict(epoch=1, iter=3))
    cfg = config_for(tiny_config, tmp_path)
    with pytest.raises(CheckpointError, match='not the state of a training.*load_from'):
        train(cfg, resume=path)


def test_weights_that_mmdetection_renames_on_loading_fit():
    head = MODELS.build(dict(type='mmdet.FCOSHead', num_classes=3, in_channels=32, feat_channels=32))
    model = torch.nn.ModuleDict(dict(bbox_head=head))
    old = {name.replace('conv_cls', 'fcos_cls').replace('conv_reg', 'fcos_reg'): value
           for name, value in model.state_dict().items()}
    assert any('fcos_cls' in name for name in old)
    load_weights(model, old)


@pytest.mark.parametrize('state_dict', [{1: torch.ones(1)}, {'neck.x': 3}], ids=str)
def test_what_is_no_weights_is_refused(state_dict, tiny_config, tmp_path):
    cfg = config_for(tiny_config, tmp_path)
    with pytest.raises(CheckpointError, match='no weights by name'):
        run_test(cfg, save(state_dict, tmp_path / 'x.pth'))


def bad_files(tmp_path):
    payload = dict(state_dict={}, meta=dict(x=Calls(make_file, str(tmp_path / 'trace'))))
    torch.save(payload, tmp_path / 'payload.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'payload.pth').read_bytes()[:300])
    return {'payload.pth': 'more than weights', 'cut.pth': 'not a complete PyTorch checkpoint'}


@pytest.mark.parametrize('way', ['test', 'resume', 'load_from', 'init_cfg', 'DetInferencer'])
def test_payloads_and_damage_are_refused_wherever_a_checkpoint_comes_in(way, tiny_config, tmp_path):
    for name, words in bad_files(tmp_path).items():
        path = str(tmp_path / name)
        cfg = config_for(tiny_config, tmp_path, name)
        with pytest.raises(CheckpointError, match=words):
            bring_in(way, cfg, path, json_path=str(tmp_path / 'm.json'))
    assert not (tmp_path / 'trace').exists()
    assert not [*tmp_path.glob('m.json'), *tmp_path.glob('w/**/*.pth')]


def test_the_config_inside_a_checkpoint_is_not_run_on_resuming(tiny_config, tmp_path):
    config = f'open({str(tmp_path / "trace")!r}, "w").close()\n'
    path = save(build(tiny_config).state_dict(), tmp_path / 'x.pth',
                meta=dict(epoch=3, iter=9, config=config, cfg=config), optimizer={}, param_schedulers=[],
                message_hub=dict(runtime_info=dict(cfg=config), resumed_keys={}, log_scalars={}))
    cfg = config_for(tiny_config, tmp_path)
    with pytest.raises(Exception, match='param_groups|schedulers'):  # comes after the config in MMEngine
        train(cfg, resume=path)
    with pytest.raises(ValueError, match='config'):
        DetInferencer(weights=path, device='cpu')
    assert not (tmp_path / 'trace').exists()


def test_the_tool_refuses_and_trusts(tiny_config, tmp_path, tool_env):
    path = save(build(tiny_config).state_dict(), tmp_path / 'x.pth', extra=Calls(print, 'it ran'))
    command = [REPO / 'tools/test.py', tiny_config, path, '--work-dir', tmp_path / 'w']
    with pytest.raises(AssertionError, match=re.escape('holds more than weights')):
        run_python(*command, env=tool_env)
    output = run_python(*command, '--trust-checkpoint', env=tool_env)
    assert 'it ran' in output


@pytest.mark.parametrize('way', ['test', 'resume'])
def test_a_checkpoint_of_classes_in_another_order_is_refused(tiny_config, tmp_path, way):
    checkpoint = save(build(tiny_config).state_dict(), tmp_path / 'a.pth', meta=dict(
        dataset_meta=dict(classes=('square', 'circle', 'triangle'))))
    cfg = config_for(tiny_config, tmp_path)
    with pytest.raises(CheckpointError, match='the same classes in another order'):
        bring_in(way, cfg, checkpoint)


def test_a_checkpoint_of_other_classes_is_a_start_for_ones_own(tiny_config, tmp_path):
    checkpoint = save(build(tiny_config).state_dict(), tmp_path / 'a.pth', meta=dict(
        dataset_meta=dict(classes=('bolt', 'nut', 'screw'))))
    cfg = config_for(tiny_config, tmp_path)
    cfg.train_cfg.max_epochs = 1
    bring_in('load_from', cfg, checkpoint)
    assert (tmp_path / 'w' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize(('trained', 'number'), [
    (('b', 'a'), 1), (('a', 'b'), 0), (['a', 'b'], 0), (('a', 'c'), 0), (None, 0)])
def test_a_start_with_the_same_classes_in_another_order_is_warned_of(trained, number):
    warned = []
    runner = SimpleNamespace(model=torch.nn.Module(), _resume=False,
                             logger=SimpleNamespace(warning=warned.append))
    CheckpointFitHook(False, ('a', 'b')).after_load_checkpoint(
        runner, dict(state_dict={}, meta=dict(dataset_meta=dict(classes=trained))))
    assert len(warned) == number
