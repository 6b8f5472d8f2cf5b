"""The record: nothing is lost, and nothing is there twice."""
import sqlite3
import time

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError

from mmnasfpn.search import SearchSpace, record
from mmnasfpn.search.record import Record, RecordError, is_given_up
from mmnasfpn.search.samplers import ControllerSampler
from mmnasfpn.search.storage import open_storage
from mmnasfpn.search.trials import ARCHITECTURE, FAILURES, REASON, RETRY_OF, draw_number

SPACE = SearchSpace(0, 2, 1)
STORAGE = 'sqlite:///{}/search.db'


@pytest.fixture(params=[STORAGE, 'journal:{}/search.journal'], ids=['database', 'journal'])
def each_storage(request, monkeypatch):
    """Have records in each kind of storage."""
    monkeypatch.setitem(globals(), 'STORAGE', request.param)


in_each_storage = pytest.mark.usefixtures('each_storage')


def open_record(tmp_path, owner='me', identity=None, **options):
    record = Record(STORAGE.format(tmp_path), SPACE, identity or dict(seed=0), owner, **options)
    record.study.sampler = ControllerSampler(SPACE, 0, hidden_size=8)
    return record


def retries(record, max_retries=2, is_only_owner=True):
    return [record.retry(failed) for failed in record.recover(max_retries, is_only_owner)]


def states(record):
    return [trial.state.name for trial in record.trials]


@in_each_storage
def test_a_trial_is_drawn_and_completed(tmp_path):
    record = open_record(tmp_path)
    attempt = record.draw()
    assert attempt.genotype in SPACE and attempt.failures == 0
    record.complete(attempt.number, [0.5])
    again = open_record(tmp_path)
    trial, = again.trials
    assert trial.value == 0.5 and trial.user_attrs[ARCHITECTURE] == attempt.architecture
    assert again.genotype(trial.params) == attempt.genotype


def test_sqlite_writes_ahead(tmp_path):
    open_record(tmp_path).draw()
    connection = sqlite3.connect(tmp_path / 'search.db')
    assert connection.execute('PRAGMA journal_mode').fetchone() == ('wal',)


@in_each_storage
def test_a_completed_trial_is_not_completed_again(tmp_path):
    record = open_record(tmp_path)
    number = record.draw().number
    record.complete(number, [0.5])
    with pytest.raises(ValueError, match='Cannot tell a COMPLETE trial'):
        record.complete(number, [0.6])
    assert record.trials[number].value == 0.5


@in_each_storage
def test_what_was_running_is_failed_and_tried_again_with_the_same_actions(tmp_path):
    attempt = open_record(tmp_path).draw()
    record = open_record(tmp_path)
    retry, = retries(record)
    assert states(record) == ['FAIL', 'RUNNING']
    assert 'interrupted' in record.trials[0].user_attrs[REASON]
    assert (retry.number, retry.genotype, retry.failures) == (1, attempt.genotype, 0)
    assert record.trials[1].user_attrs[RETRY_OF] == 0
    # How it was drawn, so that the controller can learn from the retry.
    assert record.trials[1].system_attrs == record.trials[0].system_attrs != {}


@in_each_storage
def test_interruptions_are_no_failures(tmp_path):
    open_record(tmp_path).draw()
    for number in range(1, 8):
        retry, = retries(open_record(tmp_path), max_retries=0)
        assert (retry.number, retry.failures) == (number, 0)


@in_each_storage
def test_a_draw_that_was_cut_is_drawn_anew(tmp_path):
    record = open_record(tmp_path)
    record.study.ask()  # as if killed before the decisions were written
    record = open_record(tmp_path)
    assert record.recover(2, is_only_owner=True) == []
    attempt = record.draw()
    assert attempt.number == 1 and draw_number(1, record.trials, len(SPACE.decisions)) == 0
    fresh = tmp_path / 'fresh'
    fresh.mkdir()
    assert attempt.genotype == open_record(fresh).draw().genotype


@in_each_storage
def test_a_draw_that_was_cut_after_its_last_decision_is_tried_again(tmp_path):
    record = open_record(tmp_path)
    record.study.ask(record._distributions)  # as if killed before anything else was written
    retry, = retries(open_record(tmp_path))
    assert retry.genotype == record.genotype(record.trials[0].params)


@in_each_storage
def test_a_failure_is_tried_again_up_to_the_limit(tmp_path):
    record = open_record(tmp_path)
    attempt = record.draw()
    for failures in (1, 2, 3):
        trial = record.fail(attempt, 'no memory')
        assert (trial.state, trial.user_attrs[FAILURES], trial.user_attrs[REASON]) == (
            TrialState.FAIL, failures, 'no memory')
        assert is_given_up(trial, 2) is (failures == 3)
        if failures < 3:
            attempt = record.retry(trial)
    again = open_record(tmp_path)
    assert again.recover(2, is_only_owner=True) == []
    assert [retry.failures for retry in retries(again, max_retries=5)] == [3]


@in_each_storage
def test_a_failure_that_was_not_yet_tried_again_is_so_after_a_kill(tmp_path):
    record = open_record(tmp_path)
    record.fail(record.draw(), 'no memory')
    assert [failed.number for failed in open_record(tmp_path).recover(2, True)] == [0]
    assert [failed.number for failed in open_record(tmp_path).recover(2, True)] == [0]  # and again
    retry, = retries(open_record(tmp_path))
    assert (retry.number, retry.failures) == (1, 1)
    assert [failed.number for failed in open_record(tmp_path).recover(2, True)] == [1]  # it was running


@in_each_storage
def test_what_others_run_is_left_alone(tmp_path):
    theirs = open_record(tmp_path, 'they').draw()
    mine = open_record(tmp_path, 'me').draw()
    record = open_record(tmp_path, 'me')
    retry, = retries(record, is_only_owner=False)
    assert retry.genotype == mine.genotype
    assert states(record) == ['RUNNING', 'FAIL', 'RUNNING']
    open_record(tmp_path, 'they').complete(theirs.number, [0.1])


@in_each_storage
def test_two_at_once_draw_different_genotypes(tmp_path):
    one, other = open_record(tmp_path, 'they').draw(), open_record(tmp_path, 'me').draw()
    assert one.genotype != other.genotype


@in_each_storage
def test_another_search_is_refused_and_left_as_it_was(tmp_path):
    open_record(tmp_path, identity=dict(seed=0, sampler='tpe')).draw()
    with pytest.raises(RecordError, match="seed is 1, but was 0(.|\n)*another --work-dir"):
        open_record(tmp_path, identity=dict(seed=1, sampler='tpe'))
    assert len(open_record(tmp_path, identity=dict(seed=0, sampler='tpe')).trials) == 1


@in_each_storage
def test_several_searches_share_a_storage_under_different_names(tmp_path):
    open_record(tmp_path, identity=dict(seed=0)).draw()
    assert open_record(tmp_path, identity=dict(seed=1), study_name='other').trials == []


def test_a_study_of_something_else_is_refused(tmp_path):
    study = optuna.create_study(storage=f'sqlite:///{tmp_path}/search.db', study_name='nasfpn-search')
    study.ask()
    with pytest.raises(RecordError, match='cannot be opened|not made by a search'):
        open_record(tmp_path)


def test_a_search_that_was_killed_before_its_identity_was_written_begins(tmp_path):
    optuna.create_study(storage=f'sqlite:///{tmp_path}/search.db', study_name='nasfpn-search',
                        direction='maximize')
    assert open_record(tmp_path).trials == []


@pytest.mark.parametrize(('url', 'words'), [
    ('sqlite:////nowhere/search.db', 'there is no folder /nowhere'),
    ('search.db', r"must be a URL of Optuna, e\.g\. sqlite:///search\.db"),
    ('journal:/nowhere/search.journal', 'there is no folder /nowhere'),
    ('nonsense://x', 'cannot be opened'),
])
def test_a_storage_that_cannot_be_opened_is_named(url, words):
    with pytest.raises(RecordError, match=words):
        Record(url, SPACE, dict(seed=0), 'me')


def test_a_file_that_is_no_database_is_named_and_kept(tmp_path):
    (tmp_path / 'search.db').write_text('my notes, as long as a header of a database\n' * 9)
    with pytest.raises(RecordError, match='cannot be opened.*not a database'):
        open_record(tmp_path)
    assert (tmp_path / 'search.db').read_text().startswith('my notes')


def test_a_password_is_not_shown():
    with pytest.raises(RecordError, match=r'postgresql://me:\*\*\*@nowhere') as raised:
        Record('postgresql://me:secret@nowhere/search', SPACE, dict(seed=0), 'me')
    assert 'secret' not in str(raised.value)


def test_a_driver_that_another_one_hinders_from_making_the_tables_tries_again(tmp_path, monkeypatch):
    conflicts = [IntegrityError('CREATE TABLE', None, ValueError('there is one')) for _ in range(2)]

    def open_after_conflicts(url):
        if conflicts:
            raise conflicts.pop()
        return open_storage(url)

    monkeypatch.setattr(record, 'open_storage', open_after_conflicts)
    monkeypatch.setattr(time, 'sleep', lambda _: None)
    open_record(tmp_path).draw()
    assert conflicts == []
    conflicts.extend(IntegrityError('CREATE TABLE', None, ValueError('there is one')) for _ in range(9))
    with pytest.raises(RecordError, match='cannot be opened: ValueError: there is one$'):
        open_record(tmp_path)


@in_each_storage
def test_seconds_add_up(tmp_path):
    record = open_record(tmp_path)
    assert record.seconds == 0
    record.note_seconds(12.5)
    assert open_record(tmp_path).seconds == 12.5
