"""Train a detector."""
import argparse
import os

from mmengine.config import DictAction

from mmnasfpn.engine.run import load_config, train


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--work-dir', help='where to write logs and checkpoints')
    parser.add_argument('--amp', action='store_true', help='mixed precision; needs a GPU')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate to the batch in use')
    parser.add_argument('--resume', nargs='?', const=True, default=False, metavar='CHECKPOINT',
                        help='go on from a checkpoint; without one, from the last in the work dir')
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
    train(cfg, args.amp, args.auto_scale_lr, args.resume)


if __name__ == '__main__':
    main()
