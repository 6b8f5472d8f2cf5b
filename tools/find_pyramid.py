"""Find a pyramid: search by a cheap reward, train the best shortly, and the best of these in full."""
import argparse
import shlex
import sys
from dataclasses import asdict, fields
from functools import partial

from rich.console import Console

from mmnasfpn._markdown import check_markdown
from mmnasfpn.benchmark.seeds import RunError, draw_seeds, draw_tradeoff, to_markdown
from mmnasfpn.engine.cli import (
    MAX_NUMPY_SEED,
    by_name,
    give_table,
    needs_extra,
    output_file,
    output_folder,
    run_tool,
    share,
    whole_number,
)
from mmnasfpn.engine.config import CfgOptions
from mmnasfpn.search.settings import SAMPLERS, SearchSettings

PART = 'pyramids'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_stages(parser)
    add_search(parser)
    parser.add_argument('--work-dir', type=output_folder, required=True,
                        help='where all is; the same command goes on with it')
    parser.add_argument('--baseline', metavar='NAME',
                        help='show what each is ahead of this one of --against')
    parser.add_argument('--costs', type=whole_number(1), nargs=2, metavar=('ROWS', 'COLUMNS'),
                        help='show parameters, FLOPs and latency on the CPU, for an image of this size')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write what was found, from what, and what that took')
    parser.add_argument('--markdown', type=output_file('.md'), metavar='FILE',
                        help='write the tables, between the marks of a file that exists')
    parser.add_argument('--part', metavar='NAME', default=PART, help='of the marks (%(default)s)')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE', help='draw the APs')
    parser.add_argument('--tradeoff', type=output_file('.png'), metavar='FILE',
                        help='draw the APs over the latencies; with --costs')
    args = parser.parse_args()
    args.start = by_name(parser, '--start', args.start)
    against = by_name(parser, '--against', args.against)
    if args.baseline and args.baseline not in against:
        parser.error(f'--baseline is {args.baseline}, but must be one of --against')
    if args.tradeoff and not args.costs:
        parser.error('--tradeoff needs the size of an image: --costs ROWS COLUMNS')
    args.overrides = None
    try:
        CfgOptions(['--cfg-options'], 'overrides')(parser, args, args.options)
        if args.markdown:
            check_markdown(args.markdown, args.part)
    except (ValueError, argparse.ArgumentError) as error:
        parser.error(str(error))
    return args


def add_stages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('search', help='config of a search by a cheap reward, e.g. of shared weights')
    parser.add_argument('final', help='config that the finalists are trained with')
    parser.add_argument('--shortlist', metavar='CONFIG',
                        help='config of a search in the same space by a better reward, e.g. a short '
                             'training, which the best of the search get')
    parser.add_argument('--shortlisted', type=whole_number(1), default=32, metavar='N',
                        dest='num_shortlisted', help='how many get it (%(default)s)')
    parser.add_argument('--near', type=share, metavar='SHARE',
                        help='take the first of the search whose reward is at least this share of its '
                             'best, e.g. 0.8, in place of the best; with --sampler random')
    parser.add_argument('--drawn', type=whole_number(0), default=0, metavar='N', dest='num_drawn',
                        help='how many more get it, which TPE draws after them (%(default)s)')
    parser.add_argument('--finalists', type=whole_number(1), default=3, metavar='N',
                        dest='num_finalists',
                        help='how many of the best are trained in full (%(default)s)')
    parser.add_argument('--against', nargs='+', default=[], metavar='GENOTYPE',
                        help='train these too: names, e.g. nasfpn, .json files, or configs, .py')
    parser.add_argument('--random-genotypes', type=whole_number(0), default=3, metavar='N',
                        dest='num_random', help='and as many random ones (%(default)s)')
    parser.add_argument('--seeds', type=whole_number(0, MAX_NUMPY_SEED), nargs='+',
                        default=[0, 1, 2, 3, 4], help='of the final trainings (0 1 2 3 4)')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', dest='options',
                        help='override settings of the final trainings')


def add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--start', nargs='+', default=[], metavar='GENOTYPE',
                        help='the search evaluates these first: names or .json files')
    parser.add_argument('--trials', type=whole_number(1), metavar='N', dest='num_trials',
                        help="of the search (the config's num_trials)")
    parser.add_argument('--sampler', choices=SAMPLERS, default='controller', help='(%(default)s)')
    parser.add_argument('--seed', type=whole_number(0, MAX_NUMPY_SEED), default=0,
                        help='of the search (%(default)s)')
    parser.add_argument('--workers', type=whole_number(1), default=1, metavar='N', dest='num_workers',
                        help='how many evaluations or trainings at a time (%(default)s)')


def main() -> None:
    args = parse_args()
    with needs_extra('search', 'filelock', 'optuna', 'sqlalchemy'):
        from mmnasfpn.benchmark.finals import Plan, finalists_to_markdown, find, stages_to_markdown
    given = vars(args)
    plan = Plan(**{field.name: given[field.name] for field in fields(Plan)})
    settings = SearchSettings(**{field.name: given[field.name] for field in fields(SearchSettings)
                                 if field.name in given})
    found = find(plan, args.work_dir, settings, Console())
    costs = None
    if args.costs:
        from mmnasfpn.benchmark.costs import measure_costs
        costs = measure_costs(found.configs, tuple(args.costs), cfg_options=args.overrides)
    table = '\n\n'.join([
        finalists_to_markdown(found.finalists), to_markdown(found.runs, costs, args.baseline),
        stages_to_markdown(found.stages)])
    data = dict(command=shlex.join(sys.argv), **found.to_dict(),
                **(dict(costs={name: asdict(cost) for name, cost in costs.items()}) if costs else {}))
    give_table(args, table, data, args.part, partial(draw_seeds, found.runs))
    if args.tradeoff and costs:
        draw_tradeoff(found.runs, costs, args.tradeoff)
    if any(run.ap is None for run in found.runs):
        raise RunError('some runs failed; the same command tries them again')


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
