"""Time how a neck's time and memory grow with its stacks, its feature dimension and the image."""
import argparse
from dataclasses import asdict

from rich.progress import track

from mmnasfpn.benchmark.cli import benchmark_parser, parse_benchmark, setting_of, write_results
from mmnasfpn.benchmark.settings import SIZES_PARTS, SWITCHES
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
    return parse_benchmark(parser, SIZES_PARTS)


def main() -> None:
    args = parse_args()
    from mmnasfpn.benchmark.build import build_size
    from mmnasfpn.benchmark.cases import check, plan_sizes
    from mmnasfpn.benchmark.measure import measure
    from mmnasfpn.benchmark.report import draw_sizes, sizes_to_markdown

    cfg, setting = load_parsed_config(args), setting_of(args, (args.image_size, args.image_size))
    check(cfg, setting, [args.way])
    sizes = plan_sizes(args.stacks, args.channels, args.image_sizes)
    found = measure({size: build_size(size, cfg, setting, args.way) for size in sizes},
                    track(range(args.rounds), 'Timing'), setting.device)
    write_results(args, setting, sizes_to_markdown(found),
                  [dict(part=size.name, model=str(size.value), way=args.way, **asdict(m))
                   for size, m in found.items()])
    if args.picture:
        draw_sizes(found, args.picture)


if __name__ == '__main__':
    run_tool(main)
