"""What the command lines of our benchmarks share."""
import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from mmnasfpn._files import write_json
from mmnasfpn._markdown import check_markdown, write_markdown
from mmnasfpn.benchmark.cases import CONFIG, Setting
from mmnasfpn.benchmark.measure import Contender, Measurement, measure
from mmnasfpn.engine.cli import config_parser, output_file, whole_number
from mmnasfpn.models.detectors.calibration import machine_of


def benchmark_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every benchmark.

    Args:
        description (str | None): What the tool does.
    """
    parser = config_parser(description, is_run=False, default=CONFIG)
    parser.add_argument('--device', choices=['cpu', 'cuda'],
                        default='cuda' if torch.cuda.is_available() else 'cpu', help='(%(default)s)')
    parser.add_argument('--mode', choices=['infer', 'train'], default='infer',
                        help='inference, or a forward and a backward pass (%(default)s)')
    parser.add_argument('--batch-size', type=whole_number(1), default=1,
                        help='images at a time (%(default)s)')
    parser.add_argument('--rounds', type=whole_number(1), default=10,
                        help='runs of each (%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write each run as JSON')
    parser.add_argument('--markdown', type=output_file('.md'), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE',
                        help='draw what was measured')
    return parser


def parse_benchmark(parser: argparse.ArgumentParser, parts: Mapping[str, str]) -> argparse.Namespace:
    """Parse the command line, and check what can be before the work.

    Args:
        parser (ArgumentParser): As from :func:`benchmark_parser`.
        parts (Mapping[str, str]): For each mode, which part of a Markdown file has the table.
    """
    args = parser.parse_args()
    if args.markdown:
        try:
            check_markdown(args.markdown, parts[args.mode])
        except ValueError as error:
            parser.error(str(error))
    return args


def run_benchmark(args: argparse.Namespace, setting: Setting, build: Callable[[], Iterable[Contender]],
                  to_markdown: Callable[[Sequence[Measurement]], str],
                  draw: Callable[[Sequence[Measurement], Path], Any], parts: Mapping[str, str]) -> None:
    """Measure, and write and draw what was measured.

    Args:
        args (Namespace): As from :func:`parse_benchmark`.
        setting (Setting): What is run.
        build (Callable): Builds what is timed.
        to_markdown (Callable): Makes the table.
        draw (Callable): Draws the picture.
        parts (Mapping[str, str]): As for :func:`parse_benchmark`.
    """
    console = Console()
    measurements = measure(list(build()), args.rounds, setting.device,
                           lambda rounds: track(rounds, 'Timing', console=console))
    machine = machine_of(setting.device)
    console.print(', '.join(f'{key} {value}' for key, value in machine.items()), markup=False)
    table = to_markdown(measurements)
    console.print(table, markup=False, soft_wrap=True)
    if args.json:
        write_json(args.json, dict(
            config=args.config, mode=setting.mode, image_size=setting.image_size,
            batch_size=setting.batch_size, machine=machine,
            measurements=[asdict(m) for m in measurements]))
    if args.markdown:
        write_markdown(args.markdown, table, parts[setting.mode])
    if args.picture:
        draw(measurements, args.picture)
