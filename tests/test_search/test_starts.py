"""Genotypes that are evaluated first."""
import json
import random

import pytest

from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace, drawings, results
from tests.test_search.searches import completed, match_config, scripted_search, search, trials_of

SPACE = SearchSpace()
OTHER = SPACE.sample(random.Random(3))

pytestmark = pytest.mark.usefixtures('no_graphs')


@pytest.mark.parametrize('sampler', ['controller', 'random', 'tpe', 'nsgaii'])
def test_they_come_first_in_their_order_and_draws_follow(sampler, tmp_path):
    summary = search(match_config(), tmp_path, 5, sampler=sampler,
                     start=dict(other=OTHER, nasfpn='nasfpn'))
    assert summary['starts']['nasfpn']['reward'] == 1 == summary['best']['reward']
    assert [summary['starts'][name]['trial'] for name in ('other', 'nasfpn')] == [0, 1]
    trials = completed(tmp_path)
    assert [trial.user_attrs.get('start') for trial in trials] == ['other', 'nasfpn', *[None] * 3]
    assert list(trials[0].params.values()) == SPACE.encode(OTHER)
    assert get_genotype(tmp_path / 'best.json') == get_genotype('nasfpn')


def test_a_search_that_goes_on_does_not_evaluate_them_again(tmp_path):
    given = dict(other=OTHER)
    search(match_config(), tmp_path, 3, start=given)
    search(match_config(), tmp_path, 6, start=dict(given, nasfpn='nasfpn'))  # and one more
    names = [trial.user_attrs.get('start') for trial in completed(tmp_path)]
    assert names == ['other', None, None, 'nasfpn', None, None]


def test_one_that_a_search_has_no_trial_left_for_is_named(tmp_path):
    search(match_config(), tmp_path, 3, start=dict(other=OTHER))
    with pytest.raises(ValueError, match='3 of 3 trials are over.* room for all of nasfpn .*--trials 4'):
        search(match_config(), tmp_path, 3, start=dict(other=OTHER, nasfpn='nasfpn'))
    assert len(completed(tmp_path)) == 3
    search(match_config(), tmp_path, 4, start=dict(other=OTHER, nasfpn='nasfpn'))
    assert completed(tmp_path)[-1].value == 1


@pytest.mark.parametrize('sampler', ['controller', 'random'])
def test_without_draws_a_search_ends_with_the_last_of_them(sampler, tmp_path):
    options = dict(sampler=sampler, draws=False)
    for given in (dict(other=OTHER, nasfpn='nasfpn'), dict(nasfpn='nasfpn'),
                  dict(nasfpn='nasfpn', third=SPACE.sample(random.Random(4)))):
        summary = search(match_config(), tmp_path, start=given, **options)
        assert given.keys() <= summary['starts'].keys()
    assert summary['completed'] == 3
    with pytest.raises(ValueError, match='start is empty, so that there is nothing to evaluate'):
        search(match_config(), tmp_path, **options)


@pytest.mark.parametrize('sampler', ['random', 'nsgaii'])
def test_one_that_waited_when_the_search_was_killed_is_not_lost(sampler, tmp_path, monkeypatch):
    given = dict(other=OTHER, nasfpn='nasfpn')
    with monkeypatch.context() as patch:
        patch.setattr('mmnasfpn.search.record.Record._ask', lambda _: raise_interrupt())
        with pytest.raises(KeyboardInterrupt):
            search(match_config(), tmp_path, 3, sampler=sampler, start=given)
    summary = search(match_config(), tmp_path, 3, sampler=sampler, start=given)
    assert set(summary['starts']) == {'other', 'nasfpn'} and summary['completed'] == 3


def raise_interrupt():
    raise KeyboardInterrupt


def test_the_controller_draws_what_it_would_have_drawn_without(tmp_path):
    search(match_config(), tmp_path / 'with', 6, start=dict(nasfpn='nasfpn'))
    search(match_config(), tmp_path / 'without', 5)
    given, *drawn = [trial.params for trial in completed(tmp_path / 'with')]
    assert list(given.values()) == SPACE.encode(get_genotype('nasfpn'))
    assert drawn == [trial.params for trial in completed(tmp_path / 'without')]


def test_one_that_fails_is_tried_again_by_its_name(tmp_path):
    space = SearchSpace(0, 1, 1, ops=['sum'])
    given = space.sample(random.Random(0))
    summary = scripted_search(tmp_path, {'0': 'raise'}, 2, num_workers=1, sampler='random',
                              start=dict(mine=given))
    assert summary['failed'] == 1 and summary['starts']['mine']['trial'] == 1
    names = [trial.user_attrs.get('start') for trial in trials_of(tmp_path / 'w')]
    assert names == ['mine', 'mine', None]


@pytest.mark.parametrize(('given', 'words'), [
    (dict(fpn='fpn'), "start: 'fpn' cannot be evaluated: the genotype is not in the space: its number "
                      'of cells is 5, but must be 7'),
    (dict(lite='nasfpn_lite'), "start: 'lite' cannot be evaluated: .*levels are 3 to 6"),
    (dict(nothing='nothing'), "genotype is 'nothing'"),
    ({f'g{index}': OTHER for index in range(4)}, 'start has 4 genotypes, but num_trials is 3'),
])
def test_one_that_cannot_be_evaluated_is_named_before_anything_is_written(given, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        search(match_config(), tmp_path / 'w', 3, start=given)
    assert not (tmp_path / 'w').exists()


def test_pictures_and_files_name_them(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(results, 'draw_architectures',
                        lambda improvements, out: drawn.update(architectures=improvements))
    monkeypatch.setattr(results, 'draw_search', lambda *args: drawn.update(starts=args[-1]))
    search(match_config(), tmp_path, 4, start=dict(known='nasfpn'))
    assert drawn['starts'] == {1: 'known'}
    assert [one.start for one in drawn['architectures']] == ['known']
    assert json.loads((tmp_path / 'top.json').read_text())[0]['trial'] == 0
    drawings.draw_search([1.0, 0.2, 0.3, 0.1], [1, 2, 3, 4], tmp_path / 'some.png', {1: 'known'})
    drawings.draw_search([1.0, 0.2, 0.3, 0.1], [1, 2, 3, 4], tmp_path / 'none.png', {})
    assert (tmp_path / 'some.png').read_bytes() != (tmp_path / 'none.png').read_bytes()


def test_what_a_trial_took_is_in_the_record(tmp_path):
    summary = search(match_config(), tmp_path, 2)
    for trial in completed(tmp_path):
        assert 0 <= trial.user_attrs['cpu_seconds'] < 1 and 0 < trial.user_attrs['seconds'] < 1
    assert summary['cpu_seconds'] == sum(
        trial.user_attrs['cpu_seconds'] for trial in completed(tmp_path))


def test_as_many_of_the_best_are_written_as_asked_for(tmp_path):
    for number in (3, 8):
        search(match_config(), tmp_path, 8, sampler='random', num_top=number)
        assert len(json.loads((tmp_path / 'top.json').read_text())) == number
