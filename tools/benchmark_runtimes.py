"""Time detectors on a CPU, from pixels to boxes: PyTorch, ONNX Runtime and OpenVINO, fp32 and int8."""
import argparse
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from mmnasfpn.benchmark.settings import RUNTIMES, RUNTIMES_PART
from mmnasfpn.engine.cli import give_table, markdown_file, output_file, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', metavar='[NAME=]CONFIG',
                        help='configs of detectors, and what to call them (as the file); their weights '
                             'are random')
    parser.add_argument('--image-size', type=whole_number(1), nargs=2, default=[320, 320],
                        metavar=('ROWS', 'COLUMNS'), help='(320 320)')
    parser.add_argument('--runtimes', nargs='+', choices=list(RUNTIMES), default=list(RUNTIMES),
                        metavar='NAME', help=f'what runs them: {", ".join(RUNTIMES)} (all)')
    parser.add_argument('--threads', type=whole_number(1), nargs='+', metavar='N',
                        default=sorted({1, os.cpu_count() or 1}), help='(1, and all)')
    parser.add_argument('--rounds', type=whole_number(1), default=10, help='(%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write each round as JSON')
    parser.add_argument('--markdown', type=markdown_file(RUNTIMES_PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE', help='draw the times')
    args = parser.parse_args()
    given = [text.rpartition('=') for text in args.configs]
    args.configs = {name or Path(file).stem: file for name, _, file in given}
    if len(args.configs) < len(given):
        parser.error('two configs have the same name: give one another, as in NAME=CONFIG')
    return args


def main() -> None:
    args = parse_args()
    from mmnasfpn.benchmark.deployment import (
        deployments_to_markdown,
        draw_deployments,
        measure_deployments,
    )
    from mmnasfpn.engine.config import load_config
    from mmnasfpn.models.detectors.calibration import cpu_name

    configs = {name: load_config(file) for name, file in args.configs.items()}
    console = Console()
    console.print(cpu_name(), markup=False)
    with tempfile.TemporaryDirectory() as folder, console.status('') as status:
        found = measure_deployments(configs, tuple(args.image_size), args.runtimes, args.threads,
                                    args.rounds, Path(folder), status.update)
    give_table(args, deployments_to_markdown(found),
               dict(machine=cpu_name(), image_size=args.image_size,
                    measurements=[{**asdict(case), **asdict(cost)} for case, cost in found.items()]),
               RUNTIMES_PART, lambda path: draw_deployments(found, path))


if __name__ == '__main__':
    run_tool(main)
