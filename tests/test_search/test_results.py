"""What a search leaves."""
import json

import pytest

from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace
from tests.test_search.searches import completed, counts_of, match_config, search


def test_a_search_leaves_its_results(tmp_path):
    summary = search(match_config(), tmp_path, 60)
    assert counts_of(summary) == (60, 60, 0, 0) and summary['sampler'] == 'controller'
    rewards = [trial.value for trial in completed(tmp_path)]
    assert summary['best']['reward'] == max(rewards)
    assert summary['mean_reward_last_200'] == pytest.approx(sum(rewards) / 60)
    assert 0 < summary['seconds'] < 60
    best = get_genotype(tmp_path / 'best.json')
    assert best.to_dict() == summary['best']['genotype'] and best in SearchSpace()
    top = json.loads((tmp_path / 'top.json').read_text())
    assert [found['reward'] for found in top] == sorted(rewards, reverse=True)[:10]
    assert top[0]['genotype'] == best.to_dict()
    for picture in ('search.png', 'architectures.png'):
        assert (tmp_path / picture).stat().st_size > 10_000
