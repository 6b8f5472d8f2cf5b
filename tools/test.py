"""Evaluate a checkpoint, or a model exported from one."""
import argparse

from mmnasfpn.engine.cli import (
    add_speed,
    config_parser,
    folder_of_run,
    load_parsed_config,
    output_file,
    run_tool,
)


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint, or exported .onnx model, to evaluate')
    parser.add_argument('--backend', choices=['pytorch', 'onnx', 'openvino'],
                        help='what runs it (onnx, ONNX Runtime, where it ends in .onnx)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write the metrics as JSON')
    parser.add_argument('--out', type=output_file('.pkl', '.pickle'), metavar='FILE',
                        help='write all predictions as a pickle')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', type=folder_of_run, metavar='DIR',
                        help="paint predictions into this folder, below that of the run in the work dir")
    parser.add_argument('--wait-time', type=float, default=2, help='seconds to show each image')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    add_speed(parser, 'fp32', 'bf16', 'fp16')
    parser.add_argument('--fuse', action='store_true',
                        help='fold batch normalisation into the convolutions before it')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.engine.run import evaluate

    evaluate(load_parsed_config(args), args.checkpoint, out=args.out, json_path=args.json,
             show_dir=args.show_dir, show=args.show, wait_time=args.wait_time, tta=args.tta,
             backend=args.backend, trust_checkpoint=args.trust_checkpoint,
             channels_last=args.channels_last, dtype=args.dtype, fuse=args.fuse,
             compile_mode=args.compile)


if __name__ == '__main__':
    run_tool(main)
