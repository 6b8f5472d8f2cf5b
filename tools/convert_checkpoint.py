"""Convert weights of another NAS-FPN: of MMDetection's own, or of the authors' TensorFlow code."""
import argparse
import sys

from mmnasfpn.converters import ConversionError
from mmnasfpn.converters.checkpoint import convert_checkpoint
from mmnasfpn.engine.cli import add_trust_checkpoint
from mmnasfpn.safe_checkpoints import CheckpointError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='CKPT',
                        help='mmdet: a .pth; tf: the prefix of a checkpoint, or an .npz of variables')
    parser.add_argument('out', metavar='OUT', help='where to write the converted checkpoint, a .pth')
    parser.add_argument('--from', dest='source', choices=['mmdet', 'tf'], required=True,
                        help="mmdet: a detector with MMDetection's NASFPN; tf: the authors' neck")
    parser.add_argument('--input-levels', type=int, nargs='+', metavar='L',
                        help="tf: levels of the backbone's maps, where one has no variables of its own "
                             'because it has the feature dimension already')
    add_trust_checkpoint(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        print(convert_checkpoint(args.source, args.checkpoint, args.out, args.input_levels,
                                 args.trust_checkpoint))
    except (ConversionError, CheckpointError, FileExistsError) as error:
        sys.exit(f'convert_checkpoint: {error}')


if __name__ == '__main__':
    main()
