"""Ground truth of a config, and predictions of its images, and what is refused."""
import dataclasses
import json
import pickle

import cv2
import numpy as np
import pytest
import torch

from mmnasfpn.datasets import CLASSES
from mmnasfpn.engine.run import load_config
from mmnasfpn.mistakes import read
from mmnasfpn.mistakes.coco import measure_ap
from mmnasfpn.mistakes.read import read_detections, read_truth
from tests.conftest import write_tiny_config
from tests.test_mistakes.detection_sets import make_set
from tests.test_mistakes.truths import truth_of


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_tiny_config(tmp_path_factory.mktemp('config'))


@pytest.fixture(scope='module')
def truth(config):
    return read_truth(load_config(config))


def predict(truth, **changes):
    """Return what MMDetection would predict of all boxes, and of each image what is to be changed."""
    predictions = []
    for image_id, image in truth.coco.imgs.items():
        boxes = torch.tensor([box['bbox'] for box in truth.coco.imgToAnns[image_id]])
        boxes[:, 2:] += boxes[:, :2]
        labels = [truth.category_ids.index(box['category_id']) for box in truth.coco.imgToAnns[image_id]]
        found = dict(bboxes=boxes, scores=torch.full((len(boxes),), 0.75), labels=torch.tensor(labels))
        predictions.append(dict(img_id=image_id, img_path=f'/any/{image["file_name"]}',
                                pred_instances={**found, **changes.get('found', {})}))
    return predictions


def test_the_truth_of_shapes_has_their_classes_boxes_and_files(truth):
    assert truth.classes == list(CLASSES)
    assert truth.num_boxes == len(truth.coco.anns) > 4
    assert truth.reader.read(truth.paths[1]).shape == (128, 128, 3)


def test_a_pickle_and_a_file_of_results_are_the_same(truth, tmp_path):
    predictions = predict(truth)
    (tmp_path / 'p.pkl').write_bytes(pickle.dumps(predictions))
    found = read_detections(tmp_path / 'p.pkl', truth)
    assert len(found) == truth.num_boxes and found[0]['score'] == 0.75
    assert measure_ap(truth.coco, found, truth.category_ids).total['AP'] == 1
    names = {key: image['file_name'] for key, image in truth.coco.imgs.items()}
    (tmp_path / 'p.json').write_text(json.dumps(
        [dict(entry, more=1, file_name=f'any/{names[entry["image_id"]]}') for entry in found]))
    assert read_detections(tmp_path / 'p.json', truth) == found


def entry(**changes):
    return dict(dict(image_id=1, category_id=1, bbox=[0, 0, 9, 9], score=0.5), **changes)


@pytest.mark.parametrize(('name', 'content', 'words'), [
    ('p.txt', '', 'must end in .pkl'),
    ('p.json', None, 'does not exist'),
    ('p.json', '[{', 'cannot be read'),
    ('p.pkl', 'nonsense', 'cannot be read'),
    ('p.json', '{}', 'must hold a list'),
    ('p.json', '[3]', 'must hold a list'),
    ('p.json', '[]', 'has no detections'),
    ('p.json', [entry(image_id=99)], r"images that .*val\.json has not \(ids 99\)"),
    ('p.json', [entry(file_name='any/cat.jpg')], r'image 1 is cat\.jpg there .*--ann-file'),
    ('p.json', [entry(category_id=77)], 'has the category ids 77'),
    ('p.json', [entry(), entry(bbox=[0, 0, 9])], 'entry 1 is .*must have image_id'),
    ('p.json', [entry(score=float('nan'))], 'entry 0 is .*all finite'),
    ('p.json', [entry(image_id=[])], 'entry 0 is'),
    ('p.json', [{}], 'entry 0 is')])
def test_a_file_that_is_no_predictions_of_these_images_is_refused(truth, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_detections(tmp_path / name, truth)


@pytest.mark.parametrize(('change', 'words'), [
    (lambda all_images: [{}], 'has no img_id and pred_instances'),
    (lambda all_images: all_images[1:], r'lacks 1 of the 4 images of .*\(ids 1\)'),
    (lambda all_images: [dict(all_images[0], img_id=99), *all_images], r'\(ids 99\)'),
    (lambda all_images: [dict(all_images[0], img_path='/other/cat.jpg'), *all_images[1:]],
     r'image 1 is cat\.jpg there')])
def test_a_pickle_of_other_images_is_refused(truth, tmp_path, change, words):
    (tmp_path / 'p.pkl').write_bytes(pickle.dumps(change(predict(truth))))
    with pytest.raises(ValueError, match=words):
        read_detections(tmp_path / 'p.pkl', truth)


@pytest.mark.parametrize(('found', 'words'), [
    (dict(labels=torch.tensor([7]), bboxes=torch.zeros(1, 4), scores=torch.ones(1)), 'has the label 7'),
    (dict(labels=torch.tensor([0]), bboxes=torch.full((1, 4), torch.nan), scores=torch.ones(1)),
     'not finite'),
    (dict(labels=torch.tensor([]), bboxes=torch.zeros(0, 4), scores=torch.ones(0)),
     'has no detections')])
def test_a_pickle_of_other_classes_or_without_boxes_is_refused(truth, tmp_path, found, words):
    (tmp_path / 'p.pkl').write_bytes(pickle.dumps(predict(truth, found=found)))
    with pytest.raises(ValueError, match=words):
        read_detections(tmp_path / 'p.pkl', truth)


def test_boxes_outside_of_their_images_are_warned_of(truth, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(read, 'print_log', lambda text, *_: told.append(text))
    (tmp_path / 'p.json').write_text(json.dumps(
        [entry(bbox=[-5, 0, 6, 9]), entry(bbox=[127, 127, 5, 5])]))
    read_detections(tmp_path / 'p.json', truth)
    assert not told
    (tmp_path / 'p.json').write_text(json.dumps(
        [entry(), entry(bbox=[128, 0, 9, 9]), entry(bbox=[0, -9, 9, 9], image_id=2)]))
    read_detections(tmp_path / 'p.json', truth)
    assert len(told) == 1 and '2 of 3 boxes lie outside of their images (ids 1, 2)' in told[0]


@pytest.mark.parametrize(('evaluator', 'words'), [
    (dict(type='mmdet.VOCMetric'), 'test_evaluator is mmdet.VOCMetric, but must be a mmdet.CocoMetric'),
    (dict(type='mmdet.LVISMetric', ann_file='a.json'), 'but must be a mmdet.CocoMetric'),
    (dict(type='mmdet.MultiDatasetsEvaluator', metrics=[dict(type='mmdet.CocoMetric')],
          dataset_prefixes=['a']), 'a metric for each of several data sets'),
    (dict(type='mmdet.CocoMetric', metric='proposal'), "measures 'proposal'")])
def test_an_evaluator_that_does_not_measure_boxes_as_coco_does_is_refused(config, evaluator, words):
    cfg = load_config(config)
    cfg.test_evaluator = evaluator
    with pytest.raises(ValueError, match=words):
        read_truth(cfg)


@pytest.mark.parametrize('change', [
    lambda box: False, lambda box: dict(box, iscrowd=1)], ids=['none', 'crowds'])
def test_annotations_without_boxes_are_refused(config, truth, tmp_path, change):
    boxes = list(filter(None, map(change, truth.coco.dataset['annotations'])))
    (tmp_path / 'none.json').write_text(json.dumps(dict(truth.coco.dataset, annotations=boxes)))
    cfg = load_config(config)
    cfg.test_dataloader.dataset.type = 'mmdet.CocoDataset'
    del cfg.test_dataloader.dataset['shapes']
    cfg.test_dataloader.dataset.ann_file = cfg.test_evaluator.ann_file = str(tmp_path / 'none.json')
    with pytest.raises(ValueError, match='no boxes'):
        read_truth(cfg)


def test_boxes_come_from_a_data_set_of_another_format_where_the_metric_has_no_file(
        config, truth, tmp_path):
    (tmp_path / 'names.txt').write_text('a\nb\n')
    for name, place in (('a', 10), ('b', 20)):
        cv2.imwrite(str(tmp_path / f'{name}.jpg'), np.zeros((128, 128, 3), np.uint8))
        (tmp_path / f'{name}.xml').write_text(
            '<annotation><size><width>128</width><height>128</height></size><object><name>circle</name>'
            f'<difficult>0</difficult><bndbox><xmin>{place}</xmin><ymin>1</ymin><xmax>60</xmax>'
            '<ymax>70</ymax></bndbox></object></annotation>')
    cfg = load_config(config)
    cfg.test_dataloader.dataset = dict(
        type='mmdet.XMLDataset', data_root=str(tmp_path), ann_file='names.txt', img_subdir='',
        ann_subdir='', data_prefix=dict(sub_data_root=''), metainfo=dict(classes=CLASSES),
        test_mode=True, pipeline=[
            dict(type='LoadImageFromFile'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmdet.PackDetInputs',
                 meta_keys=('img_id', 'img_path', 'ori_shape', 'instances'))])
    cfg.test_evaluator = dict(type='mmdet.CocoMetric')
    of_xml = read_truth(cfg)
    names = {key: image['file_name'] for key, image in of_xml.coco.imgs.items()}
    assert names == {'a': 'a.jpg', 'b': 'b.jpg'}
    assert of_xml.coco.imgToAnns['b'][0]['bbox'] == [19, 0, 40, 69]  # MMDetection subtracts 1
    (tmp_path / 'p.json').write_text(json.dumps([
        dict(image_id='b', category_id=of_xml.category_ids[0], bbox=[19, 0, 40, 69], score=1)]))
    found = read_detections(tmp_path / 'p.json', of_xml)
    ap = measure_ap(of_xml.coco, found, of_xml.category_ids)
    assert ap.total['AP'] == pytest.approx(51 / 101) and ap.of_class[0]['boxes'] == 2


def test_only_classes_of_the_config_count():
    dataset, _ = make_set('crowds')
    truth = dataclasses.replace(truth_of(dataset), category_ids=[7, 1])
    counted = [box['category_id'] for box in dataset['annotations'] if not box['iscrowd']]
    assert truth.classes == ['car', 'cat'] and set(counted) == {1, 4, 7, 10}
    assert truth.num_boxes == counted.count(1) + counted.count(7)
