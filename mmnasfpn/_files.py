"""Where our configs are, and writing files that a kill cannot leave half-made."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The folder of our configs, also of an installed package.
OUR_CONFIGS = Path(__file__).parent / '.mim' / 'configs' / 'nasfpn'


@contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Give another path to write to, which replaces the file when all is written."""
    unfinished = path.with_name(f'{path.name}.unfinished')
    yield unfinished
    os.replace(unfinished, path)


def write_text(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    with at_once(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')
