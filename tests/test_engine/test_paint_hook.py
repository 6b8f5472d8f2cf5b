"""Images of one name in several folders are painted into several folders."""
import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.datasets import make_shapes
from mmnasfpn.engine.paint_hook import _common_folder
from mmnasfpn.engine.run import _use_painting, load_config
from mmnasfpn.engine.run import test as run_test


class Images(list):
    def get_data_info(self, index):
        return dict(img_path=self[index])


@pytest.mark.parametrize(('paths', 'expected'), [
    (['/data/val/1.jpg', '/data/val/2.jpg'], '/data/val'),
    (['/data/val/a/1.jpg', '/data/val/b/1.jpg'], '/data/val'),
    (['/data/val/1.jpg', '/data/val/b/1.jpg'], '/data/val'),
    (['/data/a/x/1.jpg', '/data/ab/x/1.jpg'], '/data'),
    ([], None)])
def test_the_root_is_the_lowest_folder_that_holds_all_images(paths, expected):
    assert _common_folder(Images(paths)) == expected


def test_a_data_set_that_names_no_images_has_no_root():
    assert _common_folder([1, 2]) is None
    assert _common_folder(Images([{}])) is None


def test_images_of_one_name_do_not_overwrite_each_other(tiny_config, tmp_path):
    data = make_shapes(tmp_path / 'data', 4, 4, 128)
    path = data / 'annotations/val.json'
    content = json.loads(path.read_text())
    for number, image in enumerate(content['images']):
        new = data / f'val/camera{number}/1.jpg'
        new.parent.mkdir()
        (data / 'val' / image['file_name']).rename(new)
        image['file_name'] = f'camera{number}/1.jpg'
    path.write_text(json.dumps(content))
    cfg = load_config(str(tiny_config), str(tmp_path / 'w'))
    cfg.test_dataloader.dataset.type = 'mmdet.CocoDataset'
    cfg.test_dataloader.dataset.pop('shapes')
    cfg.test_dataloader.dataset.update(data_root=str(data), metainfo=dict(
        classes=('circle', 'square', 'triangle')))
    cfg.test_evaluator.ann_file = str(path)
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    init_default_scope('mmdet')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'x.pth')
    run_test(cfg, str(tmp_path / 'x.pth'), show_dir='painted')
    [painted] = (tmp_path / 'w').glob('*/painted')
    assert sorted(str(path.relative_to(painted)) for path in painted.rglob('*.jpg')) == [
        f'camera{number}/1.jpg' for number in range(4)]


@pytest.mark.parametrize(('hook', 'kind'), [
    (None, 'mmnasfpn.PaintHook'),
    (dict(type='DetVisualizationHook', interval=5), 'mmnasfpn.PaintHook'),
    (dict(type='mmdet.DetVisualizationHook'), 'mmnasfpn.PaintHook'),
    (dict(type='mmdet.TrackVisualizationHook'), 'mmdet.TrackVisualizationHook')])
def test_a_hook_of_the_users_own_stays(hook, kind, tiny_config):
    cfg = load_config(str(tiny_config))
    cfg.default_hooks.visualization = hook
    _use_painting(cfg, draw=True)
    assert cfg.default_hooks.visualization == {**(hook or {}), 'type': kind, 'draw': True}
