"""Mistakes in a config are named before training starts."""
import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.datasets import make_shapes
from mmnasfpn.engine.preflight import check_data, check_model

KEYS = ('train_dataloader', 'val_dataloader')


@pytest.fixture
def data_root(tmp_path):
    return make_shapes(tmp_path / 'shapes', 2, 2, 128)


@pytest.fixture
def cfg(data_root):
    def dataset(split):
        return dict(type='CocoDataset', data_root=str(data_root),
                    ann_file=f'annotations/{split}.json', data_prefix=dict(img=f'{split}/'),
                    metainfo=dict(classes=('circle', 'square', 'triangle')))
    return Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset('train')),
                       val_dataloader=dict(dataset=dataset('val')),
                       val_evaluator=dict(type='CocoMetric')))


def refused(cfg, error, *words):
    with pytest.raises(error, match='.*'.join(re.escape(word) for word in words)):
        check_data(cfg, KEYS)


def edit(data_root, split, change):
    path = data_root / 'annotations' / f'{split}.json'
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_good_data_pass(cfg):
    check_data(cfg, KEYS)


def test_missing_data_root(cfg):
    cfg.train_dataloader.dataset.data_root = 'nowhere/coco'
    refused(cfg, FileNotFoundError, 'train_dataloader.dataset', "'nowhere/coco'", 'set data_root')


def test_missing_annotation_file(cfg):
    cfg.val_dataloader.dataset.ann_file = 'annotations/none.json'
    refused(cfg, FileNotFoundError, 'val_dataloader.dataset', "'annotations/none.json'", 'ann_file')


def test_missing_picture_folder(cfg):
    cfg.train_dataloader.dataset.data_prefix.img = 'pictures'
    refused(cfg, FileNotFoundError, 'train_dataloader.dataset', 'pictures', 'data_prefix')


@pytest.mark.parametrize('text', ['', '{', '[]', '{"images": []}', '{"images": [1], "categories": [2]}',
                                  '{"images": [{"id": 1}], "categories": [], "annotations": null}'])
def test_annotation_file_that_is_not_one(cfg, data_root, text):
    (data_root / 'annotations/train.json').write_text(text)
    refused(cfg, ValueError, 'train.json', 'not in COCO format')


def test_annotation_file_without_pictures(cfg, data_root):
    edit(data_root, 'train', lambda data: data.update(images=[]))
    refused(cfg, ValueError, 'train.json', 'no images')


def test_annotation_file_without_boxes(cfg, data_root):
    edit(data_root, 'val', lambda data: data.update(annotations=[]))
    refused(cfg, ValueError, 'val.json', '2 images but no boxes')
    cfg.val_evaluator.format_only = True  # a submission needs none
    check_data(cfg, KEYS)


def test_annotation_file_with_boxes_of_other_classes_only(cfg, data_root):
    edit(data_root, 'train', lambda data: data.update(
        annotations=[box for box in data['annotations'] if box['category_id'] != 1]))
    cfg.train_dataloader.dataset.metainfo.classes = ('circle',)
    refused(cfg, ValueError, 'train.json', "no boxes of the classes ['circle']")


def test_unknown_classes(cfg):
    cfg.train_dataloader.dataset.metainfo.classes = ('circle', 'hexagon')
    refused(cfg, ValueError, "['hexagon']", "'triangle'", 'metainfo', 'num_classes')


def test_forgotten_classes_are_those_of_coco(cfg):
    del cfg.train_dataloader.dataset['metainfo']
    refused(cfg, ValueError, "'person'", "'triangle'", 'metainfo')


def test_data_sets_inside_wrappers_are_checked(cfg):
    inner = cfg.train_dataloader.dataset
    inner.ann_file = 'none.json'
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=inner)])
    refused(cfg, FileNotFoundError, "'none.json'")


@pytest.mark.parametrize('change', [dict(iscrowd=1), dict(bbox=[5, 5, 0, 9]), dict(image_id=99)])
def test_boxes_that_training_leaves_out_do_not_count(cfg, data_root, change):
    edit(data_root, 'train', lambda data: [box.update(change) for box in data['annotations']])
    refused(cfg, ValueError, 'train.json', 'no boxes')


def test_classes_in_another_order_than_the_files(cfg):
    cfg.train_dataloader.dataset.metainfo.classes = ('triangle', 'circle')
    refused(cfg, ValueError, 'another order', "classes=('circle', 'triangle')")


def test_unknown_classes_of_generated_shapes(cfg, tmp_path):
    cfg.train_dataloader.dataset.update(
        type='mmnasfpn.ShapesDataset', data_root=str(tmp_path / 'new'),
        shapes=dict(num_train=2, num_val=2, image_size=128))
    check_data(cfg, KEYS)
    assert (tmp_path / 'new' / 'shapes.json').is_file()
    cfg.train_dataloader.dataset.metainfo.classes = ('circle', 'hexagon')
    refused(cfg, ValueError, "['hexagon']")


def test_the_evaluator_reads_the_annotations_of_the_same_pictures(cfg, data_root):
    edit(data_root, 'train', lambda data: data['images'].append(dict(data['images'][0], id=7)))
    cfg.val_evaluator.ann_file = str(data_root / 'annotations/val.json')
    check_data(cfg, KEYS)
    cfg.val_evaluator.ann_file = str(data_root / 'annotations/train.json')
    refused(cfg, ValueError, 'val_evaluator', 'train.json', 'val.json')
    cfg.val_evaluator.ann_file = 'nowhere.json'
    refused(cfg, FileNotFoundError, 'val_evaluator', "'nowhere.json'", 'val.json')


def test_panoptic_data_sets_are_left_alone(cfg):
    cfg.train_dataloader.dataset.update(type='CocoPanopticDataset', ann_file='none.json')
    check_data(cfg, KEYS)


def make_detector(in_channels, **neck):
    init_default_scope('mmdet')
    cfg = Config.fromfile('configs/nasfpn/retinanet_r18-w16_nasfpn-3x64_7e_shapes.py')
    cfg.model.neck.update(in_channels=in_channels, **neck)
    return MODELS.build(cfg.model)


def test_in_channels_that_are_not_the_backbones():
    with pytest.raises(ValueError, match=r'map 1 .*32.*in_channels\[1\] is 64'):
        check_model(make_detector([16, 64, 64, 128]))


FOUR_LEVELS = dict(min_level=3, max_level=6, cells=[
    dict(level=level, op='sum', inputs=[0, 1], is_output=True) for level in range(3, 7)])


@pytest.mark.parametrize(('neck', 'words'), [
    (dict(out_channels=32), 'bbox_head: in_channels is 64, but the out_channels of the neck is 32'),
    (dict(num_outs=4, genotype=FOUR_LEVELS), 'bbox_head: num_ins is 5, but the num_outs .* is 4'),
])
def test_a_head_that_does_not_fit_the_neck(neck, words):
    with pytest.raises(ValueError, match=words):
        check_model(make_detector([16, 32, 64, 128], **neck))


def test_anchors_of_another_number_of_levels():
    model = make_detector([16, 32, 64, 128], num_outs=4, genotype=FOUR_LEVELS)
    model.bbox_head.num_ins = 4
    with pytest.raises(ValueError, match=r'strides .* is 5, but the num_outs of the neck is 4'):
        check_model(model)


def test_the_check_of_the_model_changes_nothing():
    model = make_detector([16, 32, 64, 128]).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    check_model(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training and model.backbone.bn1.training
