"""Read a config, and settings for it on a command line; without importing PyTorch."""
import argparse
import importlib.util
import itertools
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.config.utils import ConfigParsingError

from mmnasfpn._files import OUR_CONFIGS
from mmnasfpn.errors import ConfigError, UsageError


def find_config(path: str | os.PathLike[str]) -> str:
    """Return the path of a config, which may be the file's name of one of ours, or ``mmdet::<path>``."""
    package, _, name = os.fspath(path).partition('::')
    if name and (spec := importlib.util.find_spec(package)) and spec.origin:
        return str(Path(spec.origin).parent / '.mim' / 'configs' / name)
    ours = OUR_CONFIGS / path
    return str(ours) if not os.path.exists(path) and ours.is_file() else os.fspath(path)


def load_config(path: str | os.PathLike[str], work_dir: str | os.PathLike[str] | None = None,
                cfg_options: Mapping[str, Any] | None = None, launcher: str = 'none') -> Config:
    """Read a config and put the options of a command line into it.

    Args:
        path (str | PathLike): Path of the config, or the file's name of one of ours.
        work_dir (str | PathLike | None): Where to write. Defaults to the config's own ``work_dir``, and
            without one to ``work_dirs/<name of the config>``.
        cfg_options (Mapping | None): Overrides, ``{'a.b.c': value}``. Defaults to None.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Returns:
        Config: The config.

    Raises:
        ConfigError: If it cannot be read.
        UsageError: If the overrides do not fit it.
    """
    path = find_config(path)
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program
        raise ConfigError(_why_unreadable(path, error)) from error
    cfg.launcher = launcher
    try:
        cfg.merge_from_dict(dict(cfg_options or {}))
    except Exception as error:  # MMEngine walks into whatever is there
        raise UsageError(f'--cfg-options do not fit the config {path}: {error}') from error
    if work_dir is not None:
        cfg.work_dir = os.fspath(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    return cfg


def _why_unreadable(path: str, error: BaseException) -> str:
    """Return why a config cannot be read: which file of those that it is made of, and where in it."""
    file, line = path, getattr(error, 'lineno', None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name in ('_is_lazy_import', '_file2dict', '_parse_lazy_import'):
            file = frame.f_locals['filename']  # MMEngine's, which go from a config to its bases
        elif frame.f_code.co_filename == file:
            line = number
    if isinstance(error, ImportError) and error.__cause__:  # of custom_imports
        error = error.__cause__
    what = error.args[0] if isinstance(error, SyntaxError | KeyError) and error.args else str(error)
    if not isinstance(error, SyntaxError | OSError | AssertionError | ConfigParsingError):
        what = f'{type(error).__name__}: {what}'
    is_base = Path(file).absolute() != Path(path).absolute()
    return (f'the config {path} cannot be read: ' + (f'its base {file}: ' if is_base else '')
            + (f'line {line}: ' if line else '') + what)


class CfgOptions(DictAction):
    """``--cfg-options`` as MMEngine reads them, but that spaces within a value stay, as paths have them.

    What is no ``key=value`` is refused with a message.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add the options to those given before."""
        options = dict(getattr(namespace, self.dest) or {})
        for text in values:
            key, sign, value = text.partition('=')
            if not sign or not all(key.split('.')):
                raise argparse.ArgumentError(self, f'{text!r} must be key=value, as in a.b=value')
            options[key] = _parse_value(value)
        setattr(namespace, self.dest, options)


def _parse_value(text: str) -> Any:
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    parts = _split(text)
    if len(parts) > 1:
        return [_parse_value(part) for part in parts if part.strip()]
    inner = text[1:-1]
    depths = [0, *_depths(inner)]
    if text[:1] + text[-1:] in ('[]', '()') and min(depths) == depths[-1] == 0:  # it closes at the end
        values = [_parse_value(part) for part in _split(inner) if part.strip()]
        return tuple(values) if text[0] == '(' else values
    return DictAction._parse_int_float_bool(text)


def _split(text: str) -> list[str]:
    """Split at the commas that are in no brackets."""
    commas = [place for place, depth in enumerate(_depths(text)) if text[place] == ',' and depth == 0]
    return [text[before + 1:after] for before, after in itertools.pairwise([-1, *commas, len(text)])]


def _depths(text: str) -> list[int]:
    """Return in how many brackets each character is, itself included where it opens one."""
    return list(itertools.accumulate((x in '([') - (x in ')]') for x in text))
