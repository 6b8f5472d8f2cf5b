"""What an input means: images, videos and cameras, named by files, folders, globs and numbers."""
import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

#: How the names of images and videos end that are taken out of folders and globs.
IMAGES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.jp2',
          '.avif', '.ppm', '.pgm', '.pnm')
VIDEOS = ('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.ts',
          '.3gp', '.ogv')

#: A file, folder, glob or camera's number; or an image in memory.
Input: TypeAlias = str | os.PathLike[str] | int | np.ndarray


@dataclass(frozen=True, eq=False)
class Source:
    """Where images come from.

    Args:
        path (str): The file as it was given, or found in the folder that was given; a camera's number;
            what stands for an array.
        name (str): Its name in an output folder: relative to what was given.
        kind (str): ``'image'``, ``'video'``, ``'camera'`` or ``'array'``.
        array (ndarray | None): The image of an ``'array'``. Defaults to None.
    """

    path: str
    name: str
    kind: str
    array: np.ndarray | None = None


def find_sources(inputs: Iterable[Input], without: str | os.PathLike[str] | None = None) -> list[Source]:
    """Find what the inputs mean, in their order; what is in a folder or glob, by its names.

    A file keeps its path below the lowest folder that holds all files that are given; what is found in
    a folder or by a glob, its path below that folder, or below the first part that is no pattern. Hidden
    files and folders are left out. A file that is meant twice comes once.

    Args:
        inputs (Iterable): Files; folders, searched with all that are in them; globs; whole numbers,
            which are cameras where there is no such file; images in memory, (H, W, 3), blue, green, red.
        without (str | PathLike | None): A folder that is left out of folders and globs that it is in,
            such as the one for the output. Defaults to None.

    Raises:
        FileNotFoundError: If one does not exist, or has no image and no video.
        ValueError: If an image in memory is no array of bytes of that shape.
    """
    given = list(inputs)
    if not given:
        raise FileNotFoundError('there are no inputs: name images, folders, globs, videos or cameras')
    root = _common_folder([os.fspath(item) for item in given
                           if isinstance(item, str | os.PathLike) and os.path.isfile(item)])
    found: dict[str, Source] = {}
    for number, item in enumerate(given):
        if isinstance(item, np.ndarray):
            sources = [_of_array(item, number)]
        else:
            sources = _of_text(str(item) if isinstance(item, int) else os.fspath(item), root, without)
        for source in sources:
            is_file = source.kind in ('image', 'video')
            found.setdefault(os.path.abspath(source.path) if is_file else source.path, source)
    return list(found.values())


def _of_array(array: np.ndarray, number: int) -> Source:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(f'input {number} is an array of {array.dtype} and shape {array.shape}, but an '
                         'image in memory must be of uint8 and (H, W, 3): blue, green, red')
    return Source(f'array {number}', f'array{number}.png', 'array', np.ascontiguousarray(array))


def _of_text(text: str, root: str, without: str | os.PathLike[str] | None) -> list[Source]:
    if os.path.isfile(text):
        return [Source(text, os.path.relpath(os.path.abspath(text), root), _kind_of(text))]
    if os.path.isdir(text):
        return _of_files(_walk(text), text, without, f'{text} is a folder without an image or video')
    if text.isdecimal() and len(text) < 4:
        return [Source(text, f'camera{text}.mp4', 'camera')]
    if glob.has_magic(text):
        fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(text).parts)
        matches = sorted(glob.glob(text, recursive=True))
        files = itertools.chain.from_iterable(
            _walk(match) if os.path.isdir(match) else [match] for match in matches)
        return _of_files(files, os.path.join(*fixed, ''), without, f'{text} matches no image or video')
    raise FileNotFoundError(f'there is no file or folder {text}')


def _of_files(paths: Iterable[str], root: str, without: str | os.PathLike[str] | None,
              why_none: str) -> list[Source]:
    left_out = None if without is None else Path(without).resolve()
    if left_out is not None and Path(root).resolve() not in left_out.parents:
        left_out = None  # it holds what is given, or is elsewhere
    sources = [Source(path, os.path.relpath(path, root or '.'), _kind_of(path)) for path in paths
               if path.lower().endswith((*IMAGES, *VIDEOS))
               and (left_out is None or left_out not in Path(path).resolve().parents)]
    if not sources:
        raise FileNotFoundError(f'{why_none} (a file that ends in {", ".join((*IMAGES, *VIDEOS))})')
    return sources


def _walk(folder: str) -> Iterator[str]:
    """Yield the files in a folder and those in it; no devices and pipes, which may never end."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for path in (os.path.join(parent, name) for name in sorted(files) if not name.startswith('.')):
            if os.path.isfile(path) or os.path.islink(path):  # a link to nowhere is to be named
                yield path


def _kind_of(path: str) -> str:
    return 'video' if path.lower().endswith(VIDEOS) else 'image'


def _common_folder(files: Sequence[str]) -> str:
    return os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files] or ['/'])
