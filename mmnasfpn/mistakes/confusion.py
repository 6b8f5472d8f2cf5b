"""Which class is taken for which."""
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO

from mmnasfpn.mistakes.coco import Detection, overlaps


def count_confusions(coco: COCO, detections: Sequence[Detection], category_ids: Sequence[int],
                     score_thr: float = 0.3, iou_thr: float = 0.5) -> np.ndarray:
    """Count how often a box of one class is detected as another, as MMDetection's tool does.

    Each pair of a detection and a box that overlap by ``iou_thr`` counts, so that a detection of two
    boxes counts twice, and so do two detections of one box. A detection that overlaps no box is counted
    in the row of the background; a box without a detection of its own class in the background's column,
    also where one of another class overlaps it.

    Crowds are no boxes here, other than for MMDetection's ``confusion_matrix.py``, which takes each for
    an object. A detection that lies in a crowd of its class by ``iou_thr`` of its area, and overlaps no
    box, is left out, as by COCO's evaluator.

    Args:
        coco (COCO): The ground truth.
        detections (Sequence[Detection]): The detections.
        category_ids (Sequence[int]): The categories that count, in the order of rows and columns.
        score_thr (float): Detections of a lower score, in 0..1, are left out. Defaults to 0.3.
        iou_thr (float): From which IoU on they overlap. Defaults to 0.5.

    Returns:
        ndarray: Counts by the class of the box and that of the detection, the background last,
        (K + 1, K + 1).
    """
    place_of = {category_id: place for place, category_id in enumerate(category_ids)}
    counts = np.zeros((len(category_ids) + 1,) * 2, int)
    chosen = [found for found in detections if found['score'] >= score_thr]
    for image in overlaps(coco, chosen, category_ids):
        found, boxes, crowds = (np.array([place_of[x['category_id']] for x in part], int)
                                for part in (image.detections, image.boxes, image.crowds))
        hits = image.ious >= iou_thr  # (D, G)
        detection, box = hits.nonzero()
        np.add.at(counts, (boxes[box], found[detection]), 1)
        is_in_crowd = ((image.crowd_ious >= iou_thr) & (found[:, None] == crowds)).any(axis=1)
        np.add.at(counts[-1], found[~hits.any(axis=1) & ~is_in_crowd], 1)
        is_found = (hits & (found[:, None] == boxes)).any(axis=0)
        np.add.at(counts[:, -1], boxes[~is_found], 1)
    return counts


def shares_of_rows(counts: np.ndarray) -> np.ndarray:
    """Return counts as shares of their rows, in 0..1; NaN in rows without any."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


def most_frequent(counts: np.ndarray, number: int = 10) -> list[tuple[int, int, int]]:
    """Return which classes are taken for which others most often, without the background.

    Returns:
        list[tuple[int, int, int]]: Row, column and count of each, the most frequent first.
    """
    pairs = [(int(row), int(column), int(counts[row, column]))
             for row, column in zip(*counts[:-1, :-1].nonzero(), strict=True) if row != column]
    return sorted(pairs, key=lambda pair: -pair[2])[:number]
