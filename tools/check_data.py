"""Check an annotation file in COCO format, and its images; write a repaired copy."""
import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn.engine.cli import output_file, run_tool

#: What ``color_type`` of MMCV's ``LoadImageFromFile`` may be.
COLOR_TYPES = ('color', 'color_ignore_orientation', 'grayscale', 'grayscale_ignore_orientation',
               'unchanged')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', type=Path, metavar='ANNOTATIONS', help='the file')
    parser.add_argument('--images', type=Path, metavar='DIR',
                        help='folder of the images, which are all opened')
    parser.add_argument('--color-type', default='color', choices=COLOR_TYPES,
                        help='that of LoadImageFromFile in the config (%(default)s, which turns images '
                             'by their EXIF orientation)')
    parser.add_argument('--fix', type=output_file('.json', is_new=True), metavar='OUT.json',
                        help='write a copy, repaired where what is missing has one meaning')
    parser.add_argument('--classes', nargs='+', default=[], metavar='NAME',
                        help='with --fix: put the categories into this order, and add missing ones')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write faults and figures as JSON')
    args = parser.parse_args()
    if args.classes and not args.fix:
        parser.error('--classes is for the copy that --fix writes')
    if len(set(args.classes)) < len(args.classes):
        parser.error('--classes has a name twice')
    files = [path.resolve() for path in (args.annotations, args.fix, args.json) if path]
    if len(set(files)) < len(files):
        parser.error('ANNOTATIONS, --fix and --json must be different files')
    return args


def main() -> None:
    args = parse_args()
    from mmnasfpn.datasets.check import check_file
    from mmnasfpn.datasets.fix import fix_annotations
    from mmnasfpn.datasets.summary import to_tables

    console = Console(emoji=False, markup=False, highlight=False, soft_wrap=True)
    report = check_file(args.annotations, args.images, args.color_type)
    for part in to_tables(report['summary']) if 'summary' in report else ():
        console.print(part)
    left = report['faults']
    show(console, left or ['nothing is wrong'])
    if args.fix:
        done, faults = fix_annotations(args.annotations, args.fix, args.images, args.classes,
                                       args.color_type)
        # No copy of the annotations repairs images.
        left = [*map(asdict, faults), *(fault for fault in left if fault['rule'].startswith('image-'))]
        show(console, [f'{args.fix}: written', *(f'- {line}' for line in done or ['nothing to repair'])])
        if any(fault['is_error'] for fault in left):
            show(console, ['To be repaired by hand:', *left])
    if args.json:
        write_json(args.json, report)
    sys.exit(any(fault['is_error'] for fault in left))


def show(console: Console, lines: Sequence[str | Mapping[str, Any]]) -> None:
    for line in lines:
        if not isinstance(line, str):  # a fault
            kind = 'error' if line['is_error'] else 'warning'
            line = f"{kind}: {line['text']}: {line['advice']} [{line['rule']}]"
        console.print(line)


if __name__ == '__main__':
    run_tool(main)
