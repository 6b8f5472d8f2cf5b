"""Supernets that are trained, and genotypes that are evaluated, in processes of their own."""
import json
import os

import pytest

from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.engine.run import load_config
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.supernet import finished_supernet, supernet_config, train_supernet
from tests.conftest import REPO, run_python, write_tiny_config
from tests.test_search.searches import kill, search, start, wait_for

pytestmark = pytest.mark.usefixtures('no_graphs')


def tiny(folder, **changes):
    cfg = load_config(str(write_tiny_config(folder)))
    cfg.experiment_name = cfg.visualizer.name = folder.name
    cfg.merge_from_dict({'reward': dict(type='SharedWeights', num_batches=2),
                         'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2, **changes})
    return cfg


def steps_of(folder):
    """The steps that each training of a folder logged, the first training's first."""
    return [[json.loads(line)['step'] for line in path.read_text().splitlines() if 'loss' in line]
            for path in sorted(folder.glob('*/vis_data/scalars.json'))]


def test_a_search_whose_supernet_was_killed_goes_on_with_it_and_then_with_what_it_has(tmp_path):
    cfg, work_dir = tiny(tmp_path), tmp_path / 'w'
    process = start(cfg, work_dir, 1, sampler='random', num_workers=1)
    wait_for(work_dir / 'supernet/last_checkpoint', process)
    kill(process)
    assert not (work_dir / 'shared.pt').exists()
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
    cfg = supernet_config(tiny(tmp_path, custom_hooks=[dict(type='EMAHook')], custom_imports=dict(
        imports=['tests.test_search.hooks'])), SearchSpace(), {})
    cfg.custom_hooks.append(dict(type='mmnasfpn.NoteStepsHook', folder=str(tmp_path)))
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
    averaged = load_checkpoint(checkpoint)
    assert averaged['ema_state_dict']  # and the averaged weights are those that are shared
