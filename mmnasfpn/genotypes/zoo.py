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

#: The vanilla FPN (Figure 7a): top-down, each level joined by the input of the next finer one.
FPN = Genotype((
    MergingCell(7, 'sum', (4,), is_output=True),  # 5
    MergingCell(6, 'sum', (3, 5), is_output=True),  # 6
    MergingCell(5, 'sum', (2, 6), is_output=True),  # 7
    MergingCell(4, 'sum', (1, 7), is_output=True),  # 8
    MergingCell(3, 'sum', (0, 8), is_output=True),  # 9
))

#: The path aggregation network (Liu et al., CVPR 2018): the vanilla FPN, then bottom-up.
PAFPN = Genotype((
    MergingCell(7, 'sum', (4,)),  # 5
    MergingCell(6, 'sum', (3, 5)),  # 6
    MergingCell(5, 'sum', (2, 6)),  # 7
    MergingCell(4, 'sum', (1, 7)),  # 8
    MergingCell(3, 'sum', (0, 8), is_output=True),  # 9
    MergingCell(4, 'sum', (8, 9), is_output=True),  # 10
    MergingCell(5, 'sum', (7, 10), is_output=True),  # 11
    MergingCell(6, 'sum', (6, 11), is_output=True),  # 12
    MergingCell(7, 'sum', (5, 12), is_output=True),  # 13
))

#: For detectors of three levels, P3 to P5. Derived from the published cells, not searched: P5 takes
#: the place of P6 as input of the first cell, and the cells that make P6 and P7 are left out.
NASFPN_3_LEVELS = Genotype((
    MergingCell(4, 'gp', (1, 2)),  # 3
    MergingCell(4, 'sum', (1, 3)),  # 4
    MergingCell(3, 'sum', (0, 4), is_output=True),  # 5
    MergingCell(4, 'sum', (4, 5), is_output=True),  # 6
    MergingCell(5, 'gp', (5, 6), is_output=True),  # 7
), min_level=3, max_level=5)

#: For detectors of four levels, P3 to P6. Derived from the published cells, not searched: P6 is made as
#: they make the coarsest level, P7, and the cell that makes their P6 is left out.
NASFPN_4_LEVELS = Genotype((
    MergingCell(4, 'gp', (1, 3)),  # 4
    MergingCell(4, 'sum', (1, 4)),  # 5
    MergingCell(3, 'sum', (0, 5), is_output=True),  # 6
    MergingCell(4, 'sum', (5, 6), is_output=True),  # 7
    MergingCell(5, 'gp', (6, 7), is_output=True),  # 8
    MergingCell(6, 'gp', (5, 8), is_output=True),  # 9
), min_level=3, max_level=6)

#: For detectors of six levels, P2 to P7. Derived from the published cells, not searched: they make P3 to
#: P7, and P2 comes last, from P3 as in the vanilla FPN; no other level takes P2.
NASFPN_6_LEVELS = Genotype((
    MergingCell(4, 'gp', (2, 4)),  # 6
    MergingCell(4, 'sum', (2, 6)),  # 7
    MergingCell(3, 'sum', (1, 7), is_output=True),  # 8
    MergingCell(4, 'sum', (7, 8), is_output=True),  # 9
    MergingCell(5, 'gp', (8, 9), is_output=True),  # 10
    MergingCell(7, 'gp', (7, 10), is_output=True),  # 11
    MergingCell(6, 'gp', (10, 11), is_output=True),  # 12
    MergingCell(2, 'sum', (0, 8), is_output=True),  # 13
), min_level=2, max_level=7)

#: Ours, not the paper's: the 15 cells that the paper found for NAS-FPNLite (section 4.3) are not
#: published. These are of a search of ours in its space, on generated shapes.
NASFPN_LITE = Genotype((
    MergingCell(4, 'gp', (0, 1)),  # 4
    MergingCell(5, 'gp', (0, 4)),  # 5
    MergingCell(4, 'sum', (3, 1)),  # 6
    MergingCell(4, 'sum', (2, 4)),  # 7
    MergingCell(4, 'gp', (0, 7)),  # 8
    MergingCell(4, 'sum', (6, 0)),  # 9
    MergingCell(5, 'sum', (3, 8)),  # 10
    MergingCell(4, 'gp', (9, 7)),  # 11
    MergingCell(4, 'sum', (3, 7)),  # 12
    MergingCell(5, 'sum', (8, 10)),  # 13
    MergingCell(4, 'gp', (12, 6)),  # 14
    MergingCell(4, 'sum', (8, 0), is_output=True),  # 15
    MergingCell(5, 'gp', (0, 1), is_output=True),  # 16
    MergingCell(6, 'gp', (7, 15), is_output=True),  # 17
    MergingCell(3, 'sum', (6, 0), is_output=True),  # 18
), min_level=3, max_level=6)

#: What nasfpn_lite was before, of a smaller search: for checkpoints that were trained with it.
NASFPN_LITE_0 = Genotype((
    MergingCell(4, 'gp', (0, 3)),  # 4
    MergingCell(6, 'sum', (3, 4)),  # 5
    MergingCell(4, 'gp', (1, 0)),  # 6
    MergingCell(4, 'sum', (5, 0)),  # 7
    MergingCell(4, 'sum', (3, 6)),  # 8
    MergingCell(4, 'sum', (2, 7)),  # 9
    MergingCell(4, 'sum', (3, 2)),  # 10
    MergingCell(5, 'gp', (5, 1)),  # 11
    MergingCell(4, 'gp', (0, 8)),  # 12
    MergingCell(5, 'sum', (2, 11)),  # 13
    MergingCell(4, 'gp', (13, 8)),  # 14
    MergingCell(5, 'gp', (6, 11), is_output=True),  # 15
    MergingCell(3, 'gp', (0, 3), is_output=True),  # 16
    MergingCell(4, 'gp', (15, 9), is_output=True),  # 17
    MergingCell(6, 'sum', (8, 15), is_output=True),  # 18
), min_level=3, max_level=6)

#: Ours, not the paper's: seven cells in the paper's space, of a search on generated shapes.
NASFPN_SHAPES = Genotype((
    MergingCell(6, 'sum', (4, 0)),  # 5
    MergingCell(7, 'sum', (2, 3)),  # 6
    MergingCell(4, 'sum', (0, 1), is_output=True),  # 7
    MergingCell(5, 'sum', (1, 6), is_output=True),  # 8
    MergingCell(7, 'gp', (5, 2), is_output=True),  # 9
    MergingCell(3, 'sum', (1, 0), is_output=True),  # 10
    MergingCell(6, 'sum', (5, 2), is_output=True),  # 11
))

#: Genotypes that :func:`get_genotype` knows by name.
GENOTYPES: dict[str, Genotype] = dict(
    nasfpn=NASFPN, fpn=FPN, pafpn=PAFPN, nasfpn_lite=NASFPN_LITE, nasfpn_shapes=NASFPN_SHAPES,
    nasfpn_lite_0=NASFPN_LITE_0, nasfpn_3_levels=NASFPN_3_LEVELS, nasfpn_4_levels=NASFPN_4_LEVELS,
    nasfpn_6_levels=NASFPN_6_LEVELS)

#: Where each comes from: a publication, what it is derived from, or, as a path in the repository, the
#: record of the search that found it.
SOURCES: dict[str, str] = dict(
    nasfpn='the NAS-FPN paper, CVPR 2019, Figures 6 and 7f',
    fpn='Lin et al., CVPR 2017; the NAS-FPN paper, Figure 7a',
    pafpn='Liu et al., CVPR 2018',
    nasfpn_lite='docs/searches/nasfpn_lite/found.json',
    nasfpn_shapes='docs/searches/shapes/found.json',
    nasfpn_lite_0='docs/searches/nasfpn_lite/top.json',
    nasfpn_3_levels='derived from nasfpn',
    nasfpn_4_levels='derived from nasfpn',
    nasfpn_6_levels='derived from nasfpn')

#: What names meant to earlier versions, whose checkpoints do not note their genotypes.
EARLIER_NAMES: dict[str, str] = dict(nasfpn_lite='nasfpn_lite_0')


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
        return Genotype.from_json(path.read_text(encoding='utf-8'))
    except GenotypeError as error:
        raise GenotypeError(f'genotype file {path}: {error}') from None
    except (OSError, ValueError) as error:
        raise GenotypeError(f'genotype file {path} cannot be read: {error}') from None
