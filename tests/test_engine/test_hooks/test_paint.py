"""Images are painted as the test reads them, those of one name into several folders."""
import json
from types import SimpleNamespace
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from mmcv import LoadImageFromFile
from mmdet.engine.hooks import DetVisualizationHook
from mmengine.registry import MODELS, init_default_scope
from mmengine.visualization import Visualizer
from PIL import Image
from torch.utils.data import ConcatDataset

from mmnasfpn.datasets import make_shapes
from mmnasfpn.engine.hooks.paint import PaintHook
from mmnasfpn.engine.run import _use_hook, evaluate, load_config


class Images(list):
    def get_data_info(self, index):
        return dict(img_path=self[index])


@pytest.mark.parametrize(('paths', 'expected'), [
    (['/data/val/1.jpg', '/data/val/2.jpg'], '/data/val'),
    (['/data/val/a/1.jpg', '/data/val/b/1.jpg'], '/data/val'),
    (['/data/val/1.jpg', '/data/val/b/1.jpg'], '/data/val'),
    (['/data/a/x/1.jpg', '/data/ab/x/1.jpg'], '/data'), ([], None), ([{}], None)])
def test_the_root_is_the_lowest_folder_that_holds_all_images_where_they_are_named(paths, expected):
    hook = SimpleNamespace(draw=True)
    for dataset, root in ((Images(paths), expected), (list(paths), None)):
        PaintHook.before_test_epoch(
            hook, SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset)))
        assert hook._root == root


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
    evaluate(cfg, str(tmp_path / 'x.pth'), show_dir='painted')
    [painted] = (tmp_path / 'w').glob('*/painted')
    assert sorted(str(path.relative_to(painted)) for path in painted.rglob('*.jpg')) == [
        f'camera{number}/1.jpg' for number in range(4)]


def write_turned(path, orientation):
    """Write an image, blue on the left and black on the right, to be turned when it is shown."""
    image = Image.new('RGB', (64, 32))
    image.paste((0, 0, 255), (0, 0, 32, 32))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, format='JPEG', exif=exif, quality=95)


def data_set(path, **loading):
    """Play a data set of one image."""
    part = Images([str(path)])
    part.pipeline = SimpleNamespace(transforms=[LoadImageFromFile(**loading)])
    return part


def paint(tmp_path, *parts, **options):
    """Paint each image of some data sets; return what the visualizer was given."""
    visualizer = Mock()
    with patch.object(Visualizer, 'get_current_instance', lambda: visualizer):
        hook = PaintHook(draw=True, **options)
    together = ConcatDataset(parts)
    together.get_data_info = Images(path for part in parts for path in part).get_data_info
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=together), work_dir=str(tmp_path),
                             timestamp='t')
    hook.before_test_epoch(runner)
    for part in parts:
        hook.after_test_iter(runner, 0, None, [SimpleNamespace(img_path=path) for path in part])
    return [(call.args, call.kwargs) for call in visualizer.add_datasample.call_args_list]


@pytest.mark.parametrize('options', [dict(test_out_dir='shown'), dict(show=True)])
def test_each_image_is_painted_as_its_data_set_reads_it(tmp_path, options):
    ways = [dict(color_type='color_ignore_orientation'), dict(), dict(imdecode_backend='pillow'),
            dict(color_type='color_ignore_orientation', imdecode_backend='pillow'),
            dict(color_type='unchanged'), dict(color_type='grayscale')]
    parts = []
    for number, loading in enumerate(ways):
        write_turned(tmp_path / f'{number}.jpg', orientation=6)
        parts.append(data_set(tmp_path / f'{number}.jpg', **loading))
    images = [args[1] for args, _ in paint(tmp_path, *parts, **options)]
    assert [image.shape for image in images] == [
        (32, 64, 3), (64, 32, 3), (64, 32, 3), (32, 64, 3), (32, 64, 3), (64, 32, 3)]
    for image in images[:5]:
        assert image.dtype == np.uint8 and image[5, 5, 2] > 200 and image[5, 5, 0] < 50  # RGB
        assert image[-5, -5].max() < 50


@pytest.mark.parametrize(('name', 'painted'), [
    ('a.jpg', 'a.jpg'), ('a.PNG', 'a.PNG'), ('a', 'a.jpg'), ('a.jfif', 'a.jfif.jpg')])
def test_an_image_is_painted_under_a_name_that_can_be_written(tmp_path, name, painted):
    write_turned(tmp_path / name, orientation=1)
    [(_, arguments)] = paint(tmp_path, data_set(tmp_path / name), test_out_dir='shown')
    assert arguments['out_file'] == str(tmp_path / 't/shown' / painted)
    assert (tmp_path / 't/shown').is_dir()


@pytest.mark.parametrize(('hook', 'kind'), [
    (None, 'mmnasfpn.PaintHook'),
    (dict(type='DetVisualizationHook', interval=5), 'mmnasfpn.PaintHook'),
    (dict(type='mmdet.DetVisualizationHook'), 'mmnasfpn.PaintHook'),
    (dict(type='mmdet.TrackVisualizationHook'), 'mmdet.TrackVisualizationHook')])
def test_a_hook_of_the_users_own_stays(hook, kind, tiny_config):
    cfg = load_config(str(tiny_config))
    cfg.default_hooks.visualization = hook
    _use_hook(cfg, 'visualization', dict(type='mmdet.DetVisualizationHook'), DetVisualizationHook,
              'mmnasfpn.PaintHook', draw=True)
    assert cfg.default_hooks.visualization == {**(hook or {}), 'type': kind, 'draw': True}
