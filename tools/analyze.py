"""Look at a detector's mistakes: AP by class and size, confusions, what costs AP, the worst images."""
import argparse
from typing import Any

from mmnasfpn.engine.cli import (
    add_speed,
    config_parser,
    load_parsed_config,
    output_folder,
    run_tool,
    share,
    whole_number,
)


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint, or exported .onnx model, to run')
    parser.add_argument('--predictions', metavar='FILE',
                        help='in place of a checkpoint: a .pkl of tools/test.py --out, or a .json of '
                             "COCO's results")
    parser.add_argument('--out', type=output_folder, required=True, metavar='DIR',
                        help='where to write the page (index.html), its pictures and analysis.json')
    parser.add_argument('--score-thr', type=share, default=0.3, metavar='SCORE',
                        help='detections below are not in the confusion matrix and not painted '
                             '(%(default)s)')
    parser.add_argument('--iou-thr', type=share, default=0.5, metavar='IOU',
                        help='overlap from which on a detection is of a box in the confusion matrix '
                             '(%(default)s)')
    parser.add_argument('--num-images', type=whole_number(0, 99), default=12, metavar='N',
                        help='how many of the images with the most errors are painted (%(default)s)')
    parser.add_argument('--backend', choices=['pytorch', 'onnx', 'openvino'],
                        help='what runs the model (onnx, ONNX Runtime, where it ends in .onnx)')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    add_speed(parser, 'fp32', 'bf16', 'fp16')
    parser.add_argument('--fuse', action='store_true',
                        help='fold batch normalisation into the convolutions before it')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.mistakes.run import analyze

    options: dict[str, Any] = dict(
        tta=args.tta, backend=args.backend, trust_checkpoint=args.trust_checkpoint, fuse=args.fuse,
        channels_last=args.channels_last, dtype=args.dtype, compile_mode=args.compile)
    analyze(load_parsed_config(args), args.out, args.checkpoint, args.predictions, args.score_thr,
            args.iou_thr, args.num_images, **options)


if __name__ == '__main__':
    run_tool(main)
