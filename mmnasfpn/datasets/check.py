"""Check an annotation file and its images on their own: what ``tools/check_data.py`` does."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from mmnasfpn.datasets.annotation_rules import check_annotations
from mmnasfpn.datasets.annotations import AnnotationError, read_annotations
from mmnasfpn.datasets.fix import fix_annotations
from mmnasfpn.datasets.image_rules import Reader, check_images
from mmnasfpn.datasets.summary import summarize


def check_file(ann_file: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None,
               color_type: str = 'color') -> dict[str, Any]:
    """Check an annotation file for training and evaluation, and open all of its images.

    Args:
        ann_file (str | PathLike): Annotation file in COCO format.
        folder (str | PathLike | None): Folder of the images. Defaults to None: they are not looked at.
        color_type (str): How MMCV reads them, as in its ``LoadImageFromFile``. Defaults to ``'color'``.

    Returns:
        dict: ``file``, ``faults`` (a list of :class:`Fault` as dicts), and where it can be read
        ``summary``, as :func:`summarize` returns it.

    Raises:
        FileNotFoundError: If the file or the folder is missing.
    """
    if not Path(ann_file).is_file():
        raise FileNotFoundError(f'{os.fspath(ann_file)!r} is no annotation file: there is no such file')
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(f'--images is {os.fspath(folder)!r}, but there is no such folder')
    try:
        file = read_annotations(ann_file)
    except AnnotationError as error:
        return dict(file=os.fspath(ann_file), faults=[asdict(error.fault)])
    faults = check_annotations(file)
    names = file.columns['images']['file_name']
    named = [place for place, name in enumerate(names) if isinstance(name, str) and name]
    if folder is not None and named:
        faults += check_images(
            folder, [names[place] for place in named], file.sizes[named], Reader(color_type),
            num_opened=None, progress=partial(track, description='Opening images', total=len(named)))
    return dict(file=os.fspath(ann_file), faults=[asdict(fault) for fault in faults],
                summary=summarize(file))


def fix_file(console: Console, report: Mapping[str, Any], out: Path, folder: Path | None,
             classes: Sequence[str], color_type: str) -> list[dict[str, Any]]:
    """Write a repaired copy of a file that was checked, say what was done, and return what is left."""
    done, faults = fix_annotations(report['file'], out, folder, classes, color_type)
    # No copy of the annotations repairs an image.
    left = [asdict(fault) for fault in faults] + [
        fault for fault in report['faults'] if fault['rule'].startswith('image-')]
    console.print(f'{out}: written', *(f'- {line}' for line in done or ['nothing to repair']), sep='\n',
                  markup=False, highlight=False, soft_wrap=True)
    if any(fault['is_error'] for fault in left):
        console.print('To be repaired by hand:', markup=False)
        show_faults(console, left)
    return left


def show_faults(console: Console, faults: Sequence[Mapping[str, Any]]) -> None:
    """Print faults, a line each, errors first."""
    for fault in sorted(faults, key=lambda fault: not fault['is_error']):
        kind = 'error' if fault['is_error'] else 'warning'
        console.print(f"{kind}: {fault['text']}: {fault['advice']} [{fault['rule']}]", markup=False,
                      highlight=False, soft_wrap=True)
    if not faults:
        console.print('nothing is wrong')
