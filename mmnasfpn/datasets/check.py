"""Check an annotation file and its images on their own: what ``tools/check_data.py`` does."""
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import track

from mmnasfpn.datasets.annotation_rules import check_annotations
from mmnasfpn.datasets.annotations import AnnotationError, read_annotations
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
    faults.sort(key=lambda fault: not fault.is_error)
    return dict(file=os.fspath(ann_file), faults=[asdict(fault) for fault in faults],
                summary=summarize(file))
