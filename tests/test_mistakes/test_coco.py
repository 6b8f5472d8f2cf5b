"""AP by class and size is that of COCO's evaluator, and MMDetection's."""
import contextlib

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.fileio import dump
from pycocotools.cocoeval import COCOeval

from mmnasfpn.mistakes.coco import COLUMNS, measure_ap
from tests.test_mistakes.detection_sets import CLASSES, make_set
from tests.test_mistakes.truths import coco_of, ids_of


def stats_of(coco, detections, category_ids):
    """Return what COCO's own summary says of some classes: AP, AP50, AP75, small, medium, large."""
    with contextlib.redirect_stdout(None):
        evaluator = COCOeval(coco, coco.loadRes([dict(found) for found in detections]), 'bbox')
        evaluator.params.catIds = category_ids
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats[:6]


def to_numbers(values):
    return [-1 if values[column] is None else values[column] for column in COLUMNS]


@pytest.mark.parametrize('name', ['plain', 'crowds', 'gaps'])
def test_ap_of_each_class_and_size_is_that_of_cocos_evaluator(name):
    dataset, detections = make_set(name)
    coco, ids = coco_of(dataset), ids_of(dataset)
    ap = measure_ap(coco, detections, ids)
    assert to_numbers(ap.total) == pytest.approx(stats_of(coco, detections, ids))
    for category_id in ids:
        assert to_numbers(ap.of_class[category_id]) == pytest.approx(
            stats_of(coco, detections, [category_id]))
        own = [box for box in dataset['annotations'] if box['category_id'] == category_id]
        assert ap.of_class[category_id]['boxes'] == sum(not box['iscrowd'] for box in own)


def test_the_mean_height_of_a_curve_is_its_ap():
    dataset, detections = make_set('gaps')
    ap = measure_ap(coco_of(dataset), detections, ids_of(dataset))
    assert ap.recalls[0] == 0 and ap.recalls[-1] == 1
    assert len(ap.curves) == 3  # a class has no boxes
    for category_id, curves in ap.curves.items():
        for name, column in (('0.5', 'AP50'), ('0.75', 'AP75'), ('mean', 'AP')):
            assert np.mean(curves[name]) == pytest.approx(ap.of_class[category_id][column])


def test_ap_is_that_of_mmdetections_metric_where_an_image_has_hundreds_of_detections(tmp_path):
    dataset, detections = make_set('many')
    ids = ids_of(dataset)
    for entry in (*detections, *dataset['annotations']):  # hundreds of one class in nine images
        entry['category_id'] = ids[0] if entry['image_id'] < 10 else entry['category_id']
    detections += [dict(image_id=box['image_id'], category_id=box['category_id'], bbox=box['bbox'],
                        score=0.0001) for box in dataset['annotations']]  # behind all others
    coco = coco_of(dataset)
    dump(dataset, str(tmp_path / 'truth.json'))
    metric = CocoMetric(str(tmp_path / 'truth.json'), classwise=True)
    metric.dataset_meta = dict(classes=CLASSES)
    for image in dataset['images']:
        own = [found for found in detections if found['image_id'] == image['id']]
        boxes = torch.tensor([found['bbox'] for found in own], dtype=torch.float64)
        boxes[:, 2:] += boxes[:, :2]
        metric.process({}, [dict(img_id=image['id'], ori_shape=(480, 640), pred_instances=dict(
            bboxes=boxes, scores=torch.tensor([found['score'] for found in own]),
            labels=torch.tensor([ids.index(found['category_id']) for found in own])))])
    theirs = metric.evaluate(len(dataset['images']))
    ours = measure_ap(coco, detections, ids)
    names = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
    assert to_numbers(ours.total) == pytest.approx(
        [theirs[f'coco/bbox_{name}'] for name in names], abs=0.00051)
    for name, category_id in zip(CLASSES, ids, strict=True):
        assert ours.of_class[category_id]['AP'] == pytest.approx(
            theirs[f'coco/{name}_precision'], abs=0.00051)
    of_all = np.mean([ours.of_class[category_id]['AP'] for category_id in ids])
    assert abs(ours.total['AP'] - of_all) > 0.002  # bbox_mAP counts 100 of each class
    fewer = measure_ap(coco, detections, ids, (1, 10, 100))
    assert fewer.of_class[ids[0]]['AP'] != ours.of_class[ids[0]]['AP']
