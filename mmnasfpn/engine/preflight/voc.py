"""What a config says of a data set in Pascal VOC's format, and the checks of it."""
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import XMLDataset
from mmengine.config import ConfigDict

from mmnasfpn.datasets import Annotations, Fault, Use
from mmnasfpn.datasets.voc import check_voc, read_voc
from mmnasfpn.engine.preflight import data_config


def is_read_as_voc(kind: Any) -> bool:
    """Say whether a class of data sets reads XML files as MMDetection's ``XMLDataset`` does."""
    return (issubclass(kind, XMLDataset) and kind.load_data_list is XMLDataset.load_data_list
            and kind.parse_data_info is XMLDataset.parse_data_info)


def list_file(cfg: ConfigDict) -> Path:
    """Return the path of the list of images."""
    return Path(cfg.get('data_root') or '') / (cfg.get('ann_file') or '')


def image_folder(cfg: ConfigDict) -> Path:
    """Return the folder of the images."""
    return _folder(cfg, 'img_subdir', 'JPEGImages')


def faults_of_config(cfg: ConfigDict) -> Iterator[Fault]:
    """Yield what keeps the data set from being found or built."""
    if 'sub_data_root' not in (cfg.get('data_prefix') or {}):
        yield Fault('no-prefix', 'data_prefix has no sub_data_root, the VOC folder below data_root',
                    "set it, to data_prefix=dict(sub_data_root='') where that is data_root")
        return
    data_root = Path(cfg.get('data_root') or '')
    for what, path, is_there in (
            ('data_root', data_root, data_root.is_dir()),
            ('ann_file, the list of images,', list_file(cfg), list_file(cfg).is_file()),
            ('ann_subdir, the folder of the XML files,', _xml_folder(cfg), _xml_folder(cfg).is_dir()),
            ('img_subdir, the folder of the images,', image_folder(cfg),
             image_folder(cfg).is_dir() or data_config.reader_of(cfg) is None)):
        if not is_there:
            yield Fault('missing', f'{what} leads to {str(path)!r}, but there is none',
                        'set data_root, data_prefix.sub_data_root and ann_file (below data_root), '
                        'ann_subdir and img_subdir (below sub_data_root)')
            return
    if cfg.get('test_mode', False) and _min_size(cfg) is not None:
        yield Fault('filter-in-test', f'filter_cfg.bbox_min_size is {_min_size(cfg)!r}, but MMDetection '
                    'takes it in training only', 'leave it out where test_mode=True')


def check(cfg: ConfigDict, classes: Sequence[str], trains: bool,
          needs_boxes: bool) -> tuple[Annotations, Use, list[Fault]]:
    """Read and check the data set; return also what it is used for."""
    use = Use(trains=trains, evaluates=not trains, needs_boxes=needs_boxes, classes=tuple(classes),
              **data_config.filter_of(cfg))
    file = read_voc(list_file(cfg), _xml_folder(cfg), image_folder(cfg), classes)
    return file, use, check_voc(file, use, list(_dropped(cfg)))


def _folder(cfg: ConfigDict, key: str, default: str) -> Path:
    return Path(cfg.get('data_root') or '') / cfg.data_prefix.sub_data_root / cfg.get(key, default)


def _xml_folder(cfg: ConfigDict) -> Path:
    return _folder(cfg, 'ann_subdir', 'Annotations')


def _min_size(cfg: ConfigDict) -> Any:
    return (cfg.get('filter_cfg') or {}).get('bbox_min_size')


def _dropped(cfg: ConfigDict) -> Iterator[str]:
    """Yield by which rules of ``check_voc`` training leaves out boxes."""
    filters = any(data_config.type_name(transform) == 'FilterAnnotations'
                  for transform in cfg.get('pipeline') or ())
    if filters:
        yield 'box-outside'
    if filters or (_min_size(cfg) or 0) >= 1:
        yield 'box-without-size'
