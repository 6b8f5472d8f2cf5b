"""Write the counted models into the README and the metafile of the configs."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from paper_rows import FIGURES, TABLE_1, TEXT_FLOPS, AmoebaNetFit, Row

from mmnasfpn._files import write_text
from mmnasfpn._markdown import to_table

#: Parts of a Markdown file that are written anew, each between two marks.
MODELS_PART, AMOEBANET_PART = 'counted models', 'sizes of AmoebaNet-D'


def to_markdown(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown: a table of Table 1's and one of the other figures', if it has any."""
    in_table = [row for row in rows if row.row in TABLE_1]
    in_figures = [row for row in rows if row.row in FIGURES]
    parts = []
    if in_table:
        parts.append(to_table(
            ('Table 1', 'size', 'params, M', 'paper', 'FLOPs, B', 'paper', 'params, M, 80 classes',
             'FLOPs, B, 80 classes', 'paper: test-dev AP', 'paper: latency, ms'),
            [(_model(row), row.image_size, _number(row.params_m),
              _paper(row.paper_params_m, row.params_diff_percent), _number(row.flops_b),
              _paper(row.paper_flops_b, row.flops_diff_percent), _number(row.params_m_80),
              _number(row.flops_b_80), _number(row.paper_test_dev_ap, 1), _latency(row))
             for row in in_table]))
    if in_figures:
        parts.append(to_table(
            ('figures', 'size', 'params, M', 'FLOPs, B', 'params, M, 80 classes', 'FLOPs, B, 80 classes',
             'where in the paper'),
            [(_model(row), row.image_size, _number(row.params_m), _number(row.flops_b),
              _number(row.params_m_80), _number(row.flops_b_80), _where(row)) for row in in_figures]))
    notes = _notes(rows)
    return '\n'.join([*parts, notes] if notes else parts)


def amoebanet_to_markdown(fits: Sequence[AmoebaNetFit]) -> str:
    """Return how sizes of AmoebaNet-D fit the paper's models as a Markdown table."""
    return to_table(
        ('cells', 'filters', 'FPN: params, M', 'FLOPs, B', 'NAS-FPN: params, M', 'FLOPs, B',
         'backbone, M', 'left by FPN', 'left by NAS-FPN'),
        [(str(fit.num_cells), str(fit.filters),
          *(f'{value:.2f} ({percent:+.1f}%)' for value, percent in fit.figures),
          _number(fit.backbone_params_m), *map(_number, fit.left_params_m)) for fit in fits])


def write_metafile(path: Path, rows: Sequence[Row]) -> None:
    """Put the counts of the rows, with COCO's 80 classes, into ``metafile.yml``; the rest stays."""
    data = yaml.safe_load(path.read_text(encoding='utf-8'))
    counted = {row.config: row for row in rows}
    for model in data['Models']:
        name = model['Name'].removesuffix('-testdev').removesuffix('-tta')
        if name in counted:
            model['Metadata'] = _metadata(counted[name])
    write_text(path, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=105))


def _metadata(row: Row) -> dict[str, Any]:
    # Units without brackets: MIM takes the names of fields for regular expressions.
    assert row.params_m_80 is not None and row.flops_b_80 is not None
    return {'Training Data': 'COCO', 'Image Size': row.image_size,
            'Parameters in Millions': round(row.params_m_80, 2),
            'FLOPs in Billions': round(row.flops_b_80, 2)}


def _model(row: Row) -> str:
    if row.config is None:
        return f'{row.row} (absent: {row.note})'
    if row.config.startswith('mmdet::'):
        note = f' ({row.note})' if row.note else ''
        return f"{row.row}: MMDetection's `{row.config.removeprefix('mmdet::')}`{note}"
    star = '\\*' if row.note else ''
    return f'[{row.config}]({row.config}.py){star}'


def _notes(rows: Sequence[Row]) -> str:
    """Return what the stars behind our models mean."""
    starred = [row.note for row in rows if row.note and '](' in _model(row)]
    return ''.join(f'- \\* {note}.\n' for note in dict.fromkeys(starred))


def _where(row: Row) -> str:
    where = FIGURES[row.row]
    if row.row not in TEXT_FLOPS or row.flops_b is None:
        return where
    difference = 100 * (row.flops_b / TEXT_FLOPS[row.row] - 1)
    return f"{where}; the text's {TEXT_FLOPS[row.row]:g} B ({difference:+.1f}%)"


def _number(value: float | None, digits: int = 2) -> str:
    return '' if value is None else f'{value:.{digits}f}'


def _paper(value: float | None, difference: float | None) -> str:
    if value is None:
        return ''
    return f'{value:g}' if difference is None else f'{value:g} ({difference:+.1f}%)'


def _latency(row: Row) -> str:
    if row.paper_latency_ms is None:
        return ''
    return f'{row.paper_latency_ms:g} ({row.paper_latency_device})'
