"""What the command lines of our tools share: arguments, and how errors end them.

Nothing here imports PyTorch or MMDetection, which takes seconds: tools import those in ``main``, once
the arguments are parsed.
"""
import argparse
import contextlib
import io
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from mmnasfpn._files import OUR_CONFIGS, write_json
from mmnasfpn._markdown import check_markdown, write_markdown
from mmnasfpn.engine.config import CfgOptions, load_config
from mmnasfpn.engine.user_errors import concerns_one_process, is_users, message_of, original_of
from mmnasfpn.errors import UsageError

#: The largest seeds that PyTorch and NumPy take. MMEngine seeds both.
MAX_TORCH_SEED, MAX_NUMPY_SEED = 2**64 - 1, 2**32 - 1


def give_table(args: argparse.Namespace, table: str, data: Any, part: str,
               draw: Callable[[Path], None] | None = None) -> None:
    """Print a Markdown table, and write what ``--json``, ``--markdown`` and ``--picture`` ask for.

    Args:
        args (Namespace): The command line.
        table (str): The table.
        data (Any): What it shows, as plain data.
        part (str): The part of a Markdown file that the table replaces.
        draw (Callable | None): Draws what it shows to a file. Defaults to None: the tool has no picture.
    """
    Console().print(table, markup=False, soft_wrap=True)
    if args.json:
        write_json(args.json, data)
    if args.markdown:
        write_markdown(args.markdown, table, part)
    if draw is not None and args.picture:
        draw(args.picture)


def run_tool(main: Callable[[], None], how_to_go_on: str = '') -> None:
    """Run a tool: an error of the user ends the process with one message, not with a traceback.

    The exit status is then 2 for a mistake in the command line, 130 if stopped by Ctrl-C, and 1 for any
    other error. Where ``MMNASFPN_TRACEBACK=1`` is set, the traceback is shown in place of the message.
    Errors that are not the user's are not caught. Of several processes that meet the same error, only
    the first reports it.

    Args:
        main (Callable): The tool.
        how_to_go_on (str): What to do after Ctrl-C, to go on.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # for names that cannot be encoded
    # MMDetection warns of an optional metric whenever it is imported; no tool uses it.
    warnings.filterwarnings('ignore', 'faster_coco_eval is not installed', UserWarning)
    try:
        main()
    except KeyboardInterrupt:
        if _is_first_process():
            _tell('; '.join(filter(None, ('stopped', how_to_go_on))))
        sys.exit(130)
    except Exception as error:
        if not is_users(error, main.__code__.co_filename):
            raise
        if _is_first_process() or concerns_one_process(error):
            if os.environ.get('MMNASFPN_TRACEBACK') == '1':
                traceback.print_exc()
            else:
                _tell(f'error: {message_of(error)}')
        sys.exit(2 if isinstance(original_of(error), UsageError) else 1)


@contextlib.contextmanager
def needs_extra(extra: str, *packages: str) -> Iterator[None]:
    """End with one message where an import within needs a package of the extra, or a newer one."""
    try:
        yield
    except ImportError as error:  # of a module, or of a name that its old version lacks
        if error.name not in packages:
            raise
        _tell(f"error: this needs {error.name}: pip install 'mmnasfpn[{extra}]'")
        sys.exit(1)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # so that the message is the last thing
        sys.stdout.flush()
    sys.stderr.write(f'{Path(sys.argv[0]).name}: {text}\n')


def _is_first_process() -> bool:
    return os.environ.get('RANK', '0') == '0'


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
        parser.add_argument('config', help="path of the config, or the file's name of one of ours")
    else:
        parser.add_argument('config', nargs='?', default=str(OUR_CONFIGS / f'{default}.py'),
                            help=f'path of the config ({default})')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions,
                        help='override settings of the config, as a.b=value')
    add_trust_checkpoint(parser)
    if not is_run:
        return parser
    parser.add_argument('--work-dir', type=output_folder, help='where to write logs and checkpoints')
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
    """Add the options of how a model computes; the first of ``dtypes`` is the default."""
    parser.add_argument('--channels-last', action='store_true',
                        help='store weights and maps channels last')
    parser.add_argument('--dtype', choices=dtypes, default=dtypes[0],
                        help='mixed precision, on a CPU or a GPU; by default as the config says')
    parser.add_argument('--compile', nargs='?', const='default', metavar='MODE',
                        choices=['default', 'reduce-overhead', 'max-autotune'],
                        help='compile the networks by torch.compile; its MODE is default, '
                             'reduce-overhead (images of one size, on a GPU) or max-autotune')


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a type of arguments: a whole number from ``least`` to ``most``, both included."""
    limits = f'of at least {least}' + ('' if most is None else f' and at most {most}')

    def parse(text: str) -> int:
        # Python reads no text of more than some thousand digits.
        if not text.isdecimal() or len(text) > 1000 or int(text) < least or (
                most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f'{text!r} must be a whole number {limits}')
        return int(text)

    return parse


def share(text: str) -> float:
    """Return a number from 0 to 1: a type of arguments."""
    try:
        number = float(text)
    except ValueError:
        number = -1.
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} must be a number from 0 to 1')
    return number


def by_name(parser: argparse.ArgumentParser, option: str, files: Sequence[str]) -> dict[str, str]:
    """Return names or files by their names without suffix, which must differ."""
    found = {Path(file).stem: file for file in files}
    if len(found) < len(files):
        parser.error(f'{option}: two of {" ".join(files)} have the same name')
    return found


def output_file(*suffixes: str, is_new: bool = False) -> Callable[[str], Path]:
    """Return a type of arguments: a file to write, so that what cannot be is refused before the work.

    Args:
        *suffixes (str): How its name may end, e.g. ``'.json'``.
        is_new (bool): Refuse a file that exists. Defaults to False.
    """
    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f'{text} must end in {" or ".join(suffixes)}')
        with _refusing(text):
            if path.is_dir():
                raise argparse.ArgumentTypeError(f'{text} is a folder: name a file')
            if is_new and path.exists():
                raise argparse.ArgumentTypeError(f'{text} exists: name another file, or remove it')
            _try(path.parent)
        return path

    return parse


def markdown_file(part: str) -> Callable[[str], Path]:
    """Return a type of arguments: a ``.md`` file to write; one that exists must hold the part."""
    def parse(text: str) -> Path:
        path = output_file('.md')(text)
        try:
            check_markdown(path, part)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return path

    return parse


def output_folder(text: str) -> Path:
    """Make a folder to write into: a type of arguments, as :func:`output_file` is one for files."""
    path = Path(text)
    if not text:
        raise argparse.ArgumentTypeError('the name of a folder is empty')
    with _refusing(text):
        if path.exists() and not path.is_dir():
            raise argparse.ArgumentTypeError(f'{text} is a file: name a folder')
        _try(path)
    return path


def folder_of_run(text: str) -> str:
    """Return the folder, below that of a run or absolute, which can be checked: a type of arguments."""
    return str(output_folder(text)) if Path(text).is_absolute() or not text else text


@contextlib.contextmanager
def _refusing(text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise argparse.ArgumentTypeError(f'{text} cannot be written: {error}') from None


def _try(folder: Path) -> None:
    """Make a folder and write into it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def load_parsed_config(args: argparse.Namespace) -> Config:
    """Read the config that a command line of :func:`config_parser` means."""
    if 'launcher' not in args:
        return load_config(args.config, cfg_options=args.cfg_options)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return load_config(args.config, args.work_dir, args.cfg_options, args.launcher)
