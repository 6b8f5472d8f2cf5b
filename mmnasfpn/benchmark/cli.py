"""What the command lines of our benchmarks share. Nothing here imports PyTorch before it is needed."""
import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn._markdown import check_markdown, write_markdown
from mmnasfpn.engine.cli import config_parser, output_file, whole_number

if TYPE_CHECKING:
    from mmnasfpn.benchmark.cases import Setting


def benchmark_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every benchmark."""
    parser = config_parser(description, is_run=False,
                           default='retinanet_r50_nasfpn-3x256_crop640-50e_coco')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='(cuda where there is a GPU)')
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


def parse_benchmark(parser: argparse.ArgumentParser, parts: Mapping[str, str],
                    counts_parts: Mapping[str, str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        parser (argparse.ArgumentParser): The parser.
        parts (Mapping[str, str]): By the mode, the part of a Markdown file that gets the table.
        counts_parts (Mapping[str, str] | None): The same with ``--counts``, where there is that option.
    """
    args = parser.parse_args()
    if counts_parts and args.counts:
        parts = counts_parts
        if args.picture:
            parser.error('--counts draws nothing: leave out --picture')
    args.markdown_part = parts[args.mode]
    if args.markdown:
        check_markdown(args.markdown, args.markdown_part)
    return args


def setting_of(args: argparse.Namespace, image_size: tuple[int, int]) -> 'Setting':
    """Return the setting that a command line means; its device is a GPU where there is one."""
    import torch

    from mmnasfpn.benchmark.cases import Setting

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    return Setting(image_size, args.batch_size, args.mode, torch.device(device))


def write_results(args: argparse.Namespace, setting: 'Setting', table: str,
                  measurements: list[dict[str, Any]]) -> None:
    """Print the table, and write the files that are asked for; ``measurements`` are for ``--json``."""
    from mmnasfpn.models.detectors.calibration import machine_of

    machine = machine_of(setting.device)
    console = Console()
    console.print(', '.join(f'{key} {value}' for key, value in machine.items()), markup=False)
    console.print(table, markup=False, soft_wrap=True)
    if args.json:
        write_json(args.json, dict(
            config=args.config, mode=setting.mode, image_size=setting.image_size,
            batch_size=setting.batch_size, machine=machine, measurements=measurements))
    if args.markdown:
        write_markdown(args.markdown, table, args.markdown_part)
