"""The ground truth of a config, and detections of its images from a file."""
import contextlib
import copy
import json
import logging
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import LVISMetric
from mmengine.config import Config, ConfigDict
from mmengine.fileio import get_local_path, load
from mmengine.logging import print_log
from mmengine.registry import DATASETS, METRICS, init_default_scope
from pycocotools.coco import COCO

from mmnasfpn.datasets.annotations import is_box, is_number, list_some, show_names
from mmnasfpn.datasets.image_rules import Reader
from mmnasfpn.engine.preflight import check_data
from mmnasfpn.engine.preflight.config import check_config
from mmnasfpn.engine.preflight.data_config import leaves, metrics_of, reader_of
from mmnasfpn.mistakes.coco import Detection
from mmnasfpn.registry import class_of


@dataclass(frozen=True)
class Truth:
    """What a config's detections are compared with."""

    coco: COCO
    #: Categories in the order of a detector's labels.
    category_ids: Sequence[int]
    #: The files of the images by id, and how they are read.
    paths: Mapping[Any, str]
    reader: Reader
    #: Where the boxes come from.
    source: str
    #: ``proposal_nums`` of the metric.
    max_detections: Sequence[int]

    @property
    def classes(self) -> list[str]:
        """The names of the categories."""
        return [self.coco.cats[category_id]['name'] for category_id in self.category_ids]

    @property
    def num_boxes(self) -> int:
        """How many boxes there are, without crowds."""
        return sum(box['category_id'] in self.category_ids and not box.get('iscrowd')
                   for box in self.coco.anns.values())


def read_truth(cfg: Config) -> Truth:
    """Read the ground truth that a config evaluates with.

    Args:
        cfg (Config): The config, whose ``test_evaluator`` has a ``CocoMetric``. That may read an
            annotation file or take the boxes from the data set, of any format.

    Raises:
        FileNotFoundError, ValueError: If config and data do not fit, or there is nothing to compare
            with.
    """
    check_config(cfg, 'test')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    metric = _box_metric(cfg)
    check_data(cfg, ('test_dataloader',)).warn()
    ann_file = metric.get('ann_file')
    with contextlib.redirect_stdout(None):
        dataset: Any = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
        infos = [dataset.get_data_info(place) for place in range(len(dataset))]
        if ann_file:
            with get_local_path(ann_file, backend_args=metric.get('backend_args')) as path:
                coco = COCO(path)
        else:
            coco = _convert(infos, dataset.metainfo)
    truth = Truth(coco, coco.getCatIds(catNms=list(dataset.metainfo['classes'])),
                  {info['img_id']: info['img_path'] for info in infos},
                  reader_of(next(leaves(cfg.test_dataloader.dataset))) or Reader(),
                  ann_file or 'the data set', metric.get('proposal_nums', (100, 300, 1000)))
    if not truth.num_boxes:
        raise ValueError(f'{truth.source} has no boxes of the classes {show_names(truth.classes)}, so '
                         'that there is nothing to compare with: give images with annotations')
    return truth


def _box_metric(cfg: Config) -> ConfigDict:
    """Return the metric whose figures are looked at.

    Raises:
        ValueError: If there is none.
    """
    metrics, is_paired = metrics_of(cfg, 'test_evaluator')
    if is_paired:
        raise ValueError('test_evaluator has a metric for each of several data sets: give a config with '
                         'one data set and one CocoMetric')
    for metric in metrics:
        kind = class_of(METRICS, metric, cfg)
        if issubclass(kind, CocoMetric) and not issubclass(kind, LVISMetric):
            kinds = metric.get('metric', 'bbox')
            if 'bbox' not in ([kinds] if isinstance(kinds, str) else kinds):
                raise ValueError(f"the CocoMetric of test_evaluator measures {kinds!r}, but boxes are "
                                 "looked at: set its metric='bbox'")
            return metric
    found = ', '.join(str(metric.get('type')) for metric in metrics) or 'nothing'
    raise ValueError(f"test_evaluator is {found}, but must be a mmdet.CocoMetric, which can evaluate a "
                     "data set of any format: dict(type='mmdet.CocoMetric', ann_file=...), or "
                     "without ann_file where it is in another format than COCO's and the test "
                     "pipeline's PackDetInputs has 'instances' among its meta_keys")


def _convert(infos: Sequence[Mapping[str, Any]], metainfo: Mapping[str, Any]) -> COCO:
    """Return the boxes of a data set in COCO format, as ``CocoMetric`` converts them."""
    metric = CocoMetric()
    metric.dataset_meta = metainfo
    with tempfile.TemporaryDirectory() as folder:
        path = metric.gt_to_coco_json([dict(info, anns=info['instances']) for info in infos],
                                      os.path.join(folder, 'truth'))
        data = json.loads(Path(path).read_bytes())
    data.setdefault('annotations', [])
    for image, info in zip(data['images'], infos, strict=True):
        image['file_name'] = os.path.basename(info['img_path'])
    coco = COCO()
    coco.dataset = data
    coco.createIndex()
    return coco


def read_detections(path: str | os.PathLike[str], truth: Truth) -> list[Detection]:
    """Read detections that ``tools/test.py --out`` wrote, or a JSON file of COCO's results.

    A pickle can run code when it is read: give your own only.

    Args:
        path (str | PathLike): The file, which ends in ``.pkl``, ``.pickle`` or ``.json``.
        truth (Truth): What they are compared with.

    Raises:
        FileNotFoundError, ValueError: If the file cannot be read, is empty, or is of other images or
            classes.
    """
    path = Path(path)
    if path.suffix not in ('.pkl', '.pickle', '.json'):
        raise ValueError(f'{path} must end in .pkl or .pickle, as tools/test.py --out writes, or in '
                         ".json, a file of COCO's results")
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: give a file of predictions')
    try:
        content = load(str(path))
    except Exception as error:  # pickles raise whatever there is
        why = f'{type(error).__name__}: {error}'
        raise ValueError(f'{path} cannot be read ({why}): write it again') from error
    if not isinstance(content, list) or not all(isinstance(entry, Mapping) for entry in content):
        raise ValueError(f'{path} must hold a list of dicts, as tools/test.py --out writes, or as a '
                         "file of COCO's results")
    read = _of_results if path.suffix == '.json' else _of_pickle
    found = read(path, content, truth)
    if not found:
        raise ValueError(f'{path} has no detections, so that there is nothing to look at: lower '
                         'model.test_cfg.score_thr, or train for longer')
    _warn_of_boxes_outside(path, found, truth)
    return found


def _warn_of_boxes_outside(path: Path, detections: Sequence[Detection], truth: Truth) -> None:
    outside = []
    for found in detections:
        image, (x, y, width, height) = truth.coco.imgs[found['image_id']], found['bbox']
        if not (-width < x < image['width'] and -height < y < image['height']):
            outside.append(found['image_id'])
    if outside:
        ids = list_some(list(dict.fromkeys(outside)))
        print_log(f'{path}: {len(outside)} of {len(detections)} boxes lie outside of their images (ids '
                  f'{ids}): are they of these images, and in pixels of the original ones?',
                  'current', logging.WARNING)


def _of_pickle(path: Path, entries: Sequence[Mapping[str, Any]], truth: Truth) -> list[Detection]:
    """Return what MMDetection predicted as COCO's results, as ``CocoMetric`` does."""
    if entries and not all({'img_id', 'pred_instances'} <= set(entry) for entry in entries):
        raise ValueError(f'{path} has no img_id and pred_instances for each image: give a file that '
                         'tools/test.py --out wrote')
    _check_ids(path, [entry['img_id'] for entry in entries], truth)
    if missing := sorted(set(truth.coco.imgs) - {entry['img_id'] for entry in entries}):
        raise ValueError(f'{path} lacks {len(missing)} of the {len(truth.coco.imgs)} images of '
                         f'{truth.source} (ids {list_some(missing)}): predict all of them')
    detections: list[Detection] = []
    for entry in entries:
        image_id, found = entry['img_id'], entry['pred_instances']
        _check_name(path, image_id, entry.get('img_path'), truth)
        labels = found['labels'].tolist()
        if labels and max(labels) >= len(truth.category_ids):
            raise ValueError(f'{path} has the label {max(labels)}, but the data have '
                             f'{len(truth.category_ids)} classes, {show_names(truth.classes)}: give the '
                             'config that it was predicted with')
        for (left, top, right, bottom), score, label in zip(
                found['bboxes'].tolist(), found['scores'].tolist(), labels, strict=True):
            if not all(map(math.isfinite, (left, top, right, bottom, score))):
                raise ValueError(f'{path} has a detection in image {image_id} whose box or score is not '
                                 'finite: the training has probably diverged')
            detections.append(dict(image_id=image_id, category_id=truth.category_ids[label], score=score,
                                   bbox=[left, top, right - left, bottom - top]))
    return detections


def _of_results(path: Path, entries: Sequence[Mapping[str, Any]], truth: Truth) -> list[Detection]:
    for place, entry in enumerate(entries):
        score = entry.get('score')
        if not (isinstance(entry.get('image_id'), int | str)
                and isinstance(entry.get('category_id'), int)
                and is_box(entry.get('bbox')) and is_number(score)
                and all(map(math.isfinite, (score, *entry['bbox'])))):
            raise ValueError(f'{path}: entry {place} is {str(dict(entry))[:120]}, but must have '
                             'image_id, category_id, bbox (x, y, width, height) and score, all finite')
    _check_ids(path, [entry['image_id'] for entry in entries], truth)
    for entry in entries:  # tools/predict.py numbers images anew without --ann-file
        _check_name(path, entry['image_id'], entry.get('file_name'), truth)
    known = set(truth.category_ids)
    if other := sorted({str(entry['category_id']) for entry in entries
                        if entry['category_id'] not in known}):
        raise ValueError(f'{path} has the category ids {list_some(other, str)}, which are not those of '
                         f'the classes {show_names(truth.classes)}: {list_some(truth.category_ids)}')
    keys = ('image_id', 'category_id', 'bbox', 'score')
    return [{key: entry[key] for key in keys} for entry in entries]


def _check_name(path: Path, image_id: Any, name: Any, truth: Truth) -> None:
    theirs, ours = os.path.basename(name or ''), os.path.basename(truth.paths[image_id])
    if theirs and theirs != ours:
        raise ValueError(f'{path} is of other images than {truth.source}: image {image_id} is {theirs} '
                         f'there and {ours} here: give the config that it was predicted with, or '
                         'predict again, by tools/predict.py with --ann-file')


def _check_ids(path: Path, ids: Sequence[Any], truth: Truth) -> None:
    if other := [key for key in dict.fromkeys(ids) if key not in truth.coco.imgs]:
        raise ValueError(f'{path} has detections of images that {truth.source} has not (ids '
                         f'{list_some(other)}): give the annotations that it was predicted with')
