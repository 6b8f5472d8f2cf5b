"""Find mistakes in a config before any training starts."""
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmengine.config import Config, ConfigDict
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS
from torch import nn

from mmnasfpn.datasets import ShapesDataset, make_shapes
from mmnasfpn.models.necks import PyramidNeck
from mmnasfpn.registry import class_of

_COCO_LAYOUT = ('download COCO into data_root as annotations/instances_{train,val}2017.json, '
                'train2017/ and val2017/, or set data_root, ann_file and data_prefix')


def check_data(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Check that the COCO-format data sets of a config are there and have what is needed.

    Generated shapes are drawn where they are missing. Data sets of other kinds and remote ones are
    left alone.

    Args:
        cfg (Config): The config.
        dataloaders (Sequence[str]): The keys to check, e.g. ``('train_dataloader',)``.

    Raises:
        FileNotFoundError: If a data root, annotation file or picture folder is missing.
        ValueError: If an annotation file is not one, has no pictures or no boxes, lacks categories
            that the config asks for or has them in another order, or if the evaluator reads the
            annotations of other pictures.
    """
    for key in dataloaders:
        if cfg.get(key) is None:
            continue
        evaluator_key = key.replace('dataloader', 'evaluator')
        evaluators = cfg.get(evaluator_key) or []
        evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
        is_submission = any(evaluator.get('format_only', False) for evaluator in evaluators)
        pictures: set[Any] = set()
        ann_files = []
        for dataset in _leaves(cfg[key].dataset):
            kind = class_of(DATASETS, dataset, cfg)
            if not issubclass(kind, CocoDataset) or issubclass(kind, CocoPanopticDataset):
                continue
            if issubclass(kind, ShapesDataset):
                make_shapes(dataset.data_root, **(dataset.get('shapes') or {}))
            path = _find_files(f'{key}.dataset', dataset)
            if path is not None:
                ann_files.append(path)
                pictures |= _check_annotations(f'{key}.dataset', path, dataset, kind,
                                               needs_boxes=not is_submission)
        for evaluator in evaluators:
            if evaluator.get('ann_file') and ann_files:
                _check_evaluator(evaluator_key, evaluator.ann_file, ann_files, pictures)


def _leaves(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the data sets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``."""
    if 'dataset' in dataset:
        yield from _leaves(dataset.dataset)
    elif 'datasets' in dataset:
        for part in dataset.datasets:
            yield from _leaves(part)
    else:
        yield dataset


def _find_files(where: str, cfg: ConfigDict) -> Path | None:
    """Return the path of the annotation file, or None where it is remote."""
    data_root, ann_file = cfg.get('data_root') or '', cfg.get('ann_file') or ''
    if '://' in f'{data_root} {ann_file}':
        return None
    if data_root and not Path(data_root).is_dir():
        raise FileNotFoundError(f'{where}: data_root is {data_root!r} ({Path(data_root).resolve()}), '
                                f'but there is no such folder: {_COCO_LAYOUT}')
    path = Path(data_root) / ann_file
    if not path.is_file():
        raise FileNotFoundError(f'{where}: ann_file is {ann_file!r}, but there is no file {path}: '
                                f'{_COCO_LAYOUT}')
    images = Path(data_root) / (cfg.get('data_prefix') or {}).get('img', '')
    if not images.is_dir():
        raise FileNotFoundError(f'{where}: data_prefix.img leads to {images}, but there is no such '
                                f'folder: {_COCO_LAYOUT}')
    return path


def _check_annotations(where: str, path: Path, cfg: ConfigDict, kind: type[CocoDataset],
                       needs_boxes: bool) -> set[Any]:
    """Check an annotation file and return the ids of its pictures."""
    try:
        data = json.loads(path.read_bytes())
        pictures = {image['id'] for image in data['images']}
        categories = {category['name']: category['id'] for category in data['categories']}
        # Those that MMDetection keeps for training.
        boxed = {box['category_id'] for box in data.get('annotations', ())
                 if not box.get('iscrowd') and box['image_id'] in pictures and min(box['bbox'][2:]) >= 1}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{where}: ann_file {path} is not in COCO format ({error!r}): it must be a '
                         'JSON object with images, annotations and categories') from None
    if not pictures:
        raise ValueError(f'{where}: ann_file {path} has no pictures in its images: give a file that '
                         'lists some')
    classes = list(kind._load_metainfo(cfg.get('metainfo'))['classes'])
    unknown = [name for name in classes if name not in categories]
    if unknown:
        raise ValueError(f'{where}: the classes {unknown} are not among the categories '
                         f'{list(categories)} of {path}: set metainfo=dict(classes=(...)) of the data '
                         'set, and num_classes of the head to their number')
    in_file_order = [name for name in categories if name in classes]
    if classes != in_file_order:  # MMDetection numbers labels in the file's order
        raise ValueError(f'{where}: the classes are {classes}, but {path} has them in another order, in '
                         f'which labels are numbered: set metainfo=dict(classes={tuple(in_file_order)})')
    if needs_boxes and not boxed & {categories[name] for name in classes}:
        raise ValueError(f'{where}: ann_file {path} has {len(pictures)} pictures but no boxes of the '
                         f'classes {classes} in its annotations, crowds and boxes of no size left out: '
                         'give a file with such boxes')
    return pictures


def _check_evaluator(where: str, ann_file: str, ann_files: Sequence[Path], pictures: set[Any]) -> None:
    path = Path(ann_file)
    if '://' in ann_file or path in ann_files:
        return
    if not path.is_file():
        raise FileNotFoundError(f'{where}: ann_file is {ann_file!r}, but there is no such file: set it '
                                f'to that of the data set, {ann_files[0]}')
    if {image['id'] for image in json.loads(path.read_bytes())['images']} != pictures:
        raise ValueError(f'{where}: ann_file is {ann_file!r}, whose pictures are not those of the data '
                         f'set: set it to {ann_files[0]}')


def check_model(model: nn.Module) -> None:
    """Check that backbone, neck and head fit each other, by running the backbone on one image.

    Args:
        model (nn.Module): A detector. One without a neck of this package's is left alone.

    Raises:
        ValueError: If the neck's ``in_channels`` are not those of the backbone's maps, or the head
            is not made for the neck's levels and channels.
    """
    detector: Any = model.module if is_model_wrapper(model) else model
    neck = getattr(detector, 'neck', None)
    if not isinstance(neck, PyramidNeck):
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
    for name in ('bbox_head', 'rpn_head'):
        _check_head(name, getattr(detector, name, None), neck)


def _check_head(name: str, head: Any, neck: PyramidNeck) -> None:
    generator = getattr(head, 'prior_generator', None)
    for argument, value, neck_argument, needed in (
            ('in_channels', getattr(head, 'in_channels', None), 'out_channels', neck.out_channels),
            ('num_ins', getattr(head, 'num_ins', None), 'num_outs', neck.num_outs),
            ('strides (of its anchor or point generator), in number,',
             getattr(generator, 'num_levels', None), 'num_outs', neck.num_outs)):
        if isinstance(value, int) and value != needed:
            raise ValueError(f'{name}: {argument} is {value}, but the {neck_argument} of the neck is '
                             f'{needed}: make them agree')
