"""Search with several samplers and seeds, and show which finds more."""
import argparse
from functools import partial

from rich.console import Console

from mmnasfpn.engine.cli import (
    MAX_TORCH_SEED,
    config_parser,
    give_table,
    load_parsed_config,
    markdown_file,
    needs_extra,
    output_file,
    output_folder,
    run_tool,
    whole_number,
)
from mmnasfpn.search.settings import SAMPLERS

#: The part of a Markdown file that the table replaces.
SAMPLERS_PART = 'samplers'


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('--samplers', nargs='+', choices=SAMPLERS, help='(controller random tpe)',
                        default=['controller', 'random', 'tpe'])
    parser.add_argument('--variants', nargs='+', default=[], metavar='NAME=VALUE',
                        help='arguments of the controller to try too: lr=0.002 batch_size=10,lr=0.005')
    parser.add_argument('--seeds', type=whole_number(0, MAX_TORCH_SEED), nargs='+',
                        default=[0, 1, 2, 3, 4], help='(0 1 2 3 4)')
    parser.add_argument('--trials', type=whole_number(1), default=3000,
                        help='of each search (%(default)s)')
    parser.add_argument('--workers', type=whole_number(1), help='trials at a time')
    parser.add_argument('--work-dir', type=output_folder, default='work_dirs/samplers',
                        help='where the searches are; the same command goes on with them (%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write the results of each search as JSON')
    parser.add_argument('--markdown', type=markdown_file(SAMPLERS_PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE', help='draw the searches')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with needs_extra('search', 'filelock', 'optuna', 'sqlalchemy'):
        from sampler_comparison import candidates, compare, draw_comparison, to_markdown
    console = Console()
    compared = candidates(load_parsed_config(args), args.samplers, args.variants)
    runs = []
    for run in compare(compared, args.seeds, args.trials, args.work_dir, args.workers):
        console.print(f"{run['name']}, seed {run['seed']}: mean of the last 200 rewards "
                      f"{run['mean_reward_last_200']:.3f}", markup=False)
        runs.append(run)
    runs.sort(key=lambda run: [candidate.name for candidate in compared].index(run['name']))
    give_table(args, to_markdown(runs), runs, SAMPLERS_PART, partial(draw_comparison, runs))


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
