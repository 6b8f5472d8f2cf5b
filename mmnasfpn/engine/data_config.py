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


def leaves(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the data sets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``."""
    if 'dataset' in dataset:
        yield from leaves(dataset.dataset)
    elif 'datasets' in dataset:
        for part in dataset.datasets:
            yield from leaves(part)
    else:
        yield dataset


def is_repeated(dataset: ConfigDict) -> bool:
    """Say whether images of a data set come several times, by a wrapper around it or a part of it."""
    inner = dataset.get('datasets') or ([dataset.dataset] if 'dataset' in dataset else [])
    return str(dataset.get('type')).rpartition('.')[2] in _REPEATING or any(map(is_repeated, inner))


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
        if str(transform.get('type')).rpartition('.')[2] == 'LoadImageFromFile':
            backend = (transform.get('backend_args') or {}).get('backend', 'local')
            if backend != 'local' or transform.get('file_client_args'):
                return None
            return Reader(**{key: transform[key] for key in ('color_type', 'imdecode_backend')
                             if key in transform})
    return None if pipeline else Reader()
