"""Export a detector as an ONNX model: from pixels to boxes, scores and labels, NMS included."""
import argparse

from rich.progress import Progress, TextColumn, TimeElapsedColumn

from mmnasfpn.engine.cli import config_parser, load_parsed_config, output_file, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint', metavar='CHECKPOINT',
                        help='its weights, or a .onnx model exported from them, for another --precision')
    parser.add_argument('out', type=output_file('.onnx'), metavar='OUT.onnx', help='where to write it')
    parser.add_argument('--image-size', type=whole_number(1), nargs=2, metavar=('ROWS', 'COLUMNS'),
                        help="of the images that it takes (the config's, at test time)")
    parser.add_argument('--batch-size', type=whole_number(1), default=1,
                        help='images at a time (%(default)s)')
    parser.add_argument('--dynamic', action='store_true', help='take any number of images of any size')
    parser.add_argument('--exits', action='store_true',
                        help='write a model for each exit of an anytime detector: OUT-exit1.onnx, ...')
    parser.add_argument('--raw', action='store_true',
                        help='leave out decoding and NMS: give what the head returns')
    parser.add_argument('--max-candidates', type=whole_number(1), default=3840, metavar='N',
                        help="boxes that go into NMS; TensorRT's limit is the default (%(default)s)")
    parser.add_argument('--target', choices=('any', 'tensorrt'), default='any',
                        help='what will run it; tensorrt: one size, no NMS, and integers as TensorRT '
                             'has them (%(default)s)')
    parser.add_argument('--precision', choices=('fp32', 'fp16', 'int8'), default='fp32',
                        help='what the network computes in: int8 for CPUs, fp16 for GPUs; its last '
                             'layers, decoding and NMS stay in fp32 (%(default)s)')
    parser.add_argument('--calibration', metavar='IMAGES',
                        help='for int8: folder or glob of images such as it will see, or an '
                             "annotation file (the config's training images)")
    args = parser.parse_args()
    if args.calibration and args.precision != 'int8':
        parser.error('--calibration is for --precision int8')
    if args.checkpoint.endswith('.onnx'):
        settled = ('image_size', 'batch_size', 'dynamic', 'exits', 'raw', 'max_candidates', 'target')
        for name in settled:
            if getattr(args, name) != parser.get_default(name):
                parser.error(f'--{name.replace("_", "-")} is settled in {args.checkpoint}: leave it '
                             'out, or give the checkpoint')
    return args


def main() -> None:
    args = parse_args()
    from mmnasfpn.export.run import Form, convert_model, export_checkpoint
    from mmnasfpn.prediction.examples import example_images

    cfg = load_parsed_config(args)
    form = Form(args.image_size and tuple(args.image_size), args.batch_size, args.dynamic, args.raw,
                args.max_candidates, args.precision, args.target)
    examples = example_images(cfg, args.calibration) if args.precision == 'int8' else ()
    with Progress(TextColumn('{task.description}'), TimeElapsedColumn()) as progress:
        task = progress.add_task('Loading')

        def show(text: str) -> None:
            progress.update(task, description=text)

        if args.checkpoint.endswith('.onnx'):
            convert_model(args.checkpoint, args.out, args.precision, examples, show)
            files = [args.out]
        else:
            files = export_checkpoint(cfg, args.checkpoint, args.out, form, examples, args.exits,
                                      args.trust_checkpoint, show)
        progress.update(task, description='Done')
    for file in files:
        print(f'{file}: {file.stat().st_size / 2 ** 20:.1f} MiB')


if __name__ == '__main__':
    run_tool(main)
