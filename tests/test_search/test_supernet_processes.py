"""Supernets that are trained, and genotypes that are evaluated, in processes of their own."""
import json
import os

import pytest
import torch

from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.supernet import (
    finished_supernet,
    supernet_config,
    supernet_weights,
    train_supernet,
)
from tests.conftest import REPO, run_python
from tests.test_search.searches import kill, search, shared_weights_config, start, wait_for
from tests.test_search.test_evaluators import wait_until_gone

TWO_EPOCHS = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2}
WITH_HOOKS = {'custom_imports': dict(imports=['tests.test_search.hooks'])}

pytestmark = pytest.mark.usefixtures('no_graphs')


def steps_of(folder):
    """The steps that each training of a folder logged, the first training's first."""
    return [[json.loads(line)['step'] for line in path.read_text().splitlines() if 'loss' in line]
            for path in sorted(folder.glob('*/vis_data/scalars.json'))]


def test_a_search_whose_supernet_was_killed_goes_on_with_it_and_then_with_what_it_has(tmp_path):
    waits = tmp_path / 'waits'
    cfg, work_dir = shared_weights_config(tmp_path, **TWO_EPOCHS, **WITH_HOOKS), tmp_path / 'w'
    cfg.custom_hooks = [dict(type='mmnasfpn.WaitOnceHook', step=5, file=str(waits))]
    process = start(cfg, work_dir, 1, sampler='random', num_workers=1)
    wait_for(waits, process)
    kill(process)
    wait_until_gone(int(waits.read_text()))
    assert (work_dir / 'supernet/epoch_1.pth').is_file()
    first = search(cfg, work_dir, 1, sampler='random', num_workers=1)
    assert (work_dir / 'supernet/epoch_2.pth').is_file()
    *_, second_run = steps_of(work_dir / 'supernet')
    assert second_run == [4, 5, 6]
    written = (work_dir / 'supernet/epoch_2.pth').stat().st_mtime_ns
    second = search(cfg, work_dir, 2, sampler='random', num_workers=1)
    assert second['completed'] == 2 == second['unique'] and second['failed'] == 0
    assert second['preparation']['result'] == first['preparation']['result'] != ''
    assert (work_dir / 'supernet/epoch_2.pth').stat().st_mtime_ns == written


def test_two_processes_train_one_supernet(tmp_path, tool_env):
    work_dir = tmp_path / 'supernet'
    cfg = supernet_config(
        shared_weights_config(tmp_path, **TWO_EPOCHS, **WITH_HOOKS), SearchSpace(), {})
    cfg.custom_hooks += [dict(type='mmnasfpn.NoteStepsHook', folder=str(tmp_path)), dict(type='EMAHook')]
    cfg.work_dir = str(work_dir)
    cfg.dump(tmp_path / 'config.py')
    paths = os.pathsep.join(filter(None, [str(REPO), os.environ.get('PYTHONPATH')]))
    run_python('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2', 'tools/train.py',
               tmp_path / 'config.py', '--launcher', 'pytorch', '--work-dir', work_dir, '--resume',
               env={**tool_env, 'PYTHONPATH': paths})
    ours, theirs = ([json.loads(line) for line in (tmp_path / f'{rank}.jsonl').read_text().splitlines()]
                    for rank in range(2))
    assert ours == theirs  # genotypes and weights
    assert len(ours) == 4 == len({genotype for genotype, _ in ours})  # 12 images, twice, by 2 x 4
    checkpoint = finished_supernet(work_dir, cfg)
    assert train_supernet(cfg, work_dir) == (checkpoint, 0)
    # The averaged weights are those that are shared.
    name = 'neck.convs.0.0.conv.weight'
    last = load_checkpoint(checkpoint)['ema_state_dict'][f'module.{name}']
    assert not torch.equal(supernet_weights(checkpoint)[name], last)
