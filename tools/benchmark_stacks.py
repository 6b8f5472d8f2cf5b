"""Time how a neck's time and memory grow with its stacks, its feature dimension and the image."""
import argparse

import torch

from mmnasfpn.benchmark.cases import SWITCHES, Setting, growth
from mmnasfpn.benchmark.cli import benchmark_parser, parse_benchmark, run_benchmark
from mmnasfpn.benchmark.measure import GROWTH_PARTS, draw_growth, growth_to_markdown
from mmnasfpn.engine.cli import load_parsed_config, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = benchmark_parser(__doc__)
    for name, sizes, what in (('--stacks', [1, 3, 5, 7], 'numbers of stacks'),
                              ('--channels', [64, 128, 256, 384], 'feature dimensions'),
                              ('--image-sizes', [256, 384, 512, 640], 'rows and columns of the image')):
        parser.add_argument(name, type=whole_number(1), nargs='*', default=sizes, metavar='N',
                            help=f'{what} ({" ".join(map(str, sizes))})')
    parser.add_argument('--image-size', type=whole_number(1), default=512, metavar='N',
                        help='where something else is what changes (%(default)s)')
    parser.add_argument('--way', default='eager',
                        help='eager, or with + between: ' + ', '.join(SWITCHES) + ' (%(default)s)')
    return parse_benchmark(parser, GROWTH_PARTS)


def main() -> None:
    args = parse_args()
    setting = Setting((args.image_size, args.image_size), args.batch_size, args.mode,
                      torch.device(args.device))
    run_benchmark(
        args, setting,
        lambda: growth(load_parsed_config(args), setting, args.way, args.stacks, args.channels,
                       args.image_sizes),
        growth_to_markdown, draw_growth, GROWTH_PARTS)


if __name__ == '__main__':
    run_tool(main)
