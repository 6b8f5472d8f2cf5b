"""Search a pyramid for a detector; the same command goes on with a search that stopped."""
import argparse
import dataclasses
import math
import signal
from pathlib import Path

from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn.engine.cli import (
    MAX_TORCH_SEED,
    by_name,
    config_parser,
    load_parsed_config,
    needs_extra,
    output_file,
    output_folder,
    run_tool,
    whole_number,
)
from mmnasfpn.search.settings import EVALUATORS, PRUNERS, SAMPLERS, STUDY_NAME, SearchSettings


def resource(text: str) -> tuple[str, float]:
    name, sign, amount = text.partition('=')
    try:
        if not name or not sign or float(amount) < 0:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} must be NAME=AMOUNT, e.g. GPU=0.5') from None
    return name, float(amount)


def seconds(text: str) -> float:
    try:
        number = float(text)
        if not 0 < number < math.inf:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} must be a number of seconds above 0') from None
    return number


def parse_args() -> argparse.Namespace:
    """Parse the command line; what is no path is named as in :class:`SearchSettings`."""
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('--work-dir', type=output_folder, required=True,
                        help='where the search is, and goes on')
    parser.add_argument('--trials', type=whole_number(1), metavar='N', dest='num_trials',
                        help="trials in all, earlier runs included (the config's num_trials, or 8000)")
    parser.add_argument('--workers', type=whole_number(1), metavar='N', dest='num_workers',
                        help='trials at a time, which share the GPUs (one for each GPU or core; with '
                             'Ray, as many as fit)')
    parser.add_argument('--evaluator', choices=EVALUATORS, default='local',
                        help='run trials on this machine or on a Ray cluster (%(default)s)')
    parser.add_argument('--start', nargs='+', default=[], metavar='GENOTYPE',
                        help='evaluate these first: names, e.g. nasfpn, or .json files')
    parser.add_argument('--sampler', choices=SAMPLERS, default='controller', help='(%(default)s)')
    parser.add_argument('--pruner', choices=PRUNERS, default='none',
                        help='stop trials that are not promising after an epoch (%(default)s)')
    parser.add_argument('--storage', metavar='URL',
                        help='of Optuna, e.g. postgresql://user@host/name or journal:PATH (search.db in '
                             '--work-dir, or search.journal where files cannot be locked)')
    parser.add_argument('--study-name', default=STUDY_NAME, help='study in the storage (%(default)s)')
    parser.add_argument('--seed', type=whole_number(0, MAX_TORCH_SEED), default=0,
                        help='(%(default)s)')
    parser.add_argument('--retries', type=whole_number(0), default=2, metavar='N', dest='max_retries',
                        help='how often a failed trial is tried again (%(default)s)')
    parser.add_argument('--trial-timeout', type=seconds, metavar='SECONDS',
                        help='kill a trial that takes longer, which is a failure (no limit)')
    parser.add_argument('--ray-address', metavar='ADDRESS',
                        help="a running cluster's, e.g. auto (one on this machine is started)")
    parser.add_argument('--resources', type=resource, nargs='+', metavar='NAME=AMOUNT',
                        help='what a trial takes of the Ray cluster (CPU=1, and GPU=1 if it has '
                             'GPUs, or a share of one for more --workers)')
    parser.add_argument('--top', type=whole_number(1), default=10, metavar='N', dest='num_top',
                        help='how many of the best genotypes top.json holds (%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write the results as JSON')
    args = parser.parse_args()
    args.resources = dict(args.resources or {}) or None
    args.start = by_name(parser, '--start', args.start)
    return args


def main() -> None:
    args = parse_args()
    with needs_extra('search', 'filelock', 'optuna', 'sqlalchemy'):
        from mmnasfpn.search.run import search  # takes seconds to import
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: tidily
    settings = SearchSettings(**{field.name: getattr(args, field.name)
                                 for field in dataclasses.fields(SearchSettings) if field.name in args})
    summary = search(load_parsed_config(args), args.work_dir, settings)
    if args.json:
        write_json(args.json, summary)
    show(summary, args.work_dir)


def show(summary: dict, work_dir: Path) -> None:
    console = Console()
    counts = ', '.join(f'{summary[key]} {key}' for key in ('completed', 'pruned', 'failed', 'unique'))
    lines = [f"{summary['trials']} trials: {counts}, in {summary['seconds']:.0f} s"]
    if summary['best']:
        lines += [f"best reward {summary['best']['reward']:.4f}: {work_dir / 'best.json'}",
                  f"images: {work_dir / 'search.png'}, {work_dir / 'architectures.png'}"]
    console.print('\n'.join(lines), markup=False, emoji=False, highlight=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
