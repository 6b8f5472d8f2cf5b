"""Repair annotation files where there is only one possible repair."""
import copy
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as masks

from mmnasfpn._files import write_text
from mmnasfpn.datasets.annotation_rules import Use, check_annotations, has_size
from mmnasfpn.datasets.annotations import (
    KEYS,
    Annotations,
    Fault,
    hashable,
    is_box,
    is_number,
    read_json,
)
from mmnasfpn.datasets.image_rules import Reader


def fix_annotations(ann_file: str | os.PathLike[str], out: str | os.PathLike[str],
                    folder: str | os.PathLike[str] | None = None, classes: Sequence[str] = (),
                    color_type: str = 'color') -> tuple[list[str], list[Fault]]:
    """Write a repaired copy of an annotation file in COCO format.

    Added are ``iscrowd`` as 0, ``area`` from the mask or the box, and with the images at hand ``height``
    and ``width``. Annotations are numbered from 1 where their ids are missing, 0, texts or given twice,
    and what they say of images and categories becomes a number or a text as the ids of those are.
    Boxes are cut at the borders of their images. Left out are annotations that no detector can learn
    from: of images or categories that are not there, not finite, less than a pixel wide or high, or
    outside their image. So are categories without annotations whose name another one has, and second
    copies of images and categories. A byte-order mark is left out.

    Args:
        ann_file (str | PathLike): The file.
        out (str | PathLike): The copy to write.
        folder (str | PathLike | None): Where the images are. Defaults to None: not at hand.
        classes (Sequence[str]): Put categories of these names first, in this order, and add those that
            are not there. Defaults to none: as they are.
        color_type (str): How MMCV reads the images, as in its ``LoadImageFromFile``. Defaults to
            ``'color'``: turned by their EXIF orientation.

    Returns:
        tuple[list[str], list[Fault]]: What was done, and what is still wrong with the copy.

    Raises:
        AnnotationError: If the file cannot be read.
        ValueError: If its boxes are evidently in another format, which cutting them would spoil, or
            ``out`` is the file itself. Nothing is written then.
    """
    if Path(out).resolve() == Path(ann_file).resolve():
        raise ValueError(f'the copy to write is {os.fspath(out)!r}, the file itself: give another name')
    data, faults = read_json(ann_file)
    found = check_annotations(Annotations(data))
    for fault in found:
        if fault.rule.startswith('boxes-in-'):
            raise ValueError(f'{ann_file}: {fault}. Nothing was written')
    fix = _Fix(copy.copy(data), folder, Reader(color_type))
    for step in (fix.drop_copies, fix.convert_references, fix.drop_unused_names, fix.add_image_sizes,
                 fix.add_flags, fix.cut_boxes, fix.add_areas, fix.drop_useless, fix.number_annotations):
        step()
    if classes:
        fix.order_categories(classes)
    if faults:
        fix.note(1, 'byte-order mark left out')
    write_text(Path(out), json.dumps(fix.data))
    return fix.done, check_annotations(Annotations(fix.data), Use())


@dataclass
class _Fix:
    """Repairs the data of an annotation file, step by step."""

    data: dict[str, Any]
    folder: str | os.PathLike[str] | None
    reader: Reader
    done: list[str] = field(default_factory=list)

    def note(self, number: int, what: str) -> None:
        if number:
            self.done.append(f'{number} {what}')

    def drop_copies(self) -> None:
        for part in ('images', 'categories'):
            entries: dict[str, Any] = {}
            for entry in self.data[part]:  # alike in all that is read
                entries.setdefault(repr([hashable(entry.get(key)) for key in KEYS[part]]), entry)
            kept = list(entries.values())
            self.note(len(self.data[part]) - len(kept), f'copies among the {part} left out')
            self.data[part] = kept

    def convert_references(self) -> None:
        converted = 0
        for part, key in (('images', 'image_id'), ('categories', 'category_id')):
            ids = {hashable(entry.get('id')) for entry in self.data[part]}
            for entry in self.data['annotations']:
                value = entry.get(key)
                other = _other_form(value)
                if hashable(value) not in ids and other is not None and other in ids:
                    entry[key] = other
                    converted += 1
        self.note(converted, 'references to images and categories converted between number and text')

    def drop_unused_names(self) -> None:
        used = {hashable(entry.get('category_id')) for entry in self.data['annotations']}
        names = Counter(hashable(entry.get('name')) for entry in self.data['categories'])
        kept = []
        for entry in self.data['categories']:
            name = hashable(entry.get('name'))
            if names[name] > 1 and hashable(entry.get('id')) not in used:
                names[name] -= 1
                self.note(1, 'category left out that no annotation has: '
                             f'{name!r}, id {entry.get("id")!r}')
            else:
                kept.append(entry)
        self.data['categories'] = kept

    def add_image_sizes(self) -> None:
        added = 0
        for entry in self.data['images'] if self.folder is not None else ():
            if all(is_number(entry.get(key)) and entry[key] >= 1 for key in ('height', 'width')):
                continue
            pixels = self.reader.read(os.path.join(self.folder or '', str(entry.get('file_name'))))
            if pixels is not None:
                entry['height'], entry['width'] = pixels.shape[:2]
                added += 1
        self.note(added, 'images given the height and width of their files')

    def add_flags(self) -> None:
        without = [entry for entry in self.data['annotations'] if 'iscrowd' not in entry]
        for entry in without:
            entry['iscrowd'] = 0
        self.note(len(without), "annotations given 'iscrowd' 0")

    def cut_boxes(self) -> None:
        file = Annotations(self.data)
        with np.errstate(invalid='ignore'):
            x, y, width, height = file.boxes.T
            rows, columns = file.sizes[file.image_of].T if len(file.sizes) else (np.nan, np.nan)
            low = np.stack([np.clip(x, 0, columns), np.clip(y, 0, rows)], axis=1)
            high = np.stack([np.clip(x + width, 0, columns), np.clip(y + height, 0, rows)], axis=1)
            cut = np.concatenate([low, high - low], axis=1)
            changed = has_size(file) & (file.image_of >= 0) & (
                np.abs(cut - file.boxes).max(axis=1, initial=0) > 1e-6)
        for place in np.flatnonzero(changed).tolist():
            entry = self.data['annotations'][place]
            entry['bbox'] = [round(value, 4) for value in cut[place].tolist()]
            if not entry.get('segmentation'):
                entry.pop('area', None)  # it was the box's
        self.note(int(changed.sum()), 'boxes cut at the border of their image')

    def add_areas(self) -> None:
        images = {hashable(entry.get('id')): entry for entry in self.data['images']}
        added = 0
        for entry in self.data['annotations']:
            area = entry.get('area')
            if is_number(area) and np.isfinite(area) and area > 0:
                continue
            area = _area(entry, images.get(hashable(entry.get('image_id'))))
            if area is not None:
                entry['area'] = area
                added += 1
        self.note(added, "annotations given an 'area'")

    def drop_useless(self) -> None:
        file = Annotations(self.data)
        kept = (file.image_of >= 0) & (file.category_of >= 0) & has_size(file)
        # What cannot be judged stays: its keys are missing or of the wrong kind, which is said.
        columns = file.columns['annotations']
        unknown = ~np.isfinite(file.sizes).all(axis=1)[file.image_of] if len(file.sizes) else True
        kept |= unknown | np.array([
            not (isinstance(image, int | float | str) and isinstance(category, int | float | str)
                 and is_box(box)) for image, category, box in zip(
                     columns['image_id'], columns['category_id'], columns['bbox'], strict=True)], bool)
        self.data['annotations'] = [entry for entry, is_kept in zip(
            self.data['annotations'], kept.tolist(), strict=True) if is_kept]
        self.note(int((~kept).sum()), 'annotations left out that nothing can be learned from')

    def number_annotations(self) -> None:
        ids = [entry.get('id') for entry in self.data['annotations']]
        if all(type(key) is int and key for key in ids) and len(set(ids)) == len(ids):
            return
        for number, entry in enumerate(self.data['annotations'], 1):
            entry['id'] = number
        self.note(len(ids), 'annotations numbered from 1')

    def order_categories(self, classes: Sequence[str]) -> None:
        categories = self.data['categories']
        names = [entry.get('name') for entry in categories]
        new = max([entry['id'] for entry in categories if type(entry.get('id')) is int], default=0)
        first = []
        for name in dict.fromkeys(classes):
            if name in names:
                first.append(categories[names.index(name)])
            else:
                new += 1
                first.append(dict(id=new, name=name))
                self.note(1, f'category added: {name!r}, id {new}')
        ordered = first + [entry for entry in categories if entry not in first]
        if ordered != categories:
            self.note(len(ordered), f'categories put into the order {[e.get("name") for e in ordered]}')
        self.data['categories'] = ordered


def _other_form(value: Any) -> int | str | None:
    """Return a number as text, or a text as the number that it writes."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r'-?\d{1,18}', value) else None
    return str(value) if type(value) is int else None


def _area(entry: Mapping[str, Any], image: Mapping[str, Any] | None) -> float | None:
    """Return the area of an annotation's mask, or without one that of its box, or None."""
    box, mask = entry.get('bbox'), entry.get('segmentation')
    if mask and image is not None:
        try:
            rows, columns = int(image['height']), int(image['width'])
            encoded = mask if isinstance(mask, dict) and isinstance(mask['counts'], str) else (
                masks.frPyObjects(mask, rows, columns))
            encoded = masks.merge(encoded) if isinstance(encoded, list) else encoded
            return float(masks.area(encoded))
        except Exception:  # of pycocotools' own many kinds, for a mask that is none
            pass
    area = float(box[2] * box[3]) if is_box(box) else np.inf
    return area if np.isfinite(area) else None
