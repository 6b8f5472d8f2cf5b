"""Detect in images, videos and from cameras: paint what is found, or write it as JSON."""
import argparse
import sys

from rich.console import Console

from mmnasfpn.engine.cli import (
    add_speed,
    config_parser,
    load_parsed_config,
    output_file,
    output_folder,
    run_tool,
    whole_number,
)


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint',
                        help='its checkpoint, or a .onnx model exported from one: with --exits, the '
                             'name that tools/export_onnx.py was given')
    parser.add_argument('inputs', nargs='+', metavar='INPUT',
                        help="images, videos, folders, globs ('images/**/*.jpg', in quotes), or a "
                             "camera's number (0)")
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='folder for the painted images and videos')
    parser.add_argument('--no-paint', action='store_true', help='paint nothing: JSON alone')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write results as COCO has them')
    parser.add_argument('--jsonl', type=output_file('.jsonl'), metavar='FILE',
                        help='write one line of JSON an image, each at once')
    parser.add_argument('--ann-file', metavar='FILE',
                        help='annotation file: take the images that it has, and its ids for --json')
    parser.add_argument('--score-thr', type=float, metavar='S',
                        help='leave out detections of a lower score, in 0..1 (0.3 for painting, 0 for '
                             'JSON)')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='leave out all other classes')
    parser.add_argument('--batch-size', type=whole_number(1), default=1, metavar='N',
                        help='images at a time (1)')
    parser.add_argument('--exit', type=whole_number(1), metavar='K',
                        help='the exit of an anytime detector')
    parser.add_argument('--deadline-ms', type=float, metavar='MS',
                        help='milliseconds for an image, by which an anytime detector chooses its exit')
    parser.add_argument('--calibration', metavar='FILE',
                        help='what tools/calibrate.py measured, for --deadline-ms')
    parser.add_argument('--backend', choices=['onnx', 'openvino'],
                        help='what runs an exported model (onnx, ONNX Runtime)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (a GPU if there is one)')
    add_speed(parser, 'fp32', 'bf16', 'fp16')
    parser.add_argument('--fuse', action='store_true',
                        help='fold batch normalisation into the convolutions before it')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.prediction import Speed
    from mmnasfpn.prediction.run import predict_files

    report = predict_files(
        load_parsed_config(args), args.checkpoint, args.inputs, None if args.no_paint else args.out,
        args.json, args.jsonl, args.ann_file, args.score_thr, args.classes, args.batch_size,
        device=args.device, exit_stack=args.exit, deadline_ms=args.deadline_ms,
        calibration=args.calibration, trust_checkpoint=args.trust_checkpoint,
        speed=Speed(args.dtype, args.channels_last, args.fuse, args.compile), backend=args.backend)
    console = Console(emoji=False, markup=False, highlight=False, soft_wrap=True)
    images = 'image' if report.num_images == 1 else 'images'
    console.print(f'{report.num_images} {images} in {report.seconds:.1f} s, '
                  f'{report.num_images / max(report.seconds, 1e-9):.1f} images/s')
    if report.num_left_out:
        console.print(f'{report.num_left_out} inputs that {args.ann_file} does not have are left out')
    if report.category_ids_of:
        console.print(f'category ids: {report.category_ids_of}')
    for path, reason in report.skipped.items():
        console.print(f'skipped: {path}: {reason}')
    sys.exit(bool(report.skipped))


if __name__ == '__main__':
    run_tool(main)
