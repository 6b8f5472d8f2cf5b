"""Draw Figures 8 and 9 of the paper with the counted FLOPs and parameters."""
import argparse
import json
from pathlib import Path

from paper_rows import Row, count_row
from rich.progress import track
from tradeoff import draw_figure_8, draw_figure_9, figure_rows

from mmnasfpn.engine.cli import output_folder, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=output_folder, default='work_dirs/tradeoff', metavar='DIR',
                        help='folder for figure8.png and figure9.png (%(default)s)')
    parser.add_argument('--counts', type=Path, metavar='FILE',
                        help='what `paper_table.py --rows all --json FILE` wrote (counts anew)')
    args = parser.parse_args()
    args.rows = {}
    if args.counts:
        try:
            args.rows = {row['row']: Row(**row) for row in json.loads(args.counts.read_text())['rows']}
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f'--counts: {args.counts} is not what paper_table.py --json writes ({error!r})')
    return args


def main() -> None:
    args = parse_args()
    rows = args.rows
    missing = [row for row in figure_rows() if row not in rows]
    for row in track(missing, description='Counting', transient=True, disable=not missing):
        rows[row] = count_row(row)
    draw_figure_8(rows, args.out / 'figure8.png')
    draw_figure_9(rows, args.out / 'figure9.png')
    print(f"{args.out / 'figure8.png'}, {args.out / 'figure9.png'}")


if __name__ == '__main__':
    run_tool(main)
