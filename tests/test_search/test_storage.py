"""Where the record is: a database, or where files cannot be locked a journal."""
import json
import time

import optuna
import pytest
from sqlalchemy import make_url

from mmnasfpn.search.storage import RecordError, open_storage, sqlite_url, storage_of
from tests.test_search.searches import completed, forbid_file_locks, match_config, search, trials_of

pytestmark = pytest.mark.usefixtures('no_graphs')


def test_a_new_record_is_a_database_and_leaves_nothing_else_behind(tmp_path, told):
    assert storage_of(tmp_path) == f'sqlite:///{tmp_path}/search.db'
    assert list(tmp_path.iterdir()) == [] == told


@pytest.mark.parametrize('name', ['flock', 'lockf'])
def test_a_new_record_where_files_cannot_be_locked_is_a_journal_and_is_told_of(
        name, tmp_path, monkeypatch, told):
    forbid_file_locks(monkeypatch, [name])
    work_dir = tmp_path / 'my w'
    work_dir.mkdir()
    assert storage_of(work_dir) == f'journal:{work_dir}/search.journal'
    assert list(work_dir.iterdir()) == []
    line, = told
    assert f'{name}: Function not implemented' in line
    assert line.endswith(f"optuna-dashboard '{work_dir}/search.journal'")


def test_a_search_goes_on_with_the_record_that_it_has(record_file, tmp_path, monkeypatch):
    search(match_config(), tmp_path, 3)
    monkeypatch.undo()
    if record_file == 'search.db':
        forbid_file_locks(monkeypatch)
    assert search(match_config(), tmp_path, 6)['completed'] == 6
    assert (tmp_path / record_file).is_file()
    assert not (tmp_path / ({'search.db', 'search.journal'} - {record_file}).pop()).exists()


def test_a_lock_of_the_journal_that_a_killed_search_left_does_not_hold_up_the_next(
        tmp_path, monkeypatch):
    forbid_file_locks(monkeypatch)
    search(match_config(), tmp_path, 3)
    (tmp_path / 'search.journal.lock').touch()
    start = time.monotonic()
    assert search(match_config(), tmp_path, 6)['completed'] == 6
    assert time.monotonic() - start < 20  # Optuna waits for 30


@pytest.mark.parametrize('cut', ['in the last line', 'in the first line'])
def test_a_line_of_the_journal_that_a_kill_cut_is_written_anew(cut, tmp_path, monkeypatch):
    forbid_file_locks(monkeypatch)
    search(match_config(), tmp_path / 'w', 8)
    journal = tmp_path / 'w/search.journal'
    lines = journal.read_bytes().splitlines(keepends=True)
    place = 0
    if cut == 'in the last line':  # of the last trial that was begun
        place = max(number for number, line in enumerate(lines) if b'"params"' in line)
    journal.write_bytes(b''.join(lines[:place]) + lines[place][:7 if not place else 300])
    assert search(match_config(), tmp_path / 'w', 12)['completed'] == 12
    search(match_config(), tmp_path / 'uncut', 12)
    assert [(trial.params, trial.value) for trial in completed(tmp_path / 'w')] == [
        (trial.params, trial.value) for trial in completed(tmp_path / 'uncut')]
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_file_that_is_no_journal_is_named_and_kept(tmp_path):
    notes = tmp_path / 'notes'
    notes.write_text('my notes, without an end')
    with pytest.raises(RecordError, match='notes is no journal of Optuna'):
        open_storage(f'journal:{notes}')
    assert notes.read_text() == 'my notes, without an end'
    assert list(tmp_path.iterdir()) == [notes]


def test_the_url_of_an_ordinary_path_is_the_one_that_anybody_would_write(tmp_path):
    search(match_config(), tmp_path, 3)
    study = optuna.load_study(storage=f'sqlite:///{tmp_path}/search.db', study_name='nasfpn-search')
    assert len(study.get_trials()) == 3 == len(trials_of(tmp_path))


def test_the_url_of_any_path_is_read_as_that_path(tmp_path):
    path = tmp_path / "a %20 b?c#ü [x] 'q' {0}/search.db"
    assert make_url(sqlite_url(path).format()).database == str(path)
