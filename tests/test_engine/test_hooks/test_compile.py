"""Compiled networks are trained and tested as those that are not."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmnasfpn.engine import run as engine
from mmnasfpn.engine.hooks import CompileHook
from mmnasfpn.engine.run import evaluate, load_config, train
from tests.conftest import run_tool_here
from tests.test_engine.test_hooks import test_speed as speed
from tests.test_engine.test_hooks.test_drop_block import StoppedError

#: Little to compile.
SMALL = {
    'model.backbone.type': 'mmnasfpn.ResNet10', 'model.backbone.depth': 10,
    'model.backbone.num_stages': 4, 'model.neck.stack_times': 1, 'model.bbox_head.stacked_convs': 1,
    'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 9,
    # It drops nothing: its random numbers are not those of the first run where that goes on.
    'model.neck.dropblock_cfg': dict(keep_prob=1.0),
    # AdamW magnifies the smallest gradients.
    'optim_wrapper.optimizer.type': 'SGD', 'optim_wrapper.optimizer.lr': 0.1}
#: Makes graphs, and runs them as they are.
EAGER = dict(type='mmnasfpn.CompileHook', backend='eager')


@pytest.fixture
def graphs(monkeypatch):
    """What the backend 'eager' compiled."""
    made = []
    compile_as_before = torch.compile

    def count(graph, inputs):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, 'compile', lambda call, **options: compile_as_before(
        call, **{**options, 'backend': count, 'fullgraph': True}))
    return made


def test_a_compiled_training_goes_on_and_ends_as_one_that_is_not(tiny_config, tmp_path, graphs):
    def run(name, *hooks, **options):
        cfg = load_config(str(tiny_config), str(tmp_path / name), SMALL)
        cfg.experiment_name = f'{tmp_path / name}-{options}'
        cfg.custom_hooks = [dict(type='mmnasfpn.DropBlockRampHook'), *hooks,
                            dict(type='EMAHook', momentum=0.1)]
        train(cfg, **options)

    run('plain')
    assert not graphs
    with pytest.raises(StoppedError):
        run('w', EAGER, dict(type='mmnasfpn.StopAfter', epochs=1))
    assert len(graphs) == 3  # one each for backbone, neck and head, at all steps of the ramp
    run('w', EAGER, resume=True)
    expected, found = (torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False)
                       for name in ('plain', 'w'))
    for key in ('state_dict', 'ema_state_dict'):
        assert expected[key].keys() == found[key].keys()
        for name, value in expected[key].items():
            torch.testing.assert_close(found[key][name], value, rtol=1e-4, atol=1e-5)
    name = 'neck.laterals.0.conv.weight'
    moved = expected['state_dict'][name] - expected['ema_state_dict'][f'module.{name}']
    assert moved.abs().max() > 1e-3  # so that more was trained than is tolerated


def test_a_compiled_test_finds_the_same_with_all_switches(tiny_config, tmp_path, graphs):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict=speed.build(tiny_config).state_dict()), path)
    switches = dict(tta=True, fuse=True, channels_last=True, dtype='bf16')
    _, expected, seen = speed.detected(tiny_config, tmp_path / 'plain', path, **switches)
    assert not graphs
    _, found, seen_compiled = speed.detected(tiny_config, tmp_path / 'w', path, EAGER, **switches)
    assert len(graphs) == 3
    assert seen_compiled == seen  # what hooks of the networks see
    speed.assert_same(found, expected)


@pytest.mark.parametrize('value', [True, dict(), dict(backend='eager')])
def test_to_compile_twice_is_refused(value):
    model = nn.Conv2d(3, 3, 1)
    runner = SimpleNamespace(model=model, cfg=Config(dict(compile=value)))
    with pytest.raises(ValueError, match=r'the config has compile=.* \(--compile\).*leave one out'):
        CompileHook(backend='eager').before_run(runner)
    assert 'forward' not in vars(model)


@pytest.mark.parametrize('cfg', [{}, dict(compile=False), dict(compile=None)])
def test_a_config_that_does_not_compile_is_taken(cfg):
    model = nn.Conv2d(3, 3, 1)
    CompileHook(backend='eager').before_run(SimpleNamespace(model=model, cfg=Config(cfg)))
    assert 'forward' in vars(model)


def test_the_hook_refuses_impossible_options_when_it_is_made():
    with pytest.raises(ValueError, match="mode is 'fast', but must be one of"):
        CompileHook('fast')


def test_a_mode_that_is_none_of_them_ends_before_the_run(tiny_config, tmp_path):
    cfg = speed.config_of(tiny_config, tmp_path / 'w')
    with pytest.raises(ValueError, match="mode is 'fast'"):
        train(cfg, compile_mode='fast')
    assert not list((tmp_path / 'w').glob('epoch_*.pth'))


def test_an_exported_model_is_not_compiled(tiny_config, tmp_path):
    (tmp_path / 'x.onnx').touch()
    with pytest.raises(ValueError, match='--compile cannot change an exported model'):
        evaluate(speed.config_of(tiny_config, tmp_path / 'w'), str(tmp_path / 'x.onnx'),
                 compile_mode='default')


@pytest.mark.parametrize(('options', 'mode'), [
    ([], None), (['--compile'], 'default'), (['--compile', 'reduce-overhead'], 'reduce-overhead')])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_the_tools_hand_the_mode_on(tool, options, mode, tiny_config, monkeypatch):
    handed = {}
    monkeypatch.setattr(engine, dict(test='evaluate').get(tool, tool),
                        lambda *args, **kwargs: handed.update(kwargs))
    run_tool_here(monkeypatch, tool, tiny_config, *(['x.pth'] if tool == 'test' else []), *options)
    assert handed['compile_mode'] == mode


def test_the_mode_becomes_a_hook():
    cfg = Config(dict())
    engine._add_speed_hooks(cfg, channels_last=False, dtype='fp32', compile_mode='max-autotune')
    assert cfg.custom_hooks == [dict(type='mmnasfpn.CompileHook', mode='max-autotune')]
