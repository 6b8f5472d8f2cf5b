"""Find mistakes in a config before any training starts."""
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS
from torch import nn

from mmnasfpn.datasets import ShapesDataset
from mmnasfpn.models.necks import NASFPN

_COCO_LAYOUT = ('download COCO into data_root as annotations/instances_{train,val}2017.json, '
                'train2017/ and val2017/, or set data_root, ann_file and data_prefix')


def check_data(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Check that the COCO-format data sets of a config are there and have what is needed.

    Data sets of other kinds and remote ones are left alone.

    Args:
        cfg (Config): The config.
        dataloaders (Sequence[str]): The keys to check, e.g. ``('train_dataloader',)``.

    Raises:
        FileNotFoundError: If a data root, annotation file or picture folder is missing.
        ValueError: If an annotation file is not one, has no pictures or no boxes, or lacks
            categories that the config asks for.
    """
    for key in dataloaders:
        if cfg.get(key) is None:
            continue
        evaluator = cfg.get(key.replace('dataloader', 'evaluator'))
        is_submission = isinstance(evaluator, dict) and evaluator.get('format_only', False)
        for dataset in _leaves(cfg[key].dataset):
            with_scope = dataset.get('_scope_') or cfg.get('default_scope')
            name = dataset.type
            if isinstance(name, str) and '.' not in name and with_scope:
                name = f'{with_scope}.{name}'
            kind = DATASETS.get(name) if isinstance(name, str) else name
            if isinstance(kind, type) and issubclass(kind, CocoDataset):
                _check_coco(f'{key}.dataset', dataset, kind, needs_boxes=not is_submission)


def _leaves(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the data sets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``."""
    if 'dataset' in dataset:
        yield from _leaves(dataset.dataset)
    elif 'datasets' in dataset:
        for part in dataset.datasets:
            yield from _leaves(part)
    else:
        yield dataset


def _check_coco(where: str, cfg: ConfigDict, kind: type[CocoDataset], needs_boxes: bool) -> None:
    data_root, ann_file = cfg.get('data_root') or '', cfg.get('ann_file') or ''
    if '://' in f'{data_root} {ann_file}' or issubclass(kind, ShapesDataset):  # draws itself
        return
    if data_root and not Path(data_root).is_dir():
        raise FileNotFoundError(f'{where}: data_root is {data_root!r} ({Path(data_root).resolve()}), '
                                f'but there is no such folder: {_COCO_LAYOUT}')
    path = Path(data_root) / ann_file
    if not path.is_file():
        raise FileNotFoundError(f'{where}: ann_file is {ann_file!r}, but there is no file {path}: '
                                f'{_COCO_LAYOUT}')
    images = Path(data_root) / (cfg.get('data_prefix') or {}).get('img', '')
    if not images.is_dir():
        raise FileNotFoundError(f"{where}: data_prefix.img leads to {images}, but there is no such "
                                f'folder: {_COCO_LAYOUT}')
    try:
        data = json.loads(path.read_bytes())
        pictures, categories = data['images'], {c['name']: c['id'] for c in data['categories']}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{where}: ann_file {path} is not in COCO format ({error!r}): it must be a '
                         'JSON object with images, annotations and categories') from None
    if not pictures:
        raise ValueError(f'{where}: ann_file {path} has no pictures in its images: give a file that '
                         'lists some')
    classes = kind._load_metainfo(cfg.get('metainfo'))['classes']
    unknown = [name for name in classes if name not in categories]
    if unknown:
        raise ValueError(f'{where}: the classes {unknown} are not among the categories '
                         f'{list(categories)} of {path}: set metainfo=dict(classes=(...)) of the data '
                         'set, and num_classes of the head to their number')
    wanted = {categories[name] for name in classes}
    if needs_boxes and not any(box['category_id'] in wanted for box in data.get('annotations', ())):
        raise ValueError(f'{where}: ann_file {path} has {len(pictures)} pictures but no boxes of the '
                         f'classes {list(classes)} in its annotations: give a file with such boxes')


def check_model(model: nn.Module) -> None:
    """Check that the backbone's maps fit a :class:`NASFPN` neck, by running it on one image.

    Args:
        model (nn.Module): A detector. One without such a neck is left alone.

    Raises:
        ValueError: If the neck's ``in_channels`` are not those of the backbone's maps.
    """
    detector: Any = model.module if is_model_wrapper(model) else model
    neck = getattr(detector, 'neck', None)
    if not isinstance(neck, NASFPN):
        return
    modes = {module: module.training for module in detector.modules()}
    try:
        detector.eval()
        device = next(detector.parameters()).device
        with torch.no_grad():
            neck.check_inputs(detector.backbone(torch.zeros(1, 3, 128, 128, device=device)))
    finally:
        for module, training in modes.items():
            module.training = training
