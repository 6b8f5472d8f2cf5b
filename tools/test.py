"""Evaluate a checkpoint."""
import argparse
import os

from mmengine.config import DictAction

from mmnasfpn.engine.run import load_config, test


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='checkpoint to evaluate')
    parser.add_argument('--work-dir', help='where to write logs')
    parser.add_argument('--json', metavar='FILE', help='write the metrics as JSON')
    parser.add_argument('--out', metavar='FILE', help='write all predictions as a pickle')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='paint predictions into this folder of the work dir')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds to show each picture')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='override settings of the config, as a.b=value')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)  # given by torch.distributed.launch
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.work_dir, args.cfg_options, args.launcher)
    test(cfg, args.checkpoint, out=args.out, json_path=args.json, show_dir=args.show_dir,
         show=args.show, wait_time=args.wait_time, tta=args.tta)


if __name__ == '__main__':
    main()
