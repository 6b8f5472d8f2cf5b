"""All figures of a look at a detector's mistakes."""
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmnasfpn.mistakes.coco import BoxAP, Detection, measure_ap
from mmnasfpn.mistakes.confusion import count_confusions
from mmnasfpn.mistakes.read import Truth
from mmnasfpn.mistakes.tide import KINDS, Costs, Mistakes, find_mistakes, measure_costs
from mmnasfpn.version import __version__

#: COCO's sizes, by the square root of the area in pixels below which an object is of it.
SIZES = dict(small=32., medium=96., large=np.inf)
_DIGITS = 5


@dataclass(frozen=True)
class Report:
    """What a look at a detector's mistakes found.

    ``shown`` are the mistakes among detections of at least ``score_thr``, as a user of the detector
    sees them; ``costs`` are those of all detections, as AP counts them.
    """

    #: What it was made from: names of things, and what they are.
    about: Mapping[str, str]
    truth: Truth
    num_detections: int
    score_thr: float
    iou_thr: float
    ap: BoxAP
    confusions: np.ndarray
    costs: Costs
    shown: Mistakes

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return self.truth.classes

    def errors_of_images(self) -> dict[Any, Counter[str]]:
        """Return how many errors of which kinds each image has, by its id, most errors first."""
        shown, images = self.shown, sorted(self.truth.coco.imgs)
        counts: dict[Any, Counter[str]] = {image_id: Counter() for image_id in images}
        for found, kind, is_ignored in zip(shown.detections, shown.kinds, shown.is_ignored, strict=True):
            if kind and not is_ignored:
                counts[found['image_id']][str(kind)] += 1
        for box, is_missed in zip(shown.boxes, shown.is_missed, strict=True):
            counts[box['image_id']]['missed'] += int(is_missed)
        return dict(sorted(counts.items(), key=lambda item: -item[1].total()))

    def missed_of_sizes(self) -> dict[str, tuple[int, int]]:
        """Return how many boxes of each size are missed, and how many there are."""
        sides = np.sqrt([box['area'] for box in self.shown.boxes])
        places = np.searchsorted(list(SIZES.values()), sides, side='right')
        return {size: (int(self.shown.is_missed[places == place].sum()), int((places == place).sum()))
                for place, size in enumerate(SIZES)}

    def to_dict(self) -> dict[str, Any]:
        """Return all figures for JSON."""
        names = {key: self.truth.coco.cats[key]['name'] for key in self.truth.category_ids}
        counts = self.shown.num_of_kinds()
        return _rounded(dict(
            about=self.about, version=__version__, num_images=len(self.truth.coco.imgs),
            num_boxes=self.truth.num_boxes, num_detections=self.num_detections,
            score_thr=self.score_thr, iou_thr=self.iou_thr, ap=self.ap.total,
            classes=[dict(name=names[key], **self.ap.of_class[key]) for key in names],
            errors=dict(ap50=self.costs.ap, false_positives=self.costs.false_positives,
                        false_negatives=self.costs.false_negatives,
                        kinds={kind: dict(cost=self.costs.of_kind[kind], count=counts[kind])
                               for kind in KINDS},
                        missed_of_sizes={size: dict(missed=missed, boxes=boxes)
                                         for size, (missed, boxes) in self.missed_of_sizes().items()}),
            confusion=dict(labels=[*self.classes, 'background'], counts=self.confusions.tolist()),
            precision=dict(recalls=self.ap.recalls, classes={
                names[key]: curves for key, curves in self.ap.curves.items()}),
            images=[dict(id=image_id, file_name=self.truth.coco.imgs[image_id]['file_name'],
                         errors=dict(errors)) for image_id, errors in self.errors_of_images().items()
                    if errors.total()]))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value


def look_at(truth: Truth, detections: Sequence[Detection], about: Mapping[str, str],
            score_thr: float = 0.3, iou_thr: float = 0.5) -> Report:
    """Look at the mistakes of detections.

    Args:
        truth (Truth): What is there.
        detections (Sequence[Detection]): What was detected.
        about (Mapping[str, str]): What both were made from, to be shown.
        score_thr (float): From which score on, in 0..1, detections are in the confusion matrix and on
            painted images. Defaults to 0.3.
        iou_thr (float): From which IoU on they are of a box in the confusion matrix. Defaults to 0.5.
    """
    ids = truth.category_ids
    print_log(f'Measuring AP of {len(detections)} detections in {len(truth.coco.imgs)} images and '
              f'{len(ids)} classes', 'current')
    ap = measure_ap(truth.coco, detections, ids, truth.max_detections)
    print_log('Looking for what costs AP', 'current')
    costs = measure_costs(find_mistakes(truth.coco, detections, ids), ids)
    shown = find_mistakes(truth.coco, [x for x in detections if x['score'] >= score_thr], ids)
    confusions = count_confusions(truth.coco, detections, ids, score_thr, iou_thr)
    return Report(about, truth, len(detections), score_thr, iou_thr, ap, confusions, costs, shown)
