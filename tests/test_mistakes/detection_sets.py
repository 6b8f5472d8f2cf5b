"""Detections of objects that are not there: sets made from a seed, the same everywhere and always.

Pure Python, so that ``.dev_scripts/tide_figures.py`` makes the same where ``tidecv`` is installed.
"""
import random

CLASSES = ('cat', 'dog', 'car', 'sofa')
SETS = ('plain', 'crowds', 'ties', 'gaps', 'many', 'crowded')


def make_set(name):
    """Return a data set in COCO format and detections of it, good and bad ones of all kinds."""
    rng = random.Random(f'{name}-1')
    dataset = dict(images=[dict(id=key, file_name=f'{key}.jpg', width=640, height=480)
                           for key in range(1, 13)],
                   categories=[dict(id=3 * place + 1, name=name) for place, name in enumerate(CLASSES)],
                   annotations=[])
    detections = []
    ids = [category['id'] for category in dataset['categories']]
    for image in dataset['images']:
        if name == 'gaps' and image['id'] == 5:  # an image without boxes, but with detections
            detections += [_detection(rng, image, rng.choice(ids[:2]), _box(rng)) for _ in range(3)]
            continue
        for _ in range(rng.randint(2, 9)):
            box, category_id = _box(rng), rng.choice(ids[1:] if name == 'gaps' else ids)
            is_crowd = name in ('crowds', 'crowded') and rng.random() < (
                0.2 if name == 'crowds' else 0.5)
            dataset['annotations'].append(dict(
                id=len(dataset['annotations']) + 1, image_id=image['id'], category_id=category_id,
                bbox=box, area=box[2] * box[3], iscrowd=int(is_crowd)))
            if name == 'gaps' and (image['id'] == 7 or category_id == ids[-1]):
                continue  # an image and a class without detections
            for _ in range(rng.choice([0, 1, 1, 2, 4])):
                detections.append(_detection(
                    rng, image, category_id if rng.random() < 0.75 else rng.choice(ids[:3]),
                    _moved(rng, box, rng.choice([0.02, 0.1, 0.3, 0.6]))))
        detections += [_detection(rng, image, rng.choice(ids[:3]), _box(rng))
                       for _ in range(160 if name == 'many' else 2)
                       if not (name == 'gaps' and image['id'] == 7)]
    if name == 'ties':
        for detection in detections:
            detection['score'] = round(detection['score'], 1)
    return dataset, detections


def _box(rng):
    width, height = (rng.uniform(15, 220) for _ in range(2))
    return [rng.uniform(0, 640 - width), rng.uniform(0, 480 - height), width, height]


def _moved(rng, box, share):
    x, y, width, height = box
    return [x + rng.gauss(0, share) * width, y + rng.gauss(0, share) * height,
            width * rng.uniform(1 - share, 1 + share), height * rng.uniform(1 - share, 1 + share)]


def _detection(rng, image, category_id, box):
    return dict(image_id=image['id'], category_id=category_id, bbox=box,
                score=rng.random())


def _set_of_one_image(boxes, found):
    """Return a set of one image and class; of boxes with an iscrowd, of detections with a score."""
    annotations = [dict(id=place + 1, image_id=1, category_id=1, bbox=box, area=box[2] * box[3],
                        iscrowd=is_crowd) for place, (box, is_crowd) in enumerate(boxes)]
    return (dict(images=[dict(id=1, file_name='1.jpg', width=640, height=480)],
                 categories=[dict(id=1, name='cat')], annotations=annotations),
            [dict(image_id=1, category_id=1, bbox=box, score=score) for box, score in found])


#: Where pycocotools and tidecv match in another way.
#: The first detection overlaps both boxes alike, the second only the second box.
EQUAL_IOUS = _set_of_one_image(
    [([0, 0, 100, 100], 0), ([40, 0, 100, 100], 0)],
    [([20, 0, 100, 100], 0.9), ([45, 0, 100, 100], 0.8)])
#: The second detection lies in a crowd by one half.
HALF_IN_A_CROWD = _set_of_one_image(
    [([0, 0, 100, 100], 0), ([200, 0, 100, 100], 0), ([400, 0, 100, 100], 1)],
    [([450, 0, 100, 100], 0.9), ([0, 0, 100, 100], 0.8)])
DIFFERENT = dict(equal_ious=EQUAL_IOUS, half_in_a_crowd=HALF_IN_A_CROWD)
