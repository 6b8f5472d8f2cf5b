"""The confusion matrix: by hand, and as MMDetection's tool counts."""
import runpy
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch

from mmnasfpn.mistakes.confusion import count_confusions, most_frequent, shares_of_rows
from tests.test_mistakes.detection_sets import make_set
from tests.test_mistakes.truths import coco_of, ids_of


def box_of(place, key, category_id, iscrowd=0):
    return dict(id=key, image_id=1, category_id=category_id, bbox=[place, 0, 40, 40], area=1600,
                iscrowd=iscrowd)


def found_at(place, category_id, score=0.5):
    return dict(image_id=1, category_id=category_id, bbox=[place, 0, 40, 40], score=score)


CATEGORIES = [dict(id=5, name='a'), dict(id=9, name='b')]


def test_a_matrix_by_hand():
    dataset = dict(images=[dict(id=1), dict(id=2)], categories=CATEGORIES, annotations=[
        box_of(0, 1, 5), box_of(100, 2, 5), box_of(200, 3, 9), box_of(300, 4, 9)])
    found = [found_at(5, 5), found_at(0, 5),  # one box, twice
             found_at(100, 9),  # the wrong class
             found_at(200, 9), found_at(205, 5),  # both classes
             found_at(300, 9, 0.2),  # the score is too low
             found_at(325, 9),  # the overlap is too small
             found_at(500, 5)]  # nothing is there
    counts = count_confusions(coco_of(dataset), found, [5, 9])
    assert counts.tolist() == [[2, 1, 1], [1, 1, 1], [1, 1, 0]]
    assert most_frequent(counts) == [(0, 1, 1), (1, 0, 1)]
    assert most_frequent(counts, 1) == [(0, 1, 1)]
    lower = count_confusions(coco_of(dataset), found, [5, 9], score_thr=0.2, iou_thr=0.2)
    assert lower[1].tolist() == [1, 3, 0]


def test_crowds_are_no_boxes_and_what_lies_in_one_of_its_class_is_left_out():
    dataset = dict(images=[dict(id=1)], categories=CATEGORIES, annotations=[box_of(0, 1, 5, iscrowd=1)])
    counts = count_confusions(coco_of(dataset), [found_at(0, 5), found_at(0, 9)], [5, 9])
    assert counts.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_shares_are_of_rows_and_none_where_a_row_is_empty():
    shares = shares_of_rows(np.array([[3, 1], [0, 0]]))
    assert shares[0].tolist() == [0.75, 0.25] and np.isnan(shares[1]).all()


@pytest.mark.parametrize(('name', 'score_thr', 'iou_thr'), [
    ('plain', 0.3, 0.5), ('gaps', 0.0, 0.5), ('many', 0.6, 0.3)])
def test_without_crowds_counts_are_those_of_mmdetections_tool(name, score_thr, iou_thr):
    tools = Path(mmdet.__file__).parent / '.mim/tools/analysis_tools'
    tool = runpy.run_path(str(tools / 'confusion_matrix.py'))
    dataset, detections = make_set(name)
    ids = ids_of(dataset)
    theirs = np.zeros((len(ids) + 1,) * 2)
    for image in dataset['images']:
        own = [found for found in detections if found['image_id'] == image['id']]
        truth = [dict(bbox=corners(box['bbox']), bbox_label=ids.index(box['category_id']))
                 for box in dataset['annotations'] if box['image_id'] == image['id']]
        if not truth:  # where MMDetection's fails
            for found in own:
                theirs[-1, ids.index(found['category_id'])] += found['score'] >= score_thr
            continue
        result = dict(labels=torch.tensor([ids.index(found['category_id']) for found in own]),
                      scores=torch.tensor([found['score'] for found in own]),
                      bboxes=torch.tensor([corners(found['bbox']) for found in own]))
        tool['analyze_per_img_dets'](theirs, truth, result, score_thr, iou_thr)
    ours = count_confusions(coco_of(dataset), detections, ids, score_thr, iou_thr)
    assert ours.tolist() == theirs.tolist() and ours[:-1, :-1].sum() > ours.trace() > 0


def corners(box):
    x, y, width, height = box
    return [x, y, x + width, y + height]
