"""Where our configs are, and writing files that a kill cannot leave half-made."""
import errno
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

#: The folder of our configs, also of an installed package.
OUR_CONFIGS = Path(__file__).parent / '.mim' / 'configs' / 'nasfpn'

#: How file systems say that a folder cannot be synced, or not even opened. Files on them can.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM,
                errno.EACCES, errno.EBADF, errno.EISDIR}
_has_warned = False


@contextmanager
def atomic_path(path: Path, fsync: bool = False) -> Iterator[Path]:
    """Give another path to write to, which replaces the file when all is written.

    Missing folders are made. Where writing fails, nothing stays.

    Args:
        path (Path): The file.
        fsync (bool): Sync the file and its folder to the disk, so that a power cut cannot undo it.
            Warns, once in a process, of a file system that cannot sync. Defaults to False.

    Raises:
        OSError: If it cannot be written; names ``path``.
    """
    unfinished = path.with_name(f'{path.name}.unfinished')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        if fsync:
            _sync(unfinished)
        os.replace(unfinished, path)
        if fsync:
            _sync(path.parent)  # the rename itself
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def atomic_write(path: Path, data: bytes, fsync: bool = False) -> None:
    """Write a file whole or not at all, as :func:`atomic_path` has it."""
    with atomic_path(path, fsync) as unfinished, open(unfinished, 'wb') as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    atomic_write(path, text.encode())


def write_json(path: Path, data: Any, indent: int = 1) -> None:
    """Write data as JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=indent) + '\n')


def _sync(path: Path) -> None:
    """Sync a file or folder, where the file system can."""
    global _has_warned
    try:
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
        if not _has_warned:
            _has_warned = True
            print_log(f'{path} is on a file system that cannot sync ({error.strerror}). Files are '
                      'written there all the same, but after a power cut the newest one may be missing: '
                      'to be safe, set work_dir to a local disk', 'current', logging.WARNING)
