"""Measure how long each exit of an anytime detector takes on this machine."""
import argparse

from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn.engine.cli import config_parser, load_parsed_config, output_file, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint', nargs='?',
                        help='its checkpoint; NMS time depends on how many boxes pass the threshold '
                             '(random weights). Or what tools/export_onnx.py --exits wrote, by the name '
                             'that it was given')
    parser.add_argument('--backend', choices=['onnx', 'openvino'],
                        help='what runs exported exits (onnx, ONNX Runtime)')
    parser.add_argument('--out', type=output_file('.json'), metavar='FILE',
                        help='write the calibration, for model.load_calibration(FILE)')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--images', nargs='+', default=[], metavar='FILE',
                      help='images to run, through the test pipeline (of the validation set)')
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
    from mmnasfpn.anytime.calibrate import calibrate
    from mmnasfpn.anytime.report import calibration_to_markdown

    calibration, shapes = calibrate(
        load_parsed_config(args), args.checkpoint, args.images,
        args.image_size and tuple(args.image_size), args.batch_size, args.num_images, args.runs,
        args.trust_checkpoint, args.backend)
    Console().print(calibration_to_markdown(calibration.machine, shapes), markup=False, soft_wrap=True)
    if args.out:
        calibration.save(args.out)
    if args.json:
        write_json(args.json, dict(
            config=args.config, checkpoint=args.checkpoint, machine=calibration.machine,
            shapes=[shape.to_dict() for shape in shapes]))


if __name__ == '__main__':
    run_tool(main)
