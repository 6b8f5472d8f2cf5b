"""Train configs, or a config with several genotypes, with several seeds, and compare the results."""
import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from mmnasfpn._markdown import check_markdown
from mmnasfpn.benchmark.seeds import (
    GENOTYPES_PART,
    SEEDS_PART,
    Run,
    RunError,
    draw_seeds,
    draw_tradeoff,
    read_seeds,
    show_progress,
    to_markdown,
    train_seeds,
    write_children,
)
from mmnasfpn.engine.cli import (
    MAX_NUMPY_SEED,
    by_name,
    give_table,
    needs_extra,
    output_file,
    output_folder,
    run_tool,
    whole_number,
)
from mmnasfpn.engine.config import CfgOptions, find_config, load_config
from mmnasfpn.genotypes import get_genotype


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help="paths of the configs, of different names, or the "
                                                   "file's names of some of ours")
    parser.add_argument('--genotypes', nargs='+', default=[], metavar='GENOTYPE',
                        help='train the first config with each of these in place of its own: names or '
                             '.json files')
    parser.add_argument('--random-genotypes', type=whole_number(0), default=0, metavar='N',
                        help='and with as many random ones (%(default)s)')
    parser.add_argument('--space', metavar='CONFIG',
                        help="config whose search space the random ones are of (the first config's own)")
    parser.add_argument('--seeds', type=whole_number(0, MAX_NUMPY_SEED), nargs='+',
                        default=[0, 1, 2, 3, 4], help='(0 1 2 3 4)')
    parser.add_argument('--work-dir', default='work_dirs/seeds', type=output_folder,
                        help='where the runs are; the same command goes on with them (%(default)s)')
    parser.add_argument('--jobs', type=whole_number(1), default=1,
                        help='how many run at a time (%(default)s)')
    parser.add_argument('--no-train', action='store_true',
                        help='train nothing: show the runs that are finished')
    parser.add_argument('--baseline', metavar='CONFIG',
                        help='show what each config is ahead of this one, with the 95%% interval over '
                             'the seeds')
    parser.add_argument('--costs', type=whole_number(1), nargs=2, metavar=('ROWS', 'COLUMNS'),
                        help='show parameters, FLOPs and latency on the CPU, for an image of this size')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='override settings, as a.b=value')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write each run as JSON')
    parser.add_argument('--markdown', type=output_file('.md'), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--part', metavar='NAME', help=f'of the marks ({SEEDS_PART}; with genotypes, '
                                                       f'{GENOTYPES_PART})')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE', help='draw the runs')
    parser.add_argument('--tradeoff', type=output_file('.png'), metavar='FILE',
                        help='draw the APs over the latencies; with --costs')
    args = parser.parse_args()
    args.configs = [find_config(config) for config in args.configs]
    by_name(parser, 'configs', args.configs)
    args.genotypes = by_name(parser, '--genotypes', args.genotypes)
    if missing := [config for config in args.configs if not Path(config).is_file()]:
        parser.error(f'configs: there is no file {missing[0]}')
    args.baseline = args.baseline and Path(args.baseline).stem
    if len(set(args.seeds)) < len(args.seeds):
        parser.error('--seeds must be different numbers')
    if args.tradeoff and not args.costs:
        parser.error('--tradeoff needs the size of an image: --costs ROWS COLUMNS')
    args.overrides = None
    has_genotypes = bool(args.genotypes or args.random_genotypes)
    args.part = args.part or (GENOTYPES_PART if has_genotypes else SEEDS_PART)
    try:
        CfgOptions(['--cfg-options'], 'overrides')(parser, args, args.cfg_options)
        if args.markdown:
            check_markdown(args.markdown, args.part)
        if has_genotypes:
            args.configs = with_genotypes(args)
            by_name(parser, 'configs and --genotypes', args.configs)
    except (ValueError, argparse.ArgumentError) as error:  # GenotypeError is a ValueError
        parser.error(str(error))
    names = [Path(config).stem for config in args.configs]
    if args.baseline and args.baseline not in names:
        parser.error(f'--baseline is {args.baseline}, but must be one of {", ".join(names)}')
    return args


def with_genotypes(args: argparse.Namespace) -> list[str]:
    """Write a child of the first config for each genotype, and return their paths, then the others."""
    first, *others = args.configs
    genotypes = {name: get_genotype(genotype) for name, genotype in args.genotypes.items()}
    if args.random_genotypes:
        with needs_extra('search', 'filelock', 'optuna', 'sqlalchemy'):
            from mmnasfpn.search.run import space_of
        space = space_of(load_config(args.space or first))
        genotypes |= space.random_genotypes(args.random_genotypes)
    return write_children(first, genotypes, args.work_dir / 'configs') + others


def main() -> None:
    args = parse_args()
    console = Console()
    runs = (read_seeds(args.configs, args.seeds, args.work_dir, args.cfg_options) if args.no_train
            else train(args, console))
    costs = None
    if args.costs:
        from mmnasfpn.benchmark.costs import measure_costs
        costs = measure_costs(args.configs, tuple(args.costs), cfg_options=args.overrides)
    data = [{**asdict(run), **(asdict(costs[run.config]) if costs else {})} for run in runs]
    give_table(args, to_markdown(runs, costs, args.baseline), data, args.part, partial(draw_seeds, runs))
    if args.tradeoff and costs:
        draw_tradeoff(runs, costs, args.tradeoff)
    if any(run.ap is None for run in runs):
        raise RunError('some runs failed; the same command tries them again')


def train(args: argparse.Namespace, console: Console) -> list[Run]:
    trained = train_seeds(args.configs, args.seeds, args.work_dir, args.jobs, args.cfg_options)
    return show_progress(trained, args.configs, len(args.configs) * len(args.seeds), console)


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
