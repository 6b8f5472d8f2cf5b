"""Resuming with another schedule than the checkpoint's is said, with what the learning rate will be."""
import re
import shutil

import pytest
import torch
from mmengine.runner import Runner

from mmnasfpn.engine.hooks import ResumedScheduleHook
from tests.test_checkpoints.test_atomic import Toy

STEPS = dict(type='MultiStepLR', by_epoch=True, milestones=[1, 3], gamma=0.1)
WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=2)
COSINE = dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=4, convert_to_iter_based=True)


def make_runner(work_dir, name, *, epochs=4, until=None, resume=False, schedulers=(WARM_UP, STEPS),
                optimizer=None, iterations=None, auto_scale_lr=None, momentum=0.9):
    train_cfg = dict(by_epoch=True, max_epochs=epochs)
    if iterations:
        train_cfg = dict(by_epoch=False, max_iters=iterations)
    runner = Runner(
        Toy(), str(work_dir), train_dataloader=dict(
            dataset=[dict(x=torch.zeros(1))] * 6,
            sampler=dict(type='InfiniteSampler' if iterations else 'DefaultSampler', shuffle=False),
            batch_size=2, num_workers=0, collate_fn=dict(type='default_collate')),
        train_cfg=train_cfg, resume=resume, param_scheduler=list(schedulers) or None,
        optim_wrapper=dict(optimizer=optimizer or dict(type='SGD', lr=0.01, momentum=momentum)),
        auto_scale_lr=auto_scale_lr, log_level='ERROR', experiment_name=f'{work_dir.name}-{name}',
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=not iterations)))
    runner.register_hook(ResumedScheduleHook())
    return runner


def warnings_of(runner, monkeypatch):
    logged = []
    monkeypatch.setattr(runner.logger, 'warning', lambda message, *args: logged.append(message))
    runner.train()
    return [message for message in logged if 'another schedule' in message]


@pytest.fixture(scope='module')
def interrupted(tmp_path_factory):
    """Return a function that leaves what a training does that is killed after 2 epochs or iterations.

    It trains once for all that are alike.
    """
    done = {}

    def train_and_copy(work_dir, **options):
        key = repr(options)
        if key not in done:
            done[key] = tmp_path_factory.mktemp('interrupted')
            make_runner(done[key], 'interrupted', **options).train()
        name = 'iter_2.pth' if options.get('iterations') else 'epoch_2.pth'
        shutil.copy(done[key] / name, work_dir)
        (work_dir / 'last_checkpoint').write_text(str(work_dir / name))

    return train_and_copy


UNCHANGED = dict(
    plain={}, converted=dict(schedulers=[COSINE]), none=dict(schedulers=[]),
    scaled=dict(auto_scale_lr=dict(enable=True, base_batch_size=1)),
    momentum=dict(schedulers=[STEPS, dict(type='StepMomentum', step_size=1)]),
    iterations=dict(schedulers=[WARM_UP], iterations=6))


@pytest.mark.parametrize('options', UNCHANGED.values(), ids=UNCHANGED)
def test_the_schedule_of_the_checkpoint_is_not_spoken_of(options, interrupted, tmp_path, monkeypatch):
    interrupted(tmp_path, **options)
    assert warnings_of(make_runner(tmp_path, 'resumed', resume=True, **options), monkeypatch) == []


# What was trained, what the config says now, and what is said.
CHANGED = dict(
    milestones=({}, dict(schedulers=[WARM_UP, {**STEPS, 'milestones': [2]}]),
                r'param_scheduler\[1\]: milestones is \[2\] in the config, but \[1, 3\] in the'),
    rate=({}, dict(optimizer=dict(type='SGD', lr=0.5, momentum=0.9)),
          r'param_scheduler\[0\]: base lr is 0\.5 in the config, but 0\.01 in the'),
    rate_alone=(dict(schedulers=[]),
                dict(schedulers=[], optimizer=dict(type='SGD', lr=0.5, momentum=0.9)),
                r'lr of the optimizer is 0\.5 in the config, but 0\.01 .*learning rate stays at 0\.01'),
    momentum=({}, dict(momentum=0.8), r'momentum of the optimizer is 0\.8 in the config, but 0\.9'),
    longer=({}, dict(epochs=6), r'max_epochs is 6 in the config, but 4 .*'
            r'stays once the schedule is over, after epoch 4\.'),
    shorter=({}, dict(epochs=3), r'max_epochs is 3 in the config, but 4'),
    over=({}, dict(epochs=1), r'max_epochs is 1 in the config, but 4 .*nothing is left to train'),
    longer_by_iterations=(dict(schedulers=[COSINE]), dict(schedulers=[COSINE], epochs=6),
                          r'stays once the schedule is over, after iteration 12\.'),
    converted=(dict(schedulers=[COSINE]), dict(schedulers=[{**COSINE, 'end': 6}]),
               r'param_scheduler\[0\]: end is 18 in the config, but 12'),
    kind=({}, dict(schedulers=[WARM_UP, COSINE]),
          r'param_scheduler\[1\] is a CosineAnnealingLR in the config, but of another .*milestones'),
    fewer=({}, dict(schedulers=[WARM_UP]), r'number of param_schedulers is 1 in the config, but 2'),
    more=(dict(schedulers=[WARM_UP]), {}, r'number of param_schedulers is 2 in the config, but 1'),
    scaled=({}, dict(auto_scale_lr=dict(enable=True, base_batch_size=1)),
            r'base lr is 0\.02 in the config, but 0\.01'),
    iterations=(dict(schedulers=[WARM_UP], iterations=6), dict(schedulers=[WARM_UP], iterations=8),
                r'max_iters is 8 in the config, but 6'))


@pytest.mark.parametrize(('before', 'now', 'words'), CHANGED.values(), ids=CHANGED)
def test_another_schedule_is_said_with_the_rates_to_come(
        before, now, words, interrupted, tmp_path, monkeypatch):
    interrupted(tmp_path, **before)
    runner = make_runner(tmp_path, 'resumed', resume=True, **now)
    [message] = warnings_of(runner, monkeypatch)
    assert re.search(words, message)
    assert 'load_from' in message and '--resume' in message
    if rates := re.search(r'the learning rate is (\S+) now and (\S+) at the end', message):
        shown = [float(rate.rstrip('.,;')) for rate in rates.groups()]
        used, _ = runner.message_hub.get_scalar('train/lr').data
        done = 2 if now.get('iterations') else 2 * 3
        assert shown == pytest.approx([used[done], used[-1]], rel=1e-3)
        assert len(used) == runner.iter


def test_weights_alone_start_the_schedule_of_the_config(interrupted, tmp_path, monkeypatch):
    interrupted(tmp_path)
    runner = make_runner(tmp_path, 'new', optimizer=dict(type='SGD', lr=0.5, momentum=0.9))
    runner._load_from = str(tmp_path / 'epoch_2.pth')
    assert warnings_of(runner, monkeypatch) == []
