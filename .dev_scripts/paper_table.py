"""Count parameters and FLOPs of the paper's models and set them beside the paper's figures."""
import argparse
from dataclasses import asdict
from pathlib import Path

from model_tables import AMOEBANET_PART, MODELS_PART, amoebanet_to_markdown, to_markdown, write_metafile
from paper_rows import TABLE_1, all_rows, count_row, find_rows, fit_amoebanet
from rich.console import Console
from rich.progress import track

from mmnasfpn._files import write_json
from mmnasfpn._markdown import check_markdown, write_markdown
from mmnasfpn.engine.cli import output_file, run_tool
from mmnasfpn.errors import UsageError


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
    args.part = AMOEBANET_PART if args.amoebanet_sizes else MODELS_PART
    rows = find_rows(args.rows or (['all'] if args.markdown or args.metafile else TABLE_1))
    if args.rows and args.markdown and args.markdown.exists() and rows != all_rows():
        raise UsageError(f'--rows: {args.markdown} exists, and other rows would be lost from it: leave '
                         '--rows out, or give a new file')
    if args.markdown:
        check_markdown(args.markdown, args.part)
    if args.metafile and not args.metafile.is_file():
        raise UsageError(f'--metafile: there is no file {args.metafile}')
    args.rows = rows
    return args


def main() -> None:
    args = parse_args()
    note = ''
    if args.amoebanet_sizes:
        fits = list(track(fit_amoebanet(), 'Sizes', transient=True))
        data, markdown = dict(sizes=[asdict(fit) for fit in fits]), amoebanet_to_markdown(fits)
    else:
        rows = [count_row(row) for row in track(args.rows, 'Counting', transient=True)]
        data, markdown = dict(rows=[asdict(row) for row in rows]), to_markdown(rows)
        uncounted = sorted({name for row in rows for name in row.uncounted_operators})
        note = f"\nOperators without a formula, counted as nothing: {', '.join(uncounted)}"
        if args.metafile:
            write_metafile(args.metafile, rows)
    Console().print(markdown + note, markup=False, soft_wrap=True)
    if args.json:
        write_json(args.json, data, indent=2)
    if args.markdown:
        write_markdown(args.markdown, markdown, args.part)


if __name__ == '__main__':
    run_tool(main)
