"""What checks of data found, and how it is reported."""
import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log

from mmnasfpn.datasets.annotations import Fault, FileStamp

_FIX = 'tools/check_data.py (mim run mmnasfpn check_data)'


@dataclass(frozen=True)
class DataReport:
    """What a check of a config's data found that is no error.

    Args:
        warnings (tuple[str, ...]): What costs a few boxes or images, a line each.
        classes (tuple[str, ...] | None): The classes of all data sets, in the order of their labels;
            None where no data set says.
        checked (frozenset[FileStamp]): The annotation files that were checked.
    """

    warnings: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    checked: frozenset[FileStamp] = frozenset()

    def warn(self) -> None:
        """Log the warnings."""
        for warning in self.warnings:
            print_log(warning, 'current', logging.WARNING)


class Finding(NamedTuple):
    """A fault and where it is: in the config, and where it is one's, in which annotation file."""

    where: str
    path: Path | None
    fault: Fault
    folder: Path | None = None  # of the file's images

    def __str__(self) -> str:
        return ': '.join([self.where, *([str(self.path)] if self.path else []), str(self.fault)])


def raise_errors(errors: Sequence[Finding]) -> None:
    """Raise one error for all that is wrong, if anything is; its last line has all of it in short.

    Raises:
        FileNotFoundError: If something is missing.
        ValueError: If it is something else.
    """
    if not errors:
        return
    kind = FileNotFoundError if any(found.fault.rule == 'missing' for found in errors) else ValueError
    fixable: dict[Path, Path | None] = {}
    for found in errors:
        if found.path and found.fault.can_be_fixed:
            of_images = found.fault.rule == 'no-image-size' or (
                "'height'" in found.fault.text or "'width'" in found.fault.text)
            fixable[found.path] = fixable.get(found.path) or (found.folder if of_images else None)
    commands = [fix_command(path, folder=folder) for path, folder in fixable.items()]
    repair = f'. To repair a copy: {"; ".join(commands)}' if commands else ''
    if len(errors) == 1:
        raise kind(f'{errors[0]}{repair}')
    texts: dict[str, list[str]] = {}
    for found in errors:
        texts.setdefault(str(found.path or found.where), []).append(found.fault.text)
    short = '; '.join(f'{place}: {", ".join(own)}' for place, own in texts.items())
    lines = [f'{len(errors)} things are wrong with the data:', *map(str, errors)]
    raise kind('\n- '.join(lines) + f'\nIn short: {short}{repair}')


def fix_command(path: Path, classes: Sequence[str] = (), folder: Path | None = None) -> str:
    """Return the command that writes a repaired copy of an annotation file."""
    chosen = ['--classes', *classes] if classes else []
    images = ['--images', str(folder)] if folder else []
    fixed = path.with_name(f'{path.stem}-fixed.json')
    return f'{_FIX} {shlex.join([str(path), *images, *chosen, "--fix", str(fixed)])}'
