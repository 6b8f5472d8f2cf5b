"""Say how far two searches agree on the genotypes that both have evaluated.

Of the trials that they have kept, as ``top.json`` lists them, it prints Kendall's tau between the
rewards: 1 for the same order, 0 for none. Then the same over what the first search finds good alone.
"""
import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import kendalltau

from mmnasfpn.engine.cli import run_tool, share
from mmnasfpn.genotypes import architecture_hash, get_genotype


def rewards(path: Path) -> dict[str, float]:
    """Return the reward of each architecture of a list of trials."""
    return {architecture_hash(get_genotype(trial['genotype'])): trial['reward']
            for trial in json.loads(path.read_text())}


def agreement(pairs: Sequence[tuple[float, float]]) -> str:
    if len(pairs) < 2:
        return f'{len(pairs)} genotypes, too few to compare'
    return f'tau {kendalltau(*zip(*pairs, strict=True)).statistic:.2f} over {len(pairs)} genotypes'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('first', type=Path, help='list of trials, .json')
    parser.add_argument('second', type=Path, help='another one')
    parser.add_argument('--near', type=share, default=0.95, metavar='SHARE',
                        help='good is what has at least this share of the best reward of the first '
                             '(%(default)s)')
    args = parser.parse_args()
    first, second = rewards(args.first), rewards(args.second)
    pairs = [(reward, second[architecture]) for architecture, reward in first.items()
             if architecture in second]
    least = args.near * max(first.values())
    print(f'all: {agreement(pairs)}')
    for name, chosen in ((f'at least {least:.3f}', [pair for pair in pairs if pair[0] >= least]),
                         (f'less than {least:.3f}', [pair for pair in pairs if pair[0] < least])):
        others = [reward for _, reward in chosen]
        ends = f', {min(others):.3f} to {max(others):.3f} by the second' if others else ''
        print(f'{name} by the first: {agreement(chosen)}{ends}')


if __name__ == '__main__':
    run_tool(main)
