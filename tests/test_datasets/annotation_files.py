"""A small annotation file in COCO format to make mistakes in."""
import copy
import json

CLASSES = ('circle', 'square', 'triangle')

_GOOD = dict(
    images=[dict(id=number, file_name=f'{number}.jpg', height=100, width=200)
            for number in range(1, 6)],
    annotations=[dict(id=number, image_id=1 + number % 5, category_id=1 + number % 3, iscrowd=0,
                      area=1200, bbox=[10 + number, 20, 40, 30], segmentation=[[1, 1, 9, 1, 9, 9]])
                 for number in range(1, 31)],
    categories=[dict(id=number, name=name) for number, name in enumerate(CLASSES, 1)])


def good_data():
    """Return the data of a file without faults: 5 images of 100 x 200, 30 boxes of 3 classes."""
    return copy.deepcopy(_GOOD)


def write(path, change=None):
    """Write such a file, changed by ``change(data)``, which edits it or returns other data."""
    data = good_data()
    data = (change and change(data)) or data
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def every(part, **values):
    """Return a change of all entries of a part of the file."""
    return lambda data: [entry.update(values) for entry in data[part]] and None


def one(part, place=3, **values):
    """Return a change of one entry of a part of the file."""
    return lambda data: data[part][place].update(values)


def without(part, key, places=slice(None)):
    """Return a change that takes a key away."""
    return lambda data: [entry.pop(key) for entry in data[part][places]] and None
