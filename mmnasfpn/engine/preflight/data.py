"""Find mistakes in the data of a config before anything is trained or evaluated."""
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset, CocoPanopticDataset, XMLDataset
from mmdet.evaluation import CocoMetric
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, METRICS

from mmnasfpn.datasets import AnnotationError, Annotations, Fault, ShapesDataset, make_shapes
from mmnasfpn.datasets.annotation_rules import Use, check_annotations, filtered_images
from mmnasfpn.datasets.annotations import FileStamp, list_some, read_annotations, show_names, stamp_of
from mmnasfpn.datasets.image_rules import check_images
from mmnasfpn.engine.preflight import data_config, voc
from mmnasfpn.engine.preflight.report import DataReport, Finding, fix_command, raise_errors
from mmnasfpn.registry import class_of

_LAYOUT = 'put the data set there, or set data_root, ann_file and data_prefix'
_COCO_LAYOUT = ('download COCO into data_root as annotations/instances_{train,val}2017.json, '
                'train2017/ and val2017/, or set data_root, ann_file and data_prefix')


def check_data(cfg: Config, dataloaders: Sequence[str],
               checked: frozenset[FileStamp] = frozenset()) -> DataReport:
    """Check that the data sets of a config are there, sound, and fit each other and the evaluators.

    Data sets in the formats of COCO and Pascal VOC are checked in full: annotation files, images,
    classes and evaluators. Of other kinds only the classes are compared; remote ones are left alone.
    Generated shapes are drawn where they are missing.

    Args:
        cfg (Config): The config.
        dataloaders (Sequence[str]): The keys to check, e.g. ``('train_dataloader',)``.
        checked (frozenset[FileStamp]): Annotation files that were checked before, for the same config:
            those that have not changed since are not read again. Defaults to none.

    Returns:
        DataReport: What is to be said, but no error.

    Raises:
        FileNotFoundError: If a data root, annotation file or image folder is missing.
        ValueError: If anything else is wrong. The message lists all faults.
    """
    check = _DataCheck(cfg, checked)
    for key in dataloaders:
        if cfg.get(key) is not None:
            check.add_dataloader(key)
    check.compare_classes()
    check.compare_images()
    raise_errors(check.errors)
    return DataReport(tuple(check.warnings), check.classes, frozenset(check.stamps))


@dataclass
class _DataSet:
    """A data set of a config, or the annotation file of a metric."""

    where: str
    cfg: ConfigDict
    kind: Any
    classes: tuple[str, ...]
    path: Path | None = None
    file: Annotations | None = None  # None if it is in another format, or not to be checked

    @property
    def is_voc(self) -> bool:
        return issubclass(self.kind, XMLDataset)

    @property
    def image_folder(self) -> Path:
        return (voc if self.is_voc else data_config).image_folder(self.cfg)


@dataclass
class _DataCheck:
    """Goes through the dataloaders of a config and gathers what is wrong."""

    cfg: Config
    checked: frozenset[FileStamp]
    warnings: list[str] = field(default_factory=list)
    stamps: set[FileStamp] = field(default_factory=set)
    data_sets: list[_DataSet] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)
    files: dict[Path, Annotations | None] = field(default_factory=dict)
    folders: dict[Path | None, Path] = field(default_factory=dict)  # of the images of each file
    evaluated: list[_DataSet] = field(default_factory=list)  # what evaluators read

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.data_sets[0].classes if self.data_sets else None

    def add(self, where: str, path: Path | None, fault: Fault) -> None:
        if fault.is_error:
            if (path, fault) not in [(found.path, found.fault) for found in self.errors]:
                self.errors.append(Finding(where, path, fault, self.folders.get(path)))
        elif (line := f'{where}: {path}: {fault}') not in self.warnings:
            self.warnings.append(line)

    def add_dataloader(self, key: str) -> None:
        """Check the data sets of a dataloader, and the evaluator of it."""
        where = f'{key}.dataset'
        loader = self.cfg[key]
        odd = data_config.odd_part_of(loader.get('dataset') if isinstance(loader, Mapping) else None)
        if odd is not None:
            self.add(where, None, Fault('odd-config', odd, 'see the configs for an example'))
            return
        evaluator_key = key.replace('dataloader', 'evaluator')
        metrics, is_paired = data_config.metrics_of(self.cfg, evaluator_key)
        is_submission = any(metric.get('format_only', False) for metric in metrics)
        trains = key.startswith('train')
        parts = []  # of a ConcatDataset, each with the data sets in it
        for part in loader.dataset.get('datasets') or [loader.dataset]:
            found = (self._add_data_set(where, dataset, trains, needs_boxes=not is_submission)
                     for dataset in data_config.leaves(part))
            parts.append([data_set for data_set in found if data_set is not None])
        data_sets = [data_set for part in parts for data_set in part]
        self.data_sets += data_sets
        is_known = len(data_sets) == len(list(data_config.leaves(loader.dataset)))
        if trains or is_submission or not metrics or not is_known:
            return
        coco = [metric for metric in metrics if self._is_coco(metric)]
        if coco and self._is_whole(key, loader, data_sets):
            if is_paired:
                self._pair(evaluator_key, metrics, parts)
            else:
                for metric in coco:
                    self._check_evaluator(evaluator_key, metric, data_sets)

    def _is_coco(self, metric: ConfigDict) -> bool:
        return issubclass(class_of(METRICS, metric, self.cfg), CocoMetric)

    def _add_data_set(self, where: str, cfg: ConfigDict, trains: bool,
                      needs_boxes: bool) -> _DataSet | None:
        data_set = self._classes_of(where, cfg)
        if data_set is None:
            return None
        if issubclass(data_set.kind, ShapesDataset):
            make_shapes(cfg.data_root, **(cfg.get('shapes') or {}))
        if issubclass(data_set.kind, CocoDataset):
            data_set.path = self._find_file(where, cfg)
            if data_set.path is not None and data_config.is_read_as_coco(data_set.kind):
                use = Use(trains=trains, evaluates=False, needs_boxes=needs_boxes,
                          classes=data_set.classes, needs_masks=trains and data_config.loads_masks(cfg),
                          **data_config.filter_of(cfg))
                data_set.file = self._check_file(where, data_set.path, use)
                if data_set.file is not None:
                    self._check_images(data_set, data_set.file, use)
        elif voc.is_read_as_voc(data_set.kind) and not data_config.is_remote(cfg):
            self._add_voc(data_set, trains, needs_boxes)
        return data_set

    def _add_voc(self, data_set: _DataSet, trains: bool, needs_boxes: bool) -> None:
        faults = list(voc.faults_of_config(data_set.cfg))
        if not faults:
            data_set.path = voc.list_file(data_set.cfg)
            stamp = stamp_of(data_set.path)
            self.stamps.add(stamp)
            if stamp in self.checked:
                return
            data_set.file, use, faults = voc.check(data_set.cfg, data_set.classes, trains, needs_boxes)
            self._check_images(data_set, data_set.file, use)
        for fault in faults:
            self.add(data_set.where, data_set.path, fault)

    def _classes_of(self, where: str, cfg: ConfigDict) -> _DataSet | None:
        """Return a data set with its classes, or None where it does not say them."""
        kind: Any = class_of(DATASETS, cfg, self.cfg)
        if not issubclass(kind, BaseDataset) or issubclass(kind, CocoPanopticDataset):
            return None
        classes = kind._load_metainfo(cfg.get('metainfo')).get('classes')
        if isinstance(classes, str):
            self.add(where, None, Fault(
                'classes-as-text', f'the classes are the text {classes!r}, not a list of names',
                f'a tuple of one needs a comma: metainfo=dict(classes=({classes!r},))'))
        elif again := [name for name, times in Counter(classes or ()).items() if times > 1]:
            self.add(where, None, Fault(
                'class-twice', f'the classes {show_names(again)} are given twice',
                'name each once in metainfo=dict(classes=(...))'))
        elif classes is not None:
            return _DataSet(where, cfg, kind, tuple(classes))
        return None

    def _find_file(self, where: str, cfg: ConfigDict) -> Path | None:
        """Return the path of the annotation file, or None where it is remote or not there."""
        if data_config.is_remote(cfg):
            return None
        data_root, ann_file = cfg.get('data_root') or '', cfg.get('ann_file') or ''
        path, images = Path(data_root) / ann_file, data_config.image_folder(cfg)
        if 'img' not in (cfg.get('data_prefix') or {}):
            self.add(where, None, Fault('no-prefix', 'data_prefix has no img, the folder of the images',
                                        "set it, to data_prefix=dict(img='') where that is data_root"))
            return None
        for is_there, what, asked in (
                (not data_root or Path(data_root).is_dir(),
                 f'data_root is {data_root!r} ({Path(data_root).resolve()})', 'folder'),
                (path.is_file(), f'ann_file is {ann_file!r}', f'file {path}'),
                (images.is_dir() or data_config.reader_of(cfg) is None,
                 f'data_prefix.img leads to {str(images)!r}', 'folder')):
            if not is_there:
                advice = _COCO_LAYOUT if '2017' in str(ann_file) else _LAYOUT
                self.add(where, None, Fault('missing', f'{what}, but there is no such {asked}', advice))
                return None
        self.folders[path] = images
        return path

    def _read(self, where: str, path: Path) -> Annotations | None:
        path = path.resolve()
        if path not in self.files:
            self.files[path] = None
            stamp = stamp_of(path)
            self.stamps.add(stamp)
            if stamp not in self.checked:
                try:
                    self.files[path] = read_annotations(path)
                except AnnotationError as error:
                    self.add(where, path, error.fault)
        return self.files[path]

    def _check_file(self, where: str, path: Path, use: Use) -> Annotations | None:
        """Check an annotation file for a use; return None where nothing more is to be done with it."""
        file = self._read(where, path)
        if file is None:
            return None
        for fault in check_annotations(file, use):
            self.add(where, path, fault)
        classes = use.classes or ()
        if unknown := [name for name in classes if name not in file.categories]:
            advice = ('set metainfo=dict(classes=(...)) of the data set, and num_classes of the head to '
                      'their number')
            if len(unknown) < len(classes):
                advice += ('; or where this file has no objects of some, add them: '
                           f'{fix_command(path, classes)}')
            self.add(where, path, Fault(
                'unknown-classes', f'the classes {show_names(unknown)} are not among the categories '
                f'{show_names(list(file.categories))}', advice))
        return file

    def _check_images(self, data_set: _DataSet, file: Annotations, use: Use) -> None:
        reader = data_config.reader_of(data_set.cfg)
        names = file.columns['images']['file_name']
        if reader is None or not all(isinstance(name, str) for name in names):
            return
        used = list(range(len(names)))
        if use.trains:
            small, empty = filtered_images(file, use)
            used = (~(small | empty)).nonzero()[0].tolist()
        shown = [names[place] for place in used]
        for fault in check_images(data_set.image_folder, shown, file.sizes[used], reader):
            self.add(data_set.where, data_set.path, fault)

    def _is_whole(self, where: str, loader: ConfigDict, data_sets: Sequence[_DataSet]) -> bool:
        """See that a data set is evaluated image by image, each once, as COCO's evaluator expects."""
        wrong = data_config.why_not_whole(loader)
        for data_set in data_sets:
            if data_set.cfg.get('indices') is not None:
                wrong = ('its indices leave out images' + data_config.COUNTED,
                         'give a file of fewer images')
            elif data_set.file is not None and not data_set.cfg.get('test_mode', False):
                use = Use(classes=data_set.classes, **data_config.filter_of(data_set.cfg))
                if any(mask.any() for mask in filtered_images(data_set.file, use)):
                    wrong = ('its filter_cfg leaves out images' + data_config.COUNTED,
                             'set test_mode=True')
        if wrong is not None:
            self.add(where, None, Fault('not-whole', *wrong))
        return wrong is None

    def _pair(self, where: str, metrics: Sequence[ConfigDict],
              parts: Sequence[Sequence[_DataSet]]) -> None:
        """Check an evaluator that has a metric for each data set of a ConcatDataset."""
        prefixes = list(self.cfg[where].get('dataset_prefixes') or ())
        if not len(metrics) == len(parts) == len(set(prefixes)) == len(prefixes):
            self.add(where, None, Fault(
                'not-a-metric-each', f'there are {len(parts)} data sets, {len(metrics)} metrics and '
                f'{len(set(prefixes))} different dataset_prefixes',
                'give one metric and one prefix for each data set, in their order'))
            return
        for number, (metric, part) in enumerate(zip(metrics, parts, strict=True)):
            if self._is_coco(metric):
                self._check_evaluator(f'{where}.metrics[{number}]', metric, part)

    def _check_evaluator(self, where: str, metric: ConfigDict, data_sets: Sequence[_DataSet]) -> None:
        """Check that a metric's annotation file is that of what is evaluated."""
        if any(data_set.file is None for data_set in data_sets):
            return
        keys = [data_set.file.image_keys for data_set in data_sets if data_set.file is not None]
        ids = Counter(key for file_keys in keys for key in {image_id for image_id, _ in file_keys})
        shared = [image_id for image_id, times in ids.items() if times > 1]
        own = [str(data_set.path) for data_set in data_sets]
        is_voc = any(data_set.is_voc for data_set in data_sets)
        if shared:
            self.add(where, None, Fault(
                'image-ids-collide', f'the data sets {own} have images of the same ids '
                f'({list_some(shared)}), whose detections an evaluator of both would mix up', _EACH))
        ann_file = metric.get('ann_file')
        if not ann_file and not all(data_config.packs_boxes(data_set.cfg) for data_set in data_sets):
            of_coco = '' if is_voc else f'set ann_file to that of the data set, {own[0]}, or '
            self.add(where, None, Fault(
                'no-ground-truth', 'it has no ann_file, and the test pipeline hands no boxes on',
                f"{of_coco}add 'instances' to the meta_keys of PackDetInputs"))
        if not ann_file or '://' in ann_file:
            return
        if is_voc:
            self.add(where, None, Fault(
                'file-beside-voc', f'ann_file is {ann_file!r}, but the data set is in the format of '
                'Pascal VOC, whose images have names for ids',
                "set ann_file=None, and add 'instances' to the meta_keys of PackDetInputs"))
            return
        path = Path(ann_file)
        if not path.is_file():
            self.add(where, None, Fault(
                'missing', f'ann_file is {ann_file!r}, but there is no such file',
                f'set it to that of the data set, {own[0]}'))
            return
        classes = data_sets[0].classes
        file = self._check_file(where, path, Use(
            trains=False, classes=classes, needs_masks='segm' in metric.get('metric', ())))
        if file is None:
            return
        self.evaluated.append(_DataSet(where, metric, CocoMetric, classes, path, file))
        if not shared and file.image_keys != set().union(*keys):
            self.add(where, None, Fault(
                'other-images', f'ann_file is {ann_file!r}, whose images are not those of the data '
                f'set{"s" * (len(own) > 1)} {", ".join(own)}',
                f'set it to {own[0]}' if len(own) == 1 else f'{_EACH}; or merge the files into one'))
        chosen = [key for name, key in file.categories.items() if name in classes]
        if metric.get('classwise') and not _rise(chosen):
            self.add(where, path, Fault(
                'classwise', 'classwise=True gives the AP of one class to another, since the ids of the '
                f'categories do not rise ({list_some(chosen)})', 'leave it out, or number the '
                'categories in the order in which they are listed'))

    def compare_classes(self) -> None:
        """See that all data sets and evaluators have the same classes in the same order."""
        if self.classes is None:
            return
        first = self.data_sets[0]
        training = self.cfg.get('train_dataloader')  # also where only the test set is used
        if isinstance(training, Mapping) and data_config.odd_part_of(training.get('dataset')) is None:
            trained = (self._classes_of('train_dataloader.dataset', dataset)
                       for dataset in data_config.leaves(training['dataset']))
            first = next(filter(None, trained), first)
        for data_set in self.data_sets:
            if data_set.classes != first.classes:
                self.add(data_set.where, data_set.path, Fault(
                    'other-classes', f'the classes are {show_names(data_set.classes)}, but those of '
                    f'{first.where} are {show_names(first.classes)}',
                    'give all data sets the same metainfo=dict(classes=(...)), in the same order'))
        ordered = [(data_set, tuple(filter(data_set.classes.__contains__, data_set.file.categories)))
                   for data_set in (*self.data_sets, *self.evaluated) if data_set.file is not None]
        # A model has learned the order of its training file.
        agree = self.data_sets[0].where.startswith('train') and len(
            {order for _, order in ordered if set(order) == set(self.classes)}) == 1
        for data_set, order in ordered:
            classes, path = data_set.classes, data_set.path
            if order == classes or set(order) != set(classes):
                continue
            assert path is not None
            # MMDetection numbers labels in the order of the file, whatever that of the classes.
            advice = (f'set metainfo=dict(classes={order}) of all data sets' if agree else
                      f'give it a copy with the categories in the order of the classes: '
                      f'{fix_command(path, classes)}')
            self.add(data_set.where, path, Fault(
                'class-order', f'the classes are {show_names(classes)}, but the file has its categories '
                f'in another order, {show_names(order)}, in which labels are numbered', advice))

    def compare_images(self) -> None:
        """Warn of images that are trained on and evaluated."""
        trained: set[Path] = set()
        for data_set in self.data_sets:
            if data_set.file is None:
                continue
            folder = Path(os.path.abspath(data_set.image_folder))
            paths = {folder / str(name) for name in data_set.file.columns['images']['file_name']}
            if data_set.where.startswith('train'):
                trained |= paths
            elif both := sorted(map(str, paths & trained)):
                self.add(data_set.where, data_set.path, Fault(
                    'trained-and-evaluated', f'{len(both)} of {len(paths)} images are trained on too '
                    f'({list_some(both, str)})', 'evaluate on others, or the AP will be too good',
                    is_error=False))


# MMDetection registers it without its scope.
_EACH = ("evaluate each by a metric of its own: val_evaluator=dict(type='MultiDatasetsEvaluator', "
         'metrics=[...], dataset_prefixes=[...]) with one metric for each')


def _rise(values: Sequence[Any]) -> bool:
    try:
        return list(values) == sorted(values)
    except TypeError:  # of kinds that do not compare, which is a fault of its own
        return True
