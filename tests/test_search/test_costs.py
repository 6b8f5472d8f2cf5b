"""Rewards that weigh how good a pyramid is against what it costs."""
import itertools
import json
import random

import numpy as np
import pytest
from mmengine.config import Config

from mmnasfpn.analysis.complexity import count_complexity
from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.costs import COSTS, cost_of
from mmnasfpn.search.rewards import GenotypeMatch, build_reward, with_genotype
from tests.test_search.searches import completed, search

SPACE = SearchSpace()
MATCH = dict(type='GenotypeMatch', target='nasfpn')
NASFPN, FPN = get_genotype('nasfpn'), get_genotype('fpn')


@pytest.fixture
def cfg(tiny_config):
    return load_config(str(tiny_config))


def with_cost(cfg, **arguments):
    return build_reward(cfg, SPACE, dict(type='WithCost', reward=MATCH, **arguments))


def test_flops_and_parameters_are_those_of_the_detector(cfg):
    genotype = SPACE.sample(random.Random(1))
    expected = count_complexity(with_genotype(cfg, genotype), (128, 128))
    assert cost_of('flops', cfg, genotype, (128, 128)) == expected.flops
    assert cost_of('params', cfg, genotype, (128, 128)) == expected.params


def test_latency_is_measured_in_milliseconds_and_grows_with_the_image(cfg, monkeypatch):
    monkeypatch.setattr('mmnasfpn.search.costs._TIMING', 0.1)
    small, large = (cost_of('latency', cfg, NASFPN, (size, size)) for size in (64, 512))
    assert 0.1 < small < large


def test_relative_latency_is_1_for_the_configs_own_genotype_and_more_for_a_larger_one(cfg, monkeypatch):
    monkeypatch.setattr('mmnasfpn.search.costs._TIMING', 0.5)
    larger = SearchSpace(num_intermediate=20).sample(random.Random(0))
    same, more = (cost_of('relative_latency', cfg, each, (64, 64)) for each in (NASFPN, larger))
    assert same == pytest.approx(1, abs=0.3) and more > 1.3 * same


def test_relative_latency_stays_as_it_is_where_other_programs_slow_the_machine(cfg, monkeypatch):
    clock, slow = 0.0, itertools.cycle([1, 1, 5, 5, 1, 40])  # twice both are slow, once only one is

    def forward(each, image_size):
        assert image_size == (64, 96)
        work = 0.03 if each.model.neck.get('genotype') == FPN.to_dict() else 0.02

        def run():
            nonlocal clock
            clock += work * next(slow)
        return run

    monkeypatch.setattr('mmnasfpn.search.costs._forward', forward)
    monkeypatch.setattr('mmnasfpn.search.costs.timer', lambda: clock)
    assert cost_of('relative_latency', cfg, FPN, (64, 96)) == pytest.approx(1.5)


def test_the_reward_is_mnasnets_product(cfg, tmp_path):
    flops = cost_of('flops', cfg, NASFPN, (256, 256))
    reward = with_cost(cfg, cost='flops', target=flops / 2, weight=-0.5)
    assert reward.image_size == (256, 256)  # what the test pipeline resizes to
    assert reward(NASFPN, tmp_path) == pytest.approx(2 ** -0.5)
    assert reward.details == dict(reward=1.0, flops=flops)
    assert with_cost(cfg, cost='flops', target=flops)(NASFPN, tmp_path) == 1
    default = with_cost(cfg, cost='flops', target=flops / 2)
    assert default(NASFPN, tmp_path) == pytest.approx(2 ** -0.07)


@pytest.mark.parametrize(('arguments', 'words'), [
    (dict(cost='energy', target=1), "the cost is 'energy', but must be one of flops, params, latency"),
    (dict(cost='flops', target=0), 'target is 0, but must be a number of FLOPs above 0'),
    (dict(cost='latency', target=-1.5), 'target is -1.5, but must be a number of ms above 0'),
    (dict(cost='relative_latency', target=0), "must be a number of times the config's own"),
    (dict(cost='params', target='1M'), "target is '1M', but must be a number of parameters"),
    (dict(cost='flops', target=1, weight=0.07), 'weight is 0.07, but must be 0 or less'),
    (dict(cost='flops', target=1, image_size=[0, -5]), 'image_size is 0, but must be a whole number'),
    (dict(cost='flops', target=1, image_size=64), 'image_size is 64, but must be two numbers, rows and'),
    (dict(cost='flops'), "reward: .*missing 1 required.*'target'"),
])
def test_a_cost_that_is_not_there_or_an_impossible_target_is_named(arguments, words, cfg):
    with pytest.raises(ValueError, match=words):
        with_cost(cfg, **arguments)


@pytest.mark.parametrize(('reward', 'words'), [
    (dict(type='RewardAndCosts', reward=MATCH, costs=[]), 'costs is .*, but must be a list of flops, '),
    (dict(type='RewardAndCosts', reward=MATCH, costs='flops'), "costs is 'flops', but must be a list"),
    (dict(type='RewardAndCosts', reward=MATCH, costs=['time']), "the cost is 'time'"),
    (dict(type='WithCost', cost='flops', target=1,
          reward=dict(type='RewardAndCosts', reward=MATCH, costs=['flops'])),
     'WithCost weighs a reward of one goal, but RewardAndCosts has reward, flops'),
])
def test_costs_that_do_not_fit_are_named(reward, words, cfg):
    with pytest.raises(ValueError, match=words):
        build_reward(cfg, SPACE, reward)


def test_a_config_that_does_not_say_how_large_images_are_is_asked_for_it(cfg):
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(ValueError, match='image_size is None, but must be rows and columns'):
        with_cost(cfg, cost='flops', target=1)
    assert with_cost(cfg, cost='flops', target=1, image_size=[64, 96]).image_size == (64, 96)


def test_a_negative_reward_is_refused_since_a_cost_would_make_it_better(cfg, tmp_path, monkeypatch):
    reward = with_cost(cfg, cost='flops', target=1)
    monkeypatch.setattr(GenotypeMatch, '__call__', lambda *_: -0.5)
    with pytest.raises(ValueError, match='the reward is -0.5, but must not be negative'):
        reward(NASFPN, tmp_path)


def test_the_record_keeps_the_parts_of_the_product(cfg, tmp_path, no_graphs):
    cfg.reward = dict(type='WithCost', reward=MATCH, cost='params', target=1000, weight=-1)
    search(cfg, tmp_path / 'w', 1)
    for trial in completed(tmp_path / 'w'):
        parts = trial.user_attrs['details']
        assert trial.value == pytest.approx(parts['reward'] * 1000 / parts['params'])


def is_dominated(point, others):
    """Say whether some other point is nowhere worse and somewhere better: more reward, less cost."""
    reward, *costs = point
    return any(r >= reward and all(c <= d for c, d in zip(rest, costs, strict=True))
               and (r, *rest) != tuple(point) for r, *rest in others)


def test_the_pareto_front_is_that_of_brute_force(cfg, tmp_path, monkeypatch, no_graphs):
    # Costs that contradict the reward now and then, and take no time.
    rng = np.random.default_rng(0)

    def cost(cfg, genotype, size):
        return float(rng.integers(20))

    monkeypatch.setitem(COSTS, 'flops', cost)
    monkeypatch.setitem(COSTS, 'latency', cost)
    for sampler, costs in (('nsgaii', ['flops']), ('random', ['flops', 'latency'])):
        cfg.reward = dict(type='RewardAndCosts', reward=MATCH, costs=costs)
        work_dir = tmp_path / sampler
        search(cfg, work_dir, 25, sampler=sampler)
        points = [tuple(trial.values) for trial in completed(work_dir)]
        expected = {point for point in points if not is_dominated(point, points)}
        front = json.loads((work_dir / 'pareto/front.json').read_text())
        assert {tuple(one[name] for name in ('reward', *costs)) for one in front} == expected
        assert 1 < len(expected) < 25
        assert [one[costs[-1]] for one in front] == sorted(one[costs[-1]] for one in front)
        files = {path.name for path in (work_dir / 'pareto').glob('trial-*.json')}
        assert files == {one['genotype'] for one in front}
        trials = {trial.number: trial for trial in completed(work_dir)}
        for one in front:
            actions = SPACE.encode(get_genotype(work_dir / 'pareto' / one['genotype']))
            assert dict(zip((d.name for d in SPACE.decisions), actions, strict=True)) == (
                trials[one['trial']].params)
        assert (work_dir / 'pareto.png').stat().st_size > 10_000


def test_the_front_names_the_trial_that_evaluated_a_genotype(cfg, tmp_path, monkeypatch, no_graphs):
    monkeypatch.setitem(COSTS, 'flops', lambda *_: 1.0)
    cfg.reward = dict(type='RewardAndCosts', reward=MATCH, costs=['flops'])
    search(cfg, tmp_path, 2, sampler='random', start=dict(first='nasfpn', again=NASFPN))
    assert [trial.user_attrs.get('reused_from') for trial in completed(tmp_path)] == [None, 0]
    one, = json.loads((tmp_path / 'pareto/front.json').read_text())
    assert one['trial'] == 0


def test_the_controller_refuses_several_goals_by_name(cfg, tmp_path):
    cfg.reward = dict(type='RewardAndCosts', reward=MATCH, costs=['flops'])
    with pytest.raises(ValueError, match='2 goals, reward, flops, but the controller learns from one'):
        search(cfg, tmp_path / 'w', 2)
    assert not (tmp_path / 'w').exists()


def test_a_cost_needs_a_detector():
    for data in ({}, dict(test_dataloader=None)):
        with pytest.raises(ValueError, match='image_size is None'):
            with_cost(Config(dict(model=dict(), **data)), cost='flops', target=1)
