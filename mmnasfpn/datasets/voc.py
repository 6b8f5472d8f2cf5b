"""Read Pascal VOC's XML files as MMDetection does, and check them."""
import os
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmnasfpn.datasets.annotation_rules import MAX_LOST, Use, check_annotations, has_size
from mmnasfpn.datasets.annotations import Annotations, Fault, list_some, show_names
from mmnasfpn.datasets.image_rules import Reader

#: Rules of annotation files that hold for Pascal VOC too; the others are of ids, keys and categories.
_SHARED = ('no-image-size', 'no-images', 'no-boxes', 'class-without-boxes', 'filtered-small',
           'filtered-empty')


class _Object(NamedTuple):
    name: str
    box: tuple[int, int, int, int]  # x1, y1, x2, y2 as in the file
    is_difficult: bool


def read_voc(list_file: str | os.PathLike[str], xml_folder: str | os.PathLike[str],
             image_folder: str | os.PathLike[str], classes: Sequence[str]) -> Annotations:
    """Read a data set in Pascal VOC's format as MMDetection's ``XMLDataset`` does.

    It subtracts 1 from all four corners, so that boxes are a pixel narrower and lower than in COCO's
    format, and takes no object whose name is not among the classes.

    Args:
        list_file (str | PathLike): File with the name of an image on each line, without its ending.
        xml_folder (str | PathLike): Folder of the XML files.
        image_folder (str | PathLike): Folder of the images, all of them ``.jpg``.
        classes (Sequence[str]): The classes, in the order of their labels.

    Returns:
        Annotations: The data set. The id of an image is its name, that of an annotation says where it
        is, and difficult objects are crowds, as for ``CocoMetric``. Its faults are those of the files.
    """
    names = Path(list_file).read_text().splitlines()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    missing, broken = [], []
    unknown: Counter[str] = Counter()
    for name in dict.fromkeys(names):
        path = os.path.join(xml_folder, f'{name}.xml')
        image = os.path.join(image_folder, f'{name}.jpg')
        try:
            (height, width), objects = _read_xml(path, image)
        except FileNotFoundError:
            missing.append(path)
            continue
        except (ET.ParseError, OSError, ValueError) as error:
            broken.append(f'{path}: {error}')
            continue
        images.append(dict(id=name, file_name=os.path.basename(image), height=height, width=width))
        for number, thing in enumerate(objects, start=1):
            if thing.name not in classes:
                unknown[thing.name] += 1
                continue
            left, top, right, bottom = (value - 1 for value in thing.box)
            annotations.append(dict(
                id=f'object {number} of {name}.xml', image_id=name,
                category_id=classes.index(thing.name),
                bbox=[left, top, right - left, bottom - top], area=(right - left) * (bottom - top),
                iscrowd=int(thing.is_difficult)))
    again = [name for name, times in Counter(names).items() if times > 1]
    faults = _faults_of_files(len(names), missing, broken, again)
    if unknown:
        shown = list_some([f'{name!r}: {times}' for name, times in unknown.most_common()], str)
        number = unknown.total() + len(annotations)
        faults.append(Fault(
            'unknown-names', f'{unknown.total()} of {number} objects have names that are not among the '
            f'classes {show_names(classes)} ({shown}), and MMDetection passes over them',
            'name them in metainfo=dict(classes=(...)), or leave it so if they are not to be found',
            is_error=not annotations))
    categories = [dict(id=label, name=name) for label, name in enumerate(classes)]
    return Annotations(dict(images=images, annotations=annotations, categories=categories), faults)


def check_voc(file: Annotations, use: Use, dropped: Collection[str] = ()) -> list[Fault]:
    """Find all that is wrong with a data set in Pascal VOC's format.

    Args:
        file (Annotations): The data set, as :func:`read_voc` returns it.
        use (Use): What it is used for.
        dropped (Collection[str]): Which boxes training leaves out: ``'box-without-size'``,
            ``'box-outside'``. Defaults to none, since ``XMLDataset`` keeps all of them by itself.

    Returns:
        list[Fault]: The faults, errors first.
    """
    wrong = any(fault.is_error for fault in file.faults)
    # tools/check_data.py, which repairs files in COCO's format, cannot repair these.
    shared = [replace(fault, can_be_fixed=False) for fault in check_annotations(file, use)
              if fault.rule in _SHARED and not (wrong and fault.rule in ('no-images', 'no-boxes'))]
    faults = [*file.faults, *shared, *_boxes(file, use, dropped)]
    return sorted(faults, key=lambda fault: not fault.is_error)


def _read_xml(path: str, image: str) -> tuple[Sequence[float], list[_Object]]:
    """Return height and width of the image, and the objects."""
    root = ET.parse(path).getroot()
    size = root.find('size')
    shape: Sequence[float]
    if size is not None:
        shape = [int(_text(size, key)) for key in ('height', 'width')]
    else:  # that of the image
        pixels = Reader().read(image)
        shape = (np.nan, np.nan) if pixels is None else pixels.shape[:2]
    objects = []
    for element in root.findall('object'):
        box = element.find('bndbox')
        if box is None:
            raise ValueError('an object has no bndbox')
        x1, y1, x2, y2 = (int(float(_text(box, key))) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        is_difficult = element.find('difficult') is not None and int(_text(element, 'difficult')) != 0
        objects.append(_Object(_text(element, 'name'), (x1, y1, x2, y2), is_difficult))
    return shape, objects


def _text(element: ET.Element, tag: str) -> str:
    text = element.findtext(tag)
    if not text:
        raise ValueError(f'{element.tag} has no {tag}')
    return text


def _faults_of_files(number: int, missing: Sequence[str], broken: Sequence[str],
                     again: Sequence[str]) -> list[Fault]:
    return [Fault(rule, f'{len(found)} of {number} {what} ({list_some(found, str)})', advice)
            for rule, found, what, advice in (
                ('xml-missing', missing, 'XML files are not there',
                 'put them there, set data_prefix.sub_data_root and ann_subdir to their folder, or take '
                 'the names out of the list; each line must be a name without ending'),
                ('xml-broken', broken, 'XML files cannot be read', 'export them again'),
                ('duplicate-id', again, 'names are listed more than once', 'list each once')) if found]


def _boxes(file: Annotations, use: Use, dropped: Collection[str]) -> Iterator[Fault]:
    """Find boxes that overlap nothing: MMDetection assigns all anchors that are free to such a box."""
    counted = ~file.is_crowd
    known = np.isfinite(file.sizes).all(axis=1)[file.image_of]
    empty = counted & (file.boxes[:, 2:] < 1).any(axis=1)
    outside = counted & ~empty & known & ~has_size(file)
    for rule, mask, what, advice in (
            ('box-without-size', empty, 'less than a pixel wide or high',
             'set filter_cfg=dict(bbox_min_size=1) of the data set, or correct the files'),
            ('box-outside', outside, 'outside their image', 'correct the files; is the size of the '
             'image right?')):
        spoils = use.trains and rule not in dropped
        fate = ('in training, most of the image would be taken for each of them' if spoils else
                'training passes over them' if use.trains else 'evaluation never finds them')
        if mask.any():
            places = [file.ids('annotations')[place] for place in np.flatnonzero(mask)]
            yield Fault(rule, f'{len(places)} of {counted.sum()} boxes ({list_some(places, str)}) are '
                        f'{what}, and {fate}',
                        advice if spoils else 'correct the files if these are objects',
                        is_error=bool(spoils or len(places) > MAX_LOST * counted.sum()))
