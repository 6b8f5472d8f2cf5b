"""Say what is in an annotation file: classes, images, boxes and their sizes."""
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Column, Table

from mmnasfpn.datasets.annotation_rules import usable_boxes
from mmnasfpn.datasets.annotations import Annotations

#: COCO's bounds between small, medium and large objects: areas in square pixels.
BOUNDS = (32 ** 2, 96 ** 2)
SIZES = ('small', 'medium', 'large')


def summarize(file: Annotations) -> dict[str, Any]:
    """Return what is in an annotation file, as plain data.

    Returns:
        dict: ``images`` (``number``, ``without_boxes`` and where there are some ``height`` and ``width``
        as lists of the smallest, the median and the largest), and ``classes``: for each category its
        ``name``, ``id``, how many ``images`` show it, its ``boxes`` that MMDetection trains with, their
        number by COCO's sizes (``small``, ``medium``, ``large``), its ``crowds`` and its ``unusable``
        annotations.
    """
    usable = usable_boxes(file)
    sizes = np.digitize(file.areas, BOUNDS)
    shown = np.zeros(len(file.sizes), bool)
    shown[file.image_of[usable]] = True
    images: dict[str, Any] = dict(number=len(file.sizes), without_boxes=int((~shown).sum()))
    for column, key in enumerate(('height', 'width')):
        known = file.sizes[np.isfinite(file.sizes[:, column]), column]
        if len(known):
            images[key] = [float(value) for value in (known.min(), np.median(known), known.max())]
    classes = []
    columns = file.columns['categories']
    for place, (name, key) in enumerate(zip(columns['name'], columns['id'], strict=True)):
        own = file.category_of == place
        boxes = own & usable
        classes.append(dict(
            name=name if isinstance(name, str) else None, id=key if isinstance(key, int | str) else None,
            images=len(np.unique(file.image_of[boxes])), boxes=int(boxes.sum()),
            **{size: int((boxes & (sizes == number)).sum()) for number, size in enumerate(SIZES)},
            crowds=int((own & file.is_crowd).sum()),
            unusable=int((own & ~usable & ~file.is_crowd).sum())))
    return dict(images=images, classes=classes)


def to_tables(summary: Mapping[str, Any]) -> list[Table | str]:
    """Return a summary as a line about the images and a table of the classes, to print with rich."""
    images = summary['images']
    line = f"{images['number']} images, {images['without_boxes']} of them without boxes"
    if 'height' in images and 'width' in images:
        line += '; height {:g}, {:g}, {:g}'.format(*images['height'])
        line += ' and width {:g}, {:g}, {:g} (smallest, median, largest)'.format(*images['width'])
    numbers = ('images', 'boxes', *SIZES, 'crowds', 'unusable')
    table = Table('class', 'id', *(Column(name, justify='right') for name in numbers))
    for row in summary['classes']:
        table.add_row(str(row['name']), str(row['id']), *(f'{row[name]:,}' for name in numbers))
    return [line, table]
