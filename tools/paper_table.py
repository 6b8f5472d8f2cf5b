"""Count parameters and FLOPs of the paper's models and set them beside the paper's figures."""
import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmnasfpn.analysis.model_tables import write_markdown, write_metafile
from mmnasfpn.analysis.paper_table import TABLE_1, Row, all_rows, check_rows, count_row, fit_amoebanet


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', nargs='+', metavar='ROW',
                        help="ids of Table 1's rows, names of configs of the figures, or all for both "
                             "(all rows of Table 1; all with --markdown or --metafile)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows as JSON')
    parser.add_argument('--markdown', type=Path, metavar='FILE',
                        help='write the tables, into the marked place of a file that exists')
    parser.add_argument('--metafile', type=Path, metavar='FILE', help="update MIM's metafile.yml")
    parser.add_argument('--amoebanet-sizes', action='store_true',
                        help="instead, show how sizes of AmoebaNet-D fit the paper's two models")
    args = parser.parse_args()
    if args.rows == ['all']:
        args.rows = all_rows()
    if args.rows:
        try:
            check_rows(args.rows)
        except ValueError as error:
            parser.error(f'--rows: {error}')
    return args


def show(rows: list[Row]) -> None:
    table = Table('row', 'params (M)', 'paper', 'FLOPs (B)', 'paper', 'params, 80', 'FLOPs, 80',
                  title='90 classes (and 80), 2 FLOPs per multiply-add, without post-processing')
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(row.row, *map(_cell, (
            row.params_m, (row.paper_params_m, row.params_diff_percent), row.flops_b,
            (row.paper_flops_b, row.flops_diff_percent), row.params_m_80, row.flops_b_80)))
    console = _console()
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f'{row.row}: {row.note}')
    uncounted = sorted({name for row in rows for name in row.uncounted_operators})
    console.print(f"Operators without a formula, counted as nothing: {', '.join(uncounted)}")


def _console() -> Console:
    """Return a console that is wide enough for the table where the output is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=160, highlight=False)


def _cell(value: float | tuple[float | None, float | None] | None) -> str:
    if isinstance(value, tuple):
        figure, difference = value
        return '' if figure is None else _cell(figure) + (
            '' if difference is None else f' ({difference:+.1f}%)')
    return '' if value is None else f'{value:.2f}'


def show_amoebanet_sizes() -> None:
    table = Table('cells', 'filters', 'FPN: params (M)', 'FLOPs (B)', 'NAS-FPN: params (M)', 'FLOPs (B)',
                  'backbone (M)', 'left by FPN', 'left by NAS-FPN',
                  title="In brackets against the paper; left: the paper's total less our neck and head")
    for fit in track(fit_amoebanet(), description='Sizes', transient=True):
        table.add_row(str(fit.num_cells), str(fit.filters), *map(_cell, fit.figures),
                      _cell(fit.backbone_params_m), *map(_cell, fit.left_params_m))
    _console().print(table)


def main() -> None:
    args = parse_args()
    if args.amoebanet_sizes:
        show_amoebanet_sizes()
        return
    ids = args.rows or (all_rows() if args.markdown or args.metafile else list(TABLE_1))
    rows = [count_row(row) for row in track(ids, description='Counting', transient=True)]
    show(rows)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(dict(rows=[row.to_dict() for row in rows]), indent=2) + '\n')
    if args.markdown:
        write_markdown(args.markdown, rows)
    if args.metafile:
        write_metafile(args.metafile, rows)


if __name__ == '__main__':
    main()
