"""Shared fixtures."""
import functools
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import mmengine.config.utils
import pytest
from hypothesis import settings

# For each `mmdet::` in a config MMEngine parses all of MMDetection's metafiles, for a second: once is
# enough.
mmengine.config.utils.load = functools.cache(mmengine.config.utils.load)

settings.register_profile('default', deadline=None)
settings.load_profile('default')


def pytest_addoption(parser):
    parser.addoption('--device', choices=('cuda', 'cpu'), default='cuda',
                     help='where the tests run that -m gpu selects (%(default)s); those that need CUDA '
                          'are skipped on a cpu')


def pytest_configure(config):
    """Hide the GPUs from tests that are not for them: exact numbers are those of a CPU.

    That is before anything asks CUDA for them; processes that tests start inherit it.
    """
    if config.option.markexpr != 'gpu' or config.option.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''


REPO = Path(__file__).parents[1]
DEMO_CONFIG = REPO / 'configs/nasfpn/retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

#: Overrides that make the demo's config run in seconds.
SMALL_OPTIONS = [
    'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'model.backbone.base_channels=4',
    'model.neck.in_channels=[4,8,16,32]', 'model.neck.stack_times=1',
    *(f'{key}_dataloader.{option}' for key in ('train', 'val', 'test') for option in (
        'num_workers=0', 'persistent_workers=False', 'dataset.shapes.num_train=8',
        'dataset.shapes.num_val=2', 'dataset.shapes.image_size=128'))]


def run_python(*arguments, env, cwd=REPO):
    """Run Python as a process and return its output; fail with the end of it."""
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def run_tool_here(monkeypatch, tool, *arguments):
    """Run a tool or script in this process, which has imported PyTorch and MMDetection already."""
    path = str(next(REPO.glob(f'*tools/{tool}.py'), REPO / f'.dev_scripts/{tool}.py'))
    monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
    handler = signal.getsignal(signal.SIGTERM)  # which a search replaces
    try:
        runpy.run_path(path, run_name='__main__')
    finally:
        signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def tiny_config(tmp_path):
    """A config on a handful of shapes with a very small detector and no random augmentation."""
    return write_tiny_config(tmp_path)


def write_tiny_config(folder):
    path = folder / 'tiny.py'
    path.write_text(f'''
_base_ = {str(DEMO_CONFIG)!r}
shapes = dict(num_train=12, num_val=4, image_size=128, seed=0)
data_root = {str(folder / 'shapes')!r}
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs'),
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    dataset=dict(shapes=shapes, data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(shapes=shapes, data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + '/annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=3, val_interval=3)
default_hooks = dict(logger=dict(interval=1))
model = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8, stack_times=2),
    bbox_head=dict(in_channels=8, feat_channels=8))
''')
    return path


@pytest.fixture
def tool_env():
    """The environment for tools run as processes: one thread each, so that sums do not vary."""
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
