"""Mistakes in a config are named before training starts."""
import json
import re

import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler, RepeatDataset
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.checkpoints.fit import check_classes, classes_of
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.datasets import fix_annotations, make_shapes, read_annotations
from mmnasfpn.engine.preflight import check_data, check_model
from mmnasfpn.engine.preflight import data as data_checks
from tests.test_datasets.annotation_files import every, without

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


@pytest.mark.parametrize(('loader', 'key', 'value', 'advice'), [
    ('train_dataloader', 'data_root', 'nowhere/coco', 'set data_root'),
    ('val_dataloader', 'ann_file', 'annotations/none.json', 'ann_file'),
    ('train_dataloader', 'data_prefix.img', 'nowhere', 'data_prefix')])
def test_what_is_missing_is_named_with_its_place(cfg, loader, key, value, advice):
    cfg.merge_from_dict({f'{loader}.dataset.{key}': value})
    refused(cfg, FileNotFoundError, f'{loader}.dataset', value, advice)


@pytest.mark.parametrize('text', ['', '{', '[]', '{"images": []}', '{"images": [1], "categories": [2]}',
                                  '{"images": [{"id": 1}], "categories": [], "annotations": null}'])
def test_a_file_that_is_not_in_coco_format_is_refused(cfg, data_root, text):
    (data_root / 'annotations/train.json').write_text(text)
    refused(cfg, ValueError, 'train.json', 'not in COCO format')


def test_an_annotation_file_without_boxes_is_for_submissions_only(cfg, data_root):
    edit(data_root, 'val', lambda data: data.update(annotations=[]))
    refused(cfg, ValueError, 'val.json', '2 images but no boxes')
    cfg.val_evaluator.format_only = True  # a submission needs none
    check_data(cfg, KEYS)


def test_boxes_of_other_classes_do_not_count(cfg, data_root):
    edit(data_root, 'train', lambda data: data.update(
        annotations=[box for box in data['annotations'] if box['category_id'] != 1]))
    cfg.train_dataloader.dataset.metainfo.classes = ('circle',)
    refused(cfg, ValueError, 'train.json', "no boxes of the classes ('circle',)")


@pytest.mark.parametrize(('loader', 'classes', 'words'), [
    ('train', ('circle', 'hexagon'), ["('hexagon',)", "'triangle'", 'metainfo', 'num_classes']),
    ('train', ('triangle', 'circle'), ['another order', "classes=('circle', 'triangle')"]),
    ('train', 'circle', ["text 'circle'", "classes=('circle',)"]),
    ('val', ('circle', 'square'), ['val_dataloader.dataset', "('circle', 'square')",
                                   'train_dataloader.dataset', "('circle', 'square', 'triangle')"])])
def test_classes_are_known_in_order_a_tuple_and_the_same_in_validation(cfg, loader, classes, words):
    cfg[f'{loader}_dataloader'].dataset.metainfo = dict(classes=classes)
    refused(cfg, ValueError, *words)


def test_forgotten_classes_are_those_of_coco(cfg):
    del cfg.train_dataloader.dataset['metainfo']
    refused(cfg, ValueError, "'person'", "'triangle'", 'metainfo')


def test_data_sets_inside_wrappers_are_checked(cfg):
    inner = cfg.train_dataloader.dataset
    inner.ann_file = 'none.json'
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=inner)])
    refused(cfg, FileNotFoundError, "'none.json'")


@pytest.mark.parametrize(('change', 'words'), [
    (lambda data: data.update(images=[]), 'no images'),
    *((every('annotations', **values), 'no boxes') for values in (
        dict(iscrowd=1), dict(bbox=[5, 5, 0, 9]), dict(image_id=99)))])
def test_a_file_without_images_or_without_boxes_to_train_with_is_refused(cfg, data_root, change, words):
    edit(data_root, 'train', change)
    refused(cfg, ValueError, 'train.json', words)


def test_generated_shapes_are_drawn_and_checked(cfg, tmp_path):
    cfg.train_dataloader.dataset.update(
        type='mmnasfpn.ShapesDataset', data_root=str(tmp_path / 'new'),
        shapes=dict(num_train=2, num_val=2, image_size=128))
    check_data(cfg, KEYS)
    assert (tmp_path / 'new' / 'shapes.json').is_file()
    cfg.train_dataloader.dataset.metainfo.classes = ('circle', 'hexagon')
    refused(cfg, ValueError, "('hexagon',)")


def test_the_evaluator_reads_the_annotations_of_the_same_images(cfg, data_root):
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


def test_in_channels_that_are_not_the_backbones_are_refused():
    with pytest.raises(ValueError, match=r'map 1 .*32.*in_channels\[1\] is 64'):
        check_model(make_detector([16, 64, 64, 128]))


FOUR_LEVELS = dict(min_level=3, max_level=6, cells=[
    dict(level=level, op='sum', inputs=[0, 1], is_output=True) for level in range(3, 7)])


@pytest.mark.parametrize(('neck', 'words'), [
    (dict(out_channels=32), 'bbox_head: in_channels is 64, but the out_channels of the neck is 32'),
    (dict(num_outs=4, genotype=FOUR_LEVELS), 'bbox_head: num_ins is 5, but the num_outs .* is 4'),
])
def test_a_head_that_does_not_fit_the_neck_is_refused(neck, words):
    with pytest.raises(ValueError, match=words):
        check_model(make_detector([16, 32, 64, 128], **neck))


def test_anchors_of_another_number_of_levels_are_refused():
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


def dataset_of(data_root, name, **changes):
    return dict(type='CocoDataset', data_root=str(data_root), ann_file=f'annotations/{name}.json',
                data_prefix=dict(img='val/'), test_mode=True,
                metainfo=dict(classes=('circle', 'square', 'triangle')), **changes)


def split_val(cfg, data_root):
    """Split the validation set into files a and b of an image each, and join these in the config."""
    data = json.loads((data_root / 'annotations/val.json').read_text())
    for name, image in zip('ab', data['images'], strict=True):
        boxes = [box for box in data['annotations'] if box['image_id'] == image['id']]
        part = dict(data, images=[image], annotations=boxes)
        (data_root / f'annotations/{name}.json').write_text(json.dumps(part))
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[dataset_of(data_root, name) for name in 'ab'])


def coco_metric(data_root, name, **changes):
    return dict(type='CocoMetric', ann_file=f'{data_root}/annotations/{name}.json', **changes)


def reverse_categories(data):
    data['categories'].reverse()


def test_all_faults_are_named_together_and_the_last_line_has_them_in_short(cfg, data_root):
    edit(data_root, 'train', lambda data: [box.pop('area') for box in data['annotations']])
    edit(data_root, 'val', lambda data: data['images'][0].pop('file_name'))
    with pytest.raises(ValueError, match='2 things are wrong') as caught:
        check_data(cfg, KEYS)
    last = str(caught.value).splitlines()[-1]
    assert all(words in last for words in (
        'train.json: ', "no 'area'", 'val.json: ', "no 'file_name'", 'tools/check_data.py', '--fix'))


def test_what_costs_a_few_boxes_is_a_warning(cfg, data_root):
    edit(data_root, 'train', lambda data: data['annotations'][0].update(area=0))
    edit(data_root, 'train', lambda data: data['annotations'].extend(
        dict(data['annotations'][1], id=1000 + number) for number in range(20)))
    warning, = check_data(cfg, KEYS).warnings
    assert 'train_dataloader.dataset' in warning and "an 'area' of 0" in warning


def test_a_missing_image_and_an_empty_one_are_named(cfg, data_root):
    (data_root / 'train/000001.jpg').unlink()
    (data_root / 'val/000002.jpg').write_bytes(b'')
    refused(cfg, ValueError, 'In short', 'train/000001.jpg', 'val/000002.jpg')


def test_images_that_training_leaves_out_need_not_be_there(cfg, data_root):
    edit(data_root, 'train', lambda data: data['images'].append(
        dict(id=9, file_name='none.jpg', height=128, width=128)))
    refused(cfg, ValueError, 'train_dataloader', 'none.jpg')
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True)
    assert 'no boxes of the classes' in check_data(cfg, KEYS).warnings[0]


def test_images_from_elsewhere_than_files_are_left_alone(cfg, data_root):
    (data_root / 'train/000001.jpg').unlink()
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile', backend_args=dict(backend='lmdb', db_path='x'))]
    check_data(cfg, KEYS)


def test_masks_are_asked_for_by_the_pipeline_and_the_metric(cfg, data_root):
    for split in ('train', 'val'):
        edit(data_root, split, without('annotations', 'segmentation'))
    cfg.val_evaluator = coco_metric(data_root, 'val', metric=['bbox', 'segm'])
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadAnnotations', with_mask=True)]
    refused(cfg, ValueError, 'In short', 'train.json', "no 'segmentation'", 'val.json',
            "no 'segmentation'")


def test_images_that_are_trained_on_and_evaluated_are_counted(cfg):
    cfg.val_dataloader.dataset = cfg.train_dataloader.dataset
    warning, = check_data(cfg, KEYS).warnings
    assert '2 of 2 images are trained on too' in warning and 'train/000001.jpg' in warning


def test_testing_has_the_classes_of_training_too(cfg, data_root):
    cfg.test_dataloader = dict(dataset=dataset_of(data_root, 'val'))
    cfg.test_dataloader.dataset.metainfo.classes = ('square', 'triangle')
    with pytest.raises(ValueError, match='test_dataloader.*those of train_dataloader'):
        check_data(cfg, ('test_dataloader',))
    cfg.train_dataloader = None
    assert check_data(cfg, ('test_dataloader',)).classes == ('square', 'triangle')


def test_files_of_one_order_are_named_with_the_classes_in_that_order(cfg, data_root):
    for split in ('train', 'val'):
        edit(data_root, split, reverse_categories)
    refused(cfg, ValueError, 'another order', "classes=('triangle', 'square', 'circle')) of all")
    for key in KEYS:
        cfg[key].dataset.metainfo.classes = ('triangle', 'square', 'circle')
    check_data(cfg, KEYS)


def test_a_file_in_another_order_than_that_of_training_is_to_be_written_anew(cfg, data_root):
    edit(data_root, 'val', reverse_categories)
    with pytest.raises(ValueError, match='val.json.*another order') as caught:
        check_data(cfg, KEYS)
    assert 'metainfo' not in str(caught.value)
    assert '--classes circle square triangle --fix' in str(caught.value)
    fixed = data_root / 'annotations/val-fixed.json'
    fix_annotations(data_root / 'annotations/val.json', fixed, classes=('circle', 'square', 'triangle'))
    cfg.val_dataloader.dataset.ann_file = str(fixed)
    check_data(cfg, KEYS)


def test_a_test_set_is_brought_to_the_order_that_was_trained_with(cfg, data_root):
    edit(data_root, 'val', reverse_categories)
    cfg.update(test_dataloader=cfg.val_dataloader, train_dataloader=None)
    with pytest.raises(ValueError, match='another order.*--classes circle square triangle --fix'):
        check_data(cfg, ('test_dataloader',))


def test_the_evaluators_file_has_the_classes_in_order_too(cfg, data_root):
    data = json.loads((data_root / 'annotations/val.json').read_text())
    reverse_categories(data)
    (data_root / 'annotations/again.json').write_text(json.dumps(data))
    cfg.val_evaluator = coco_metric(data_root, 'again')
    refused(cfg, ValueError, 'val_evaluator', 'again.json', 'another order')


def test_two_validation_sets_with_the_evaluator_of_one(cfg, data_root):
    split_val(cfg, data_root)
    cfg.val_evaluator = coco_metric(data_root, 'a')
    refused(cfg, ValueError, 'val_evaluator', 'a.json', 'not those of the data sets', 'b.json',
            'MultiDatasetsEvaluator')
    cfg.val_evaluator = coco_metric(data_root, 'val')  # which has the images of both
    check_data(cfg, KEYS)


def test_validation_sets_whose_image_ids_collide(cfg, data_root):
    split_val(cfg, data_root)
    edit(data_root, 'b', lambda data: [entry.update({key: 1}) for part, key in (
        ('images', 'id'), ('annotations', 'image_id')) for entry in data[part]])
    for evaluator in (dict(type='CocoMetric'), coco_metric(data_root, 'a')):
        cfg.val_evaluator = evaluator
        refused(cfg, ValueError, 'images of the same ids (1)', 'MultiDatasetsEvaluator')
    cfg.val_evaluator = dict(type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'], metrics=[
        coco_metric(data_root, name) for name in 'ab'])
    check_data(cfg, KEYS)


@pytest.mark.parametrize(('names', 'words'), [
    ('ba', [r'metrics[0]', 'b.json', 'set it to', 'a.json']), ('a', ['2 data sets, 1 metrics'])])
def test_each_validation_set_has_a_metric_of_its_own_file(cfg, data_root, names, words):
    split_val(cfg, data_root)
    cfg.val_evaluator = dict(
        type='MultiDatasetsEvaluator', dataset_prefixes=list('ab'[:len(names)]),
        metrics=[coco_metric(data_root, name) for name in names])
    refused(cfg, ValueError, *words)


def test_a_file_of_the_same_ids_and_other_images_is_another(cfg, data_root):
    cfg.val_dataloader.dataset = dataset_of(data_root, 'val')
    edit(data_root, 'val', lambda data: [image.update(file_name=f'moved/{image["file_name"]}')
                                         for image in data['images']])
    (data_root / 'val').rename(data_root / 'moved')
    cfg.val_dataloader.dataset.data_prefix.img = ''
    data = json.loads((data_root / 'annotations/val.json').read_text())
    for image in data['images']:
        image['file_name'] = f'elsewhere/{image["file_name"].rpartition("/")[2]}'
    (data_root / 'annotations/same.json').write_text(json.dumps(data))
    cfg.val_evaluator = coco_metric(data_root, 'same')
    check_data(cfg, KEYS)  # only the folder is written differently
    data['images'][0]['file_name'] = '000077.jpg'
    (data_root / 'annotations/other.json').write_text(json.dumps(data))
    cfg.val_evaluator = coco_metric(data_root, 'other')
    refused(cfg, ValueError, 'not those of the data set')


def test_what_only_evaluation_reads_is_asked_of_the_evaluators_file(cfg, data_root):
    for split in ('train', 'val'):
        edit(data_root, split, lambda data: [box.pop('iscrowd') for box in data['annotations']])
    check_data(cfg, KEYS)  # the evaluator takes the data set's boxes, not the file
    cfg.val_evaluator = coco_metric(data_root, 'val')
    refused(cfg, ValueError, 'val_evaluator', 'val.json', "no 'iscrowd'")


@pytest.mark.parametrize('prefixes', [['a', 'a'], ['a'], None])
def test_each_validation_set_has_a_prefix_of_its_own(cfg, data_root, prefixes):
    split_val(cfg, data_root)
    cfg.val_evaluator = dict(type='MultiDatasetsEvaluator', dataset_prefixes=prefixes, metrics=[
        coco_metric(data_root, name) for name in 'ab'])
    refused(cfg, ValueError, 'dataset_prefixes')


@pytest.mark.parametrize(('changes', 'words'), [
    (dict(drop_last=True), 'drop_last leaves out images'),
    (dict(batch_sampler=dict(type='mmdet.AspectRatioBatchSampler', drop_last=True)), 'drop_last'),
    (dict(num_batch_per_epoch=1), 'num_batch_per_epoch leaves out images'),
    (dict(sampler=dict(type='mmdet.ClassAwareSampler')), 'its sampler, ClassAwareSampler'),
    (dict(sampler=dict(type=InfiniteSampler)), 'its sampler, InfiniteSampler'),
    (dict(dataset=dict(pipeline=[dict(type='RandomFlip', prob=0.5)])), 'its pipeline has RandomFlip'),
    (dict(dataset=dict(pipeline=[dict(type='mmdet.RandomCrop')])), 'its pipeline has RandomCrop')])
def test_each_image_is_evaluated_as_it_is(cfg, data_root, changes, words):
    cfg.val_dataloader.dataset = dataset_of(data_root, 'val')
    cfg.val_evaluator = coco_metric(data_root, 'val')
    cfg.val_dataloader.dataset.pipeline = [dict(type='mmdet.RandomFlip', prob=0)]
    check_data(cfg, KEYS)
    cfg.merge_from_dict(dict(val_dataloader=changes))
    refused(cfg, ValueError, words)


def test_an_evaluator_without_a_file_is_handed_the_boxes(cfg, data_root):
    cfg.val_dataloader.dataset.pipeline = [dict(type='mmdet.PackDetInputs', meta_keys=('img_id',))]
    refused(cfg, ValueError, 'no ann_file', 'instances')
    cfg.val_dataloader.dataset.pipeline[0].meta_keys = ('img_id', 'instances')
    check_data(cfg, KEYS)


@pytest.mark.parametrize(('changes', 'words'), [
    (dict(data_root=3), 'data_root is 3'), (dict(ann_file=['a.json']), 'ann_file is'),
    (dict(data_prefix='train/'), "data_prefix is 'train/', but must be a dict"),
    (dict(filter_cfg=[1]), 'filter_cfg is'),
    (dict(filter_cfg=dict(min_size=None)), 'min_size is None'),
    (dict(pipeline=['Resize']), 'pipeline has a transform'),
    (dict(metainfo=('circle',)), 'metainfo is'), (dict(datasets=None), 'datasets is'),
    (dict(data_prefix=None), 'data_prefix has no img'), (dict(data_prefix={}), 'has no img')])
def test_odd_values_of_a_config_are_named(cfg, changes, words):
    for key, value in changes.items():
        cfg.train_dataloader.dataset[key] = value
    refused(cfg, ValueError, 'train_dataloader.dataset', words)


def test_a_dataloader_without_a_data_set_is_named(cfg):
    for loader in ('train', dict(batch_size=2)):
        cfg.train_dataloader = loader
        refused(cfg, ValueError, 'train_dataloader.dataset', 'must be a dict')


def test_classes_that_are_given_twice_are_named(cfg):
    cfg.val_evaluator = coco_metric(cfg.val_dataloader.dataset.data_root, 'val')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.metainfo = dict(classes=('circle', 'square', 'square'))
        refused(cfg, ValueError, "('square',) are given twice")


@pytest.mark.parametrize('changes', [
    dict(backend_args=dict(backend='petrel'), data_root='data/coco/'), dict(data_root='s3://bucket/')])
def test_remote_data_sets_are_left_alone(cfg, changes):
    cfg.train_dataloader.dataset.update(changes)
    check_data(cfg, KEYS)


def test_types_may_be_classes(cfg, data_root):
    (data_root / 'train/000001.jpg').unlink()
    cfg.train_dataloader.dataset.pipeline = [dict(type=LoadImageFromFile)]
    refused(cfg, ValueError, '000001.jpg')
    cfg.train_dataloader = None
    cfg.val_dataloader.dataset = dict(type=RepeatDataset, times=2, dataset=dataset_of(data_root, 'val'))
    cfg.val_evaluator = coco_metric(data_root, 'val')
    refused(cfg, ValueError, 'leave out the wrapper')


def test_the_command_that_repairs_names_the_images_where_it_needs_them(cfg, data_root):
    edit(data_root, 'train', lambda data: data['images'][0].pop('height'))
    refused(cfg, ValueError, '--images', str(data_root / 'train'), '--fix')


@pytest.mark.parametrize(('wrap', 'words'), [
    (lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset), 'leave out the wrapper'),
    (lambda dataset: dict(dataset, indices=1), 'indices leave out images'),
    (lambda dataset: dict(dataset, test_mode=False, filter_cfg=dict(min_size=200)), 'test_mode=True')])
def test_each_image_is_evaluated_once(cfg, data_root, wrap, words):
    cfg.val_dataloader.dataset = wrap(dataset_of(data_root, 'val'))
    cfg.val_evaluator = coco_metric(data_root, 'val')
    refused(cfg, ValueError, words)


def test_ap_of_each_class_needs_rising_ids(cfg, data_root):
    def change(data):
        data['categories'][0]['id'] = 9
        for box in data['annotations']:
            box['category_id'] = {1: 9}.get(box['category_id'], box['category_id'])
    edit(data_root, 'val', change)
    cfg.val_evaluator = coco_metric(data_root, 'val')
    check_data(cfg, KEYS)
    cfg.val_evaluator.classwise = True
    refused(cfg, ValueError, 'classwise=True gives the AP of one class to another', '(9, 2, 3)')


def test_a_file_that_was_checked_is_not_read_again_until_it_changes(cfg, data_root, monkeypatch):
    read = []
    monkeypatch.setattr(data_checks, 'read_annotations', lambda path: read.append(path.name) or
                        read_annotations(path))
    cfg.val_evaluator = coco_metric(data_root, 'val')
    first = check_data(cfg, KEYS)
    assert sorted(read) == ['train.json', 'val.json']
    again = check_data(cfg, KEYS, first.checked)
    assert sorted(read) == ['train.json', 'val.json'] and again.checked == first.checked
    edit(data_root, 'val', lambda data: data['annotations'][0].pop('area'))
    with pytest.raises(ValueError, match='area'):
        check_data(cfg, KEYS, first.checked)
    assert read[2:] == ['val.json']


def mask_rcnn(num_classes, num_masks):
    init_default_scope('mmdet')
    cfg = Config.fromfile('configs/nasfpn/mask-rcnn_r50_nasfpn-3x256-gn_1x_coco.py').model
    cfg.backbone = dict(type='mmnasfpn.ResNet10', base_channels=4, out_indices=(0, 1, 2, 3),
                        init_cfg=None)
    cfg.neck.update(in_channels=[4, 8, 16, 32], stack_times=1)
    cfg.roi_head.bbox_head.num_classes = num_classes
    cfg.roi_head.mask_head.num_classes = num_masks
    return MODELS.build(cfg)


@pytest.mark.parametrize(('numbers', 'words'), [
    ((2, 3), 'roi_head.bbox_head: num_classes is 2, but the data have 3 classes'),
    ((3, 80), 'roi_head.mask_head: num_classes is 80, but the data have 3 classes'),
    ((80, 80), 'roi_head.bbox_head, roi_head.mask_head: num_classes is 80, but the data have 3 classes'),
    ((2, 80), 'roi_head.bbox_head: num_classes is 2; roi_head.mask_head: num_classes is 80, but the')])
def test_each_head_predicts_the_classes_of_the_data(numbers, words):
    with pytest.raises(ValueError, match=words):
        check_model(mask_rcnn(*numbers), ('circle', 'square', 'triangle'))


def test_proposals_have_a_class_of_their_own():
    check_model(mask_rcnn(3, 3), ('circle', 'square', 'triangle'))


@pytest.mark.parametrize(('trained', 'how'), [
    (('triangle', 'circle'), 'the same classes in another order'), (('bolt', 'nut'), 'other classes')])
def test_a_checkpoint_of_other_classes_is_refused_by_name(trained, how):
    for meta in (dict(dataset_meta=dict(classes=trained)), dict(CLASSES=trained)):
        with pytest.raises(CheckpointError, match=f"{how}.*{trained[0]}.*'circle', 'triangle'"):
            check_classes(classes_of(dict(meta=meta)), ('circle', 'triangle'))
    check_classes(classes_of(dict(meta={})), ('circle', 'triangle'))
    check_classes(trained, list(trained))
