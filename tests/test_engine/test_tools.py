"""The tools as processes: training, killing, resuming, testing, two processes at once."""
import json
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.fileio import load

from mmnasfpn.engine.run import evaluate, load_config, train
from tests.conftest import DEMO_CONFIG, REPO, run_python


def weights(work_dir, epoch=3):
    return torch.load(work_dir / f'epoch_{epoch}.pth', weights_only=False)['state_dict']


def learning_rates(work_dir):
    entries = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
               for line in path.read_text().splitlines() if line.endswith('}')]
    return {entry['step']: entry['lr'] for entry in entries if 'lr' in entry}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return a function that trains the tiny config once, without interruption."""
    done = {}

    def train_once(config, env):
        if not done:
            done['work_dir'] = tmp_path_factory.mktemp('trained')
            run_python('tools/train.py', config, '--work-dir', done['work_dir'], env=env)
        return done['work_dir']

    return train_once


def test_killed_and_resumed_equals_uninterrupted(tiny_config, tool_env, tmp_path, trained):
    reference = trained(tiny_config, tool_env)
    work_dir = tmp_path / 'killed'
    command = [sys.executable, 'tools/train.py', str(tiny_config), '--work-dir', str(work_dir),
               '--resume']
    rng = random.Random(0)
    for epoch in (1, 2):  # kill it somewhere in the epoch after each checkpoint
        process = subprocess.Popen(command, cwd=REPO, env=tool_env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (work_dir / f'epoch_{epoch}.pth').exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, cwd=REPO, env=tool_env, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    expected, found = weights(reference), weights(work_dir)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    assert learning_rates(work_dir) == learning_rates(reference)


def test_test_writes_metrics_and_predictions(tiny_config, tool_env, tmp_path, trained):
    checkpoint = trained(tiny_config, tool_env) / 'epoch_3.pth'
    metrics_file, predictions = tmp_path / 'm' / 'metrics.json', tmp_path / 'p.pkl'
    run_python('tools/test.py', tiny_config, checkpoint, '--work-dir', tmp_path / 'test', '--json',
             metrics_file, '--out', predictions, '--tta', '--cfg-options',
             'model.test_cfg.score_thr=0.0', env=tool_env)
    written = json.loads(metrics_file.read_text())
    assert written['checkpoint'] == str(checkpoint)
    assert 0 <= written['metrics']['coco/bbox_mAP'] <= 1
    assert len(load(str(predictions))) == 4


def test_two_processes_train_on_a_cpu(tiny_config, tool_env, tmp_path):
    run_python('-m', 'torch.distributed.run', '--nproc-per-node=2', '--master-addr=127.0.0.1',
             '--master-port=29511', 'tools/train.py', tiny_config, '--launcher', 'pytorch',
             '--work-dir', tmp_path / 'ddp', '--auto-scale-lr',
             '--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1',
             'auto_scale_lr.base_batch_size=4', env=tool_env)
    assert (tmp_path / 'ddp' / 'epoch_1.pth').is_file()
    rates = learning_rates(tmp_path / 'ddp')
    assert list(rates) == [1, 2]  # 12 pictures in batches of 2 x 4
    lr = load_config(str(tiny_config)).optim_wrapper.optimizer.lr
    warm_up = 0.1  # of the schedule, at its first step
    assert rates[1] == pytest.approx(2 * lr * warm_up)


@pytest.mark.parametrize(('options', 'arguments', 'words'), [
    ({}, dict(amp=True), '--amp needs a GPU'),
    ({'auto_scale_lr': {'_delete_': True}}, dict(auto_scale_lr=True), 'base_batch_size'),
    ({'train_dataloader.dataset.type': 'mmdet.CocoDataset',
      'train_dataloader.dataset.data_root': 'nowhere'}, {}, "data_root is 'nowhere'"),
    ({'model.neck.num_outs': 4}, {}, 'num_outs is 4'),
    ({'model.neck.in_channels': [4, 8, 16, 33]}, {}, r'in_channels\[3\] is 33'),
    ({'model.neck.genotype': {'cells': []}}, {}, 'no cell is the output of level 3'),
])
def test_mistakes_end_training_before_it_starts(tiny_config, tmp_path, options, arguments, words):
    cfg = load_config(str(tiny_config), str(tmp_path / 'w'), options)
    cfg.experiment_name = tmp_path.name
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        train(cfg, **arguments)
    assert not list((tmp_path / 'w').glob('epoch_*.pth'))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth.*no such file'):
        evaluate(load_config(str(DEMO_CONFIG), str(tmp_path)), str(tmp_path / 'none.pth'))
