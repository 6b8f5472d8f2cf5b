"""The fine-tuning recipe: what it starts from, what it trains, and that it resumes."""
import re

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.engine.config import load_config
from mmnasfpn.engine.run import evaluate, train
from mmnasfpn.models.dense_heads import RetinaSepBNHead
from tests.conftest import REPO
from tests.test_configs import folder as folder
from tests.test_configs import shrink

SMALL = {'model.backbone.widen_factor': 0.25, 'model.neck.in_channels': [8, 24, 80],
         'model.neck.stack_times': 1, 'model.neck.out_channels': 16, 'model.bbox_head.in_channels': 16,
         'model.bbox_head.feat_channels': 16, 'model.bbox_head.stacked_convs': 1}


def make_config(name, work_dir, steps, options=()):
    """Return a recipe of two images of 128 pixels at a time, and a checkpoint for its backbone."""
    config = REPO / f'configs/nasfpn/{name}_finetune_bccd.py'
    cfg = shrink(load_config(str(config), work_dir=str(work_dir)))
    cfg.merge_from_dict({
        'train_cfg.max_iters': steps, 'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 2, 'default_hooks.logger.interval': 1,
        'param_scheduler': [dict(type='LinearLR', start_factor=0.5, by_epoch=False, begin=0, end=10)],
        **dict(options)})
    init_default_scope('mmdet')
    torch.manual_seed(1)
    backbone = MODELS.build(cfg.model.backbone)
    with torch.no_grad():
        for key, value in backbone.state_dict().items():
            if 'running_var' in key:
                value.uniform_(0.5, 1.5)
    checkpoint = work_dir.with_name('backbone.pth')
    torch.save(backbone.state_dict(), checkpoint)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
    return cfg, backbone.state_dict()


@pytest.mark.parametrize(('name', 'options', 'frozen'), [
    ('retinanet_r50_nasfpn-3x256', {}, r'conv1|bn1|layer1'),
    ('retinanet_mobilenetv2_nasfpn-3x64', SMALL, r'conv1|layer[12]\.')])
def test_frozen_stages_and_norm_statistics_stay_as_they_were_pretrained(
        name, options, frozen, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    cfg, pretrained = make_config(name, tmp_path / 'w', 2, options)
    train(cfg)
    trained = load_checkpoint(tmp_path / 'w/iter_2.pth')['state_dict']
    for key, value in pretrained.items():
        stays = re.match(frozen, key) or 'running' in key
        assert torch.equal(trained[f'backbone.{key}'], value) == bool(stays) or 'tracked' in key, key


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)

    def run(work_dir, steps, resume=False):
        cfg, _ = make_config('retinanet_mobilenetv2_nasfpn-3x64', work_dir, steps, SMALL)
        pipeline = cfg.train_dataloader.dataset.pipeline  # what it draws is not the same after a stop
        cfg.train_dataloader.dataset.pipeline = [
            step for step in pipeline if 'Random' not in step.type and 'Distortion' not in step.type]
        train(cfg, resume=resume)

    run(tmp_path / 'whole', 4)
    run(tmp_path / 'part', 2)
    run(tmp_path / 'part', 4, resume=True)
    one, other = (load_checkpoint(tmp_path / run / 'iter_4.pth') for run in ('whole', 'part'))
    for kind in ('state_dict', 'ema_state_dict'):
        assert one[kind].keys() == other[kind].keys()
        assert all(torch.equal(value, other[kind][key]) for key, value in one[kind].items()), kind


def test_the_averaged_weights_are_evaluated_and_saved(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    cfg, _ = make_config('retinanet_mobilenetv2_nasfpn-3x64', tmp_path / 'w', 2, SMALL)
    train(cfg)
    checkpoint = load_checkpoint(tmp_path / 'w/iter_2.pth')
    key = 'bbox_head.retina_cls.weight'
    averaged, last = checkpoint['state_dict'][key], checkpoint['ema_state_dict'][f'module.{key}']
    assert not torch.equal(averaged, last)
    seen = []
    predict = RetinaSepBNHead.predict
    monkeypatch.setattr(RetinaSepBNHead, 'predict', lambda self, *args, **kwargs: (
        seen.append(self.retina_cls.weight.clone()), predict(self, *args, **kwargs))[1])
    evaluate(make_config('retinanet_mobilenetv2_nasfpn-3x64', tmp_path / 'w', 2, SMALL)[0],
             str(tmp_path / 'w/iter_2.pth'))
    assert torch.equal(seen[0], averaged)
