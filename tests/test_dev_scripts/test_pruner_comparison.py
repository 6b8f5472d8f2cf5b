"""Pruners against each other."""
import random

from pruner_comparison import Candidate, RisingMatch, candidates, compare, search, to_markdown

from mmnasfpn.search import SearchSpace
from tests.conftest import run_tool_here


def test_the_stub_tells_genotypes_apart_better_and_better_and_ends_at_the_match():
    space = SearchSpace()
    reward, rng = RisingMatch(space), random.Random(0)
    *reports, ends = zip(*(reward.curve(space.sample(rng)) for _ in range(300)), strict=True)
    errors = [sum(abs(5 / epoch * value - end) for value, end in zip(values, ends, strict=True))
              for epoch, values in enumerate(reports, 1)]
    assert errors == sorted(errors, reverse=True) and errors[-1] > 0
    assert max(ends) <= 1 and min(map(min, reports)) >= 0


def test_every_pruner_is_compared_with_every_factor_learned_from_or_not():
    found = candidates([2, 4])
    assert found[0] == Candidate('none') and len(found) == len(set(found)) == 9
    assert Candidate('hyperband', 4, False) in found


def test_epochs_are_counted_up_to_the_budget():
    trials = list(search(Candidate('none'), 0, 20))
    assert [trial['spent'] for trial in trials] == [5, 10, 15, 20]
    spent = [trial['spent'] for trial in search(Candidate('halving', 2, True), 0, 20)]
    assert spent[-2] < 20 <= spent[-1] and {1, 5} <= {
        after - before for before, after in zip([0, *spent], spent, strict=False)}


def test_a_smaller_budget_is_the_beginning_of_a_larger_one():
    small, = compare([Candidate('halving', 2, True)], [3], [15])
    first, second = compare([Candidate('halving', 2, True)], [3], [15, 30])
    assert first == small and second['trials'] > small['trials'] > small['completed'] > 0


def test_the_table_has_a_row_for_each_candidate():
    def run(pruner, factor, learns, seed, mean):
        return dict(pruner=pruner, reduction_factor=factor, learn_pruned=learns, seed=seed, budget=500,
                    mean_match_last_100=mean, best_match=mean + 0.1, trials=30)

    lines = to_markdown([run('none', None, None, 0, 0.2), run('halving', 2, True, 0, 0.3),
                         run('halving', 2, True, 1, 0.5)]).splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
    assert cells == [['none', '', '', '0.200', '0.200 to 0.200', '0.300', '30'],
                     ['halving', '2', 'the last value', '0.400', '0.300 to 0.500', '0.500', '30']]


def test_the_tool_writes_table_and_json(tmp_path, monkeypatch):
    (tmp_path / 'page.md').write_text('<!-- begin of the pruners -->\n<!-- end of the pruners -->\n')
    run_tool_here(monkeypatch, 'compare_pruners', '--seeds', 0, '--budgets', 5, '--factors', 2,
                  '--json', tmp_path / 'runs.json', '--markdown', tmp_path / 'page.md')
    assert '| hyperband | 2 | the last value | 0.' in (tmp_path / 'page.md').read_text()
    assert (tmp_path / 'runs.json').is_file()
