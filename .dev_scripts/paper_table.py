"""Count parameters and FLOPs of the paper's models and set them beside the paper's figures."""
import argparse
from dataclasses import asdict
from pathlib import Path

from model_tables import (
    AMOEBANET_PART,
    MODELS_PART,
    amoebanet_to_markdown,
    to_markdown,
    write_metafile,
)
from paper_rows import (
    TABLE_1,
    AmoebaNetFit,
    Row,
    all_rows,
    count_row,
    find_rows,
    fit_amoebanet,
)
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmnasfpn._files import write_json
from mmnasfpn._markdown import check_markdown, write_markdown
from mmnasfpn.engine.cli import output_file, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', nargs='+', metavar='ROW',
                        help="ids of Table 1's rows, names of configs, or all for these and all models "
                             'of the figures (all rows of Table 1; all with --markdown or --metafile)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write the figures as JSON')
    parser.add_argument('--markdown', type=output_file('.md'), metavar='FILE',
                        help='write the tables, between the marks of a file that exists')
    parser.add_argument('--metafile', type=Path, metavar='FILE', help="update MIM's metafile.yml")
    parser.add_argument('--amoebanet-sizes', action='store_true',
                        help="instead, show how sizes of AmoebaNet-D fit the paper's two models")
    args = parser.parse_args()
    try:
        check_args(args)
    except ValueError as error:
        parser.error(str(error))
    return args


def check_args(args: argparse.Namespace) -> None:
    """Check what would fail only after minutes of counting."""
    args.part = AMOEBANET_PART if args.amoebanet_sizes else MODELS_PART
    if args.rows:
        args.rows = find_rows(args.rows)
        if args.markdown and args.markdown.exists() and args.rows != all_rows():
            raise ValueError(f'--rows: {args.markdown} exists, and other rows would be lost from it: '
                             'leave --rows out, or give a new file')
    if args.markdown:
        check_markdown(args.markdown, args.part)
    if args.metafile and not args.metafile.is_file():
        raise ValueError(f'--metafile: there is no file {args.metafile}')


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


def show_amoebanet_sizes(fits: list[AmoebaNetFit]) -> None:
    table = Table('cells', 'filters', 'FPN: params (M)', 'FLOPs (B)', 'NAS-FPN: params (M)', 'FLOPs (B)',
                  'backbone (M)', 'left by FPN', 'left by NAS-FPN',
                  title="In brackets against the paper; left: the paper's total less our neck and head")
    for fit in fits:
        table.add_row(str(fit.num_cells), str(fit.filters), *map(_cell, fit.figures),
                      _cell(fit.backbone_params_m), *map(_cell, fit.left_params_m))
    _console().print(table)


def main() -> None:
    args = parse_args()
    if args.amoebanet_sizes:
        fits = list(track(fit_amoebanet(), description='Sizes', transient=True))
        show_amoebanet_sizes(fits)
        data, markdown = dict(sizes=[asdict(fit) for fit in fits]), amoebanet_to_markdown(fits)
    else:
        ids = args.rows or (all_rows() if args.markdown or args.metafile else list(TABLE_1))
        rows = [count_row(row) for row in track(ids, description='Counting', transient=True)]
        show(rows)
        data, markdown = dict(rows=[asdict(row) for row in rows]), to_markdown(rows)
        if args.metafile:
            write_metafile(args.metafile, rows)
    if args.json:
        write_json(args.json, data, indent=2)
    if args.markdown:
        write_markdown(args.markdown, markdown, args.part)


if __name__ == '__main__':
    run_tool(main)
