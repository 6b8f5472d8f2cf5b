"""Every config loads by path and by ``mmnasfpn::``, builds, and runs loss and predict."""
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.datasets import CocoDataset
from mmdet.models import dense_heads
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmnasfpn.datasets import make_shapes
from mmnasfpn.engine.preflight import check_data, check_model
from mmnasfpn.engine.run import evaluate, load_config, train
from mmnasfpn.models.dense_heads.batched_targets import BatchedTargets
from mmnasfpn.registry import HOOKS
from tests.conftest import REPO, run_python
from tests.test_datasets.voc_folders import write_voc

FOLDER = REPO / 'configs/nasfpn'
CONFIGS = sorted(path.name for path in FOLDER.glob('*.py'))
COCO = [name for name in CONFIGS if '_coco' in name]
SHAPES = [name for name in CONFIGS if name.endswith('_shapes.py')]
FINE_TUNED = [name for name in CONFIGS if '_finetune_' in name]
#: RetinaNets of ours; the others are MMDetection's detectors with our neck.
RETINANET = [name for name in CONFIGS if name.startswith('retinanet') and '-mmdet' not in name]
#: Of the paper's table or figures.
PAPER = [name for name in RETINANET if '_coco' in name and not re.search('_[18]xb|-anytime', name)]
OTHERS = [name for name in CONFIGS if name not in RETINANET]
R50 = 'retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'
SIZE = 128  # pixels, where configs run here
# These also build and run as they come through `mmnasfpn::`, whose types then carry our scope: one of
# each kind of model and data. The others only load that way.
THROUGH_PACKAGE = [R50, *(name for name in SHAPES if '_7e_' in name), *OTHERS,
                   'retinanet-lite_mobilenetv2_fpnlite-64_320-55e_coco.py',
                   'retinanet_r50_nasfpn-7x256_crop640-50e_coco-testdev.py']


def load(name, way, tmp_path):
    if way == 'path':
        return Config.fromfile(FOLDER / name)
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['mmnasfpn::nasfpn/{name}']\n")
    return Config.fromfile(child)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with ``data/coco`` and ``data/bccd``: a few shapes that pass for what is there."""
    folder = tmp_path_factory.mktemp('configs')
    shapes = make_shapes(folder / 'shapes', 8, 2, 200)
    make_bccd(shapes, folder / 'data/bccd')
    coco = folder / 'data/coco'
    (coco / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        (shapes / split).rename(coco / f'{split}2017')
        data = json.loads((shapes / f'annotations/{split}.json').read_text())
        data['categories'] = [dict(id=i, name=name)
                              for i, name in enumerate(CocoDataset.METAINFO['classes'], 1)]
        (coco / f'annotations/instances_{split}2017.json').write_text(json.dumps(data))
    (coco / 'test2017').symlink_to('val2017')
    del data['annotations']
    (coco / 'annotations/image_info_test-dev2017.json').write_text(json.dumps(data))
    return folder


def make_bccd(shapes, folder):
    (folder / 'annotations').mkdir(parents=True)
    (folder / 'images').mkdir()
    for split, name in (('train', 'trainval'), ('val', 'test')):
        data = json.loads((shapes / f'annotations/{split}.json').read_text())
        for category, cell in zip(data['categories'], ('RBC', 'WBC', 'Platelets'), strict=True):
            category['name'] = cell
        for image in data['images']:
            file = shapes / split / image['file_name']
            image['file_name'] = f'{split}_{file.name}'
            (folder / 'images' / image['file_name']).write_bytes(file.read_bytes())
        (folder / f'annotations/{name}.json').write_text(json.dumps(data))
        write_voc(folder / 'voc', data, name)


def shrink(cfg):
    """Make a config run in seconds: small images, one or two of them, but the whole model."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[key]
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        if 'shapes' in loader.dataset:
            loader.dataset.shapes = dict(num_train=8, num_val=2, image_size=SIZE)
        for step in loader.dataset.pipeline:
            if 'scale' in step:
                step.scale = (SIZE, SIZE)
            if 'img_scale' in step:
                step.img_scale = (SIZE, SIZE)
            if step.type == 'Pad' and 'size' in step:
                step.size = (SIZE, SIZE)
            if step.get('crop_type', 'absolute') == 'absolute' and 'crop_size' in step:
                step.crop_size = (SIZE, SIZE)
    preprocessor = cfg.model.data_preprocessor
    preprocessor.pad_size_divisor = min(preprocessor.get('pad_size_divisor', 1), SIZE)
    for augment in preprocessor.get('batch_augments') or []:
        augment.size = (SIZE, SIZE)
    cfg.model.backbone.init_cfg = None  # no pretrained weights are fetched
    return cfg


def check_runs(cfg, tmp_path):
    check_data(cfg, ('train_dataloader', 'val_dataloader', 'test_dataloader'))
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    check_model(runner.model)
    runner.build_optim_wrapper(cfg.optim_wrapper)
    train_loader = runner.build_dataloader(cfg.train_dataloader, seed=0)
    loader = runner.build_dataloader(cfg.test_dataloader)
    model = runner.model
    losses = model(**model.data_preprocessor(next(iter(train_loader)), True), mode='loss')
    names = {name.rpartition('.')[2] for name in losses}  # without the exit
    assert {'loss_cls', 'loss_bbox'} <= names
    loss, _ = model.parse_losses(losses)
    assert loss.isfinite()
    model.train(False)
    detections = model.val_step(next(iter(loader)))
    assert all('pred_instances' in sample for sample in detections)
    head = getattr(model, 'bbox_head', None)
    assert type(head) not in (dense_heads.RetinaHead, dense_heads.RetinaSepBNHead)  # but ours
    if not isinstance(head, BatchedTargets):
        return
    assert names == {'loss_cls', 'loss_bbox'}
    with torch.no_grad():
        scores, boxes = model(torch.zeros(1, 3, 100, 132))
    assert len(scores) == len(boxes) == model.neck.num_outs
    # The backbone's; of the coarser ones, MMDetection's neck rounds sizes down.
    assert [x.shape[-2:] for x in scores[:3]] == [(13, 17), (7, 9), (4, 5)]
    assert all(x.shape[1] == 9 * 4 for x in boxes)
    assert all(x.shape[1] == 9 * model.bbox_head.num_classes for x in scores)


@pytest.mark.parametrize('name', CONFIGS)
def test_config_builds_and_runs_loss_and_predict(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    check_runs(shrink(load(name, 'path', tmp_path)), tmp_path)


@pytest.mark.parametrize('name', THROUGH_PACKAGE)
def test_config_builds_and_runs_through_the_package(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    check_runs(shrink(load(name, 'mmnasfpn::', tmp_path)), tmp_path)


def without_scope(value):
    """Drop the marks of where a part comes from, which ``package::`` adds to it."""
    if isinstance(value, dict):
        return {key: without_scope(item) for key, item in value.items() if key != '_scope_'}
    return [without_scope(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize('name', CONFIGS)
def test_config_is_the_same_through_the_package(name, tmp_path):
    one, other = (without_scope(load(name, way, tmp_path).to_dict()) for way in ('path', 'mmnasfpn::'))
    assert one == other


@pytest.mark.parametrize('name', RETINANET)
def test_the_name_says_what_the_config_is(name):
    cfg = Config.fromfile(FOLDER / name)
    neck, head, backbone = cfg.model.neck, cfg.model.bbox_head, cfg.model.backbone
    stacks, dimension = re.search(r'fpn(?:lite)?-(?:(\d)x)?(\d+)', name).groups()
    assert neck.out_channels == head.in_channels == head.feat_channels == int(dimension)
    kind = re.search(r'_(stacked-fpn|pafpn|nasfpnlite|fpnlite|mmdet-nasfpn|nasfpn|fpn)-', name).group(1)
    assert neck.get('stack_times') == (int(stacks) if stacks else 1 if kind == 'pafpn' else None)
    assert neck.type == {'fpn': 'mmnasfpn.FPN', 'fpnlite': 'mmnasfpn.FPN',
                         'mmdet-nasfpn': 'mmdet.NASFPN'}.get(kind, 'mmnasfpn.NASFPN')
    assert cfg.model.type.endswith('AnytimeDetector') is ('-anytime_' in name)
    norm = re.search(r'-(gn|syncbn)(?:-anytime)?_', name)
    assert neck.norm_cfg.type == head.norm_cfg.type == {
        'gn': 'GN', 'syncbn': 'SyncBN'}[norm.group(1)] if norm else (
            'GN' if name in FINE_TUNED else 'BN')
    assert neck.get('genotype') == {
        'stacked-fpn': 'fpn', 'pafpn': 'pafpn', 'nasfpnlite': 'nasfpn_lite'}.get(kind)
    assert neck.get('separable', False) == kind.endswith('lite')
    family, depth = re.search(r'_(r|mobilenetv2|amoebanet)(\d+)?', name).groups()
    assert backbone.type.split('.')[-1] == {
        'r': 'ResNet', 'mobilenetv2': 'MobileNetV2', 'amoebanet': 'AmoebaNet'}[family]
    assert backbone.get('depth') == (int(depth) if family == 'r' else None)
    if name not in FINE_TUNED:
        check_schedule(name, cfg)


def check_schedule(name, cfg):
    size = re.search(r'[_-](?:crop)?(\d+)-(?:coslr-)?\d+e_', name)
    if name in COCO:
        assert cfg.image_size == (int(size.group(1)),) * 2
        check_sizes(cfg)
    epochs = int(re.search(r'[-_](\d+)e_', name).group(1))
    assert cfg.train_cfg.max_epochs == epochs
    steps_per_epoch = 50 if name in SHAPES else 1
    assert cfg.param_scheduler[1].end == steps_per_epoch * epochs
    drops = '-dropblock' in name
    assert (cfg.model.neck.get('dropblock_cfg') == dict(keep_prob=0.9, block_size=3)) is drops
    assert any(hook.type == 'mmnasfpn.DropBlockRampHook' for hook in cfg.custom_hooks) is drops
    assert cfg.randomness == (dict(seed=0, diff_rank_seed=True) if drops else dict(seed=0))


@pytest.mark.parametrize('name', FINE_TUNED)
def test_fine_tuned_configs_share_one_recipe_in_steps(name):
    cfg = Config.fromfile(FOLDER / name)
    assert (cfg.train_cfg.type, cfg.train_dataloader.sampler.type) == (
        'IterBasedTrainLoop', 'InfiniteSampler')
    warm_up, decay = cfg.param_scheduler
    assert not warm_up.by_epoch and not decay.by_epoch
    assert warm_up.end == decay.begin and decay.end == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval
    backbone = cfg.model.backbone
    assert backbone.norm_eval and backbone.frozen_stages >= 1 and backbone.init_cfg.type == 'Pretrained'
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult < 1
    reference = Config.fromfile(FOLDER / FINE_TUNED[0])
    if '_r50_' in name:
        assert cfg.optim_wrapper.optimizer.lr < reference.optim_wrapper.optimizer.lr
        cfg.optim_wrapper.optimizer.lr = reference.optim_wrapper.optimizer.lr
    for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'custom_hooks', 'train_pipeline',
                'randomness'):
        assert cfg[key] == reference[key], key


def test_each_process_drops_blocks_of_its_own_and_reads_other_images(tmp_path, tool_env):
    config = FOLDER / 'retinanet_r50_nasfpn-7x256-dropblock_crop1024-150e_coco.py'
    script = tmp_path / 'script.py'
    script.write_text(f'''
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.runner import set_random_seed
from mmnasfpn.models.ops import drop_block

dist.init_process_group('gloo')
set_random_seed(**Config.fromfile({str(config)!r}).randomness)
images = list(DefaultSampler(range(8), seed=None))
kept = (drop_block(torch.ones(1, 1, 16, 16), 0.5, 3) > 0).tolist()
results = [None, None]
dist.all_gather_object(results, (kept, images))
(kept, images), (other_kept, other_images) = results
assert kept != other_kept
assert sorted(images + other_images) == list(range(8))
dist.barrier()
dist.destroy_process_group()  # its threads would end the process with an error now and then
''')
    run_python('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', 2, script,
               env=tool_env)


def check_sizes(cfg):
    """Check that every image of a COCO config is brought to its image size and padded to it."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        sizes = [step.get('scale') or step.get('crop_size') for step in loader.dataset.pipeline
                 if step.type in ('RandomResize', 'mmdet.Resize')
                 or (step.type == 'mmdet.RandomCrop' and 'crop_type' not in step)]
        assert sizes and all(size == cfg.image_size for size in sizes)
    assert cfg.train_pipeline == cfg.train_dataloader.dataset.pipeline
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert cfg.test_pipeline == loader.dataset.pipeline
    if 'tta_model' not in cfg and cfg.image_size != (320, 320):  # Lite resizes to the square itself
        assert cfg.model.data_preprocessor.pad_size_divisor == cfg.image_size[0]


def test_r50_config_is_the_recipe_of_section_4_1():
    cfg = Config.fromfile(FOLDER / R50)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=1e-4)
    warm_up, steps = cfg.param_scheduler
    assert warm_up.start_factor * 0.08 == pytest.approx(0.0067) and warm_up.end == 500
    assert (steps.milestones, steps.gamma, cfg.train_cfg.max_epochs) == ([30, 40], 0.1, 50)
    assert cfg.auto_scale_lr.base_batch_size == 64
    head = cfg.model.bbox_head
    assert (head.loss_cls.alpha, head.loss_cls.gamma) == (0.25, 1.5)
    assert (head.loss_bbox.type, head.loss_bbox.beta, head.loss_bbox.loss_weight) == (
        'mmdet.SmoothL1Loss', 0.1, 1.25)
    assert (cfg.model.neck.stack_times, cfg.model.neck.out_channels) == (7, 256)
    resize = next(t for t in cfg.train_dataloader.dataset.pipeline if 'ratio_range' in t)
    assert (resize.scale, resize.ratio_range) == ((640, 640), (0.8, 1.2))
    assert cfg.model.test_cfg.nms_pre == 5000
    assigner = cfg.model.train_cfg.assigner
    assert (assigner.pos_iou_thr, assigner.neg_iou_thr) == (0.5, 0.5)


def test_dropblock_configs_train_150_epochs_with_steps_at_120_and_140():
    dropping = [name for name in PAPER if '-dropblock' in name and 'coslr' not in name]
    assert len(dropping) == 3
    for name in dropping:
        cfg = Config.fromfile(FOLDER / name)
        _, steps = cfg.param_scheduler
        assert (steps.milestones, steps.end, cfg.train_cfg.max_epochs) == ([120, 140], 150, 150)


def test_amoebanet_at_1280_has_a_cosine_schedule_over_all_epochs():
    cosine = [name for name in COCO if 'coslr' in name]
    assert len(cosine) == 3 and all('amoebanet' in name and '1280' in name for name in cosine)
    for name in cosine:
        cfg = Config.fromfile(FOLDER / name)
        warm_up, decay = cfg.param_scheduler
        assert (warm_up.type, decay.type) == ('LinearLR', 'CosineAnnealingLR')
        assert decay.end == decay.T_max == cfg.train_cfg.max_epochs


def test_lite_configs_are_the_recipe_of_the_object_detection_api():
    for name in (name for name in COCO if 'retinanet-lite' in name):
        cfg = Config.fromfile(FOLDER / name)
        warm_up, decay = cfg.param_scheduler
        assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=4e-5)
        assert warm_up.start_factor * 0.08 == pytest.approx(0.0267) and warm_up.end == 1000
        assert (decay.type, decay.end, decay.T_max) == ('CosineAnnealingLR', 55, 55)
        steps = 55 * 117_266 / 128  # COCO's images with boxes in batches of 128
        assert steps == pytest.approx(50_000, rel=0.01)
        assert cfg.auto_scale_lr.base_batch_size == 128
        assert cfg.model.bbox_head.anchor_generator.strides == [8, 16, 32, 64]
        for norm_cfg in (cfg.model.backbone.norm_cfg, cfg.model.neck.norm_cfg,
                         cfg.model.bbox_head.norm_cfg):
            assert (norm_cfg.momentum, norm_cfg.eps) == (0.003, 1e-3)


FAMILIES = {
    'Lite': 'retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py',
    'Lite, 2 stacks': 'retinanet-lite_mobilenetv2-w025_nasfpnlite-2x48_7e_shapes.py',
    'Lite, 1 stack': 'retinanet-lite_mobilenetv2-w025_nasfpnlite-1x48_7e_shapes.py',
    'FPNLite': 'retinanet-lite_mobilenetv2-w025_fpnlite-72_7e_shapes.py',
    'AmoebaNet': 'retinanet_amoebanet-n3f32_nasfpn-3x64_7e_shapes.py',
    'MobileNetV2': 'retinanet_mobilenetv2-w025_nasfpn-3x64_7e_shapes.py',
    'FPN': 'retinanet_r18-w16_fpn-64_7e_shapes.py',
    'stacked FPN': 'retinanet_r18-w16_stacked-fpn-3x64_7e_shapes.py',
    'DropBlock': 'retinanet_r18-w16_nasfpn-3x64-dropblock_7e_shapes.py',
    'NAS-FPN': 'retinanet_r18-w16_nasfpn-3x64_7e_shapes.py',
    'NAS-FPN, 7 stacks': 'retinanet_r18-w16_nasfpn-7x32_24e_shapes.py',
    'NAS-FPN, 7 stacks, GN': 'retinanet_r18-w16_nasfpn-7x32-gn_24e_shapes.py',
    'NAS-FPN, 5 stacks, GN': 'retinanet_r18-w16_nasfpn-5x32-gn_24e_shapes.py',
    'anytime': 'retinanet_r18-w16_nasfpn-5x32-gn-anytime_24e_shapes.py',
    "MMDetection's NASFPN, 7 stacks, GN": 'retinanet_r18-w16_mmdet-nasfpn-7x32-gn_24e_shapes.py',
}


@HOOKS.register_module()
class CheckGradients(Hook):
    """Fail where a parameter never gets a gradient, which distributed training refuses."""

    def before_train(self, runner):
        self.without = {name for name, _ in runner.model.named_parameters()}
        for name, parameter in runner.model.named_parameters():
            parameter.register_hook(lambda gradient, name=name: self.without.discard(name))

    def after_train(self, runner):
        assert not self.without


def test_there_is_a_shapes_config_of_every_family():
    assert sorted(FAMILIES.values()) == SHAPES


@pytest.mark.parametrize(('name', 'batch'), [
    ('retinanet_r50_nasfpn-7x256-gn_1xb8-crop640-50e_coco.py', 8),
    ('retinanet_r50_nasfpn-7x256-syncbn_1xb16-crop640-50e_coco.py', 16)])
def test_small_batches_scale_the_learning_rate_clip_and_warm_up_longer(name, batch):
    cfg, paper = Config.fromfile(FOLDER / name), Config.fromfile(FOLDER / R50)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    lr, paper_lr = (c.optim_wrapper.optimizer.lr for c in (cfg, paper))
    assert lr / batch == pytest.approx(paper_lr / paper.auto_scale_lr.base_batch_size)
    assert cfg.optim_wrapper.clip_grad.max_norm == 10
    assert cfg.param_scheduler[0].end > paper.param_scheduler[0].end
    assert cfg.param_scheduler[1] == paper.param_scheduler[1]
    assert cfg.model.backbone.norm_eval and not paper.model.backbone.norm_eval


@pytest.mark.parametrize('name', OTHERS)
def test_in_other_detectors_the_neck_and_the_twin_of_the_head_alone_are_new(name, tmp_path):
    path = tmp_path / 'base.py'
    line = next(line for line in (FOLDER / name).read_text().splitlines() if line.startswith('_base_'))
    path.write_text(f'{line}\n')
    ours, theirs = Config.fromfile(FOLDER / name).to_dict(), Config.fromfile(path).to_dict()
    for key in ('model', 'train_dataloader', 'test_dataloader', 'optim_wrapper', 'param_scheduler'):
        if key == 'model':
            assert ours[key].pop('neck')['type'] == 'mmnasfpn.NASFPN'
            assert theirs[key].pop('neck')['type'] != 'mmnasfpn.NASFPN'
            if 'bbox_head' in ours[key]:
                head = ours[key]['bbox_head']
                head['type'] = head['type'].removeprefix('mmnasfpn.')
        assert ours[key] == theirs[key], key


@pytest.mark.parametrize('family', FAMILIES)
def test_a_shapes_config_trains_with_falling_loss_and_a_gradient_everywhere(
        family, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    cfg = shrink(load_config(str(FOLDER / FAMILIES[family]), str(tmp_path)))
    cfg.experiment_name = cfg.visualizer.name = family
    cfg.train_dataloader.batch_size = 4
    cfg.param_scheduler = []  # the warm-up alone is longer
    cfg.train_cfg.update(max_epochs=12, val_interval=100)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = 12
    cfg.custom_hooks.append(dict(type='mmnasfpn.CheckGradients'))
    train(cfg)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    losses = [entry['loss'] for entry in map(json.loads, log.read_text().splitlines())
              if 'loss' in entry]
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_the_submission_of_test_dev_is_written(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    config = tmp_path / 'small.py'
    config.write_text(f'''
_base_ = {str(FOLDER / 'retinanet_r50_nasfpn-7x256_crop640-50e_coco-testdev.py')!r}
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(depth=18, base_channels=4, init_cfg=None),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8, stack_times=1),
    bbox_head=dict(in_channels=8, feat_channels=8), test_cfg=dict(score_thr=0.0, nms_pre=10))
''')
    evaluate_random_weights(config, tmp_path)
    detections = json.loads((folder / 'work_dirs/coco_test-dev.bbox.json').read_text())
    assert detections
    assert set(detections[0]) == {'image_id', 'bbox', 'score', 'category_id'}
    assert {d['category_id'] for d in detections} <= set(range(1, 81))


def test_test_time_augmentation_tests_at_three_sizes_flipped_too(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    cfg = Config.fromfile(FOLDER / 'retinanet_r50_nasfpn-7x256_crop640-50e_coco-tta.py')
    resizes, flips, *_ = cfg.tta_pipeline[1].transforms
    assert [step.scale for step in resizes] == [(512, 512), (640, 640), (768, 768)]
    assert [step.prob for step in flips] == [1.0, 0.0]
    config = tmp_path / 'small.py'
    config.write_text(f'''
_base_ = {str(FOLDER / 'retinanet_r50_nasfpn-7x256_crop640-50e_coco-tta.py')!r}
model = dict(
    backbone=dict(depth=18, base_channels=4, init_cfg=None),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8, stack_times=1),
    bbox_head=dict(in_channels=8, feat_channels=8), test_cfg=dict(score_thr=0.0, nms_pre=10))
''')
    assert 'coco/bbox_mAP' in evaluate_random_weights(config, tmp_path, tta=True)


def evaluate_random_weights(config, tmp_path, **switches):
    cfg = load_config(config, tmp_path / 'w', {
        'test_dataloader.num_workers': 0, 'test_dataloader.persistent_workers': False})
    cfg.experiment_name = tmp_path.name
    init_default_scope('mmdet')
    checkpoint = tmp_path / 'random.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), checkpoint)
    return evaluate(cfg, str(checkpoint), **switches)


def test_every_config_is_in_the_metafile_and_no_other():
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    assert sorted(Path(model['Config']).name for model in models) == CONFIGS
    for model in models:
        assert model['Config'] == f"configs/nasfpn/{model['Name']}.py"
        data = model['Name'].rpartition('_')[2].partition('-')[0]
        expected = dict(shapes='generated shapes', bccd='BCCD').get(data, 'COCO')
        assert model['Metadata']['Training Data'] == expected


def test_every_config_is_in_the_readme():
    text = (FOLDER / 'README.md').read_text()
    for name in CONFIGS:
        assert f'[{name[:-3]}]({name})' in text
