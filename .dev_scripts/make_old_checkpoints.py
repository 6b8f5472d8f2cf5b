"""Make tests/data/made_earlier: checkpoints and a search of an earlier version, and their outputs.

It was run with the code of commit 277047c, in a checkout of that commit:

    PYTHONPATH=. OMP_NUM_THREADS=1 python make_old_checkpoints.py OUT

``tests/test_made_earlier.py`` reads what it writes. Do not make the files again with newer code.
"""
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import optuna
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn

REPO = Path.cwd()
BN = dict(type='BN', momentum=0.1, eps=1e-3, requires_grad=True)
GN = dict(type='GN', num_groups=2, requires_grad=True)
ANCHORS = dict(scales_per_octave=1, ratios=[1.0])
RETINA = dict(_delete_=True, type='mmdet.RetinaHead', num_classes=3, in_channels=4, feat_channels=4,
              stacked_convs=1, norm_cfg=BN, anchor_generator=dict(
                  type='mmdet.AnchorGenerator', octave_base_scale=4, strides=[8, 16, 32, 64, 128],
                  **ANCHORS))
LITE = dict(neck=dict(genotype='nasfpn_lite', num_outs=4, separable=True),
            bbox_head=dict(type='mmnasfpn.LiteRetinaHead', num_ins=4,
                           anchor_generator=dict(strides=[8, 16, 32, 64])))


def anytime(**arguments) -> dict:
    return dict(type='mmnasfpn.AnytimeDetector', neck=dict(stack_times=3), **arguments)


#: What each model has beside the small RetinaNet of MODEL, and its normalisation.
CASES = {
    'plain': (dict(), BN),
    'mmdet-variant': (dict(neck=dict(variant='mmdet')), GN),
    'dropblock': (dict(neck=dict(dropblock_cfg=dict(keep_prob=0.9, block_size=3))), BN),
    'lite': (LITE, BN),
    **{f'anytime-{heads}-{norm["type"]}': (anytime(heads=heads), norm)
       for heads in ('shared', 'own_norms', 'separate') for norm in (BN, GN)},
    'anytime-some_exits': (anytime(exits=[2, 3], heads='separate'), BN),
    'anytime-retina_head': (anytime(bbox_head=RETINA), BN),
    'anytime-lite': (dict(type='mmnasfpn.AnytimeDetector', **LITE), BN),
}
CONFIG = '''_base_ = {base!r}
data_root = 'data/shapes/'
shapes = dict(num_train=2, num_val=1, image_size=128, seed=0)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
                        dataset=dict(shapes=shapes, data_root=data_root))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(shapes=shapes))
test_dataloader = val_dataloader
norm = dict({norm!r}, _delete_=True)
model = dict(
    backbone=dict(type='mmnasfpn.ResNet10', depth=10, base_channels=2, norm_cfg=norm),
    neck=dict(in_channels=[2, 4, 8, 16], out_channels=4, stack_times=2, norm_cfg=norm),
    bbox_head=dict(in_channels=4, feat_channels=4, stacked_convs=1, norm_cfg=norm,
                   anchor_generator={anchors!r}))
'''
SEARCH = '''search_space = dict(min_level=3, max_level=7, num_intermediate=2)
reward = dict(type='GenotypeMatch', target='nasfpn')
controller = dict(batch_size=2, hidden_size=8, lr=0.05)
'''


def write_config(name: str) -> Path:
    model, norm = CASES[name]
    base, path = Path(f'{name}-base.py'), Path(f'{name}.py')
    base.write_text(CONFIG.format(
        base=str(REPO / 'configs/nasfpn/retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'), norm=norm,
        anchors=ANCHORS))
    path.write_text(f'_base_ = {str(base.absolute())!r}\nmodel = {model!r}\n')
    return path


def randomize(model: nn.Module) -> None:
    """Give every weight and statistic a value of its own, by its name, of few digits: it compresses."""
    norms = {name for name, module in model.named_modules() if hasattr(module, 'num_groups')
             or hasattr(module, 'running_var')}
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        random = torch.rand(value.shape, generator=generator)
        owner, _, kind = name.rpartition('.')
        if kind == 'num_batches_tracked':
            random = torch.tensor(7)
        elif kind == 'running_var' or (owner in norms and kind == 'weight'):
            random = 0.5 + random
        elif kind == 'weight':
            random = (2 * random - 1) * math.sqrt(6 / value[0].numel())
        else:
            random = random - 0.25
        value.data.copy_((random * 64).round() / 64)


def make_checkpoint(name: str) -> None:
    cfg = Config.fromfile(write_config(name))
    cfg.work_dir = f'work_dirs/{name}'
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    runner.train_loop  # noqa: B018  builds the data set, whose classes are saved
    randomize(runner.model)
    runner.save_checkpoint('out', f'{name}.pth', save_optimizer=False, save_param_scheduler=False)


def expected_of(name: str, config: Path) -> dict[str, np.ndarray]:
    """Return the outputs at every exit for a fixed input, and the sums of the parameters in order."""
    model = MODELS.build(Config.fromfile(config).model)
    model.load_state_dict(torch.load(f'out/{name}.pth', weights_only=False)['state_dict'])
    model.train(False)
    size = (128, 128) if name == 'mmdet-variant' else (40, 56)
    inputs = torch.from_numpy(np.sin(np.arange(3 * math.prod(size)) ** 1.1)).float().view(1, 3, *size)
    expected = {f'{name}/size': size, f'{name}/parameters': [p.sum().item() for p in model.parameters()]}
    for exit_stack in getattr(model, 'exits', [0]):
        if exit_stack:
            model.test_cfg.exit_stack = exit_stack
        with torch.no_grad():
            scores, deltas = model(inputs, mode='tensor')
        expected[f'{name}/{exit_stack}'] = torch.cat([x.flatten() for x in (*scores, *deltas)]).numpy()
    return {key: np.asarray(value, np.float32) for key, value in expected.items()}


def run_tool(name: str, *arguments: object) -> None:
    subprocess.run([sys.executable, REPO / f'tools/{name}.py', *map(str, arguments)], check=True)


def make_search(out: Path) -> None:
    """Search 8 trials, keep the record, and go on to 20."""
    Path('search.py').write_text(SEARCH)
    run_tool('search', 'search.py', '--work-dir', 'search', '--trials', 8, '--seed', 5)
    with sqlite3.connect('search/search.db') as database:
        database.execute('VACUUM')
    database.close()
    shutil.copy('search.py', 'out/search.py')
    shutil.copytree('search', 'out/search', ignore=shutil.ignore_patterns('*.png', '*.log', 'trials'))
    run_tool('search', 'search.py', '--work-dir', 'search', '--trials', 20, '--seed', 5)
    study = optuna.load_study(study_name='nasfpn-search', storage='sqlite:///search/search.db')
    trials = [dict(reward=trial.value, actions=list(trial.params.values()))
              for trial in study.get_trials()]
    (out / 'search.json').write_text('\n'.join(['[', ',\n'.join(map(json.dumps, trials)), ']', '']))


def main() -> None:
    out = Path(sys.argv[1]).absolute()
    os.environ['PYTHONPATH'] = str(REPO)
    os.chdir(tempfile.mkdtemp())
    Path('out').mkdir()
    for name in CASES:
        make_checkpoint(name)
    source = 'anytime-own_norms-BN'
    run_tool('slim', f'{source}.py', f'out/{source}.pth', 'out/slim.pth', '--exit', 2,
             '--config-out', 'out/slim.py')
    run_tool('calibrate', f'{source}.py', f'out/{source}.pth', '--image-size', 40, 56, '--runs', 3,
             '--out', out / 'calibration.json')
    init_default_scope('mmdet')
    expected: dict[str, np.ndarray] = {}
    for name in CASES:
        expected |= expected_of(name, Path(f'{name}.py'))
    expected |= expected_of('slim', Path('out/slim.py'))
    np.savez_compressed(out / 'outputs.npz', **expected)
    make_search(out)
    with tarfile.open(out / 'files.tar.xz', 'w:xz', preset=9) as archive:
        for path in sorted(Path('out').iterdir()):
            archive.add(path, path.name, filter=anonymous)


def anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ''
    return info


if __name__ == '__main__':
    main()
