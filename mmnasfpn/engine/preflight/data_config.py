"""What a config says of its data sets and evaluators."""
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.evaluation import MultiDatasetsEvaluator
from mmengine.config import Config, ConfigDict
from mmengine.registry import EVALUATOR

from mmnasfpn.datasets.image_rules import Reader
from mmnasfpn.registry import class_of

_REPEATING = ('RepeatDataset', 'ClassBalancedDataset')


def leaves(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside wrappers such as ``RepeatDataset``, of configs or as they are built."""
    if hasattr(dataset, 'dataset'):
        yield from leaves(dataset.dataset)
    elif hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from leaves(part)
    else:
        yield dataset


def type_name(part: Mapping[str, Any]) -> str:
    """Return the name of a part's type without its scope; the type may be the class itself."""
    kind = part.get('type')
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def odd_part_of(dataset: Any) -> str | None:
    """Return which part of a data set's config is of another form than it must be, or None."""
    if not isinstance(dataset, Mapping):
        return f'it is {dataset!r:.40}, but must be a dict'
    if 'datasets' in dataset or 'dataset' in dataset:
        parts = dataset.get('datasets', [dataset.get('dataset')])
        if not isinstance(parts, list | tuple) or not parts:
            return f'datasets is {parts!r:.40}, but must be a list of data sets'
        return next(filter(None, map(odd_part_of, parts)), None)
    for name, kinds, what in _FORMS:
        value = dataset.get(name)
        if value is not None and not isinstance(value, kinds):
            return f'{name} is {value!r:.40}, but must be {what}'
    min_size = (dataset.get('filter_cfg') or {}).get('min_size', 0)
    if not isinstance(min_size, int | float):
        return f'filter_cfg.min_size is {min_size!r:.40}, but must be a number of pixels'
    if not all(isinstance(transform, Mapping) for transform in dataset.get('pipeline') or ()):
        return 'pipeline has a transform that is no dict'
    return None


_FORMS: tuple[tuple[str, Any, str], ...] = (
    ('data_root', str, 'a path'), ('ann_file', str, 'a path'),
    ('data_prefix', Mapping, "a dict, such as dict(img='images/')"),
    ('metainfo', Mapping, 'a dict, such as dict(classes=(...))'), ('pipeline', list | tuple, 'a list'),
    ('filter_cfg', Mapping, 'a dict, such as dict(filter_empty_gt=True)'),
    ('backend_args', Mapping, 'a dict'))


def is_remote(dataset: ConfigDict) -> bool:
    """Say whether the annotation file of a data set is not on this machine."""
    backend = (dataset.get('backend_args') or {}).get('backend', 'local')
    return backend != 'local' or '://' in f"{dataset.get('data_root')} {dataset.get('ann_file')}"


def why_not_whole(loader: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why a dataloader does not give each image once, as it is, and what to do; or None."""
    sampler, batches = (loader.get(name) or {} for name in ('sampler', 'batch_sampler'))
    if _is_repeated(loader['dataset']):
        return 'it is repeated, so that images are evaluated several times', 'leave out the wrapper'
    if loader.get('drop_last') or batches.get('drop_last'):
        return f'drop_last leaves out images{COUNTED}', 'leave it out'
    if loader.get('num_batch_per_epoch') is not None:
        return f'num_batch_per_epoch leaves out images{COUNTED}', 'leave it out'
    if type_name(sampler) in _CHOOSING:
        return (f'its sampler, {type_name(sampler)}, leaves out images or repeats them',
                "use dict(type='DefaultSampler', shuffle=False)")
    for dataset in leaves(loader['dataset']):
        for transform in dataset.get('pipeline') or ():
            if type_name(transform) in _MOVING and transform.get('prob', 1) != 0 and not (
                    transform.get('test_mode')):
                return (f'its pipeline has {type_name(transform)}, which moves what is to be found '
                        'where the evaluator does not follow', 'leave it out of the test pipeline')
    return None


#: What an evaluator makes of images that it is not given.
COUNTED = ', which the evaluator takes for images without detections'
_CHOOSING = ('InfiniteSampler', 'ClassAwareSampler', 'MultiSourceSampler', 'GroupMultiSourceSampler',
             'CustomSampleSizeSampler')
_MOVING = ('RandomFlip', 'RandomCrop', 'RandomCenterCropPad', 'MinIoURandomCrop', 'Expand',
           'RandomAffine', 'RandomShift', 'Mosaic', 'MixUp', 'YOLOXMixUp', 'CachedMosaic', 'CachedMixUp',
           'CopyPaste', 'Rotate', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'RandomRotate')


def packs_boxes(dataset: ConfigDict) -> bool:
    """Say whether the pipeline hands the boxes of the data set on to an evaluator without a file."""
    packs = [transform for transform in dataset.get('pipeline') or ()
             if type_name(transform) == 'PackDetInputs']
    return not packs or 'instances' in packs[-1].get('meta_keys', ())


def _is_repeated(dataset: ConfigDict) -> bool:
    """Say whether images of a data set come several times, by a wrapper around it or a part of it."""
    inner = dataset.get('datasets') or ([dataset.dataset] if 'dataset' in dataset else [])
    return type_name(dataset) in _REPEATING or any(map(_is_repeated, inner))


def metrics_of(cfg: Config, key: str) -> tuple[list[ConfigDict], bool]:
    """Return the metrics of an evaluator, and whether each is for a data set of its own."""
    evaluator = cfg.get(key) or []
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        metrics = evaluator['metrics']
        is_paired = issubclass(class_of(EVALUATOR, evaluator, cfg), MultiDatasetsEvaluator)
    else:
        metrics, is_paired = evaluator, False
    return list(metrics) if isinstance(metrics, list | tuple) else [metrics], is_paired


def is_read_as_coco(kind: type[CocoDataset]) -> bool:
    """Say whether a class of data sets reads annotation files as MMDetection's ``CocoDataset`` does."""
    return (kind.load_data_list is CocoDataset.load_data_list
            and kind.parse_data_info is CocoDataset.parse_data_info)


def loads_masks(cfg: ConfigDict) -> bool:
    """Say whether the pipeline of a data set reads masks."""
    return any(transform.get('with_mask', False) for transform in cfg.get('pipeline') or ())


def filter_of(cfg: ConfigDict) -> dict[str, Any]:
    """Return what ``filter_cfg`` leaves out of a data set, as arguments of :class:`Use`."""
    if cfg.get('test_mode', False):
        return {}
    chosen = cfg.get('filter_cfg') or {}
    return dict(filter_empty=chosen.get('filter_empty_gt', False), min_size=chosen.get('min_size', 0))


def image_folder(cfg: ConfigDict) -> Path:
    """Return the folder that the names of images are relative to."""
    return Path(cfg.get('data_root') or '') / (cfg.get('data_prefix') or {}).get('img', '')


def reader_of(cfg: ConfigDict) -> Reader | None:
    """Return how a pipeline reads image files, or None where it takes them from elsewhere."""
    pipeline = cfg.get('pipeline') or ()
    for transform in pipeline:
        if type_name(transform) == 'LoadImageFromFile':
            backend = (transform.get('backend_args') or {}).get('backend', 'local')
            if backend != 'local' or transform.get('file_client_args'):
                return None
            return Reader(**{key: transform[key] for key in ('color_type', 'imdecode_backend')
                             if key in transform})
    return None if pipeline else Reader()
