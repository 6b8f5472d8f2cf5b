"""Convert weights of another NAS-FPN, MMDetection's or the authors', or of Keras's MobileNetV2."""
import argparse

from mmnasfpn.engine.cli import add_trust_checkpoint, output_file, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='CKPT',
                        help='mmdet: a .pth; tf: the prefix of a checkpoint, or an .npz of variables; '
                             'keras: an .h5')
    parser.add_argument('out', type=output_file('.pth', is_new=True), metavar='OUT',
                        help='where to write the converted checkpoint, a .pth')
    parser.add_argument('--from', dest='source', choices=['mmdet', 'tf', 'keras'],
                        required=True, help="mmdet: a detector with MMDetection's NASFPN; tf: the "
                                            "authors' neck; keras: Keras's MobileNetV2, a backbone")
    parser.add_argument('--input-levels', type=int, nargs='+', metavar='L',
                        help="tf: levels of the backbone's maps, where one has no variables of its own "
                             'because it has the feature dimension already')
    parser.add_argument('--eps', type=float,
                        help="tf: eps of the neck's norm_cfg, where it is not the authors' 1e-4 and the "
                             'backbone has a map of the feature dimension')
    add_trust_checkpoint(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.converters.checkpoint import convert_checkpoint

    print(convert_checkpoint(args.source, args.checkpoint, args.out, args.input_levels,
                             args.trust_checkpoint, args.eps))


if __name__ == '__main__':
    run_tool(main)
