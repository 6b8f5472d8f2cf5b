"""Rules that an annotation file must keep for MMDetection and COCO's evaluator."""
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmnasfpn.datasets.annotations import (
    KEYS,
    MISSING,
    Annotations,
    Fault,
    hashable,
    is_box,
    is_number,
    list_some,
    show_names,
)

#: The share of the boxes, or of the images, that may be lost with a warning; more is an error.
MAX_LOST = 0.1

_SLACK = 2  # pixels that a box may stick out of its image, by rounding


@dataclass(frozen=True)
class Use:
    """What an annotation file is used for.

    Args:
        trains (bool): MMDetection trains with it. Defaults to True.
        evaluates (bool): COCO's evaluator reads it. Defaults to True.
        needs_boxes (bool): Whether it must have boxes; the file of a test set whose answers are kept
            elsewhere has none. Defaults to True.
        classes (tuple[str, ...] | None): The classes that are used. Defaults to None: all.
        filter_empty (bool): MMDetection's ``filter_cfg.filter_empty_gt``: images without boxes of the
            classes are left out of training. Defaults to False.
        min_size (int): Its ``filter_cfg.min_size``: images with a shorter side below it are left out of
            training. Defaults to 0.
        needs_masks (bool): Whether ``segmentation`` is used. Defaults to False.
    """

    trains: bool = True
    evaluates: bool = True
    needs_boxes: bool = True
    classes: tuple[str, ...] | None = None
    filter_empty: bool = False
    min_size: int = 0
    needs_masks: bool = False


def check_annotations(file: Annotations, use: Use | None = None) -> list[Fault]:
    """Find all that is wrong with an annotation file for some use.

    Args:
        file (Annotations): The file.
        use (Use | None): What it is used for. Defaults to None: training and evaluation, all classes.

    Returns:
        list[Fault]: The faults, errors first.
    """
    faults = [*file.faults, *(fault for rule in _RULES for fault in rule(file, use or Use()))]
    return sorted(faults, key=lambda fault: not fault.is_error)


def usable_boxes(file: Annotations, classes: Sequence[str] | None = None) -> np.ndarray:
    """Return which annotations MMDetection trains with, (K,)."""
    return (_counted(file, classes) & ~file.is_crowd & ~file.is_ignored
            & has_size(file) & (file.areas > 0))


def has_size(file: Annotations) -> np.ndarray:
    """Return which boxes are finite, at least a pixel wide and high, and overlap their image, (K,)."""
    x, y, width, height = file.boxes.T
    with np.errstate(invalid='ignore'):
        rows, columns = file.sizes[file.image_of].T if len(file.sizes) else (0, 0)
        overlaps = (np.minimum(x + width, columns) > np.maximum(x, 0)) & (
            np.minimum(y + height, rows) > np.maximum(y, 0))
        return np.isfinite(file.boxes).all(axis=1) & (width >= 1) & (height >= 1) & overlaps


def format_of_boxes(file: Annotations) -> str | None:
    """Return in which other format than COCO's the boxes are, where that is evident.

    Returns:
        str | None: ``'shares'`` of the image's sides, ``'corners'`` for x1, y1, x2, y2, or None.
    """
    known = np.isfinite(file.boxes).all(axis=1) & (file.image_of >= 0)
    if not known.any():
        return None
    x, y, right, bottom = file.boxes[known].T
    rows, columns = file.sizes[file.image_of[known]].T
    if (file.boxes[known] <= 1).all() and (np.minimum(rows, columns) > 2).all():
        return 'shares'
    fit_as_corners = ((right > x) & (bottom > y) & (right <= columns + _SLACK)
                      & (bottom <= rows + _SLACK)).mean()
    stick_out = ((x + right > columns * 1.02 + _SLACK) | (y + bottom > rows * 1.02 + _SLACK)).mean()
    return 'corners' if fit_as_corners > 0.99 and stick_out > 0.25 else None


def _counted(file: Annotations, classes: Sequence[str] | None) -> np.ndarray:
    return file.of_classes(classes) & (file.image_of >= 0)


def _missing_keys(file: Annotations, use: Use) -> Iterator[Fault]:
    for part, columns in file.columns.items():
        for key, values in columns.items():
            if key == 'iscrowd' and not use.evaluates:
                continue  # training takes it for 0
            places = [place for place, value in enumerate(values) if value is MISSING]
            if places:
                yield Fault(
                    'missing-key', f'{_some_of(file, part, places)} no {key!r}',
                    f'each of the {part} needs {", ".join(KEYS[part])}', can_be_fixed=(
                        key in ('area', 'iscrowd', 'height', 'width') or (part, key) == (
                            'annotations', 'id')))


def _ids(file: Annotations, use: Use) -> Iterator[Fault]:
    for part in KEYS:
        ids = file.ids(part)
        of_annotations = part == 'annotations'
        kinds = set(map(type, ids)) - {type(MISSING)}
        wrong = [] if kinds <= {int, str} else [
            place for place, value in enumerate(ids) if value is not MISSING and not _is_id(value)]
        if wrong:
            yield Fault('no-id', f'{_some_of(file, part, wrong)} an id that is no whole number',
                        'write whole numbers', can_be_fixed=of_annotations)
        if str in kinds and (len(kinds) > 1 or of_annotations):
            texts = [place for place, value in enumerate(ids) if isinstance(value, str)]
            yield Fault('text-id', f'{_some_of(file, part, texts)} a text for an id',
                        'write whole numbers, as COCO\'s evaluator needs them',
                        can_be_fixed=of_annotations)
        known = [hashable(value) for value in ids if value is not MISSING]
        if len(set(known)) < len(known):
            times = Counter(known)
            again = [place for place, value in enumerate(ids)
                     if value is not MISSING and times[hashable(value)] > 1]
            yield Fault('duplicate-id', f'{_some_of(file, part, again)} the id of another',
                        'give each an id of its own',
                        can_be_fixed=of_annotations or _are_copies(file, part, known))
    zeros = [place for place, value in enumerate(file.ids('annotations'))
             if is_number(value) and value == 0]
    if use.evaluates and zeros:
        yield Fault('annotation-id-0', "an annotation has the id 0, whose match COCO's evaluator takes "
                    'for none', 'number the annotations from 1', can_be_fixed=True)


def _names(file: Annotations, use: Use) -> Iterator[Fault]:
    for part, key in (('images', 'file_name'), ('categories', 'name')):
        unnamed = [place for place, value in enumerate(file.columns[part][key])
                   if not (isinstance(value, str) and value)]
        yield from _odd_values(file, part, key, unnamed, 'not-a-name', 'no name', 'write a text')
    names = Counter(name for name in file.columns['categories']['name'] if isinstance(name, str))
    used = set(file.category_of.tolist())
    for name, times in names.items():
        if times > 1 and (use.classes is None or name in use.classes):
            places = [place for place, other in enumerate(file.columns['categories']['name'])
                      if other == name]
            ids = [file.ids('categories')[place] for place in places]
            yield Fault('duplicate-category-name', f'{times} categories have the name {name!r} (ids '
                        f'{list_some(ids)}), so that the labels are not those of the classes',
                        'rename one, or remove one that is not used',
                        can_be_fixed=sum(place in used for place in places) <= 1)
    files = file.columns['images']['file_name']
    if all(isinstance(name, str) for name in files) and len(set(files)) < len(files):
        again = [name for name, times in Counter(files).items() if times > 1]
        yield Fault('duplicate-file-name', f'{len(again)} files are listed more than once among the '
                    f'images ({list_some(again)})', 'list each image once, with all of its boxes',
                    is_error=False)


def _references(file: Annotations, use: Use) -> Iterator[Fault]:
    for key, places, part, article in (('image_id', file.image_of, 'images', 'an'),
                                       ('category_id', file.category_of, 'categories', 'a')):
        values = file.columns['annotations'][key]
        unknown = places < 0
        unknown[[place for place in np.flatnonzero(unknown) if values[place] is MISSING]] = False
        if unknown.any():
            value = values[unknown.argmax()]
            kinds = {_kind(other) for other in file.ids(part)}
            hint = '' if _kind(value) in kinds or not kinds else (
                f', since one is a {_kind(value)} and the other a {min(kinds)}')
            yield _lost(file, f'unknown-{key.replace("_", "-")}', unknown, np.ones(len(places)),
                        f'{article} {key!r} that is not among the {part}{hint}, e.g. {value!r}',
                        f'add those {part} or remove the annotations', can_be_fixed=True)


def _values(file: Annotations, use: Use) -> Iterator[Fault]:
    for row, key in enumerate(('height', 'width')):
        yield from _odd_values(file, 'images', key, np.flatnonzero(~(file.sizes[:, row] >= 1)),
                               'no-image-size', 'no number of pixels', 'write the size of the image',
                               can_be_fixed=True)
    boxes, flags = (file.columns['annotations'][key] for key in ('bbox', 'iscrowd'))
    unread = [place for place in np.flatnonzero(np.isnan(file.boxes).any(axis=1))
              if not is_box(boxes[place])]
    yield from _odd_values(file, 'annotations', 'bbox', unread, 'not-a-box', 'not four numbers',
                           'write [x, y, width, height] in pixels')
    yield from _odd_values(file, 'annotations', 'area', np.flatnonzero(~np.isfinite(file.areas)),
                           'not-an-area', 'no finite number', 'write the area in square pixels',
                           can_be_fixed=True)
    odd = [place for place, value in enumerate(flags) if value not in (0, 1)]
    yield from _odd_values(file, 'annotations', 'iscrowd', odd, 'not-a-flag', 'neither 0 nor 1',
                           'write 0 for a single object')


def _odd_values(file: Annotations, part: str, key: str, places: Iterable[int], rule: str, what: str,
                advice: str, can_be_fixed: bool = False) -> Iterator[Fault]:
    """Yield the fault of values that are there, but are not what they must be, if there are some."""
    values = file.columns[part][key]
    odd = [int(place) for place in places if values[place] is not MISSING]
    if odd:
        article = 'an' if key[0] in 'ai' else 'a'
        yield Fault(rule, f'{_some_of(file, part, odd)} {article} {key!r} that is {what}, e.g. '
                    f'{values[odd[0]]!r:.60}', advice, can_be_fixed=can_be_fixed)


def _boxes(file: Annotations, use: Use) -> Iterator[Fault]:
    """Find the boxes that MMDetection drops in training, and that can never be found in evaluation."""
    counted = _counted(file, use.classes)
    if not counted.any():
        return
    kind = format_of_boxes(file)
    if kind is not None:
        shown = file.boxes[np.flatnonzero(counted)[0]].tolist()
        yield Fault(f'boxes-in-{kind}', f'the boxes are evidently {_BOX_FORMATS[kind]}, e.g. {shown}',
                    'write [x, y, width, height] in pixels, from the image\'s top left corner')
        return
    readable = np.array([is_box(box) for box in file.columns['annotations']['bbox']]) if (
        np.isnan(file.boxes).any()) else True
    infinite = counted & readable & ~np.isfinite(file.boxes).all(axis=1)
    if infinite.any():
        yield Fault('box-not-finite', f"{_some_of(file, 'annotations', infinite)} a 'bbox' with NaN "
                    'or infinity', 'repair or remove them', can_be_fixed=True)
    if not use.trains and not use.evaluates:
        return
    finite = counted & np.isfinite(file.boxes).all(axis=1)
    small = finite & (file.boxes[:, 2:] < 1).any(axis=1)
    sized = np.isfinite(file.sizes).all(axis=1)[file.image_of]
    outside = finite & ~small & sized & ~has_size(file)
    flat = finite & ~small & ~outside & (file.areas <= 0)
    for rule, mask, what, in_evaluation, advice in (
            ('box-without-size', small, 'a box less than a pixel wide or high', 'never finds',
             'repair or remove them'),
            ('box-outside', outside, 'a box that does not overlap the image', 'never finds',
             'repair or remove them; is the size of the image right?'),
            ('area-0', flat, "an 'area' of 0 or less", 'counts as small',
             'write the area in square pixels')):
        if mask.any():
            fates = ['training drops'] * use.trains + [f'evaluation {in_evaluation}'] * use.evaluates
            yield _lost(file, rule, mask, counted, f'{what}, which {" and ".join(fates)}', advice,
                        can_be_fixed=True)
    ignored = counted & file.is_ignored & ~file.is_crowd
    if use.evaluates and ignored.any():
        yield _lost(file, 'ignored-in-training-only', ignored, counted, "a true 'ignore', which "
                    "training heeds and COCO's evaluator does not", 'set iscrowd to 1 as well')


def _nothing_to_use(file: Annotations, use: Use) -> Iterator[Fault]:
    number = len(file.ids('images'))
    if not number:
        yield Fault('no-images', 'the file has no images', 'give a file that lists some')
        return
    usable = usable_boxes(file, use.classes)
    if not usable.any():
        unreadable = (np.isnan(file.boxes).any(axis=1) | np.isnan(file.areas)
                      | np.isnan(file.sizes[file.image_of]).any(axis=1))
        if not use.needs_boxes or unreadable.any():  # which is a fault of its own
            return
        of_classes = '' if use.classes is None else f' of the classes {show_names(use.classes)}'
        yield Fault('no-boxes', f'the file has {number} images but no boxes{of_classes} in its '
                    'annotations, crowds and boxes of no size left out', 'give a file with such boxes')
        return
    if not use.trains:
        return
    labels = Counter(file.category_of[usable].tolist())
    names = file.columns['categories']['name']
    empty = [name for place, name in enumerate(names)
             if not labels[place] and (use.classes is None or name in use.classes)]
    if empty:
        has = 'has' if len(empty) == 1 else 'have'
        yield Fault('class-without-boxes', f'{len(empty)} of the classes {has} no boxes to train with '
                    f'({list_some(empty)})', 'the detector will not learn them', is_error=False)


def _masks(file: Annotations, use: Use) -> Iterator[Fault]:
    if not use.needs_masks:
        return
    read = np.flatnonzero(_counted(file, use.classes)).tolist()  # those of crowds as well
    missing = [place for place in read if file.masks[place] in (MISSING, None, [], {}, '')]
    if missing:
        yield Fault('no-mask', f"{_some_of(file, 'annotations', missing)} no 'segmentation', which the "
                    'masks of the model need', 'add it, or use a model without masks')
    sizes = file.sizes[file.image_of].tolist() if read else []
    wrong = [place for place in sorted(set(read) - set(missing))
             if not _is_mask(file.masks[place], sizes[place])]
    if wrong:
        yield Fault('not-a-mask', f"{_some_of(file, 'annotations', wrong)} a 'segmentation' that is no "
                    f'mask of the image, e.g. {str(file.masks[wrong[0]])[:60]}',
                    'write polygons, [[x1, y1, x2, y2, x3, y3, ...], ...], or an RLE of the size of the '
                    'image')


def _is_mask(mask: Any, size: Sequence[float]) -> bool:
    if isinstance(mask, dict):
        return (list(size) == mask.get('size') and isinstance(mask.get('counts'), str | list))
    return isinstance(mask, list) and all(
        isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        and all(is_number(value) and abs(value) < np.inf for value in polygon) for polygon in mask)


def filtered_images(file: Annotations, use: Use) -> tuple[np.ndarray, np.ndarray]:
    """Return which images MMDetection's ``filter_data`` leaves out, (N,): small ones and empty ones."""
    small = np.any(file.sizes < use.min_size, axis=1)
    empty = np.full(len(file.sizes), use.filter_empty)
    empty[file.image_of[_counted(file, use.classes)]] = False
    return small, empty


def _filtered(file: Annotations, use: Use) -> Iterator[Fault]:
    small, empty = filtered_images(file, use)
    for rule, mask, why, setting in (
            ('filtered-small', small, f'a side below {use.min_size} pixels', 'filter_cfg.min_size'),
            ('filtered-empty', empty, 'no boxes of the classes', 'filter_cfg.filter_empty_gt')):
        if use.trains and mask.any():
            yield Fault(rule, f'{_some_of(file, "images", mask)} {why} and will be left out of '
                        f'training ({setting})', f'change {setting} if you want them',
                        is_error=bool((small | empty).all()))


_RULES: tuple[Callable[[Annotations, Use], Iterator[Fault]], ...] = (
    _missing_keys, _ids, _names, _references, _values, _boxes, _nothing_to_use, _masks, _filtered)

_BOX_FORMATS = dict(corners='[x1, y1, x2, y2]', shares='shares of the sides of the image')


def _lost(file: Annotations, rule: str, lost: np.ndarray, among: np.ndarray, what: str,
          advice: str, can_be_fixed: bool = False) -> Fault:
    """Return the fault of annotations that are lost: an error where they are more than a few."""
    return Fault(rule, f'{_some_of(file, "annotations", lost)} {what}', advice,
                 is_error=bool(lost.sum() > MAX_LOST * among.sum()), can_be_fixed=can_be_fixed)


def _some_of(file: Annotations, part: str, places: Sequence[int] | np.ndarray) -> str:
    """Return e.g. ``'2 of 30 annotations (ids 4, 7) have'``."""
    if isinstance(places, np.ndarray):
        places = np.flatnonzero(places).tolist()
    ids = file.ids(part)
    chosen = [ids[place] for place in places[:4]]
    examples = f'{part}[{places[0]}]' if MISSING in chosen else f'id {list_some(chosen)}'
    return f'{len(places)} of {len(ids)} {part} ({examples}) {"has" if len(places) == 1 else "have"}'


def _is_id(value: Any) -> bool:
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _kind(value: Any) -> str:
    return 'text' if isinstance(value, str) else 'number' if is_number(value) else type(value).__name__


def _are_copies(file: Annotations, part: str, ids: Sequence[Any]) -> bool:
    """Say whether entries that share an id are the same in all that is read."""
    entries = list(zip(*file.columns[part].values(), strict=True))
    return len({repr(entry) for entry in entries}) == len(set(ids))
