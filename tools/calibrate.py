"""Measure how long each exit of an anytime detector takes on this machine."""
import argparse
from dataclasses import asdict

from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn.anytime.evaluate import calibrate, count_exits
from mmnasfpn.anytime.latency import summarize
from mmnasfpn.anytime.report import latency_to_markdown
from mmnasfpn.engine.cli import config_parser, load_parsed_config, output_file, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint', nargs='?',
                        help='its checkpoint, for NMS takes as long as there is to sort out (random '
                             'weights)')
    parser.add_argument('--out', type=output_file('.json'), metavar='FILE',
                        help='write the calibration, for model.load_calibration(FILE)')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--images', nargs='+', default=[], metavar='FILE',
                      help='pictures to run, through the test pipeline (of the validation set)')
    what.add_argument('--image-size', type=whole_number(1), nargs=2, metavar=('ROWS', 'COLUMNS'),
                      help='run noise of this size instead')
    parser.add_argument('--num-images', type=whole_number(1), default=20,
                        help='how many of the validation set (20)')
    parser.add_argument('--batch-size', type=whole_number(1), default=1, help='images at a time (1)')
    parser.add_argument('--runs', type=whole_number(1), default=30,
                        help='runs of each exit for each input shape (30)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write all that was measured')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_parsed_config(args)
    calibration, runs = calibrate(
        cfg, args.checkpoint, args.images, args.image_size and tuple(args.image_size), args.batch_size,
        args.num_images, args.runs, args.trust_checkpoint)
    console = Console()
    console.print(', '.join(f'{key} {value}' for key, value in calibration.machine.items()),
                  markup=False)
    shapes = []
    for shape in dict.fromkeys(run.input_shape for run in runs):
        latencies = summarize([run for run in runs if run.input_shape == shape])
        costs = count_exits(cfg, shape[1:])
        console.print(f'batches of {shape[0]}, {shape[1]}x{shape[2]}; medians of {latencies[0].runs} '
                      'runs; FLOPs of one image; in brackets the share of the last exit',
                      markup=False, soft_wrap=True)
        console.print(latency_to_markdown(latencies, costs), markup=False, soft_wrap=True)
        shapes.append(dict(input_shape=shape, exits=[
            dict(asdict(latency), flops=costs[latency.exit_stack].flops,
                 params=costs[latency.exit_stack].params) for latency in latencies]))
    if args.out:
        calibration.save(args.out)
    if args.json:
        write_json(args.json, dict(
            config=args.config, checkpoint=args.checkpoint, machine=calibration.machine,
            shapes=shapes))


if __name__ == '__main__':
    run_tool(main)
