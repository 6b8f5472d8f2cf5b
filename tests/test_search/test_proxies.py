"""How well proxies agree with the final training."""
import itertools
import json
import runpy

import numpy as np
import pytest

from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace, proxies
from mmnasfpn.search.proxies import (
    Scores,
    agreements,
    compare,
    count,
    draw_proxies,
    short_names,
    to_markdown,
)
from mmnasfpn.search.settings import SearchSettings
from tests.conftest import REPO
from tests.test_search.searches import MATCH

pytestmark = pytest.mark.usefixtures('no_graphs')


def tau_by_counting(a, b):
    """Kendall's tau without ties: pairs in the same order, less those in the other, of all."""
    signs = [np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in itertools.combinations(range(len(a)), 2)]
    return sum(signs) / len(signs)


@pytest.fixture
def few_samples(monkeypatch):
    monkeypatch.setattr(proxies, '_SAMPLES', 400)


def test_tau_is_that_of_counting_pairs_and_the_interval_holds_it(few_samples):
    rng = np.random.default_rng(0)
    final = rng.normal(size=30)
    near, far, random = (share * final + rng.normal(size=30) for share in (2, 0.5, 0))
    found = agreements(final, [Scores(name, values, 1, 1) for name, values in (
        ('near', near), ('far', far), ('random', random), ('opposite', -final))])
    for one, values in zip(found, (near, far, random, -final), strict=True):
        assert one.tau == pytest.approx(tau_by_counting(final, values))
        assert one.low <= one.tau <= one.high
    near, far, random, opposite = found
    assert near.low > 0 and random.low < 0 < random.high and opposite.tau == -1
    assert near.ahead is None and random.ahead[2] < 0
    assert far.ahead[0] == pytest.approx(far.tau - near.tau)


def test_a_proxy_that_says_the_same_of_all_has_no_order(few_samples):
    found, = agreements([0.1, 0.2, 0.3, 0.4], [Scores('equal', [1, 1, 1, 1], 1, 1)])
    assert (found.tau, found.low, found.high) == (0, 0, 0)


def other_match(folder, name='other.py', **options):
    (folder / 'target.json').write_text(SearchSpace(**options).decode(
        [0] * len(SearchSpace(**options).decisions)).to_json())
    (folder / name).write_text(f'''_base_ = {str(MATCH)!r}
search_space = {options!r}
reward = dict(type='GenotypeMatch', target={str(folder / 'target.json')!r})
''')
    return str(folder / name)


def test_proxies_are_compared_and_another_call_evaluates_nothing_again(
        tmp_path, few_samples, monkeypatch):
    arguments = (str(MATCH), [other_match(tmp_path), str(MATCH.with_name('match.py'))], 6, 0,
                 tmp_path / 'w')
    with pytest.raises(ValueError, match='two have the same name'):
        compare(*arguments)
    arguments = (str(MATCH), [other_match(tmp_path)], 6, 0, tmp_path / 'w')
    found = compare(*arguments)
    assert len(found.genotypes) == len(found.final.values) == len(found.proxies[0].values) == 6
    monkeypatch.setattr('mmnasfpn.search.rewards.GenotypeMatch.__call__', lambda *_: 1 / 0)
    assert compare(*arguments) == found
    plain = json.loads(json.dumps(found.to_dict()))
    told, = plain['proxies']
    assert (told['name'], told['tau']) == ('other', found.agreements[0].tau)
    assert get_genotype(plain['genotypes']['random_5']) == found.genotypes['random_5']
    assert '| other | ' in to_markdown(found)
    draw_proxies(found, tmp_path / 'proxies.png')
    assert (tmp_path / 'proxies.png').stat().st_size > 5000


def test_a_proxy_of_another_space_is_named(tmp_path):
    other = other_match(tmp_path, min_level=3, max_level=6)
    with pytest.raises(ValueError, match='other.py searches another space than'):
        compare(str(MATCH), [other], 4, 0, tmp_path / 'w')


def test_genotypes_that_cannot_be_evaluated_are_told_and_tried_again(
        tmp_path, monkeypatch, few_samples):
    def fail_at_times(self, genotype, work_dir=''):
        if genotype.cells[-1].op == 'gp':
            raise MemoryError
        return 0.5

    arguments = (str(MATCH), [other_match(tmp_path)], 6, 0, tmp_path / 'w')
    with monkeypatch.context() as patch:
        patch.setattr('mmnasfpn.search.rewards.GenotypeMatch.__call__', fail_at_times)
        with pytest.raises(RuntimeError, match='of 6 genotypes could not be evaluated, such as random_.*'
                                               'more --retries than 2 tries them again'):
            compare(*arguments)
    assert len(compare(*arguments, SearchSettings(max_retries=3)).final.values) == 6


def test_costs_are_counted_once(tiny_config, tmp_path, monkeypatch):
    calls = []

    def cost_of(name, cfg, genotype, size):
        calls.append(size)
        return float(len(calls))

    monkeypatch.setattr(proxies, 'cost_of', cost_of)
    cfg, genotypes = load_config(str(tiny_config)), dict(a=get_genotype('nasfpn'))
    for _ in range(2):
        assert count(cfg, 'flops', genotypes, tmp_path / 'flops.json').values == (1.0,)
    assert calls == [(256, 256)]
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(ValueError, match='does not say to which size .*: flops cannot be counted'):
        count(cfg, 'flops', genotypes, tmp_path / 'flops.json')


def test_the_tool_writes_table_picture_and_json(tmp_path, few_samples, monkeypatch, capsys):
    (tmp_path / 'page.md').write_text('<!-- begin of the proxies -->\n<!-- end of the proxies -->\n')
    out = {name: str(tmp_path / name) for name in ('page.md', 'all.json', 'proxies.png')}
    monkeypatch.setattr('sys.argv', [
        'compare_proxies.py', str(MATCH), '--proxies', other_match(tmp_path), '--genotypes', '4',
        '--work-dir', str(tmp_path / 'w'), '--json', out['all.json'], '--markdown', out['page.md'],
        '--picture', out['proxies.png']])
    runpy.run_path(str(REPO / 'tools/compare_proxies.py'))['main']()
    assert '| other | ' in (tmp_path / 'page.md').read_text()
    assert '| other | ' in capsys.readouterr().out
    assert len(json.loads((tmp_path / 'all.json').read_text())['final']['values']) == 4
    assert (tmp_path / 'proxies.png').is_file()


@pytest.mark.parametrize(('names', 'short'), [
    (['a_x_12e_b', 'a_x_4e_b', 'flops', 'a_y_b'], ['x_12e', 'x_4e', 'flops', 'y']),
    (['match', 'other'], ['match', 'other']),
    (['a_b', 'a_c_b'], ['a_b', 'a_c_b']),
    (['a', 'flops'], ['a', 'flops']),
])
def test_names_are_short(names, short):
    assert short_names(names) == short
