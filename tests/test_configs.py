"""Every config loads by path and by ``mmnasfpn::``, builds, and runs forward."""
import json
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmnasfpn.datasets import make_shapes
from mmnasfpn.engine.preflight import check_data, check_model
from tests.conftest import REPO

CONFIGS = sorted(path.name for path in (REPO / 'configs/nasfpn').glob('*.py'))
R50 = 'retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'


def load(name, way, tmp_path):
    if way == 'path':
        return Config.fromfile(REPO / 'configs/nasfpn' / name)
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['mmnasfpn::nasfpn/{name}']\n")
    return Config.fromfile(child)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with ``data/coco``: a few shapes that pass for COCO's 80 classes."""
    folder = tmp_path_factory.mktemp('configs')
    shapes = make_shapes(folder / 'shapes', 8, 2, 200)
    coco = folder / 'data/coco'
    (coco / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        (shapes / split).rename(coco / f'{split}2017')
        data = json.loads((shapes / f'annotations/{split}.json').read_text())
        data['categories'] = [dict(id=i, name=name)
                              for i, name in enumerate(CocoDataset.METAINFO['classes'], 1)]
        (coco / f'annotations/instances_{split}2017.json').write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize('way', ['path', 'mmnasfpn::'])
@pytest.mark.parametrize('name', CONFIGS)
def test_config_builds_and_runs(name, way, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    cfg = load(name, way, tmp_path)
    if 'shapes' in cfg:
        for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            cfg[key].dataset.shapes = dict(num_train=8, num_val=2, image_size=128)
    else:
        cfg.train_dataloader.batch_size = 1
    check_data(cfg, ('train_dataloader', 'val_dataloader', 'test_dataloader'))
    cfg.work_dir = str(tmp_path)
    cfg.model.backbone.init_cfg = None  # no pretrained weights are fetched
    cfg.experiment_name = f'{name}-{way}'.replace(':', '')
    runner = Runner.from_cfg(cfg)
    check_model(runner.model)
    runner.build_optim_wrapper(cfg.optim_wrapper)
    train = runner.build_dataloader(cfg.train_dataloader, seed=0)
    val = runner.build_val_loop(cfg.val_cfg)
    assert type(runner.model).__module__.startswith('mmdet.')
    assert type(runner.model.neck).__module__.startswith('mmnasfpn.')
    losses = runner.model(**runner.model.data_preprocessor(next(iter(train)), True), mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bbox'}
    assert all(loss.isfinite() for level_losses in losses.values() for loss in level_losses)
    runner.model.eval()
    detections = runner.model.val_step(next(iter(val.dataloader)))
    assert all('pred_instances' in sample for sample in detections)
    with torch.no_grad():
        scores, boxes = runner.model(torch.zeros(1, 3, 100, 132))
    assert [x.shape[-2:] for x in scores] == [(13, 17), (7, 9), (4, 5), (2, 3), (1, 2)]
    assert all(x.shape[1] == 9 * 4 for x in boxes)


def test_r50_config_is_the_recipe_of_section_4_1():
    cfg = Config.fromfile(REPO / 'configs/nasfpn' / R50)
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


def test_r50_model_has_the_parameters_that_the_paper_counts():
    init_default_scope('mmdet')
    cfg = Config.fromfile(REPO / 'configs/nasfpn' / R50)
    cfg.model.bbox_head.num_classes = 90  # the paper predicts COCO's 90 category ids
    model = MODELS.build(cfg.model)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert millions == pytest.approx(60.3, rel=0.01)  # Table 1


def test_every_config_is_in_the_metafile_and_no_other():
    models = yaml.safe_load((REPO / 'configs/nasfpn/metafile.yml').read_text())['Models']
    assert sorted(Path(model['Config']).name for model in models) == CONFIGS
    for model in models:
        assert model['Config'] == f"configs/nasfpn/{model['Name']}.py"
