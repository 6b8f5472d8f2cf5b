"""Where our configs are, and writing files that a kill cannot leave half-made."""
import os
from pathlib import Path

#: The folder of our configs, also of an installed package.
OUR_CONFIGS = Path(__file__).parent / '.mim' / 'configs' / 'nasfpn'


def write_text(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    unfinished = path.with_name(f'{path.name}.unfinished')
    unfinished.write_text(text, encoding='utf-8')
    os.replace(unfinished, path)
