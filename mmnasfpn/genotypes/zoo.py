"""The named genotypes."""
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmnasfpn.genotypes.genotype import Genotype, GenotypeError, MergingCell

#: The 7-cell architecture that the paper discovered and used (Figures 6 and 7f).
#: Nodes 0..4 are the input levels 3..7; the comment names the node that the cell makes.
NASFPN = Genotype((
    MergingCell(4, 'gp', (1, 3)),  # 5
    MergingCell(4, 'sum', (1, 5)),  # 6
    MergingCell(3, 'sum', (0, 6), is_output=True),  # 7
    MergingCell(4, 'sum', (6, 7), is_output=True),  # 8
    MergingCell(5, 'gp', (7, 8), is_output=True),  # 9
    MergingCell(7, 'gp', (6, 9), is_output=True),  # 10
    MergingCell(6, 'gp', (9, 10), is_output=True),  # 11
))

#: Genotypes that :func:`get_genotype` knows by name.
GENOTYPES: dict[str, Genotype] = dict(nasfpn=NASFPN)


def get_genotype(genotype: Genotype | Mapping[str, Any] | str | os.PathLike[str]) -> Genotype:
    """Return the genotype meant by a name, plain data, a JSON file or a genotype.

    Args:
        genotype: A :class:`Genotype`, returned as it is; a name in :data:`GENOTYPES`; a
            mapping as :meth:`Genotype.from_dict` takes; or the path of a ``.json`` file.

    Raises:
        GenotypeError: If the name is unknown, the file cannot be read, or what it holds is
            not a genotype.

    Example:
        >>> get_genotype('nasfpn').num_levels
        5
    """
    if isinstance(genotype, Genotype):
        return genotype
    if isinstance(genotype, Mapping):
        return Genotype.from_dict(genotype)
    if isinstance(genotype, str) and genotype in GENOTYPES:
        return GENOTYPES[genotype]
    if isinstance(genotype, str | os.PathLike) and os.fspath(genotype).endswith('.json'):
        return _read(Path(genotype))
    raise GenotypeError(
        f'genotype is {genotype!r}, but must be a Genotype, a dict, the path of a .json file, or '
        f"one of the names {', '.join(sorted(GENOTYPES))}")


def _read(path: Path) -> Genotype:
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, ValueError) as error:
        raise GenotypeError(f'genotype file {path} cannot be read: {error}') from None
    try:
        return Genotype.from_json(text)
    except GenotypeError as error:
        raise GenotypeError(f'genotype file {path}: {error}') from None
