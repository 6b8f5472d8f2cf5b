"""What a config lacks is told before anything is built from it."""
import pytest
from mmengine.config import Config

from mmnasfpn.engine.preflight.config import check_config
from mmnasfpn.errors import ConfigError

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='mmdet.PackDetInputs')


def make_config(**changes):
    """Return a config with what a training needs; None takes a part of it out."""
    dataset = dict(type='CocoDataset', pipeline=[LOAD, PACK])
    cfg = dict(default_scope='mmdet', model=dict(type='RetinaNet'),
               train_dataloader=dict(dataset=dataset), train_cfg=dict(max_epochs=1),
               optim_wrapper=dict(type='OptimWrapper'), val_dataloader=dict(dataset=dataset),
               val_cfg=dict(type='ValLoop'), val_evaluator=dict(type='CocoMetric'))
    return Config({**cfg, **changes})


@pytest.mark.parametrize(('changes', 'words'), [
    (dict(model=None), 'model is missing'),
    (dict(env_cfg=None), 'env_cfg is None'),
    (dict(randomness=3), 'randomness is 3'),
    (dict(custom_hooks=3), 'custom_hooks is 3'),
    (dict(val_evaluator=None), 'val_evaluator is missing .* has val_dataloader and val_cfg: .*or none'),
    (dict(train_cfg=None, optim_wrapper=None),
     'train_cfg and optim_wrapper are missing .* has train_dataloader: set all three$'),
    (dict(train_dataloader=None, train_cfg=None, optim_wrapper=None), 'are missing .* is to train'),
    (dict(test_cfg=dict()), 'test_dataloader and test_evaluator are missing'),
    (dict(train_dataloader=3), 'train_dataloader has no data set'),
    (dict(val_dataloader=dict(batch_size=1)), 'val_dataloader has no data set'),
    (dict(train_cfg=dict(max_epochs=0)), 'train_cfg.max_epochs is 0'),
    (dict(train_cfg=dict(max_iters=-3)), 'train_cfg.max_iters is -3'),
    (dict(model=dict(type='RetinaNet', backbone=dict(init_cfg=[dict(
        type='mmengine.Pretrained', checkpoint='none/w.pth')]))),
     r"backbone\.init_cfg\.0\.checkpoint is 'none/w\.pth', but there is no such file: .*--cfg-options"),
    *((dict(train_cfg=dict(max_epochs=1, val_interval=value)), 'val_interval is')
      for value in (0, -1, 1.5, 'abc', True)),
])
def test_what_is_missing_or_wrong_is_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        check_config(make_config(**changes), 'train', 'val')


@pytest.mark.parametrize('checkpoint', [__file__, 'torchvision://resnet50', 'open-mmlab://mmdet/x'])
def test_pretrained_weights_may_be_files_or_urls(checkpoint):
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    check_config(make_config(model=dict(type='RetinaNet', backbone=dict(init_cfg=init_cfg))), 'train')


def test_a_config_may_have_no_validation():
    check_config(make_config(val_dataloader=None, val_cfg=None, val_evaluator=None), 'train', 'val')


def concat(*pipelines):
    return dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=dict(
        type='CocoDataset', pipeline=pipeline)) for pipeline in pipelines])


@pytest.mark.parametrize(('dataset', 'packs'), [
    (dict(type='CocoDataset', pipeline=[LOAD]), False),
    (concat([LOAD, PACK], [LOAD, PACK]), True),
    (concat([LOAD, PACK], [LOAD]), False),
    (dict(type='MultiImageMixDataset', dataset=dict(type='CocoDataset', pipeline=[LOAD]),
          pipeline=[dict(type='Mosaic'), PACK]), True),
    (dict(type='CocoDataset', pipeline=[LOAD, dict(type='TestTimeAug', transforms=[[PACK]])]), True),
    (dict(type='CocoDataset', pipeline=[LOAD, dict(type='RandomFlip', prob=0.5)]), False),
    (dict(type='CocoDataset', pipeline=[LOAD, dict(type='OfTheUser')]), True),
    (dict(type='CocoDataset', pipeline=[LOAD, len]), True)])
def test_a_pipeline_packs_or_may_do_so(dataset, packs):
    cfg = make_config(val_dataloader=dict(dataset=dataset))
    if packs:
        check_config(cfg, 'train', 'val')
    else:
        with pytest.raises(ConfigError, match=r'val_dataloader\.dataset: .*PackDetInputs'):
            check_config(cfg, 'train', 'val')
