"""Results as COCO has them, and the ids of their images and categories."""
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnasfpn._files import atomic_path
from mmnasfpn.datasets.annotations import list_some, read_json
from mmnasfpn.engine.preflight.data_config import is_remote, leaves
from mmnasfpn.errors import UsageError
from mmnasfpn.prediction.inputs import Source
from mmnasfpn.prediction.outputs import Write
from mmnasfpn.prediction.predictor import Prediction


@contextlib.contextmanager
def coco_results(path: Path, category_ids: Sequence[int],
                 image_ids: Mapping[str, int] | None = None) -> Iterator[Write]:
    """Write a results file of COCO as it comes, whole or not at all.

    Args:
        path (Path): The file.
        category_ids (Sequence[int]): The id of each label.
        image_ids (Mapping | None): The id of each image by its path. Defaults to None: images are
            numbered from 1.
    """
    with atomic_path(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        number = 0
        separator = '[\n'

        def write(prediction: Prediction) -> None:
            nonlocal number, separator
            number += 1
            image: dict[str, Any] = dict(
                image_id=number if image_ids is None else image_ids[prediction.path],
                file_name=prediction.path)
            if prediction.frame is not None:
                image['frame'] = prediction.frame
            found = zip(prediction.labels.tolist(), prediction.scores.tolist(),
                        prediction.boxes.tolist(), strict=True)
            entries = [dict(image, category_id=category_ids[label], score=score,
                            bbox=[x1, y1, x2 - x1, y2 - y1])
                       for label, score, (x1, y1, x2, y2) in found]
            for entry, mask in zip(entries, prediction.masks or (), strict=False):
                entry['segmentation'] = mask
            if entries:
                file.write(separator + json.dumps(entries)[1:-1])  # a part of the whole list
                separator = ',\n'

        yield write
        file.write('[]\n' if separator == '[\n' else '\n]\n')


def read_image_ids(ann_file: str | os.PathLike[str], sources: Sequence[Source]) -> dict[str, int]:
    """Return the ids of the images that the file has: those of the longest name that a path ends in.

    Args:
        ann_file (str | PathLike): An annotation file in COCO format.
        sources (Sequence[Source]): The images.

    Returns:
        dict[str, int]: The ids by path, without images that the file does not have.

    Raises:
        AnnotationError: If it is no such file.
        UsageError: If it has none of the images, or has a name twice.
    """
    ids: dict[str, int] = {}
    for image in read_json(ann_file)[0]['images']:
        name = os.path.normpath(str(image['file_name']))
        if name in ids:
            raise UsageError(f'--ann-file {os.fspath(ann_file)} has {name} twice: number its images '
                             'anew, or leave it out')
        ids[name] = image['id']
    found: dict[str, int] = {}
    for path in (source.path for source in sources if source.kind == 'image'):
        parts = Path(os.path.abspath(path)).parts
        names = (os.path.join(*parts[first:]) for first in range(len(parts)))
        if (match := next((name for name in names if name in ids), None)) is not None:
            found[path] = ids[match]
    if not found:
        raise UsageError(f'--ann-file {os.fspath(ann_file)} has no image of the name of an input '
                         f'({list_some([source.path for source in sources], str)}): give the file of '
                         'these images, or leave it out')
    return found


def find_category_ids(cfg: Config, ann_file: str | os.PathLike[str] | None,
                  classes: Sequence[str]) -> tuple[list[int], str]:
    """Return the category id of each label, and where they are from.

    Args:
        cfg (Config): The config, whose test set has them where its annotation file is there.
        ann_file (str | PathLike | None): The annotation file that has them. None: that of the config, or
            else numbers from 1.
        classes (Sequence[str]): The names of the labels.

    Raises:
        AnnotationError: If that is no annotation file in COCO format.
        UsageError: If ``ann_file`` has no category of such a name.
    """
    if ann_file is not None:
        ids = _ids_by_name(ann_file)
        if missing := [name for name in classes if name not in ids]:
            raise UsageError(f'--ann-file {os.fspath(ann_file)} has no category {missing[0]!r}, which '
                             f'the detector knows; it has {", ".join(map(repr, ids))}')
        return [ids[name] for name in classes], os.fspath(ann_file)
    for dataset in leaves((cfg.get('test_dataloader') or {}).get('dataset') or {}):
        path = Path(dataset.get('data_root') or '') / (dataset.get('ann_file') or '')
        if not is_remote(dataset) and path.suffix == '.json' and path.is_file():
            ids = _ids_by_name(path)
            if all(name in ids for name in classes):
                return [ids[name] for name in classes], str(path)
    return list(range(1, len(classes) + 1)), f'1..{len(classes)}, in the order of the classes'


def _ids_by_name(path: str | os.PathLike[str]) -> dict[str, int]:
    return {category['name']: category['id'] for category in read_json(path)[0]['categories']}
