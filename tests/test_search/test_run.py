"""Whole searches: how they go on, what fails in them, what they refuse."""
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import optuna
import pytest
from mmengine.config import Config
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search.record import Record, RecordError
from mmnasfpn.search.run import SearchFailed
from tests.conftest import DEMO_CONFIG, REPO, run_python
from tests.test_search.searches import (
    MATCH,
    completed,
    counts_of,
    kill,
    match_config,
    retries_of,
    scripted_config,
    scripted_search,
    search,
    start,
    trials_of,
    wait_for,
)

pytestmark = pytest.mark.usefixtures('no_graphs')


@pytest.mark.usefixtures('record_file')
def test_a_search_goes_on_up_to_the_number_of_trials(tmp_path):
    assert search(match_config(), tmp_path, 10)['completed'] == 10
    assert search(match_config(), tmp_path, 25)['completed'] == 25
    assert search(match_config(), tmp_path, 5)['completed'] == 25
    assert len(trials_of(tmp_path)) == 25


def test_drivers_that_prepare_one_record_differently_are_named_and_the_first_one_stands(
        tmp_path, monkeypatch):
    def prepare(self, work_dir, before):
        url = f'sqlite:///{work_dir}/search.db'  # another driver is faster
        Record(url, self.space, identity, 'other').note_preparation('theirs', 1, 1)
        return 'ours'

    def attributes():
        url = f'sqlite:///{tmp_path}/search.db'
        return optuna.load_study(storage=url, study_name='nasfpn-search').user_attrs

    search(match_config(), tmp_path, 1)
    identity = attributes()['mmnasfpn:search']
    monkeypatch.setattr('mmnasfpn.search.rewards.GenotypeMatch.prepare', prepare)
    with pytest.raises(RecordError, match='another driver has meanwhile begun this search with theirs, '
                                          'and this one has prepared ours'):
        search(match_config(), tmp_path, 2)
    assert attributes()['mmnasfpn:preparation']['result'] == 'theirs'


def test_a_search_in_two_goes_is_the_one_in_one(tmp_path):
    search(match_config(), tmp_path / 'two', 13)
    search(match_config(), tmp_path / 'two', 30)
    search(match_config(), tmp_path / 'one', 30)
    assert [(trial.params, trial.value) for trial in completed(tmp_path / 'two')] == [
        (trial.params, trial.value) for trial in completed(tmp_path / 'one')]


def test_a_repeated_architecture_reuses_its_reward_and_is_counted(tmp_path):
    summary = scripted_search(tmp_path, {}, 30)  # of a small space
    calls = len(list((tmp_path / 'calls').iterdir()))
    assert calls == summary['unique'] < summary['completed'] == 30
    by_architecture = {}
    for trial in completed(tmp_path / 'w'):
        by_architecture.setdefault(trial.user_attrs['architecture'], []).append(trial)
    for trials in by_architecture.values():
        assert len({trial.value for trial in trials}) == 1
        assert ['reused_from' in trial.user_attrs for trial in trials].count(False) == 1


def test_a_record_with_hashes_of_an_earlier_version_goes_on_exactly(tmp_path):
    scripted_search(tmp_path, {}, 15, num_workers=1)
    with closing(sqlite3.connect(tmp_path / 'w/search.db')) as connection, connection:
        changed = connection.execute("UPDATE trial_user_attributes SET value_json = '\"earlier\"' "
                                     "WHERE key = 'architecture'")
        assert changed.rowcount == 15
    summary = scripted_search(tmp_path, {}, 30, num_workers=1)
    assert len(list((tmp_path / 'calls').iterdir())) == summary['unique'] < 30
    uncut = scripted_search(tmp_path / 'uncut', {}, 30, num_workers=1)
    assert summary['unique'] == uncut['unique'] and summary['best'] == uncut['best']
    assert [(trial.params, trial.value) for trial in completed(tmp_path / 'w')] == [
        (trial.params, trial.value) for trial in completed(tmp_path / 'uncut/w')]


@pytest.mark.parametrize('folder', ["a %20 b?c#ü [x] 'q'", '{0} {SCHEMA_VERSION} "%s" &;:@=+\\'])
def test_a_work_dir_may_have_any_name(folder, record_file, tmp_path):
    work_dir = tmp_path / folder
    assert search(match_config(), work_dir, 3)['completed'] == 3
    assert search(match_config(), work_dir, 5)['completed'] == 5
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    assert {record_file, 'best.json', 'top.json', 'search.png', 'config.py'} <= {
        path.name for path in work_dir.iterdir()}


def test_trials_of_a_work_dir_of_any_name_have_folders_there(tmp_path):
    work_dir = tmp_path / "a %20 b?c#ü [x] 'q'"
    assert search(scripted_config(tmp_path / '%s?'), work_dir, 2, num_workers=1)['completed'] == 2
    assert 'a word for the log' in (work_dir / 'trials/00001/log.txt').read_text()


@pytest.mark.parametrize(('what', 'words'), [
    ('die', 'killed by SIGKILL'), ('raise', 'MemoryError'), ('nan', 'the reward is nan'),
    ('sleep', 'it took longer than the time limit of 3 s (--trial-timeout)')])
def test_a_worker_that_fails_or_hangs_once_is_a_failed_trial_and_a_retry(what, words, tmp_path):
    summary = scripted_search(tmp_path, {'1': what}, 6, num_workers=1,
                              trial_timeout=3 if what == 'sleep' else None)
    assert counts_of(summary) == (6, 6, 1, 0)
    failed, = (trial for trial in trials_of(tmp_path / 'w') if trial.state is TrialState.FAIL)
    assert words in failed.user_attrs['reason']
    retry, = retries_of(failed, trials_of(tmp_path / 'w'))
    assert retry.params == failed.params and retry.state is TrialState.COMPLETE


def test_a_time_limit_that_cannot_be_kept_is_ignored_with_a_word(tmp_path, told):
    assert search(match_config(), tmp_path, 3, trial_timeout=0.001)['completed'] == 3
    line, = told
    assert 'the time limit (--trial-timeout) is ignored: the reward GenotypeMatch takes no time' in line


def test_a_trial_that_keeps_failing_is_given_up_and_the_search_goes_on(tmp_path):
    summary = scripted_search(tmp_path, {'1': 'raise', '2': 'raise'}, 6, num_workers=1, max_retries=1)
    assert counts_of(summary) == (6, 5, 2, 1)


def test_a_search_in_which_everything_fails_says_why(tmp_path):
    script = {str(call): 'raise' for call in range(50)}
    words = r'all of the first 3 trials failed.*out of everything(.|\n)*more --retries than 0'
    with pytest.raises(SearchFailed, match=words):
        scripted_search(tmp_path, script, 8, max_retries=0, num_workers=1)
    for call in range(3, 50):  # repaired
        (tmp_path / 'calls' / str(call)).touch()
    summary = scripted_search(tmp_path, script, 8, max_retries=1)
    assert counts_of(summary) == (8, 8, 3, 0)


def test_a_search_of_failures_alone_is_one_that_failed(tmp_path):
    script = {str(call): 'raise' for call in range(50)}
    for _ in range(2):
        with pytest.raises(SearchFailed, match='all of the first 2 trials failed'):
            scripted_search(tmp_path, script, 2, max_retries=0, num_workers=1)


def test_a_search_that_is_over_starts_nothing(tmp_path):
    process = start(scripted_config(tmp_path, {'4': 'sleep'}), tmp_path / 'w', 12, num_workers=1)
    wait_for(tmp_path / 'calls/4', process)
    kill(process)
    done = len(completed(tmp_path / 'w'))
    for _ in range(3):
        summary = scripted_search(tmp_path, {'4': 'sleep'}, done)
        assert (summary['completed'], summary['failed'], summary['given_up']) == (done, 1, 0)
    assert [trial.state.name for trial in trials_of(tmp_path / 'w')].count('RUNNING') == 0


def test_fewer_retries_later_do_not_give_up_what_has_completed(tmp_path):
    script = {'1': 'raise', '2': 'raise'}
    assert counts_of(scripted_search(tmp_path, script, 5, num_workers=1)) == (5, 5, 2, 0)
    assert counts_of(scripted_search(tmp_path, script, 9, max_retries=0)) == (9, 9, 2, 0)


def test_several_drivers_draw_differently_with_every_sampler(tmp_path):
    for sampler in ('random', 'tpe', 'nsgaii'):
        storage = f'sqlite:///{tmp_path}/{sampler}.db'
        first = [search(match_config(), tmp_path / name, 1, storage=storage, sampler=sampler,
                        study_name=name)['best'] for name in ('one', 'other')]
        assert first[0]['genotype'] != first[1]['genotype']


def test_several_workers_at_once(tmp_path):
    start = time.monotonic()
    config = scripted_config(tmp_path, seconds=1.0)
    summary = search(config, tmp_path / 'w', 8, num_workers=4)
    assert summary['completed'] == 8
    calls = len(list((tmp_path / 'calls').iterdir()))
    assert time.monotonic() - start < 10 + calls * 0.7


def test_the_proxy_task_in_workers_of_its_own(tiny_config, tmp_path):
    cfg = load_config(str(tiny_config))
    cfg.search_space = dict(num_intermediate=1)
    cfg.train_cfg.max_epochs = 1
    summary = search(cfg, tmp_path / 'w', 2, num_workers=2)
    assert (summary['completed'], summary['failed'], summary['best']['reward']) == (2, 0, 0.0)
    assert 'Epoch(train)' in (tmp_path / 'w/trials/00000/log.txt').read_text()


@pytest.mark.parametrize(('changes', 'words'), [
    (dict(reward=dict(type='GenotypeMatch', target='nasfpn_lite'),
          search_space=dict(min_level=3, max_level=6, num_intermediate=11)), 'space is .* but was'),
    (dict(controller=dict(batch_size=5)), "controller is {'batch_size': 5}, but was"),
    (dict(anything_else=1), 'config is .* but was'),
])
def test_a_work_dir_of_another_config_is_refused_and_nothing_is_lost(changes, words, tmp_path):
    search(match_config(), tmp_path, 5)
    config, best = ((tmp_path / name).read_text() for name in ('config.py', 'best.json'))
    with pytest.raises(RecordError, match=f'is of another search: .*{words}'):
        search(match_config(**changes), tmp_path, 10)
    assert [(tmp_path / name).read_text() for name in ('config.py', 'best.json')] == [config, best]
    assert search(match_config(), tmp_path, 10)['completed'] == 10


def test_another_seed_or_sampler_is_another_search(tmp_path):
    search(match_config(), tmp_path, 5)
    with pytest.raises(RecordError, match='seed is 1, but was 0'):
        search(match_config(), tmp_path, 10, seed=1)
    with pytest.raises(RecordError, match="sampler is 'random', but was 'controller'"):
        search(match_config(), tmp_path, 10, sampler='random')


def test_a_storage_of_another_search_is_refused(tmp_path):
    search(match_config(), tmp_path / 'one', 5)
    storage = f'sqlite:///{tmp_path}/one/search.db'
    with pytest.raises(RecordError, match='reward is .* but was'):
        search(match_config(reward=dict(type='GenotypeMatch', target=str(tmp_path / 'one/best.json'))),
               tmp_path / 'other', 5, storage=storage)
    assert not (tmp_path / 'other/config.py').exists()


def test_two_searches_at_once_share_the_trials_of_one_storage(tmp_path):
    storage = f'sqlite:///{tmp_path}/shared.db'
    process = start(match_config(), tmp_path / 'w', 80, storage=storage)
    wait_for(tmp_path / 'w/config.py', process)
    mine = search(match_config(), tmp_path / 'mine', 80, storage=storage)
    process.join(60)
    assert process.exitcode == 0
    assert 80 <= mine['completed'] <= 82
    study = optuna.load_study(storage=storage, study_name='nasfpn-search')
    owners = [trial.user_attrs['owner'] for trial in study.get_trials()]
    assert len(set(owners)) == 2 and len(owners) <= 82
    params = [tuple(trial.params.values()) for trial in study.get_trials()]
    assert len(set(params[:40])) == 40  # they do not draw the same


@pytest.mark.parametrize('storage', ['sqlite:///{}/shared.db', 'journal:{}/shared.journal'])
def test_two_work_dirs_share_the_trials_of_one_storage(storage, tmp_path):
    storage = storage.format(tmp_path)
    assert search(match_config(), tmp_path / 'one', 8, storage=storage)['completed'] == 8
    assert search(match_config(), tmp_path / 'other', 12, storage=storage)['completed'] == 12
    assert search(match_config(), tmp_path / 'one', 12, storage=storage)['completed'] == 12


@pytest.mark.parametrize(('arguments', 'words'), [
    (dict(evaluator='slurm'), "evaluator is 'slurm'.*local, ray"),
    (dict(sampler='grid'), "sampler is 'grid'"),
    (dict(storage='somewhere'), 'must be a URL'),
    (dict(max_retries=-1), 'max_retries is -1'),
    (dict(trial_timeout=0), 'trial_timeout is 0, but must be a number of seconds above 0'),
])
def test_bad_arguments_are_named(arguments, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        search(match_config(), tmp_path / 'w', 5, **arguments)


def test_a_work_dir_that_cannot_be_is_named(tmp_path):
    (tmp_path / 'file').touch()
    for work_dir in (tmp_path / 'file', tmp_path / 'file/below'):
        with pytest.raises(ValueError, match='work dir .* cannot be written'):
            search(match_config(), work_dir, 5)


@pytest.mark.parametrize(('config', 'words'), [
    (match_config(num_trials='many'), "num_trials is 'many'"),
    (load_config(str(REPO / 'configs/nasfpn/retinanet_r18-w16_fpn-64_7e_shapes.py')),
     r"type 'mmnasfpn\.FPN'.*'mmnasfpn\.NASFPN'")], ids=['number of trials', 'another neck'])
def test_a_config_that_cannot_be_searched_is_refused_before_anything_is_written(config, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        search(config, tmp_path / 'w')
    assert not (tmp_path / 'w').exists()


def test_a_second_search_in_the_same_work_dir_is_refused_while_one_runs(tmp_path):
    process = start(scripted_config(tmp_path, {'0': 'sleep'}), tmp_path / 'w', 3, num_workers=1)
    try:
        wait_for(tmp_path / 'calls/0', process)
        with pytest.raises(ValueError, match='another search is running in'):
            scripted_search(tmp_path, {'0': 'sleep'}, 3)
    finally:
        kill(process)


def test_the_tool_searches_goes_on_and_writes_json(tmp_path, tool_env):
    def run(trials):
        output = run_python('tools/search.py', MATCH, '--work-dir', tmp_path / 'w', '--trials', trials,
                            '--json', tmp_path / 'found.json', '--seed', 3, '--sampler', 'random',
                            env=tool_env)
        return output, json.loads((tmp_path / 'found.json').read_text())

    run(5)
    output, summary = run(12)
    assert {'trials', 'completed', 'failed', 'unique', 'best', 'mean_reward_last_200', 'sampler',
            'seconds'} <= set(summary)
    assert (summary['trials'], summary['completed'], summary['sampler']) == (12, 12, 'random')
    assert '12 of 12 trials: best 0.' in output and 'best.json' in output


def test_the_tool_ends_tidily_when_it_is_told_to(tmp_path, tool_env):
    process = subprocess.Popen(
        [sys.executable, 'tools/search.py', MATCH, '--work-dir', tmp_path, '--trials', '99999'],
        cwd=REPO, env=tool_env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 60
        while not (tmp_path / 'best.json').is_file():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        assert (tmp_path / 'search.lock').is_file()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, output.splitlines()[-1]) == (
        130, 'search.py: stopped; the same command goes on')
    assert not (tmp_path / 'search.lock').exists()


def test_a_genotype_that_was_found_is_one_line_of_config(tmp_path):
    search(match_config(), tmp_path, 5)
    child = tmp_path / 'mine.py'
    child.write_text(f"_base_ = {str(DEMO_CONFIG)!r}\nmodel = dict(neck=dict(genotype={str(tmp_path)!r} "
                     "+ '/best.json'))\n")
    from mmengine.registry import MODELS, init_default_scope
    init_default_scope('mmdet')
    neck = MODELS.build(Config.fromfile(child).model.neck)
    assert neck.genotype == get_genotype(tmp_path / 'best.json')


def test_a_storage_that_is_lost_ends_the_search_in_one_message_and_it_goes_on(tmp_path, monkeypatch):
    draw = Record.draw

    def lose_it(record):
        if len(record.trials) == 2:
            raise StorageInternalError('the server closed the connection')
        return draw(record)

    monkeypatch.setattr(Record, 'draw', lose_it)
    with pytest.raises(RecordError, match='search.db cannot be used any more: the server closed the '
                                          'connection. No trial .* the same command goes on'):
        search(match_config(), tmp_path, 4)
    monkeypatch.undo()
    assert counts_of(search(match_config(), tmp_path, 4)) == (4, 4, 0, 0)
