"""Write the shapes data set: generated images with COCO annotations."""
import argparse

from mmnasfpn.engine.cli import output_folder, run_tool, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', nargs='?', type=output_folder, default='data/shapes',
                        help='folder (%(default)s)')
    parser.add_argument('--num-train', type=whole_number(1), default=400,
                        help='training images (%(default)s)')
    parser.add_argument('--num-val', type=whole_number(1), default=100,
                        help='held-out images (%(default)s)')
    parser.add_argument('--image-size', type=whole_number(128), default=256,
                        help='pixels (%(default)s)')
    parser.add_argument('--seed', type=whole_number(0), default=0, help='(%(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.datasets import make_shapes

    root = make_shapes(args.root, args.num_train, args.num_val, args.image_size, args.seed)
    print(f'{root}: {args.num_train} training and {args.num_val} held-out images')


if __name__ == '__main__':
    run_tool(main)
