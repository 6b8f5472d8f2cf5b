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
from tests.conftest import REPO, run_python, write_tiny_config
from tests.test_engine.test_hooks.test_speed import WIDE, assert_near, build, weights


def learning_rates(work_dir):
    entries = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
               for line in path.read_text().splitlines() if line.endswith('}')]
    return {entry['step']: entry['lr'] for entry in entries if 'lr' in entry}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_tiny_config(tmp_path_factory.mktemp('config'))


def train_here(config, work_dir, **options):
    """Train in this process, on one thread as the tools in `tool_env`, so that sums do not vary."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cfg = load_config(config, work_dir)
    cfg.experiment_name = cfg.visualizer.name = work_dir.name
    train(cfg, **options)
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """The work dir of a training without interruption."""
    work_dir = tmp_path_factory.mktemp('trained')
    train_here(config, work_dir)
    return work_dir


def test_killed_and_resumed_equals_uninterrupted(config, tool_env, tmp_path, trained):
    work_dir = tmp_path / 'killed'
    command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(work_dir), '--resume']
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
    train_here(config, work_dir, resume=True)
    expected, found = weights(trained), weights(work_dir)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    assert learning_rates(work_dir) == learning_rates(trained)


def test_an_evaluation_writes_metrics_and_predictions(config, tmp_path, trained):
    checkpoint = trained / 'epoch_3.pth'
    metrics_file, predictions = tmp_path / 'm' / 'metrics.json', tmp_path / 'p.pkl'
    cfg = load_config(config, tmp_path / 'test', {'model.test_cfg.score_thr': 0.0})
    cfg.experiment_name = tmp_path.name
    evaluate(cfg, str(checkpoint), out=predictions, json_path=metrics_file, tta=True)
    written = json.loads(metrics_file.read_text())
    assert written['checkpoint'] == str(checkpoint)
    assert 0 <= written['metrics']['coco/bbox_mAP'] <= 1
    assert len(load(str(predictions))) == 4


def test_two_processes_train_on_a_cpu_and_the_same_channels_last(config, tool_env, tmp_path):
    lr = load_config(config).optim_wrapper.optimizer.lr
    start = tmp_path / 'start.pth'
    torch.save(dict(state_dict=build(config).state_dict()), start)
    for name, *switches in (('plain',), ('last', '--channels-last')):
        run_python('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
                   'tools/train.py', config, '--launcher', 'pytorch', '--work-dir', tmp_path / name,
                   '--auto-scale-lr', *switches, '--cfg-options',
                   *(f'{key}={value}' for key, value in WIDE.items()), f'load_from={start}',
                   'optim_wrapper.optimizer.type=SGD', 'train_cfg.max_epochs=1',
                   'train_cfg.val_interval=1', 'auto_scale_lr.base_batch_size=4', env=tool_env)
        rates = learning_rates(tmp_path / name)
        assert list(rates) == [1, 2]  # 12 images in batches of 2 x 4
        warm_up = 0.1  # of the schedule, at its first step
        assert rates[1] == pytest.approx(2 * lr * warm_up)
    assert_near(weights(tmp_path / 'last', 1), weights(tmp_path / 'plain', 1), start)


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
