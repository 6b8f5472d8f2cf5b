"""What a kill at any moment of a search cannot take."""
import random
import time

import pytest
from optuna.trial import TrialState

from tests.test_search.searches import (
    completed,
    kill,
    match_config,
    retries_of,
    scripted_config,
    search,
    start,
    trials_of,
    wait_for,
)

pytestmark = pytest.mark.usefixtures('no_graphs')


def kill_at_random_moments(times, rng, longest, config, work_dir, num_trials, **options):
    """Start a search again and again and kill it once it is under way."""
    for _ in range(times):
        (work_dir / 'config.py').unlink(missing_ok=True)  # written when the record is open
        process = start(config, work_dir, num_trials, **options)
        wait_for(work_dir / 'config.py', process)
        time.sleep(rng.uniform(0, longest))
        kill(process)


@pytest.mark.parametrize(('record', 'times', 'num_trials'), [
    ('search.db', 10, 100), ('search.journal', 2, 40)])
def test_a_search_that_is_killed_ends_as_one_that_is_not(record, times, num_trials, tmp_path):
    work_dir = tmp_path / 'w'
    work_dir.mkdir()
    if record == 'search.journal':
        (work_dir / record).touch()  # so that it goes on with that
    kill_at_random_moments(times, random.Random(0), 0.5, match_config(), work_dir, num_trials)
    killed = trials_of(work_dir)
    assert 0 < len(killed) < num_trials
    search(match_config(), work_dir, num_trials)
    search(match_config(), tmp_path / 'uninterrupted', num_trials)
    # Draw by draw and reward by reward the same: the controller was never reset.
    assert [(trial.params, trial.value) for trial in completed(work_dir)] == [
        (trial.params, trial.value) for trial in completed(tmp_path / 'uninterrupted')]
    assert len(completed(work_dir)) == num_trials
    # What was finished before a kill stands as it was.
    after = {trial.number: trial for trial in trials_of(work_dir)}
    for trial in killed:
        if trial.state is TrialState.COMPLETE:
            assert (after[trial.number].params, after[trial.number].value) == (trial.params, trial.value)
    assert not any(trial.state is TrialState.RUNNING for trial in after.values())


def test_a_search_with_workers_that_is_killed_loses_and_repeats_no_finished_trial(tmp_path):
    num_trials = 14
    work_dir = tmp_path / 'w'
    config = scripted_config(tmp_path, seconds=0.1)
    kill_at_random_moments(3, random.Random(1), 2.0, config, work_dir, num_trials, num_workers=2)
    search(config, work_dir, num_trials, num_workers=2)
    trials = trials_of(work_dir)
    evaluated = [trial.user_attrs['architecture'] for trial in trials
                 if trial.state is TrialState.COMPLETE and 'reused_from' not in trial.user_attrs]
    assert len(completed(work_dir)) == num_trials
    assert len(evaluated) == len(set(evaluated))
    for trial in trials:
        if trial.state is TrialState.FAIL and trial.params:
            retry, = retries_of(trial, trials)
            assert retry.params == trial.params
