"""Train a small NAS-FPN on generated shapes, evaluate it, and draw what it sees."""
import argparse

from mmnasfpn.engine.cli import output_file, output_folder, run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', type=output_folder, default='work_dirs/demo',
                        help='where to write (%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write the metrics as JSON (metrics.json in the work dir)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.engine.demo import run_demo

    run_demo(args.work_dir, args.json)


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
