"""What costs AP: the kinds of error of TIDE (Bolya et al., 2020), on the matches of COCO's evaluator.

A detection that COCO's evaluator matches to a box at an IoU of 0.5 is right. Any other is wrong in one
way, and a box that no detection finds, nor would find if it were right, is missed. What a kind costs is
by how much AP50 rises when all of its errors are put right.

The figures are those of ``tidecv`` 1.0.1. Its own matching differs from pycocotools' in two cases, in
which this module does as pycocotools: of two boxes that a detection overlaps by exactly the same IoU,
pycocotools takes the last, ``tidecv`` the first; and a detection whose area lies in a crowd by exactly
one half is left out by pycocotools, and wrong for ``tidecv``. Images are taken in the order of their
ids, as pycocotools does; ``tidecv`` takes them in that of the file, which matters for equal scores only.

The AP here is TIDE's too, and can differ from COCO's AP50: only the 100 best detections of an image
count, of all classes together; a class with detections but without boxes has the AP 0, where COCO leaves
it out; and recalls are compared with k/100, where COCO's k * 0.01 is a little more for some k.
"""
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO

from mmnasfpn.mistakes.coco import Detection, ImageBoxes, overlaps, run_evaluator

#: What can be wrong: with a detection, and with a box of the ground truth (``'missed'``).
KINDS = ('class', 'place', 'both', 'duplicate', 'background', 'missed')
#: A detection finds a box from this IoU on, and up to that one overlaps nothing.
FOUND_IOU, BACKGROUND_IOU = 0.5, 0.1
MAX_DETECTIONS = 100
_RECALLS = np.arange(101) / 100


class Mistakes(NamedTuple):
    """What is wrong with each of D detections and G boxes of the ground truth."""

    #: Image by image, the best score first.
    detections: list[Detection]
    #: Without crowds.
    boxes: list[Mapping[str, Any]]
    #: One of :data:`KINDS` for each detection, ``''`` where it is right, (D,).
    kinds: np.ndarray
    #: Detections in a crowd, which do not count, (D,).
    is_ignored: np.ndarray
    #: Place of the box that a detection of kind class or place is meant for, else -1, (D,).
    targets: np.ndarray
    #: Detections that would find their target if they were put right: the best of each, (D,).
    is_fixable: np.ndarray
    #: Boxes that a detection finds, and those that are missed, (G,).
    is_found: np.ndarray
    is_missed: np.ndarray

    def num_of_kinds(self) -> dict[str, int]:
        """Return how many errors there are of each kind."""
        counted = self.kinds[~self.is_ignored]
        return {**{kind: int((counted == kind).sum()) for kind in KINDS[:-1]},
                'missed': int(self.is_missed.sum())}


class Costs(NamedTuple):
    """What the kinds of error cost, in 0..1 of AP."""

    #: The AP50 that they are added to.
    ap: float
    #: How much putting right all errors of a kind would add.
    of_kind: dict[str, float]
    #: How much more there were without wrong detections, and if no box were left unfound.
    false_positives: float
    false_negatives: float


def find_mistakes(coco: COCO, detections: Sequence[Detection], category_ids: Sequence[int]) -> Mistakes:
    """Find what is wrong with detections: see the head of this module.

    Args:
        coco (COCO): The ground truth.
        detections (Sequence[Detection]): The detections.
        category_ids (Sequence[int]): The categories that count.
    """
    best = _best_of_images(detections)
    evaluator = run_evaluator(coco, best, category_ids, iouThrs=[FOUND_IOU], maxDets=[MAX_DETECTIONS],
                              areaRng=[[0, 1e10]], areaRngLbl=['all'])
    is_right, is_ignored = np.zeros((2, len(best)), bool)
    found = set()
    for match in filter(None, evaluator.evalImgs):
        places = np.array(match['dtIds'], int) - 1
        is_ignored[places] = match['dtIgnore'][0]
        is_right[places] = (match['dtMatches'][0] > 0) & ~match['dtIgnore'][0]
        found |= set(np.array(match['gtIds'], int)[match['gtMatches'][0] > 0].tolist())
    boxes: list[Mapping[str, Any]] = []
    parts, first = [], 0
    for image in overlaps(coco, best, category_ids):
        is_free = ~is_right[first:first + len(image.detections)]
        is_found = np.array([box['id'] in found for box in image.boxes], bool)
        kinds, targets = _explain(image, is_free, is_found)
        parts.append((kinds, np.where(targets < 0, -1, targets + len(boxes)), is_found))
        boxes += image.boxes
        first += len(image.detections)
    kinds, targets, is_found = (np.concatenate(part) for part in zip(*parts, strict=True))
    is_fixable, is_missed = np.zeros(len(best), bool), ~is_found
    could_find = np.flatnonzero((targets >= 0) & ~is_found[targets]) if len(boxes) else np.array([], int)
    aimed_at, firsts = np.unique(targets[could_find], return_index=True)  # the first is the best
    is_fixable[could_find[firsts]] = True
    is_missed[aimed_at] = False
    return Mistakes(best, boxes, kinds, is_ignored, targets, is_fixable, is_found, is_missed)


def _best_of_images(detections: Sequence[Detection]) -> list[Detection]:
    of_image = defaultdict(list)
    for detection in detections:
        of_image[detection['image_id']].append(detection)
    return [detection for image_id in sorted(of_image) for detection in
            sorted(of_image[image_id], key=lambda found: -found['score'])[:MAX_DETECTIONS]]


def _explain(image: ImageBoxes, is_free: np.ndarray,
             is_found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kinds of the detections that are free, and the boxes that these are meant for."""
    if not image.boxes:
        return np.where(is_free, 'background', ''), np.full(len(is_free), -1)
    of_detections, of_boxes = (np.array([x['category_id'] for x in part], int)
                               for part in (image.detections, image.boxes))
    is_same = of_detections[:, None] == of_boxes
    same, other = image.ious * is_same, image.ious * ~is_same
    nearest = same.max(axis=1)
    kinds = np.select(
        [~is_free, (nearest >= BACKGROUND_IOU) & (nearest <= FOUND_IOU), other.max(axis=1) >= FOUND_IOU,
         (same * is_found).max(axis=1) >= FOUND_IOU, image.ious.max(axis=1) <= BACKGROUND_IOU],
        ['', 'place', 'class', 'duplicate', 'background'], 'both')
    return kinds, np.select([kinds == 'place', kinds == 'class'],
                            [same.argmax(axis=1), other.argmax(axis=1)], -1)


def measure_costs(mistakes: Mistakes, category_ids: Sequence[int]) -> Costs:
    """Measure what each kind of error costs.

    Args:
        mistakes (Mistakes): The errors.
        category_ids (Sequence[int]): The categories that count.
    """
    place_of = {category_id: place for place, category_id in enumerate(category_ids)}
    of_boxes = np.array([place_of[box['category_id']] for box in mistakes.boxes], int)
    classes = np.array([place_of[found['category_id']] for found in mistakes.detections], int)
    scores = np.array([found['score'] for found in mistakes.detections], float)
    is_right, counts = mistakes.kinds == '', ~mistakes.is_ignored

    def number(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(of_boxes[chosen], minlength=len(category_ids))

    wrong_first = np.argsort(is_right, kind='stable')  # as tidecv puts those of equal scores
    all_boxes = number(np.ones(len(of_boxes), bool))

    def ap(classes: np.ndarray = classes, scores: np.ndarray = scores, is_right: np.ndarray = is_right,
           counts: np.ndarray = counts, num_boxes: np.ndarray = all_boxes) -> float:
        order = wrong_first[counts[wrong_first]]
        return _mean_ap(classes[order], scores[order], is_right[order], num_boxes)

    base = _mean_ap(classes[counts], scores[counts], is_right[counts], all_boxes)
    costs = {'missed': ap(num_boxes=all_boxes - number(mistakes.is_missed))}
    targets = of_boxes[mistakes.targets] if len(of_boxes) else classes
    for kind in KINDS[:-1]:
        chosen = mistakes.kinds == kind
        costs[kind] = ap(np.where(chosen & (kind == 'class'), targets, classes),
                         is_right=is_right | chosen,
                         counts=np.where(chosen, mistakes.is_fixable, counts))
    return Costs(base, {kind: max(costs[kind] - base, 0.) for kind in KINDS},
                 ap(scores=is_right.astype(float)) - base,
                 ap(num_boxes=number(mistakes.is_found)) - base)


def _mean_ap(classes: np.ndarray, scores: np.ndarray, is_right: np.ndarray,
             num_boxes: np.ndarray) -> float:
    aps = []
    for place, number in enumerate(num_boxes):
        own = classes == place
        if number or own.any():
            aps.append(_ap(scores[own], is_right[own], number) if number else 0.)
    return float(np.mean(aps)) if aps else 0.


def _ap(scores: np.ndarray, is_right: np.ndarray, num_boxes: int) -> float:
    found = np.cumsum(is_right[np.argsort(-scores, kind='stable')])
    precision = np.maximum.accumulate((found / np.arange(1, len(found) + 1))[::-1])[::-1]
    places = np.searchsorted(found / num_boxes, _RECALLS)
    return precision[places[places < len(precision)]].sum() / len(_RECALLS)
