"""What costs AP: tidecv's figures, and where pycocotools matches in another way."""
import json

import numpy as np
import pytest

from mmnasfpn.mistakes.coco import measure_ap
from mmnasfpn.mistakes.tide import KINDS, find_mistakes, measure_costs
from tests.conftest import REPO
from tests.test_mistakes.detection_sets import DIFFERENT, SETS, make_set
from tests.test_mistakes.truths import coco_of, ids_of

#: Of tidecv 1.0.1, by .dev_scripts/tide_figures.py.
FIGURES = json.loads((REPO / 'tests/data/tide_figures.json').read_text())


def figures_of(dataset, detections):
    mistakes = find_mistakes(coco_of(dataset), detections, ids_of(dataset))
    costs = measure_costs(mistakes, ids_of(dataset))
    # tidecv counts detections in crowds as errors too, which are none for COCO.
    counts = {**mistakes.num_of_kinds(),
              **{kind: int((mistakes.kinds == kind).sum()) for kind in KINDS if kind != 'missed'}}
    return dict(ap=100 * costs.ap, counts=counts, costs={
        **{kind: 100 * cost for kind, cost in costs.of_kind.items()},
        'false_positives': 100 * costs.false_positives, 'false_negatives': 100 * costs.false_negatives})


@pytest.mark.parametrize('name', SETS)
def test_kinds_and_costs_are_those_of_tidecv(name):
    ours, theirs = figures_of(*make_set(name)), FIGURES[name]
    assert ours['counts'] == theirs['counts']
    assert ours['ap'] == pytest.approx(theirs['ap'], abs=1e-9)
    assert ours['costs'] == pytest.approx(theirs['costs'], abs=1e-9)


def test_the_sets_have_every_kind_of_error_and_cost():
    for kind in KINDS:
        assert max(FIGURES[name]['counts'][kind] for name in SETS) > 0
        assert max(FIGURES[name]['costs'][kind] for name in SETS) > 0.1


@pytest.mark.parametrize(('name', 'ours', 'theirs'), [
    # pycocotools takes the last of two boxes of equal IoU, so that the other detection finds none.
    ('equal_ious', 51 / 101, 1.0),
    # What lies in a crowd by exactly one half does not count for pycocotools, and is wrong for tidecv.
    ('half_in_a_crowd', 51 / 101, 25.5 / 101)])
def test_matches_are_those_of_pycocotools_where_tidecv_has_others(name, ours, theirs):
    dataset, detections = DIFFERENT[name]
    assert figures_of(dataset, detections)['ap'] == pytest.approx(100 * ours)
    assert measure_ap(coco_of(dataset), detections, [1]).total['AP50'] == pytest.approx(ours)
    assert FIGURES[name]['ap'] == pytest.approx(100 * theirs)


def test_detections_in_crowds_are_no_errors():
    dataset, detections = make_set('crowded')
    mistakes = find_mistakes(coco_of(dataset), detections, ids_of(dataset))
    assert mistakes.is_ignored.any() and (mistakes.kinds[mistakes.is_ignored] != '').all()
    counted = [kind for kind, ignored in zip(mistakes.kinds, mistakes.is_ignored, strict=True)
               if kind and not ignored]
    assert sum(mistakes.num_of_kinds().values()) == len(counted) + mistakes.is_missed.sum()


def set_of_boxes(number, found):
    """Return a set of one class whose first boxes are found."""
    boxes = [[50 * place, 0, 40, 40] for place in range(number)]
    return (dict(images=[dict(id=1)], categories=[dict(id=1, name='a')], annotations=[
        dict(id=place + 1, image_id=1, category_id=1, bbox=box, area=1600, iscrowd=0)
        for place, box in enumerate(boxes)]),
        [dict(image_id=1, category_id=1, bbox=box, score=0.5) for box in boxes[:found]])


def test_a_recall_of_35_percent_reaches_another_step_than_in_cocos_ap():
    dataset, detections = set_of_boxes(20, 7)
    assert figures_of(dataset, detections)['ap'] == pytest.approx(100 * 36 / 101)
    assert measure_ap(coco_of(dataset), detections, [1]).total['AP50'] == pytest.approx(35 / 101)


def test_without_detections_all_is_missed():
    dataset, _ = set_of_boxes(3, 0)
    mistakes = find_mistakes(coco_of(dataset), [], [1])
    assert mistakes.is_missed.tolist() == [True] * 3
    costs = measure_costs(mistakes, [1])
    assert costs.ap == 0 and costs.of_kind['background'] == 0


def test_without_boxes_all_is_background():
    dataset, detections = set_of_boxes(3, 3)
    dataset['annotations'] = []
    mistakes = find_mistakes(coco_of(dataset), detections, [1])
    assert mistakes.kinds.tolist() == ['background'] * 3
    assert np.isfinite(measure_costs(mistakes, [1]).ap)


def test_a_detection_is_meant_for_the_box_that_it_nearly_finds():
    dataset, _ = set_of_boxes(2, 0)
    dataset['categories'].append(dict(id=2, name='b'))
    found = [dict(image_id=1, category_id=2, bbox=[50, 0, 40, 40], score=0.4),
             dict(image_id=1, category_id=1, bbox=[20, 0, 40, 40], score=0.6),
             dict(image_id=1, category_id=1, bbox=[20, 0, 40, 40], score=0.5)]
    mistakes = find_mistakes(coco_of(dataset), found, [1, 2])
    assert [x['score'] for x in mistakes.detections] == [0.6, 0.5, 0.4]
    assert mistakes.kinds.tolist() == ['place', 'place', 'class']
    assert mistakes.targets.tolist() == [0, 0, 1]
    assert mistakes.is_fixable.tolist() == [True, False, True]  # the better one would find the box
    assert not mistakes.is_found.any() and not mistakes.is_missed.any()
