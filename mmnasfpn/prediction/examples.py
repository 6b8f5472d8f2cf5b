"""Images such as a detector will see, as its network takes them: to quantise an exported model with."""
import itertools
import logging
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DATASETS, init_default_scope
from rich.progress import track
from torch import Tensor

from mmnasfpn.datasets.annotations import list_some, read_json
from mmnasfpn.engine.preflight import check_data
from mmnasfpn.engine.preflight.data_config import leaves
from mmnasfpn.errors import UsageError
from mmnasfpn.prediction.inputs import Source, find_sources
from mmnasfpn.prediction.reading import InputPipeline, UnreadableError

#: With fewer images, the lowest and highest values of a map are left to chance.
FEWEST = 32


def example_images(cfg: Config, given: str | os.PathLike[str] | None = None, number: int = 128,
                   seed: int = 0) -> list[Tensor]:
    """Read images through the test pipeline of a config.

    Args:
        cfg (Config): The config.
        given (str | PathLike | None): A folder or glob of images, or an annotation file in COCO format,
            whose images are where the config says, or beside the file. Defaults to None: the training
            images of the config.
        number (int): How many at most, drawn at random. Defaults to 128.
        seed (int): Of the draw. Defaults to 0.

    Returns:
        list[Tensor]: The images, (3, H, W) each, pixels of 0..255. Fewer than 32 are warned of.

    Raises:
        FileNotFoundError: If there are no images, or no annotation file.
        ConfigError: If the config has no test pipeline.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    paths = list(dict.fromkeys(_training_images(cfg) if given is None else _given_images(cfg, given)))
    chosen = sorted(random.Random(seed).sample(range(len(paths)), min(number, len(paths))))
    pipeline = InputPipeline(cfg)
    images: list[Tensor] = []
    for index in track(chosen, f'Reading {len(chosen)} images'):
        source = Source(paths[index], paths[index], 'image')
        try:
            images.append(pipeline.read(source, index).sample['inputs'])
        except UnreadableError as error:
            print_log(f'{source.path} is skipped: {error}', 'current', logging.WARNING)
    if not images:
        raise FileNotFoundError(f'none of {list_some(paths, str)} can be read: give images by '
                                '--calibration')
    if len(images) < FEWEST:
        print_log(f'there are {len(images)} images to calibrate with, but with fewer than {FEWEST} the '
                  'model may detect worse: give more by --calibration', 'current', logging.WARNING)
    return images


def _training_images(cfg: Config) -> Iterator[str]:
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    if dataset is None:
        raise UsageError('the config has no train_dataloader with images to calibrate with: give them '
                         'by --calibration')
    check_data(cfg, ('train_dataloader',))
    for leaf in leaves(dataset):
        built: Any = DATASETS.build({**leaf, 'pipeline': [], 'lazy_init': True})
        built.full_init()
        for index in range(len(built)):
            yield built.get_data_info(index)['img_path']


def _given_images(cfg: Config, given: str | os.PathLike[str]) -> Sequence[str]:
    is_annotations = os.fspath(given).endswith('.json')
    names = ([str(image['file_name']) for image in read_json(given)[0]['images']] if is_annotations
             else [source.path for source in find_sources([given]) if source.kind == 'image'])
    if not names:
        raise FileNotFoundError(f'--calibration {os.fspath(given)} has no image')
    if not is_annotations:
        return names
    folders = list(dict.fromkeys(_folders(cfg, Path(given))))
    for folder in folders:
        if all((folder / name).is_file() for name in names):
            return [str(folder / name) for name in names]
    raise FileNotFoundError(f'--calibration {os.fspath(given)} has {list_some(names, str)}, but they '
                            f'are not in {", ".join(map(str, folders))}: give the folder of the images')


def _folders(cfg: Config, ann_file: Path) -> Iterator[Path]:
    """Yield where the images of an annotation file may be, the likeliest first."""
    loaders = (cfg.get(f'{part}_dataloader') or {} for part in ('train', 'val', 'test'))
    folders = {}
    for leaf in itertools.chain.from_iterable(
            leaves(loader['dataset']) for loader in loaders if 'dataset' in loader):
        root = Path(leaf.get('data_root') or '')
        images = (leaf.get('data_prefix') or {}).get('img', '')
        folders[root / (leaf.get('ann_file') or '')] = root / images
    for other, folder in folders.items():
        if other.resolve() == ann_file.resolve():
            yield folder
    yield from (ann_file.parent, ann_file.parent.parent, ann_file.parent.parent / 'images')
    yield from folders.values()
