"""The agreement of two searches on the genotypes that both have evaluated."""
import json

import pytest

from mmnasfpn.search import SearchSpace
from tests.conftest import run_tool_here

GENOTYPES = list(SearchSpace().random_genotypes(6).values())


@pytest.mark.parametrize(('first', 'second', 'lines'), [
    ([0.9, 0.8, 0.2, 0.1], [0.5, 0.6, 0.04, 0.03], [
        'all: tau 0.67 over 4 genotypes',
        'at least 0.450 by the first: tau -1.00 over 2 genotypes, 0.500 to 0.600 by the second',
        'less than 0.450 by the first: tau 1.00 over 2 genotypes, 0.030 to 0.040 by the second']),
    ([0.9], [0.5, 0.6], [
        'all: 1 genotypes, too few to compare',
        'at least 0.450 by the first: 1 genotypes, too few to compare, 0.500 to 0.500 by the second',
        'less than 0.450 by the first: 0 genotypes, too few to compare']),
])
def test_what_both_have_counts_and_the_good_apart(first, second, lines, tmp_path, monkeypatch, capsys):
    rows = dict(first=zip(first, GENOTYPES, strict=False),
                second=[(1.0, GENOTYPES[-1]), *zip(second, GENOTYPES, strict=False)])
    for name, trials in rows.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(
            [dict(reward=reward, genotype=genotype.to_dict()) for reward, genotype in trials]))
    run_tool_here(monkeypatch, 'compare_rewards', tmp_path / 'first.json',
                  tmp_path / 'second.json', '--near', 0.5)
    assert capsys.readouterr().out.splitlines() == lines
