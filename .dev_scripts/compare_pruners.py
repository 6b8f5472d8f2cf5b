"""Search with each pruner at equal cost, and show what the controller is best taught by it."""
import argparse

from rich.console import Console

from mmnasfpn.engine.cli import (
    MAX_TORCH_SEED,
    give_table,
    markdown_file,
    needs_extra,
    output_file,
    run_tool,
    whole_number,
)

#: The part of a Markdown file that the table replaces.
PRUNERS_PART = 'pruners'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--factors', type=whole_number(2), nargs='+', default=[2, 3, 4],
                        help='one of so many trials goes on (2 3 4)')
    parser.add_argument('--seeds', type=whole_number(0, MAX_TORCH_SEED), nargs='+',
                        default=[0, 1, 2, 3, 4], help='(0 1 2 3 4)')
    parser.add_argument('--budgets', type=whole_number(1), nargs='+', default=[500, 2000],
                        metavar='EPOCHS', help='epochs of all trials of a search (500 2000)')
    parser.add_argument('--workers', type=whole_number(1), default=1,
                        help='searches at a time (%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write the results of each search as JSON')
    parser.add_argument('--markdown', type=markdown_file(PRUNERS_PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with needs_extra('search', 'filelock', 'optuna', 'sqlalchemy'):
        from pruner_comparison import candidates, compare, rank_correlations, to_markdown
    console = Console()
    correlations = ', '.join(f'{value:.2f}' for value in rank_correlations())
    console.print(f'rank correlations of epochs with the end: {correlations}')
    runs = []
    for run in compare(candidates(args.factors), args.seeds, args.budgets, args.workers):
        console.print(', '.join(f'{key} {value}' for key, value in run.items()), markup=False,
                      soft_wrap=True)
        runs.append(run)
    give_table(args, to_markdown(runs), runs, PRUNERS_PART)


if __name__ == '__main__':
    run_tool(main)
