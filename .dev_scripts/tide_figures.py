"""Write what tidecv says of the sets of detections that the tests make.

Needs tidecv, which this package does not: pip install tidecv==1.0.1 in an environment of its own, and
run this from the repository with PYTHONPATH=.
"""
import json
from pathlib import Path
from typing import Any

from tests.test_mistakes.detection_sets import DIFFERENT, SETS, make_set

OUT = Path(__file__).parents[1] / 'tests/data/tide_figures.json'
#: tidecv's names of what we call by others.
NAMES = dict(Cls='class', Loc='place', Both='both', Dupe='duplicate', Bkg='background', Miss='missed',
             FalsePos='false_positives', FalseNeg='false_negatives')


def main() -> None:
    sets = {**{name: make_set(name) for name in SETS}, **DIFFERENT}
    figures = {name: figures_of(*parts) for name, parts in sets.items()}
    OUT.write_text(json.dumps(figures, indent=1) + '\n')


def figures_of(dataset: dict[str, Any], detections: list[dict[str, Any]]) -> dict[str, Any]:
    """Return AP, what errors cost, all in percent, and how many there are."""
    from tidecv import TIDE  # type: ignore[import-not-found]
    from tidecv.data import Data  # type: ignore[import-not-found]

    truth, found = Data('truth'), Data('found')
    for category in dataset['categories']:
        truth.add_class(category['id'], category['name'])
    for image in dataset['images']:
        truth.add_image(image['id'], image['file_name'])
    for box in dataset['annotations']:
        add = truth.add_ignore_region if box['iscrowd'] else truth.add_ground_truth
        add(box['image_id'], box['category_id'], box['bbox'])
    for detection in detections:
        found.add_detection(detection['image_id'], detection['category_id'], detection['score'],
                            detection['bbox'])
    tide = TIDE()
    run = tide.evaluate(truth, found, mode=TIDE.BOX)
    costs = tide.get_all_errors()
    return dict(
        ap=run.ap,
        costs={NAMES[name]: cost for part in costs.values() for name, cost in part['found'].items()},
        counts={NAMES[kind.short_name]: number for kind, number in run.count_errors().items()})


if __name__ == '__main__':
    main()
