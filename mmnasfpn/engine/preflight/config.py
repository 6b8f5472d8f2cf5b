"""Find what a config lacks before anything is built from it."""
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import TRANSFORMS

from mmnasfpn.errors import ConfigError
from mmnasfpn.registry import class_of

#: MMEngine asks for all or none of each.
_TOGETHER = dict(train=('train_dataloader', 'train_cfg', 'optim_wrapper'),
                 val=('val_dataloader', 'val_cfg', 'val_evaluator'),
                 test=('test_dataloader', 'test_cfg', 'test_evaluator'))
_PACKAGES = ('mmcv', 'mmdet', 'mmnasfpn')


def check_config(cfg: Config, mode: str, *others: str) -> None:
    """Check that a config has the parts of a run, where MMEngine would fail late or not say what it is.

    Args:
        cfg (Config): The config.
        mode (str): What it is for: ``'train'``, ``'val'`` or ``'test'``.
        *others (str): What it is for too, if it has the parts of that.

    Raises:
        ConfigError: If something is missing or wrong.
    """
    if cfg.get('model') is None:
        raise ConfigError('model is missing in the config: give the detector, e.g. by a _base_ config '
                          'of mmnasfpn::nasfpn/')
    for key in ('env_cfg', 'randomness'):
        if key in cfg and not isinstance(cfg[key], Mapping):
            raise ConfigError(f'{key} is {cfg[key]!r}, but must be a dict: correct it or take it out')
    if not isinstance(cfg.get('custom_hooks') or [], list | tuple):
        raise ConfigError(f'custom_hooks is {cfg.custom_hooks!r}, but must be a list of dicts')
    for name in _TOGETHER:
        _check_together(cfg, name, is_needed=name == mode)
    for name in (mode, *others):
        if cfg.get(f'{name}_dataloader') is not None:
            _check_dataloader(cfg, f'{name}_dataloader')
    if mode == 'train':
        _check_pretrained(cfg.model, 'model')
    if mode == 'train' and isinstance(cfg.train_cfg, Mapping):
        for key in ('max_epochs', 'max_iters'):
            length = cfg.train_cfg.get(key)
            if isinstance(length, int) and length < 1:
                raise ConfigError(f'train_cfg.{key} is {length!r}, but must be at least 1')
        interval = cfg.train_cfg.get('val_interval', 1)
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ConfigError(f'train_cfg.val_interval is {interval!r}, but must be a whole number of '
                              'at least 1; one above the length of the training evaluates at its end')


def _check_together(cfg: Config, mode: str, is_needed: bool) -> None:
    missing = [key for key in _TOGETHER[mode] if cfg.get(key) is None]
    there = [key for key in _TOGETHER[mode] if key not in missing]
    if missing and (there or is_needed):
        why = f'it has {" and ".join(there)}' if there else f'it is to {mode}'
        advice = 'set all three' if is_needed else 'set all three, or none of them'
        raise ConfigError(f'{" and ".join(missing)} {"is" if len(missing) == 1 else "are"} missing in '
                          f'the config, or None, but {why}: {advice}')


def _check_pretrained(part: Any, place: str) -> None:
    """Look for the files of pretrained weights that a model is to start from."""
    if isinstance(part, list | tuple):
        for index, item in enumerate(part):
            _check_pretrained(item, f'{place}.{index}')
    if not isinstance(part, Mapping):
        return
    path = part.get('checkpoint') if str(part.get('type')).endswith('Pretrained') else None
    if isinstance(path, str) and '://' not in path and not Path(path).is_file():
        raise ConfigError(f'{place}.checkpoint is {path!r}, but there is no such file: put it there, or '
                          f'give another path or URL, --cfg-options {place}.checkpoint=PATH, or start '
                          f'from scratch, {place}=None')
    for key, value in part.items():
        _check_pretrained(value, f'{place}.{key}')


def _check_dataloader(cfg: Config, key: str) -> None:
    dataloader = cfg[key]
    dataset = dataloader.get('dataset') if isinstance(dataloader, Mapping) else None
    if not isinstance(dataset, Mapping):
        raise ConfigError(f'{key} has no data set, but must be a dict with one: {key}.dataset')
    for pipeline in _pipelines(dataset):
        if pipeline and not any(_may_pack(transform, cfg) for transform in pipeline):
            raise ConfigError(f'{key}.dataset: the pipeline does not pack what it made for the '
                              "detector: end it with dict(type='mmdet.PackDetInputs')")


def _pipelines(dataset: Mapping[str, Any], later: tuple[Any, ...] = ()) -> Iterator[list[Any]]:
    """Yield all that each data set's images go through: its own pipeline, then those of its wrappers."""
    own = dataset.get('pipeline')
    whole = (*(own if isinstance(own, list | tuple) else ()), *later)
    parts = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    for part in parts:
        if isinstance(part, Mapping):
            yield from _pipelines(part, whole)
    if not parts:
        yield list(whole)


def _may_pack(transform: Any, cfg: Config) -> bool:
    """Tell whether a transform, or one inside it, packs, or is of another package and may do so."""
    if isinstance(transform, list | tuple):
        return any(_may_pack(part, cfg) for part in transform)
    if not isinstance(transform, Mapping):
        return callable(transform)
    if 'type' in transform:
        kind = class_of(TRANSFORMS, transform, cfg)
        if 'Pack' in kind.__name__ or kind.__module__.partition('.')[0] not in _PACKAGES:
            return True
    return any(_may_pack(part, cfg) for part in transform.values()
               if isinstance(part, list | tuple | Mapping))
