"""Where our configs are, and writing files that a kill cannot leave half-made."""
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The folder of our configs, also of an installed package.
OUR_CONFIGS = Path(__file__).parent / '.mim' / 'configs' / 'nasfpn'


@contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Give another path to write to, which replaces the file when all is written.

    Missing folders are made. Where writing fails, nothing stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.unfinished')
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    with at_once(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')


def write_json(path: Path, data: Any, indent: int = 1) -> None:
    """Write data as JSON, at once or not at all."""
    write_text(path, json.dumps(data, indent=indent) + '\n')
