"""Train a detector."""
import argparse

from mmnasfpn.engine.cli import add_speed, config_parser, load_parsed_config, run_tool


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    parser.add_argument('--amp', action='store_true', help='mixed precision of float16; needs a GPU')
    add_speed(parser, 'fp32', 'bf16')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate to the batch in use')
    parser.add_argument('--resume', nargs='?', const=True, default=False, metavar='CHECKPOINT',
                        help='go on from a checkpoint; without one, from the last in the work dir')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.engine.run import train

    train(load_parsed_config(args), args.amp, args.auto_scale_lr, args.resume,
          args.trust_checkpoint, channels_last=args.channels_last, dtype=args.dtype,
          compile_mode=args.compile)


if __name__ == '__main__':
    run_tool(main, '--resume goes on from the last checkpoint in the work dir')
