"""A search with final trainings: who gets into them, what is kept, what is told."""
import json

import pytest
from rich.console import Console

from mmnasfpn.benchmark import seeds as seeds_module
from mmnasfpn.benchmark.finals import Plan, finalists_to_markdown, find, stages_to_markdown
from mmnasfpn.genotypes import architecture_hash, get_genotype
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.settings import SearchSettings
from tests.conftest import run_tool_here
from tests.test_benchmark.test_seeds import TRAIN
from tests.test_search.searches import MATCH

SETTINGS = SearchSettings(20, sampler='random', start=dict(nasfpn='nasfpn'), num_workers=1)


@pytest.fixture
def plan(tiny_config, tmp_path, monkeypatch):
    """Search and short list by matches with different genotypes, and stand-ins for trainings."""
    monkeypatch.setattr('mmnasfpn.search.results.draw_architectures', lambda *_: None)
    script = tmp_path / 'train.py'
    script.write_text(TRAIN)
    monkeypatch.setattr(seeds_module, '_TRAIN', script)
    target = SearchSpace().decode([0] * len(SearchSpace().decisions))
    (tmp_path / 'target.json').write_text(target.to_json())
    short = tmp_path / 'short.py'
    short.write_text(f'_base_ = {str(MATCH)!r}\n'
                     f"reward = dict(type='GenotypeMatch', target={str(tmp_path / 'target.json')!r})\n")
    return Plan(str(MATCH), str(tiny_config), str(short), num_shortlisted=8, num_finalists=2,
                against=['nasfpn', str(tiny_config)], num_random=1, seeds=[0, 1])


def test_the_best_of_the_search_are_shortened_and_the_best_of_these_trained(plan, tmp_path):
    found = find(plan, tmp_path / 'w', SETTINGS, Console(quiet=True))
    top = json.loads((tmp_path / 'w/search/top.json').read_text())
    assert top[0]['reward'] == 1  # the known one, which takes no place of a finalist
    hashes = [architecture_hash(get_genotype(one['genotype']))[:6] for one in top[:9]]
    scored = json.loads((tmp_path / 'w/shortlist/top.json').read_text())
    assert {architecture_hash(get_genotype(one['genotype']))[:6] for one in scored} == set(hashes)
    assert [one['short'] for one in found.finalists.values()] == [
        one['reward'] for one in scored if one['genotype'] != top[0]['genotype']][:2]
    for name, one in found.finalists.items():
        genotype = get_genotype(tmp_path / f'w/finalists/{name}.json')
        assert genotype == get_genotype(one['genotype'])
        assert name == f'found_{architecture_hash(genotype)[:6]}'
    runs = {(run.config, run.seed): run.ap for run in found.runs}
    names = [*found.finalists, 'random_0', 'nasfpn', 'tiny']
    assert runs == {(name, seed): 0.5 + 0.01 * seed for name in names for seed in (0, 1)}
    assert [stage.evaluated for stage in found.stages] == [20, 9, 10]
    assert found.stages[-1].cpu_seconds == sum(run.seconds for run in found.runs) > 0


def test_the_short_list_goes_on_with_draws(plan, tmp_path):
    drawing = Plan(**{**plan.__dict__, 'num_drawn': 30})
    found, again = (find(drawing, tmp_path / 'w', SETTINGS, Console(quiet=True)) for _ in range(2))
    assert again.to_dict() == found.to_dict()
    assert found.stages[1].evaluated == 9 + 30
    scored = json.loads((tmp_path / 'w/shortlist/top.json').read_text())
    assert [one['short'] for one in found.finalists.values()] == [one['reward'] for one in scored[:2]]
    drawn = [one for one in found.finalists.values() if one['reward'] is None]
    assert drawn and all(one['trial'] is None for one in drawn)  # TPE has found better ones


def test_the_first_that_are_nearly_as_good_get_into_the_short_list(plan, tmp_path):
    near = Plan(**{**plan.__dict__, 'near': 0.4, 'num_shortlisted': 3})
    find(near, tmp_path / 'w', SETTINGS, Console(quiet=True))
    top = json.loads((tmp_path / 'w/search/top.json').read_text())
    first = sorted(one['trial'] for one in top[1:] if one['reward'] >= 0.4)[:3]  # of 1, the best
    assert first != [one['trial'] for one in top[1:4]]
    genotypes = {one['trial']: get_genotype(one['genotype']) for one in top}
    scored = json.loads((tmp_path / 'w/shortlist/top.json').read_text())
    # And what the search starts with, which TPE may learn from.
    assert {architecture_hash(get_genotype(one['genotype'])) for one in scored} == {
        architecture_hash(genotypes[trial]) for trial in (0, *first)}


def test_a_share_of_nothing_is_refused(plan, tmp_path, monkeypatch):
    monkeypatch.setattr('mmnasfpn.search.rewards.GenotypeMatch.__call__', lambda *_: 0.)
    with pytest.raises(ValueError, match='near is 0.5, a share of the best reward, but that is 0: take'):
        find(Plan(**{**plan.__dict__, 'near': 0.5}), tmp_path / 'w', SETTINGS, Console(quiet=True))


def test_another_call_repeats_nothing_and_goes_on_with_more(plan, tmp_path, monkeypatch):
    first = find(plan, tmp_path / 'w', SETTINGS, Console(quiet=True))
    calls = (tmp_path / 'w/final/calls').read_text()
    with monkeypatch.context() as patch:
        patch.setattr('mmnasfpn.search.rewards.GenotypeMatch.__call__', lambda *_: 1 / 0)
        again = find(plan, tmp_path / 'w', SETTINGS, Console(quiet=True))
    assert again.to_dict() == first.to_dict()
    assert (tmp_path / 'w/final/calls').read_text() == calls
    more = SearchSettings(60, sampler='random', start=SETTINGS.start, num_workers=1)
    wider = Plan(**{**plan.__dict__, 'num_finalists': 3})
    found = find(wider, tmp_path / 'w', more, Console(quiet=True))
    assert len(found.finalists) == 3 and found.stages[0].evaluated == 60


@pytest.mark.parametrize(('change', 'words'), [
    (dict(final='nowhere.py'), 'nowhere.py'),
    (dict(against=['nasfpn_lite']), 'nasfpn_lite has 4 levels, but the space of .*match.* has 5'),
    (dict(against=['nowhere.json']), 'genotype file nowhere.json cannot be read'),
])
def test_what_would_fail_after_the_search_is_named_before_it(change, words, plan, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        find(Plan(**{**plan.__dict__, **change}), tmp_path / 'w', SETTINGS, Console(quiet=True))
    assert not (tmp_path / 'w').exists()


def test_a_short_list_of_another_space_is_named(plan, tmp_path):
    other = tmp_path / 'other.py'
    other.write_text(f"_base_ = {plan.shortlist!r}\nsearch_space = dict(ops=['sum'])\n")
    with pytest.raises(ValueError, match=r'other.py searches another space than .*match'):
        find(Plan(**{**plan.__dict__, 'shortlist': str(other)}), tmp_path / 'w', SETTINGS,
             Console(quiet=True))


def test_the_tool_writes_tables_picture_and_where_the_pyramids_come_from(
        plan, tmp_path, monkeypatch, capsys):
    page = tmp_path / 'page.md'
    page.write_text('<!-- begin of the mine -->\n<!-- end of the mine -->\n')
    run_tool_here(
        monkeypatch, 'find_pyramid', plan.search, plan.final, '--finalists', 2, '--against', 'nasfpn',
        '--random-genotypes', 1, '--seeds', 0, 1, '--trials', 12, '--sampler', 'random',
        '--work-dir', tmp_path / 'w', '--baseline', 'nasfpn', '--json', tmp_path / 'found.json',
        '--markdown', page, '--part', 'mine', '--picture', tmp_path / 'found.png',
        '--costs', 64, 96, '--tradeoff', tmp_path / 'tradeoff.png')
    told = json.loads((tmp_path / 'found.json').read_text())
    assert told['command'].endswith(f'--tradeoff {tmp_path / "tradeoff.png"}')
    assert [stage['name'] for stage in told['stages']] == ['search', 'final training']
    assert len(told['finalists']) == 2 and len(told['runs']) == 8
    assert told['costs'].keys() == {run['config'] for run in told['runs']}
    assert {*told['finalists'], *told['others']} == {run['config'] for run in told['runs']}
    assert get_genotype(told['others']['nasfpn']) == get_genotype('nasfpn')
    text = page.read_text()
    assert '| FLOPs, B | latency, ms |' in text and '| stage | config | evaluated | CPU h |' in text
    assert '| minus nasfpn |' in capsys.readouterr().out
    assert (tmp_path / 'found.png').is_file() and (tmp_path / 'tradeoff.png').is_file()


@pytest.mark.parametrize(('option', 'value', 'words'), [
    ('--baseline', 'nasfpn', '--baseline is nasfpn, but must be one of --against'),
    ('--tradeoff', 'out.png', '--tradeoff needs the size of an image: --costs ROWS COLUMNS'),
    ('--cfg-options', 'a', "'a' must be key=value"),
    ('--near', '80', "'80' must be a number from 0 to 1"),
])
def test_options_that_cannot_be_are_refused(option, value, words, plan, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, 'find_pyramid', plan.search, plan.final, '--work-dir', tmp_path / 'w',
                      option, value)
    assert words in capsys.readouterr().err


def test_tables_say_what_finalists_had_and_what_stages_took():
    assert finalists_to_markdown(dict(found_1=dict(trial=7, reward=0.5))).splitlines()[-1] == (
        '| found_1 | 0.500 |  |')
    assert stages_to_markdown([]).splitlines()[-1] == '| all |  |  | 0.0 |'
