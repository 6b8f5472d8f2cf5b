"""Trials as tasks of a Ray cluster.

All in one file, so that one process runs them: the cluster of a test that ends takes with it the others
that have found it.
"""
import os
import signal

import pytest
from optuna.trial import TrialState

from mmnasfpn.search.ray_evaluator import RayEvaluator
from tests.test_search.searches import (
    completed,
    retries_of,
    scripted_config,
    search,
    shared_weights_config,
    start,
    trials_of,
    wait_for,
)
from tests.test_search.test_evaluators import EXPECTED, outcomes_of, reward
from tests.test_search.test_pruning import VALUE, elsewhere, outcome_of

pytest.importorskip('ray', reason="Ray is not installed (pip install 'mmnasfpn[ray]')")
pytestmark = pytest.mark.usefixtures('no_graphs')


def test_ray_runs_trials_and_tells_why_one_failed(tmp_path, closed):
    script = {'1': 'raise', '2': 'exit', '3': 'sleep'}
    ray = closed(RayEvaluator(reward(tmp_path, script), 1, trial_timeout=4))
    outcomes = outcomes_of(ray, tmp_path / '%20?', 5, patience=120)
    assert [outcomes[trial].values for trial in range(5)] == [EXPECTED, None, None, None, EXPECTED]
    assert 'MemoryError: out of everything' in outcomes[1].reason
    assert 'WorkerCrashedError' in outcomes[2].reason
    assert outcomes[3].reason == 'it took longer than the time limit of 4 s (--trial-timeout)'
    assert 'rewards.py' in (tmp_path / '%20?/3/hung.txt').read_text()
    assert not (tmp_path / '%20?/4/hung.txt').exists()


def test_a_ray_cluster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no Ray cluster at 'auto'"):
        RayEvaluator(reward(tmp_path), 1, address='auto')


def test_ray_is_asked_for_no_more_than_there_is(tmp_path):
    with pytest.raises(ValueError, match='each trial is to take 9999 CPU, but the whole Ray cluster'):
        RayEvaluator(reward(tmp_path), 1, resources={'CPU': 9999})


def test_ray_tasks_report_are_stopped_and_may_die_before_their_answer(tmp_path, closed):
    ray = closed(RayEvaluator(elsewhere(tmp_path), 1))
    reports = []

    def report(number, step, value):
        reports.append((number, step, value))
        if number == 1:
            os.kill(int((tmp_path / 'calls/1').read_text()), signal.SIGKILL)
        return step == 2

    ray.reporter = report
    stopped = outcome_of(ray, 0, tmp_path, 120)
    assert stopped.is_pruned and stopped.values == (2 / 5 * VALUE,)
    assert 'WorkerCrashedError' in outcome_of(ray, 1, tmp_path, 120).reason
    ray._desk.report.remote(1, 2, 0.5)  # comes late: the trial has ended
    assert outcome_of(ray, 2, tmp_path, 120).is_pruned
    assert [report[:2] for report in reports] == [(0, 1), (0, 2), (1, 1), (2, 1), (2, 2)]


def test_a_ray_worker_that_is_killed_is_a_retry_and_the_search_ends_complete(tmp_path):
    process = start(scripted_config(tmp_path, {'1': 'sleep'}), tmp_path / 'w', 5, num_workers=2,
                    evaluator='ray')
    wait_for(tmp_path / 'calls/1', process)
    os.kill(int((tmp_path / 'calls/1').read_text()), signal.SIGKILL)
    process.join(120)
    assert process.exitcode == 0
    trials = trials_of(tmp_path / 'w')
    failed, = (trial for trial in trials if trial.state is TrialState.FAIL)
    assert 'WorkerCrashedError' in failed.user_attrs['reason']
    retry, = retries_of(failed, trials)
    assert retry.state is TrialState.COMPLETE and len(completed(tmp_path / 'w')) == 5


def test_shared_weights_are_evaluated_by_tasks_of_ray(tmp_path):
    summary = search(shared_weights_config(tmp_path), tmp_path / 'w', 1, num_workers=1, evaluator='ray')
    assert (summary['completed'], summary['failed']) == (1, 0)
