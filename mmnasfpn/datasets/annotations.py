"""Read annotation files in COCO format as arrays, so that large ones are checked in seconds."""
import gc
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

#: What MMDetection or COCO's evaluator reads of each entry of an annotation file.
KEYS = dict(images=('id', 'file_name', 'height', 'width'),
            annotations=('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd'),
            categories=('id', 'name'))

#: The value of a key that an entry does not have.
MISSING: Any = object()

#: A file's absolute path, its bytes, and when it was last changed, in nanoseconds.
FileStamp = tuple[str, int, int]

_NUM_EXAMPLES = 3
_MAX_NAMES = 12
_BYTE_ORDER_MARK = b'\xef\xbb\xbf'
_FORMAT = 'it must be a JSON object with images, annotations and categories'


@dataclass(frozen=True)
class Fault:
    """What is wrong with an annotation file or with images.

    Args:
        rule (str): Name of the rule that is broken, e.g. ``'duplicate-id'``.
        text (str): What is wrong: how many entries, which key or value, up to three examples.
        advice (str): What to do about it.
        is_error (bool): Whether training or evaluation would fail or go wrong; False where it costs a
            few boxes or images. Defaults to True.
        can_be_fixed (bool): Whether :func:`mmnasfpn.datasets.fix_annotations` repairs it. Defaults to
            False.
    """

    rule: str
    text: str
    advice: str
    is_error: bool = True
    can_be_fixed: bool = False

    def __str__(self) -> str:
        return f'{self.text}: {self.advice}'


class AnnotationError(ValueError):
    """A file that cannot be read as annotations in COCO format.

    Args:
        fault (Fault): Why.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def stamp_of(path: str | os.PathLike[str]) -> FileStamp:
    """Return the stamp of a file as it is now; once written again it has another."""
    status = os.stat(path)
    return os.path.abspath(path), status.st_size, status.st_mtime_ns


class Annotations:
    """What an annotation file in COCO format holds.

    Args:
        data (Mapping): The data, as :func:`read_json` returns it.
        faults (Sequence[Fault]): What was wrong with the file as such. Defaults to nothing.

    Attributes:
        columns (dict): Values by part of the file and key, e.g. ``columns['images']['id']``, with
            :data:`MISSING` where an entry lacks the key.
        sizes (ndarray): Height and width of each image in pixels, (N, 2), NaN where there is none.
        boxes (ndarray): x, y, width and height of each box in pixels, (K, 4), NaN where it is not four
            numbers.
        areas (ndarray): Area of each annotation in square pixels, (K,), NaN where there is none.
        image_of (ndarray): Place of each annotation's image among the images, (K,), -1 where it is not
            there.
        category_of (ndarray): Place of each annotation's category among the categories, likewise.
        is_crowd, is_ignored (ndarray): Flags of each annotation, (K,).
        masks (list): The ``segmentation`` of each annotation, :data:`MISSING` where it has none.
    """

    def __init__(self, data: Mapping[str, Any], faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self.columns = {part: {key: _column(data[part], key) for key in keys}
                        for part, keys in KEYS.items()}
        images, annotations, categories = self.columns.values()
        self.sizes = np.stack([_to_floats(images['height']), _to_floats(images['width'])], axis=1)
        self.boxes = _to_boxes(annotations['bbox'])
        self.areas = _to_floats(annotations['area'])
        self.image_of = _places(annotations['image_id'], images['id'])
        self.category_of = _places(annotations['category_id'], categories['id'])
        self.is_crowd = _flags(annotations['iscrowd'])
        self.is_ignored = _flags(_column(data['annotations'], 'ignore'))
        self.masks = _column(data['annotations'], 'segmentation')

    def ids(self, part: str) -> list[Any]:
        """Return the ids of the entries of a part of the file."""
        return self.columns[part]['id']

    @cached_property
    def categories(self) -> dict[str, Any]:
        """Ids by name, in the order of the file."""
        return {name: key for name, key in zip(*(self.columns['categories'][key] for key in
                                                 ('name', 'id')), strict=True) if isinstance(name, str)}

    @cached_property
    def image_keys(self) -> set[tuple[Any, str]]:
        """The images by their ids and their names without folders."""
        names = self.columns['images']['file_name']
        return {(hashable(key), str(name).rpartition('/')[2])
                for key, name in zip(self.ids('images'), names, strict=True)}

    def of_classes(self, classes: Sequence[str] | None) -> np.ndarray:
        """Return which annotations are of some classes, (K,), or of any where None is given."""
        names = self.columns['categories']['name']
        chosen = np.array([classes is None or name in classes for name in names] + [False])
        return chosen[self.category_of]


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Read an annotation file in COCO format.

    Raises:
        AnnotationError: If it cannot be read as one.
    """
    was_enabled = gc.isenabled()
    gc.disable()  # it would look through millions of new objects for circles, again and again
    try:
        return Annotations(*read_json(path))
    finally:
        if was_enabled:
            gc.enable()


def read_json(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Fault]]:
    """Read the JSON of an annotation file, and see that its parts are lists of objects.

    Returns:
        tuple[dict, list[Fault]]: The data, whose ``annotations`` are empty where there are none, and a
        byte-order mark as a fault.

    Raises:
        AnnotationError: If it is something else.
    """
    content = Path(path).read_bytes()
    faults = []
    if content.startswith(_BYTE_ORDER_MARK):
        content = content.removeprefix(_BYTE_ORDER_MARK)
        faults.append(Fault('byte-order-mark', 'the file begins with a byte-order mark, which JSON must '
                            'not have', 'save it as UTF-8 without one', can_be_fixed=True))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _not_coco('not-utf-8', f'byte {error.start} is not UTF-8', 'save it as UTF-8') from None
    del content
    if not text.strip():
        raise _not_coco('empty-file', 'it is empty', 'copy or export it again')
    if text.startswith('version https://git-lfs'):
        raise _not_coco('git-lfs-pointer', 'it is a pointer of Git LFS', 'fetch the file: git lfs pull')
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) - 1 or 'Unterminated' in error.msg:
            raise _not_coco('cut-short', f'its JSON ends too early, after {len(text)} characters, as '
                            'where a copy was cut short', 'copy or download it again') from None
        raise _not_coco('not-json', f'it is no JSON ({error})', 'export it again') from None
    except (RecursionError, ValueError) as error:  # too deep, or numbers of thousands of digits
        raise _not_coco('not-json', f'its JSON cannot be read ({error})', 'export it again') from None
    if not isinstance(data, dict):
        raise _not_coco('no-object', f'its JSON is a {type(data).__name__}', _FORMAT)
    data.setdefault('annotations', [])  # as in the files of test sets
    for part, keys in KEYS.items():
        entries = data.get(part)
        if not isinstance(entries, list):
            raise _not_coco('no-list', f'it has no list of {part}', _FORMAT)
        for place, entry in enumerate(entries):
            if type(entry) is not dict:
                raise _not_coco('no-entry', f'{part}[{place}] is {str(entry)[:40]!r}',
                                f'it must be an object with {", ".join(keys)}')
    return data, faults


def _not_coco(rule: str, why: str, advice: str) -> AnnotationError:
    return AnnotationError(Fault(rule, f'the file is not in COCO format: {why}', advice))


def _column(entries: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [entry.get(key, MISSING) for entry in entries]


def _places(keys: Sequence[Any], ids: Sequence[Any]) -> np.ndarray:
    place_of = {key: place for place, key in enumerate(map(hashable, ids)) if key is not MISSING}
    if set(map(type, keys)) <= {int, str}:
        return np.array([place_of.get(key, -1) for key in keys], int)
    return np.array([place_of.get(hashable(key), -1) for key in keys], int)


def _flags(values: Sequence[Any]) -> np.ndarray:
    return np.array([value is not MISSING and bool(value) for value in values], bool)


def list_some(values: Sequence[Any], show: Callable[[Any], str] = repr) -> str:
    """Return up to three values as text, for messages."""
    shown = ', '.join(show(value) for value in values[:_NUM_EXAMPLES])
    return f'{shown}, ...' if len(values) > _NUM_EXAMPLES else shown


def show_names(names: Sequence[str]) -> str:
    """Return names of classes as text, for messages: the first ones where there are many."""
    return repr(tuple(names)) if len(names) <= _MAX_NAMES else f'{len(names)}: {list_some(names)}'


def hashable(value: Any) -> Any:
    """Return a value as it is, or where it is a list or an object as text."""
    return repr(value) if isinstance(value, list | dict) else value


def is_number(value: Any) -> bool:
    """Say whether a value of a JSON file is a number, NaN and infinity included."""
    return type(value) in (int, float)


def is_box(value: Any) -> TypeGuard[list]:
    """Say whether a value of a JSON file is four numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


def _to_floats(values: Sequence[Any]) -> np.ndarray:
    if not set(map(type, values)) <= {int, float}:
        values = [value if is_number(value) else np.nan for value in values]
    try:
        return np.array(values, float)
    except OverflowError:
        return np.array([value if abs(value) < 1e300 else np.inf for value in values], float)


def _to_boxes(values: Sequence[Any]) -> np.ndarray:
    if not set(map(type, values)) <= {list} or not set(map(len, values)) <= {4}:
        values = [value if isinstance(value, list) and len(value) == 4 else [np.nan] * 4
                  for value in values]
    return _to_floats(list(itertools.chain.from_iterable(values))).reshape(-1, 4)
