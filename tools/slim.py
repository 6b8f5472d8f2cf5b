"""Cut a checkpoint of an anytime detector to the plain detector of one of its exits."""
import argparse
import sys

from mmnasfpn.converters import ConversionError
from mmnasfpn.engine.cli import config_parser, load_parsed_config
from mmnasfpn.engine.slim import slim_checkpoint
from mmnasfpn.safe_checkpoints import CheckpointError


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint of the anytime detector')
    parser.add_argument('out', metavar='OUT', help='where to write the plain checkpoint, a .pth')
    parser.add_argument('--exit', type=int, required=True, metavar='K', dest='exit_stack',
                        help='the exit: the plain detector has K stacks')
    parser.add_argument('--config-out', metavar='FILE',
                        help='write the config of the plain detector, too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        print(slim_checkpoint(load_parsed_config(args), args.checkpoint, args.exit_stack, args.out,
                              args.config_out, args.trust_checkpoint))
    except (ConversionError, CheckpointError, OSError) as error:
        sys.exit(f'slim: {error}')


if __name__ == '__main__':
    main()
