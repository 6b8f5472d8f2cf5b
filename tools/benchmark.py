"""Time a config's neck and detector against MMDetection's NASFPN, FPN and their convolutions alone."""
import argparse

import torch

from mmnasfpn.benchmark.cases import SWITCHES, WAYS, Setting, contenders, ways_of
from mmnasfpn.benchmark.cli import benchmark_parser, parse_benchmark, run_benchmark
from mmnasfpn.benchmark.measure import BENCHMARK_PARTS, CONVOLUTIONS, FPN, MMDET, OURS, draw, to_markdown
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
                             + f" (infer: {' '.join(WAYS['infer'])}, and onnx where it is installed; "
                               f"train: {' '.join(WAYS['train'])})")
    parser.add_argument('--image-size', type=whole_number(1), nargs=2, default=[640, 640],
                        metavar=('ROWS', 'COLUMNS'), help='(640 640)')
    return parse_benchmark(parser, BENCHMARK_PARTS)


def main() -> None:
    args = parse_args()
    setting = Setting(tuple(args.image_size), args.batch_size, args.mode, torch.device(args.device))
    run_benchmark(
        args, setting,
        lambda: contenders(load_parsed_config(args), setting, args.parts,
                           args.ways or ways_of(args.mode, setting.device),
                           [MODELS[name] for name in args.models]),
        to_markdown, draw, BENCHMARK_PARTS)


if __name__ == '__main__':
    run_tool(main)
