"""COCO's evaluator, asked more than its twelve figures."""
import contextlib
import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

#: An entry of COCO's results: ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels of
#: the image) and ``score`` (0..1).
Detection = dict[str, Any]

#: The columns of a table of AP: which IoU thresholds each is the mean of, and the place of its area.
COLUMNS = dict(AP=(slice(None), 0), AP50=(slice(0, 1), 0), AP75=(slice(5, 6), 0),
               small=(slice(None), 1), medium=(slice(None), 2), large=(slice(None), 3))
#: The IoU thresholds that curves are drawn at.
CURVES = {'0.5': slice(0, 1), '0.75': slice(5, 6), 'mean': slice(None)}


def load_results(coco: COCO, detections: Sequence[Detection]) -> COCO:
    """Return detections, copied, as pycocotools holds them; their ids are 1, 2, ... in their order."""
    with contextlib.redirect_stdout(None):
        if detections:
            return coco.loadRes([dict(detection) for detection in detections])
        empty = COCO()  # which pycocotools cannot load
        empty.dataset = dict(coco.dataset, annotations=[])
        empty.createIndex()
        return empty


def run_evaluator(coco: COCO, detections: Sequence[Detection], category_ids: Sequence[int],
                  **params: Any) -> COCOeval:
    """Match detections to boxes, as pycocotools does.

    Args:
        coco (COCO): The ground truth.
        detections (Sequence[Detection]): The detections.
        category_ids (Sequence[int]): The categories that count.
        **params: Settings of ``COCOeval.params``.
    """
    with contextlib.redirect_stdout(None):
        evaluator = COCOeval(coco, load_results(coco, detections), 'bbox')
        vars(evaluator.params).update(catIds=list(category_ids), **copy.deepcopy(params))
        evaluator.evaluate()
    return evaluator


class BoxAP(NamedTuple):
    """The AP of boxes: of all classes, of each, and the curves behind it.

    A number is None where there are no boxes that it could be of.
    """

    #: :data:`COLUMNS`, each in 0..1, the mean over the classes.
    total: dict[str, float | None]
    #: The same of each class by its category, and ``boxes``, how many there are.
    of_class: dict[int, dict[str, float | None]]
    #: Recalls of the curves, 0 to 1.
    recalls: list[float]
    #: Precision at each of them by category, and by the name in :data:`CURVES`.
    curves: dict[int, dict[str, list[float]]]


def measure_ap(coco: COCO, detections: Sequence[Detection], category_ids: Sequence[int],
               max_detections: Sequence[int] = (100, 300, 1000)) -> BoxAP:
    """Measure AP by class and size, as MMDetection's ``CocoMetric`` does.

    Args:
        coco (COCO): The ground truth.
        detections (Sequence[Detection]): The detections.
        category_ids (Sequence[int]): The categories that count.
        max_detections (Sequence[int]): ``proposal_nums`` of ``CocoMetric``: the largest is how many
            detections of a class count in an image. In the AP of all classes these are 100, as in
            ``bbox_mAP``. Defaults to (100, 300, 1000).
    """
    evaluator = run_evaluator(coco, detections, category_ids, maxDets=list(max_detections))
    with contextlib.redirect_stdout(None):
        evaluator.accumulate()
    params = evaluator.params
    precision = evaluator.eval['precision']  # (IoUs, recalls, classes, areas, max_detections)
    total = {name: _mean(precision[ious, ..., area, -1]) for name, (ious, area) in COLUMNS.items()}
    if 100 in params.maxDets:
        total['AP'] = _mean(precision[..., 0, params.maxDets.index(100)])
    of_class: dict[int, dict[str, float | None]] = {}
    curves = {}
    for place, category_id in enumerate(params.catIds):
        own = precision[:, :, place, :, -1]  # (IoUs, recalls, areas)
        ids = coco.getAnnIds(imgIds=[], catIds=[category_id], iscrowd=False)
        of_class[int(category_id)] = {
            **{name: _mean(own[ious, :, area]) for name, (ious, area) in COLUMNS.items()},
            'boxes': len(ids)}
        if ids:
            curves[int(category_id)] = {name: own[ious, :, 0].mean(axis=0).tolist() for name, ious in
                                        CURVES.items()}
    return BoxAP(total, of_class, params.recThrs.tolist(), curves)


def _mean(precision: np.ndarray) -> float | None:
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else None


class ImageBoxes(NamedTuple):
    """Detections and boxes of an image, and how they overlap."""

    detections: list[Detection]  # D of them
    boxes: list[Mapping[str, Any]]  # of the ground truth, G of them, without crowds
    ious: np.ndarray  # (D, G)
    crowds: list[Mapping[str, Any]]  # C of them
    crowd_ious: np.ndarray  # (D, C), shares of the detections' areas


def overlaps(coco: COCO, detections: Iterable[Detection],
             category_ids: Sequence[int]) -> Iterator[ImageBoxes]:
    """Yield what is in each image, in the order of the images' ids."""
    chosen = set(category_ids)
    found = defaultdict(list)
    for detection in detections:
        found[detection['image_id']].append(detection)
    for image_id in sorted(coco.getImgIds()):
        own = [box for box in coco.imgToAnns[image_id] if box['category_id'] in chosen]
        boxes = [box for box in own if not box.get('iscrowd')]
        crowds = [box for box in own if box.get('iscrowd')]
        yield ImageBoxes(found[image_id], boxes, _ious(found[image_id], boxes, False), crowds,
                         _ious(found[image_id], crowds, True))


def _ious(detections: Sequence[Detection], boxes: Sequence[Mapping[str, Any]],
          are_crowds: bool) -> np.ndarray:
    if not detections or not boxes:
        return np.zeros((len(detections), len(boxes)))
    return mask.iou([found['bbox'] for found in detections], [box['bbox'] for box in boxes],
                    [int(are_crowds)] * len(boxes))
