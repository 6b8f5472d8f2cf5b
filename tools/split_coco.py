"""Hold images out of a COCO-format data set, to reward the pyramids of a search with (section 4.2)."""
import argparse
from pathlib import Path

from mmnasfpn.engine.cli import output_file, run_tool, whole_number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann_file', type=Path, help='annotation file of the training images')
    parser.add_argument('--num-held-out', type=whole_number(1), default=7392, metavar='N',
                        help="images to hold out (%(default)s, the paper's number)")
    parser.add_argument('--seed', type=whole_number(0), default=0, help='(%(default)s)')
    parser.add_argument('--train', type=output_file('.json'), metavar='FILE',
                        help='file to write for the others (<ann_file>_search-train.json)')
    parser.add_argument('--held-out', type=output_file('.json'), metavar='FILE',
                        help='file to write for those held out (<ann_file>_search-val.json)')
    args = parser.parse_args()
    from mmnasfpn.datasets.split import split_coco

    stem = args.ann_file.stem
    train = args.train or args.ann_file.with_name(f'{stem}_search-train.json')
    held_out = args.held_out or args.ann_file.with_name(f'{stem}_search-val.json')
    counts = split_coco(args.ann_file, train, held_out, args.num_held_out, args.seed)
    for path, count in zip((train, held_out), counts, strict=True):
        print(f'{path}: {count} images')


if __name__ == '__main__':
    run_tool(main)
