"""Tables in Markdown, and the parts of Markdown files that are written anew."""
from collections.abc import Sequence
from pathlib import Path

from mmnasfpn._files import write_text
from mmnasfpn.errors import UsageError


def to_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, all columns but the first aligned to the right."""
    rows = [head, ['---', *['---:'] * (len(head) - 1)], *lines]
    return ''.join(f"| {' | '.join(row)} |\n" for row in rows)


def write_markdown(path: Path, markdown: str, part: str) -> None:
    """Write Markdown to a file: between the marks of a part if the file exists, else alone.

    Raises:
        UsageError: If the file exists without these marks.
    """
    before, after = check_markdown(path, part)
    write_text(path, f'{before}{markdown}{after}')


def check_markdown(path: Path, part: str) -> tuple[str, str]:
    """Return what stands before and after a part of a file: nothing if the file does not exist.

    Its marks are the lines ``<!-- begin of the <part> -->`` and ``<!-- end of the <part> -->``.

    Raises:
        UsageError: If the file exists without these marks.
    """
    if not path.exists():
        return '', ''
    begin, end = f'<!-- begin of the {part} -->', f'<!-- end of the {part} -->'
    before, _, rest = path.read_text(encoding='utf-8').partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise UsageError(f'{path} exists, but lacks the lines {begin} and {end}, between which the '
                         'table goes: add them, or give a new file')
    return f'{before}{begin}\n\n', f'\n{end}{after}'
