"""What the command lines of our tools share."""
import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config, DictAction

from mmnasfpn._files import OUR_CONFIGS
from mmnasfpn.engine.run import load_config


def config_parser(description: str | None, is_run: bool = True,
                  default: str | None = None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every tool that takes a config.

    Args:
        description (str | None): What the tool does.
        is_run (bool): Whether it trains or tests: has a work dir, and can be launched as several
            processes. Defaults to True.
        default (str | None): The config where none is given, a name of one of ours. Defaults to None:
            one must be given.
    """
    parser = argparse.ArgumentParser(description=description)
    if default is None:
        parser.add_argument('config', help='path of the config')
    else:
        parser.add_argument('config', nargs='?', default=str(OUR_CONFIGS / f'{default}.py'),
                            help=f'path of the config ({default})')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='override settings of the config, as a.b=value')
    add_trust_checkpoint(parser)
    if not is_run:
        return parser
    parser.add_argument('--work-dir', help='where to write logs and checkpoints')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)  # given by torch.distributed.launch
    return parser


def add_trust_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the option of every tool that reads a checkpoint."""
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read checkpoints in full, also what can run code, not weights only')


def add_speed(parser: argparse.ArgumentParser, *dtypes: str) -> None:
    """Add the options of the tools that run a model by MMEngine's runner: how it computes.

    Args:
        parser (ArgumentParser): The parser.
        *dtypes (str): What ``--dtype`` may be; the first is its default.
    """
    parser.add_argument('--channels-last', action='store_true',
                        help='store weights and maps channels last')
    parser.add_argument('--dtype', choices=dtypes, default=dtypes[0],
                        help='mixed precision, on a CPU or a GPU; by default as the config says')


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """Return a type of arguments: a file to write, so that what cannot be is refused before the work.

    Args:
        *suffixes (str): How its name may end, e.g. ``'.json'``.
    """
    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(f'{text} must end in {" or ".join(suffixes)}')
        if path.is_dir():
            raise argparse.ArgumentTypeError(f'{text} is a folder: name a file')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise argparse.ArgumentTypeError(f'{text} cannot be written: {error}') from None
        return path

    return parse


def load_parsed_config(args: argparse.Namespace) -> Config:
    """Read the config that a command line of :func:`config_parser` means."""
    if 'launcher' not in args:
        return load_config(args.config, cfg_options=args.cfg_options)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return load_config(args.config, args.work_dir, args.cfg_options, args.launcher)
