"""Tables in Markdown, and the parts of Markdown files that are written anew."""
from collections.abc import Sequence
from pathlib import Path

from mmnasfpn._files import write_text


def to_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, all columns but the first aligned to the right."""
    rows = [head, ['---', *['---:'] * (len(head) - 1)], *lines]
    return ''.join(f"| {' | '.join(row)} |\n" for row in rows)


def write_markdown(path: Path, markdown: str, part: str) -> None:
    """Write Markdown to a file: between the marks of one that exists, else alone.

    Args:
        path (Path): The file. One that exists must pass :func:`check_markdown`.
        markdown (str): What to write.
        part (str): What stands between its marks, e.g. ``seeds``.

    Raises:
        ValueError: If the file exists and has no such marks.
    """
    if not path.exists():
        write_text(path, markdown)
        return
    check_markdown(path, part)
    text = path.read_text(encoding='utf-8')
    begin, end = _marks(part)
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    write_text(path, f'{before}{begin}\n\n{markdown}\n{end}{after}')


def check_markdown(path: Path, part: str) -> None:
    """Raise a ValueError if a Markdown file exists without the marks between which a part goes.

    They are the lines ``<!-- begin of the <part> -->`` and ``<!-- end of the <part> -->``.
    """
    if not path.exists():
        return
    begin, end = _marks(part)
    if end not in path.read_text(encoding='utf-8').partition(begin)[2]:
        raise ValueError(f'{path} exists, but lacks the lines {begin} and {end}, between which the '
                         'table goes: add them, or give a new file')


def _marks(part: str) -> tuple[str, str]:
    return f'<!-- begin of the {part} -->', f'<!-- end of the {part} -->'
