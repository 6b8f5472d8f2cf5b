"""What would go wrong when MMCV reads the images of a data set."""
import os
import time
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmnasfpn.datasets.annotations import Fault, list_some

#: How many images are opened before a training, spread evenly over the data set; and how many of them
#: are decoded, not only their headers read.
NUM_OPENED, NUM_DECODED = 256, 32

_ORIENTATION = 0x0112  # EXIF's tag
_MAX_SECONDS = 5.0  # to ask for the sizes of files; a slow network share is left after that
_NUM_THREADS = 8


@dataclass(frozen=True)
class Reader:
    """How the pipeline reads images: arguments of MMCV's ``LoadImageFromFile``.

    Args:
        color_type (str): ``'color'``, which turns images by their EXIF orientation,
            ``'color_ignore_orientation'``, or another of MMCV's flags. Defaults to ``'color'``.
        imdecode_backend (str): What decodes. Defaults to ``'cv2'``.
    """

    color_type: str = 'color'
    imdecode_backend: str = 'cv2'

    @property
    def turns(self) -> bool:
        """Whether images are turned by their EXIF orientation."""
        return self.color_type in ('color', 'grayscale')

    def read(self, path: str) -> np.ndarray | None:
        """Return an image as training reads it, (H, W, ...), or None where it cannot be read."""
        try:
            return mmcv.imfrombytes(Path(path).read_bytes(), flag=self.color_type,
                                    backend=self.imdecode_backend)
        except Exception:  # of the decoders' own many kinds
            return None


def check_images(folder: str | os.PathLike[str], file_names: Sequence[str], sizes: np.ndarray,
                 reader: Reader | None = None, num_opened: int | None = NUM_OPENED,
                 progress: Callable[[Iterable], Iterable] = iter) -> list[Fault]:
    """Find what is wrong with the images of a data set.

    Each must be there, by one listing of its folder, and not be empty. Some or all are opened: they must
    be whole, and as MMCV reads them, EXIF orientation included, of the size that the annotations say.

    Args:
        folder (str | PathLike): What the names are relative to.
        file_names (Sequence[str]): Names of the images.
        sizes (ndarray): Height and width in pixels that the annotations give them, (N, 2).
        reader (Reader | None): How they are read. Defaults to None: as MMCV does by default.
        num_opened (int | None): How many are opened. None opens and decodes all of them. Defaults to
            256, of which 32 are decoded.
        progress (Callable): Goes around the loop over the images that are opened, e.g. rich's ``track``.
            Defaults to nothing.

    Returns:
        list[Fault]: The faults.
    """
    paths = [os.path.join(folder, name) for name in file_names]
    missing, empty = _look_up(paths)
    faults = []
    if missing:
        faults.append(Fault('image-missing', f'{len(missing)} of {len(paths)} images are not there '
                            f'({_name(paths, missing)}{_why_missing(paths[missing[0]])})',
                            'put them there, set data_prefix.img to their folder (img_subdir for '
                            'Pascal VOC, of which .jpg is read), or leave them out of the annotations'))
    if empty:
        faults.append(Fault('image-empty', f'{len(empty)} of {len(paths)} images are empty files '
                            f'({_name(paths, empty)})', 'copy them again, or leave them out of the '
                            'annotations'))
    there = sorted(set(range(len(paths))) - {*missing, *empty})
    opened = there if num_opened is None else _spread(there, num_opened)
    decoded = set(opened if num_opened is None else _spread(opened, NUM_DECODED))
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        look = partial(_look_at, reader=reader or Reader())
        found = list(progress(threads.map(
            look, [paths[place] for place in opened], [tuple(sizes[place]) for place in opened],
            [place in decoded for place in opened])))
    return faults + _faults_of(found, [paths[place] for place in opened])


def _look_up(paths: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the places of the images that are not there, and of those that are empty."""
    folders: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for place, path in enumerate(paths):
        head, tail = os.path.split(path)
        folders[head].append((tail, place))
    missing, empty = [], []
    until = time.monotonic() + _MAX_SECONDS
    for head, names in folders.items():
        try:
            with os.scandir(head or '.') as listing:
                entries = {entry.name: entry for entry in listing}
        except (OSError, ValueError):  # no such folder, or no name of one
            entries = {}
        for name, place in names:
            entry = entries.get(name)
            if entry is None:
                missing.append(place)
            elif time.monotonic() < until:
                try:
                    if entry.stat().st_size == 0:
                        empty.append(place)
                except OSError:  # such as a link to nowhere
                    missing.append(place)
    return sorted(missing), sorted(empty)


def _why_missing(path: str) -> str:
    folder, name = os.path.split(path)
    if '\\' in name:
        return ', whose name has a backslash: write / between folders'
    try:
        if os.path.islink(path):
            return f', a link to {os.readlink(path)}, which is not there'
        others = os.listdir(folder or '.')
    except (OSError, ValueError):
        return f', there is no folder {folder}'
    alike = [other for other in others if _plain(other) == _plain(name)]
    if alike and alike[0].lower() != name.lower():
        return f', but there is {alike[0]}, whose accents are encoded otherwise'
    alike += [other for other in others if os.path.splitext(other)[0] == os.path.splitext(name)[0]]
    return f', but there is {alike[0]}' if alike else ''


def _plain(name: str) -> str:
    return unicodedata.normalize('NFC', name).lower()


def _spread(places: Sequence[int], number: int) -> list[int]:
    number = min(number, len(places))
    return [places[int(place)] for place in np.linspace(0, len(places) - 1, number).round()]


def _look_at(path: str, size: tuple[float, float], is_decoded: bool,
             reader: Reader) -> tuple[str, str] | None:
    """Return the rule that an image breaks and how, or None."""
    orientation = 1
    found: Any = None
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter('ignore')  # that an image is large, or its EXIF odd
            orientation = image.getexif().get(_ORIENTATION, 1) or 1
            if orientation == 1:
                found = image.size[::-1]
            if is_decoded:
                image.load()
    except UnidentifiedImageError:
        pass  # MMCV reads formats that Pillow does not
    except OSError as error:
        if 'truncated' in str(error):
            return 'image-cut-short', ''
    except Exception:  # of Pillow's own many kinds, e.g. for a damaged header; MMCV decides
        pass
    if is_decoded or found is None or not _is_same(found, size):
        pixels = reader.read(path)
        if pixels is None:
            return 'image-unreadable', ''
        found = pixels.shape[:2]
    if _is_same(found, size):
        # The size tells nothing of half turns and mirrors, and of squares.
        is_open = orientation > 1 and (orientation < 5 or found[0] == found[1])
        return ('image-turned', '') if reader.turns and is_open else None
    sizes = f'{found[0]}x{found[1]}, not {size[0]:.0f}x{size[1]:.0f} pixels high and wide'
    if orientation < 5 or not _is_same(found[::-1], size):
        return 'image-size', sizes
    return 'image-rotated' if reader.turns else 'image-not-rotated', sizes


def _is_same(found: Sequence[int], size: Sequence[float]) -> bool:
    return bool(np.isnan(size).any()) or tuple(found) == tuple(size)


def _faults_of(found: Sequence[tuple[str, str] | None], paths: Sequence[str]) -> list[Fault]:
    faults = []
    for rule in Counter(item[0] for item in found if item is not None):
        places = [place for place, item in enumerate(found) if item is not None and item[0] == rule]
        what, advice, is_error = _IMAGE_RULES[rule]
        detail = next(item[1] for item in found if item is not None and item[0] == rule)
        faults.append(Fault(rule, f'{len(places)} of {len(paths)} images that were opened {what} '
                            f'({_name(paths, places)}{detail and f", the first is read as {detail}"})',
                            advice, is_error))
    return faults


_IMAGE_RULES = {
    'image-unreadable': ('cannot be read by MMCV', 'copy or convert them again, or leave them out of '
                         'the annotations', True),
    'image-cut-short': ('end too early', 'copy them again, or leave them out of the annotations', True),
    'image-size': ('are not of the height and width that the annotations say',
                   'write their real size, and see that the boxes are in pixels of these images', True),
    'image-rotated': (
        'are turned by MMCV, by their EXIF orientation, to another size than the annotations say',
        'where the boxes were drawn on the images as they are stored, read them so: LoadImageFromFile '
        "with color_type='color_ignore_orientation' in all pipelines; otherwise write the size as shown",
        True),
    'image-not-rotated': (
        'are read as they are stored, but the annotations have the size as shown, turned by their EXIF '
        'orientation', "read them as shown: LoadImageFromFile with color_type='color' in all pipelines",
        True),
    'image-turned': (
        'have an EXIF orientation, by which MMCV turns them, and their size does not tell whether the '
        'boxes were drawn on them as stored or as shown',
        'where it was as stored, read them so: LoadImageFromFile with '
        "color_type='color_ignore_orientation' in all pipelines", False),
}


def _name(paths: Sequence[str], places: Sequence[int]) -> str:
    return list_some([paths[place] for place in places], str)
