"""Cut a checkpoint of an anytime detector to the plain detector of one of its exits."""
import argparse

from mmnasfpn.engine.cli import config_parser, load_parsed_config, output_file, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint of the anytime detector')
    parser.add_argument('out', type=output_file('.pth', is_new=True), metavar='OUT',
                        help='where to write the plain checkpoint, a .pth')
    parser.add_argument('--exit', type=whole_number(1), required=True, metavar='K', dest='exit_stack',
                        help='the exit: the plain detector has K stacks')
    parser.add_argument('--config-out', type=output_file('.py', is_new=True), metavar='FILE',
                        help='write the config of the plain detector, too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.anytime.slim import slim_checkpoint

    print(slim_checkpoint(load_parsed_config(args), args.checkpoint, args.exit_stack, args.out,
                          args.config_out, args.trust_checkpoint))


if __name__ == '__main__':
    run_tool(main)
