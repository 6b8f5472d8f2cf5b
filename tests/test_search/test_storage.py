"""Where the record is: a database, or where files cannot be locked a journal."""
import json
import sys
import time
from types import SimpleNamespace

import optuna
import pytest
from sqlalchemy import make_url

from mmnasfpn.search import storage
from mmnasfpn.search.storage import (
    RecordError,
    open_storage,
    sqlite_url,
    storage_of,
    without_password,
)
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


@pytest.fixture
def url_for_optuna(monkeypatch):
    """Have drivers installed, or not, and return the URL that Optuna is given."""
    def open_with(url, **drivers):
        for name, is_installed in drivers.items():
            monkeypatch.setitem(sys.modules, name, SimpleNamespace() if is_installed else None)
        monkeypatch.setattr(storage, 'RDBStorage', lambda url, **_: url)
        return open_storage(url)

    return open_with


@pytest.mark.parametrize(('psycopg', 'psycopg2', 'driver'), [
    (True, True, 'psycopg'), (True, False, 'psycopg'), (False, True, 'psycopg2')])
@pytest.mark.parametrize('scheme', ['postgresql', 'postgres'])
def test_a_url_that_names_no_driver_of_postgresql_has_the_one_that_is_installed(
        scheme, psycopg, psycopg2, driver, url_for_optuna):
    rest = '://me:p%40%2F:x@host:99/search?sslmode=require'
    assert url_for_optuna(scheme + rest, psycopg=psycopg, psycopg2=psycopg2) == (
        f'postgresql+{driver}{rest}')


def test_a_driver_that_is_named_stays(url_for_optuna):
    url = 'postgresql+psycopg2://me@host/search'
    assert url_for_optuna(url, psycopg=True, psycopg2=True) == url


def test_where_no_driver_of_postgresql_is_installed_the_extra_is_named(url_for_optuna):
    with pytest.raises(RecordError) as raised:
        url_for_optuna('postgresql://me:secret@host/search', psycopg=False, psycopg2=False)
    assert str(raised.value) == (
        'the storage postgresql://me:***@host/search needs a driver of PostgreSQL, psycopg or psycopg2: '
        "pip install 'mmnasfpn[postgres]'")


@pytest.mark.parametrize(('url', 'module', 'words'), [
    ('mysql://me:secret@host/search', 'MySQLdb', r'MySQLdb.*: install it, .*mysql\+DRIVER://'),
    ('postgresql+psycopg2://me:secret@host/search', 'psycopg2',
     r'psycopg2.*: install it, .*postgresql\+DRIVER://')])
def test_a_driver_that_is_missing_is_named(url, module, words, url_for_optuna):
    with pytest.raises(RecordError, match=rf'me:\*\*\*@host/search needs a driver .*{words}'):
        url_for_optuna(url, psycopg=True, **{module: False})


@pytest.mark.parametrize('url', [
    'postgresql://me:secret@host:port/search', 'postgresql://me:my@secret@host/search',
    'postgresql://me:{secret}@host/search', 'post-gresql://me:secret@host/search'])
def test_a_url_that_cannot_be_read_is_told_of_without_its_password(url, url_for_optuna):
    with pytest.raises(RecordError, match=r'gresql.*://me:\*\*\*@host\S* cannot be read') as raised:
        url_for_optuna(url, psycopg=True)
    assert 'secret' not in str(raised.value)


@pytest.mark.parametrize(('url', 'shown'), [
    ('postgresql://me:secret@host:99/search', 'postgresql://me:***@host:99/search'),
    ('postgresql://me:a:/?secret@host/search', 'postgresql://me:***@host/search'),
    ('postgresql://me:my@secret@[::1]:99/search', 'postgresql://me:***@[::1]:99/search'),
    ('postgresql://host:99/search?user=me&password=secret&sslmode=require',
     'postgresql://host:99/search?user=me&password=***&sslmode=require'),
    ('no:secret@url', 'no:secret@url'),
    ('postgresql://me@host:99/search', 'postgresql://me@host:99/search'),
    ('sqlite:////folder/a:b@c.db', 'sqlite:////folder/a:b@c.db')])
def test_a_url_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown
