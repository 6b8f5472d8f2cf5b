"""Compare proxies: what they say of random genotypes, against what these reach in a longer training."""
import argparse
from functools import partial

from mmnasfpn.engine.cli import (
    MAX_NUMPY_SEED,
    give_table,
    markdown_file,
    needs_extra,
    output_file,
    output_folder,
    run_tool,
    whole_number,
)

PART = 'proxies'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a search whose reward is the final training')
    parser.add_argument('--proxies', nargs='+', required=True, metavar='PROXY',
                        help='configs of searches in the same space, by their rewards; or flops, '
                             'params, latency')
    parser.add_argument('--genotypes', type=whole_number(3), default=32, metavar='N',
                        help='how many (%(default)s)')
    parser.add_argument('--seed', type=whole_number(0, MAX_NUMPY_SEED), default=0,
                        help='of the genotypes (%(default)s)')
    parser.add_argument('--workers', type=whole_number(1), metavar='N',
                        help='trials at a time (one for each GPU or core)')
    parser.add_argument('--retries', type=whole_number(0), default=2, metavar='N',
                        help='how often a failed trial is tried again (%(default)s)')
    parser.add_argument('--work-dir', type=output_folder, default='work_dirs/proxies',
                        help='where the trials are; the same command goes on with them (%(default)s)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE', help='write all as JSON')
    parser.add_argument('--markdown', type=markdown_file(PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE',
                        help='draw final values over those of each proxy')
    args = parser.parse_args()
    if len(set(args.proxies)) < len(args.proxies):
        parser.error(f'--proxies: two of {" ".join(args.proxies)} are the same')
    return args


def main() -> None:
    args = parse_args()
    with needs_extra('search', 'filelock', 'optuna', 'sqlalchemy'):
        from mmnasfpn.search.proxies import compare, draw_proxies, to_markdown
        from mmnasfpn.search.settings import SearchSettings
    comparison = compare(args.config, args.proxies, args.genotypes, args.seed, args.work_dir,
                         SearchSettings(num_workers=args.workers, max_retries=args.retries))
    give_table(args, to_markdown(comparison), comparison.to_dict(), PART,
               partial(draw_proxies, comparison))


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
