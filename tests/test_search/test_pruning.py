"""Trials that are stopped early."""
import os
import random
import signal
import time

import pytest
import torch
from mmengine.config import Config
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace, costs, proxy_task, pruners
from mmnasfpn.search.evaluation import evaluate
from mmnasfpn.search.evaluators import LocalEvaluator
from mmnasfpn.search.processes import kill_group
from mmnasfpn.search.record import Record
from mmnasfpn.search.rewards import build_reward
from mmnasfpn.search.run import SearchFailed
from mmnasfpn.search.samplers import ControllerSampler
from tests.test_search.rewards import Rising, RisingElsewhere
from tests.test_search.searches import (
    completed,
    counts_of,
    kill,
    match_config,
    scripted_config,
    search,
    start,
    trials_of,
    wait_for,
)

pytestmark = pytest.mark.usefixtures('no_graphs')

SPACE = SearchSpace(0, 1, 1, ops=['sum'])
GENOTYPE = SPACE.sample(random.Random(0))
VALUE = Rising.value_of(GENOTYPE)


def rising_config(tmp_path, script=None, kind='Rising', **changes):
    config = scripted_config(tmp_path, script)
    config.merge_from_dict({'reward.type': kind, **changes})
    return config


def rising_search(tmp_path, num_trials, script=None, kind='Rising', pruner='halving', **options):
    with_journal(tmp_path / 'w')
    return search(rising_config(tmp_path, script, kind), tmp_path / 'w', num_trials, pruner=pruner,
                  **options)


def with_journal(work_dir):
    """Have a search record in a journal, which takes a fifth of the time of a database."""
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / 'search.journal').touch()


def history(work_dir):
    """What became of each draw, in the order of the draws."""
    return [(trial.params, trial.state, trial.value, trial.intermediate_values)
            for trial in trials_of(work_dir) if trial.state is not TrialState.FAIL]


def num_calls(tmp_path):
    return len(list((tmp_path / 'calls').iterdir()))


def running(work_dir):
    return [trial for trial in trials_of(work_dir) if trial.state is TrialState.RUNNING]


def is_pruned(trial):
    return trial.state is TrialState.PRUNED


# What is stopped, and what becomes of it

@pytest.mark.parametrize('factor', [2, 3])
def test_halving_stops_what_is_not_among_the_best_that_came_as_far(factor, tmp_path, monkeypatch):
    monkeypatch.setattr(pruners, '_REDUCTION_FACTOR', factor)
    rising_search(tmp_path, 30)
    seen = {factor ** rung: [] for rung in range(5)}  # values of trials that came to a rung, by its step
    for trial in trials_of(tmp_path / 'w'):
        if 'reused_from' in trial.user_attrs:
            continue
        stop = None
        for step, value in trial.intermediate_values.items():
            assert stop is None  # it went on as long as it should
            if step in seen:
                seen[step].append(value)
                if value < sorted(seen[step], reverse=True)[max(len(seen[step]) // factor, 1) - 1]:
                    stop = step
        assert is_pruned(trial) == (stop is not None)
    assert all(len(values) > 1 for step, values in seen.items() if step < 5)


def test_a_pruned_trial_has_its_last_value_is_over_and_is_not_evaluated_again(tmp_path):
    summary = rising_search(tmp_path, 40)
    trials = trials_of(tmp_path / 'w')
    assert summary['trials'] == summary['completed'] + summary['pruned'] == len(trials) == 40
    evaluated, again = [], []
    for trial in trials:
        (again if 'reused_from' in trial.user_attrs else evaluated).append(trial)
        if is_pruned(trial):
            last = max(trial.intermediate_values)
            genotype = SPACE.decode(list(trial.params.values()))
            assert trial.value == trial.intermediate_values[last] == last / 5 * Rising.value_of(genotype)
    assert num_calls(tmp_path) == len(evaluated) == len(
        {trial.user_attrs['architecture'] for trial in evaluated})
    for trial in again:
        first = trials[trial.user_attrs['reused_from']]
        assert (trial.state, trial.value, trial.intermediate_values if is_pruned(trial) else {}) == (
            first.state, first.value, first.intermediate_values if is_pruned(first) else {})
    assert any(map(is_pruned, evaluated)) and any(map(is_pruned, again))
    best = max(completed(tmp_path / 'w'), key=lambda trial: trial.value)
    assert get_genotype(tmp_path / 'w/best.json') == SPACE.decode(list(best.params.values()))


def test_a_search_that_is_stopped_after_reports_prunes_what_it_would_have_pruned(tmp_path):
    script = {'0': (4, 'stop'), '1': (2, 'stop'), '14': (1, 'nan')}
    script.update((str(call), (1, 'raise')) for call in range(4, 12))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            rising_search(tmp_path, 25, script, pruner='hyperband')
    summary = rising_search(tmp_path, 25, script, pruner='hyperband', max_retries=8)
    assert summary['failed'] == 11
    rising_search(tmp_path / 'uncut', 25, pruner='hyperband')
    assert history(tmp_path / 'w') == history(tmp_path / 'uncut/w')
    assert any(state is TrialState.PRUNED for _, state, *_ in history(tmp_path / 'w'))


def test_a_search_with_a_pruner_that_is_killed_ends_as_one_that_is_not(tmp_path):
    script = {'3': (1, 'sleep'), '6': (2, 'sleep')}
    with_journal(tmp_path / 'w')
    for call in script:
        process = start(rising_config(tmp_path, script), tmp_path / 'w', 16, pruner='halving')
        wait_for(tmp_path / f'calls/{call}', process)
        while not any(trial.intermediate_values for trial in running(tmp_path / 'w')):
            time.sleep(0.05)
        kill(process)
    rising_search(tmp_path, 16, script)
    rising_search(tmp_path / 'uncut', 16)
    assert history(tmp_path / 'w') == history(tmp_path / 'uncut/w')


def test_several_work_dirs_that_share_a_storage_count_what_the_others_pruned(tmp_path):
    options = dict(pruner='halving', storage=f'journal:{tmp_path}/shared.journal')
    config = rising_config(tmp_path)
    for name, number in (('one', 10), ('other', 16), ('one', 20)):
        summary = search(config, tmp_path / name, number, **options)
        assert summary['completed'] + summary['pruned'] == summary['trials'] == number
    assert summary['pruned'] > 0


def test_a_genotype_that_was_given_is_evaluated_to_its_end(tmp_path):
    rising_search(tmp_path, 20)
    pruned = next(filter(is_pruned, trials_of(tmp_path / 'w')))
    genotype = SPACE.decode(list(pruned.params.values()))
    summary = rising_search(tmp_path, 21, start=dict(mine=genotype))
    assert summary['starts']['mine']['reward'] == Rising.value_of(genotype)
    trial = trials_of(tmp_path / 'w')[-1]
    assert trial.state is TrialState.COMPLETE and len(trial.intermediate_values) == 4
    calls = num_calls(tmp_path)
    rising_search(tmp_path, 22, start=dict(mine=genotype, again=genotype))
    assert num_calls(tmp_path) == calls  # its reward is known by now
    assert [trial.value for trial in trials_of(tmp_path / 'w')[-2:]] == [trial.value] * 2


def test_a_search_in_which_no_trial_came_to_its_end_says_so_and_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Record, 'report', lambda self, number, step, value: self._storage
                      .set_trial_intermediate_value(self._id(number), step, value) or step == 3)
        with pytest.raises(SearchFailed, match='no trial .* end: 4 were .*-pruner halving, and 1 fail'):
            rising_search(tmp_path, 5, {'2': (1, 'raise')}, max_retries=0)
    summary = rising_search(tmp_path, 8, {'2': (1, 'raise')}, max_retries=0)
    assert counts_of(summary)[0] == 8 and summary['completed'] > 0 and summary['pruned'] >= 4


# What the controller learns

@pytest.mark.parametrize('learn_pruned', [True, False])
def test_the_controller_learns_the_last_value_of_what_was_pruned_or_nothing(learn_pruned):
    options = dict(batch_size=4, hidden_size=8)
    sampler, reference = (ControllerSampler(SPACE, learn_pruned=learn, **options)
                          for learn in (learn_pruned, False))
    trials, expected = [], []
    for number in range(12):
        params, attrs = sampler.draw(trials)
        value = sum(params.values()) / 10
        given = dict(params=params, system_attrs=attrs, distributions={
            decision.name: CategoricalDistribution(range(decision.num_actions))
            for decision in SPACE.decisions})
        done = create_trial(state=TrialState.COMPLETE, value=value, **given)
        pruned = create_trial(state=TrialState.PRUNED, value=value,
                              intermediate_values={1: 99.0, 2: value}, **given)
        trials.append(pruned if number % 2 else done)
        trials[-1].number = done.number = number
        if learn_pruned or not number % 2:
            expected.append(done)
    sampler.learn(trials)
    reference.learn(expected)
    assert sampler.num_updates == reference.num_updates == (3 if learn_pruned else 1)
    expected = reference.controller.state_dict()
    for name, weight in sampler.controller.state_dict().items():
        assert torch.equal(weight, expected[name])


# Bad input

@pytest.mark.parametrize(('config', 'words'), [
    (match_config(), '--pruner halving .* GenotypeMatch of this config reports nothing before its end'),
    (match_config(controller=dict(learn_pruned='no')), "learn_pruned is 'no', but must be True or")])
def test_what_cannot_be_pruned_is_named_before_anything_is_written(config, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        search(config, tmp_path / 'w', 5, pruner='halving')
    assert not (tmp_path / 'w').exists()


def test_several_goals_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match='--pruner hyperband .* 2 goals, reward, size: .*--pruner none'):
        rising_search(tmp_path, 5, kind='RisingWithSize', sampler='nsgaii', pruner='hyperband')


def test_another_pruner_is_another_search(tmp_path):
    rising_search(tmp_path, 2)
    with pytest.raises(ValueError, match="pruner is 'hyperband', but was 'halving'"):
        rising_search(tmp_path, 3, pruner='hyperband')


def test_what_is_reported_must_be_finite_and_at_a_step_from_1(tmp_path):
    reward = build_reward(rising_config(tmp_path), SPACE)
    reward.report(0, float('nan'))  # nobody listens
    reward.reporter = lambda *_: False
    for step, value, words in ((0, 0.5, 'step is 0'), (2, float('inf'), 'at step 2 is inf')):
        with pytest.raises(ValueError, match=words):
            reward.report(step, value)


# Where trials are processes

def elsewhere(tmp_path, script=None):
    return RisingElsewhere(scripted_config(tmp_path), SPACE, tmp_path / 'calls', script)


def outcome_of(evaluator, number, tmp_path, patience=60):
    evaluator.submit(number, GENOTYPE, tmp_path / f'{number}')
    until = time.monotonic() + patience
    while not (outcomes := evaluator.wait(1)):
        assert time.monotonic() < until
    (found, evaluation), = outcomes
    assert found == number
    return evaluation


def test_trials_in_processes_report_and_are_stopped(tmp_path, closed):
    local = closed(LocalEvaluator(elsewhere(tmp_path), 1))
    assert outcome_of(local, 0, tmp_path).values == (VALUE,)
    reports = []
    local.reporter = lambda *report: reports.append(report) or report[1] == 3
    found = outcome_of(local, 7, tmp_path)
    assert reports == [(7, step, step / 5 * VALUE) for step in (1, 2, 3)]
    assert found.is_pruned and found.values == (3 / 5 * VALUE,)


def test_a_process_that_dies_before_it_has_its_answer_has_failed(tmp_path, closed):
    local = closed(LocalEvaluator(elsewhere(tmp_path), 1))

    def kill_it(number, step, value):
        kill_group(local._running[number].process)
        return False

    local.reporter = kill_it
    assert 'killed by SIGKILL' in outcome_of(local, 0, tmp_path).reason

    def stop_it(number, step, value):
        os.kill(local._running[number].process.pid, signal.SIGSTOP)
        return False

    local.reporter = stop_it
    local.submit(1, GENOTYPE, tmp_path / '1')
    while not (tmp_path / 'calls/1').is_file() or local._running[1].connection.poll():
        assert local.wait(0.1) == []
    local.wait(0.1)
    kill_group(local._running[1].process)  # with the answer unread
    (_, found), = local.wait(1)
    assert 'killed by SIGKILL' in found.reason


def test_a_trial_that_reports_is_out_of_time_all_the_same(tmp_path, closed):
    local = closed(LocalEvaluator(elsewhere(tmp_path), 1, trial_timeout=0.001))
    local.reporter = lambda *_: False
    assert 'the time limit of 0.001 s' in outcome_of(local, 0, tmp_path).reason


def test_a_search_with_workers_prunes_and_takes_up_what_failed_after_a_report(tmp_path):
    summary = rising_search(tmp_path, 14, {'2': (1, 'raise')}, 'RisingElsewhere', num_workers=2)
    assert summary['completed'] + summary['pruned'] == summary['trials'] == 14
    assert summary['failed'] == 1 and summary['pruned'] > 0


# Rewards

def test_the_proxy_task_reports_each_epoch_and_ends_where_it_is_stopped(tiny_config, tmp_path):
    cfg = load_config(str(tiny_config))
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    reward = build_reward(cfg, SearchSpace())
    assert reward.num_reports == 2
    reports = []
    found = evaluate(reward, get_genotype('nasfpn'), tmp_path / 'trial',
                     lambda *report: reports.append(report) or report[0] == 2)
    assert reports == [(1, 0.0), (2, 0.0)]
    assert (found.is_pruned, found.values, found.reason) == (True, (0.0,), '')


class FakeRunner:
    """Evaluates where MMEngine would, without training."""

    def __init__(self, cfg):
        self.schedule = cfg.train_cfg
        self.model = torch.nn.Linear(1, 1)
        self.hooks = []
        self.register_hook = self.hooks.append

    def train(self):
        end = self.schedule.get('max_epochs') or self.schedule.max_iters
        for step in range(1, end + 1):
            if step >= self.schedule.val_begin and (
                    step % self.schedule.get('val_interval', 1000) == 0 or step == end):
                self.hooks[0].after_val_epoch(self, {'coco/bbox_mAP': step / end})


@pytest.mark.parametrize(('schedule', 'expected'), [
    (dict(max_epochs=4, val_interval=2, val_begin=3, dynamic_intervals=[(2, 1)]), [1 / 4, 2 / 4, 3 / 4]),
    (dict(max_iters=250, val_interval=100, by_epoch=False), [100 / 250, 200 / 250]),
    (dict(max_iters=200, val_interval=100, by_epoch=False), [1 / 2]),
    (dict(max_iters=2500, by_epoch=False), [1000 / 2500, 2000 / 2500])])
def test_the_proxy_task_evaluates_in_between_only_where_it_is_to_report(
        schedule, expected, tiny_config, tmp_path, monkeypatch):
    evaluations = []
    monkeypatch.setattr(proxy_task, 'build_runner', lambda cfg, *_, **__: FakeRunner(cfg))
    monkeypatch.setattr(proxy_task._KeepMetrics, 'after_val_epoch', counting(evaluations))
    cfg = load_config(str(tiny_config))
    cfg.train_cfg = schedule
    reward = build_reward(cfg, SearchSpace())
    assert reward.num_reports == len(expected)
    assert evaluate(reward, get_genotype('nasfpn'), tmp_path).values == (1,) and len(evaluations) == 1
    reports = []
    found = evaluate(reward, get_genotype('nasfpn'), tmp_path,
                     lambda step, value: reports.append((step, value)))
    assert found.values == (1,) and reports == list(enumerate(expected, 1))
    assert len(evaluations) == 1 + len(expected) + 1


def counting(calls):
    wrapped = proxy_task._KeepMetrics.after_val_epoch

    def count(*arguments):
        calls.append(arguments)
        wrapped(*arguments)
    return count


def test_what_a_reward_with_a_cost_reports_is_the_product_and_leaves_no_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, 'cost_of', lambda *_: 8.0)
    rising = dict(type='Rising', folder=str(tmp_path / 'calls'))
    reward = build_reward(Config(), SPACE, dict(
        type='WithCost', reward=rising, cost='params', target=2.0, weight=-0.5, image_size=(64, 64)))
    assert reward.num_reports == 4
    done = evaluate(reward, GENOTYPE, tmp_path)
    assert done.values == (VALUE / 2,) and done.details == dict(reward=VALUE, params=8.0)
    reports = []
    found = evaluate(reward, GENOTYPE, tmp_path, lambda step, value: reports.append(value) or step == 2)
    assert found.is_pruned and reports == pytest.approx([VALUE / 10, VALUE / 5])
    assert found.values == (reports[-1],) and found.details == {}
