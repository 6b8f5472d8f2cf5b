"""Time a config's neck and detector against MMDetection's NASFPN, FPN and their convolutions alone."""
import argparse
from dataclasses import asdict

from rich.progress import track

from mmnasfpn.benchmark.cli import benchmark_parser, parse_benchmark, setting_of, write_results
from mmnasfpn.benchmark.settings import (
    CASES_PARTS,
    CONVOLUTIONS,
    COUNTS_PARTS,
    DEFAULT_WAYS,
    FPN,
    MMDET,
    OURS,
    SWITCHES,
)
from mmnasfpn.engine.cli import load_parsed_config, run_tool, whole_number

MODELS = {'nasfpn': OURS, 'convolutions': CONVOLUTIONS, 'mmdet': MMDET, 'fpn': FPN}


def parse_args() -> argparse.Namespace:
    parser = benchmark_parser(__doc__)
    parser.add_argument('--parts', nargs='+', choices=['neck', 'detector'], default=['neck', 'detector'],
                        help='(neck detector)')
    parser.add_argument('--models', nargs='+', choices=list(MODELS), default=list(MODELS),
                        help=f'what to time ({" ".join(MODELS)})')
    parser.add_argument('--ways', nargs='+', metavar='WAY',
                        help='how to run: eager, or with + between, '
                             + ', '.join(f'{name} ({what})' for name, what in SWITCHES.items())
                             + f" (infer: {' '.join(DEFAULT_WAYS['infer'])}, and onnx where it is "
                               f"installed; train: {' '.join(DEFAULT_WAYS['train'])})")
    parser.add_argument('--image-size', type=whole_number(1), nargs=2, default=[640, 640],
                        metavar=('ROWS', 'COLUMNS'), help='(640 640)')
    parser.add_argument('--counts', action='store_true',
                        help='count operations and waits for the device, and time nothing')
    return parse_benchmark(parser, CASES_PARTS, COUNTS_PARTS)


def main() -> None:
    args = parse_args()
    from mmnasfpn.benchmark import counts
    from mmnasfpn.benchmark.build import build
    from mmnasfpn.benchmark.cases import default_ways, plan
    from mmnasfpn.benchmark.measure import measure
    from mmnasfpn.benchmark.report import draw, to_markdown

    cfg, setting = load_parsed_config(args), setting_of(args, tuple(args.image_size))
    ways = args.ways or (DEFAULT_WAYS[args.mode] if args.counts
                         else default_ways(args.mode, setting.device))
    cases = plan(cfg, setting, args.parts, ways, [MODELS[name] for name in args.models])
    if args.counts:
        counted = {case: counts.count_case(case, cfg, setting) for case in track(cases, 'Counting')}
        write_results(args, setting, counts.to_markdown(counted),
                      [{**asdict(case), **asdict(c)} for case, c in counted.items()])
        return
    found = measure({case: build(case, cfg, setting) for case in cases},
                    track(range(args.rounds), 'Timing'), setting.device)
    write_results(args, setting, to_markdown(found),
                  [{**asdict(case), **asdict(m)} for case, m in found.items()])
    if args.picture:
        draw(found, args.picture)


if __name__ == '__main__':
    run_tool(main)
