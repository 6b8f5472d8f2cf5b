"""Where the record of a search is: a database of SQLAlchemy's, or a journal."""
import fcntl
import importlib
import logging
import re
import shlex
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from mmengine.logging import print_log
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError

_JOURNAL = 'journal:'  # what the URL of a journal begins with
_BEGINNING = b'{"op_code":'  # of a journal
_POSTGRES_DRIVERS = ('psycopg', 'psycopg2')  # the better one first


class RecordError(ValueError):
    """A record that cannot be used: says why, and what to do."""


def storage_of(work_dir: Path) -> str:
    """Return the URL of the record that a work dir has, or is to have.

    That is ``search.db``, or where files cannot be locked, which SQLite needs, ``search.journal``.

    Args:
        work_dir (Path): The work dir, whose lock the caller holds.
    """
    database, journal = work_dir.absolute() / 'search.db', work_dir.absolute() / 'search.journal'
    if database.is_file() and database.stat().st_size:
        return sqlite_url(database)
    if not journal.is_file():
        reason = _why_not_to_lock(work_dir)
        if not reason:
            return sqlite_url(database)
        print_log(f'files in {work_dir} cannot be locked ({reason}): the record is search.journal in '
                  f'place of search.db. To look at it: optuna-dashboard {shlex.quote(str(journal))}',
                  logger='current', level=logging.WARNING)
    # Only this search writes the journal: a lock of it was left by a killed one.
    Path(f'{journal}.lock').unlink(missing_ok=True)
    return f'{_JOURNAL}{journal}'


def _why_not_to_lock(folder: Path) -> str:
    """Return why files in a folder cannot be locked; nothing where they can."""
    with NamedTemporaryFile(dir=folder, prefix='.lock-me-') as file:
        for name in ('flock', 'lockf'):
            lock = getattr(fcntl, name)
            try:
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock(file, fcntl.LOCK_UN)
            except OSError as error:
                return f'{name}: {error.strerror}'
    return ''


def sqlite_url(path: Path) -> str:
    """Return Optuna's URL of a SQLite file, whatever its name.

    Raises:
        RecordError: If SQLAlchemy, before 2.1, has none.
    """
    url = URL.create('sqlite', database=str(path)).render_as_string(hide_password=False)
    if make_url(url).database != str(path):
        raise RecordError(f'this SQLAlchemy cannot open {path}, because of a ? in its path: give '
                          "another --work-dir, or pip install 'sqlalchemy>=2.1'")
    return url.replace('{', '{{').replace('}', '}}')  # Optuna formats the URL


def without_password(url: str) -> str:
    """Return a URL as it may be shown, also one that SQLAlchemy cannot read."""
    url = re.sub(r'(://[^:/?]*:).*@', r'\1***@', url)
    return re.sub(r'(password=)[^&]*', r'\1***', url)


def open_storage(url: str) -> BaseStorage:
    """Open an Optuna storage; SQLite's with a write-ahead log, which is faster.

    A killed process loses nothing of it, a machine that loses its power at most the last trials.

    Args:
        url (str): SQLAlchemy's URL of a database, or ``journal:`` and a path. With ``postgresql://``
            the driver is psycopg or psycopg2, whichever is installed.

    Raises:
        RecordError: If the folder of the file is missing, the file is no journal, the URL cannot be
            read, or the driver of its database is missing.
    """
    if url.startswith(_JOURNAL):
        path = url.removeprefix(_JOURNAL)
        _check_folder(url, path)
        return _open_journal(path)
    if '://' not in url:
        raise RecordError(f'the storage is {url!r}, but must be a URL of Optuna, e.g. sqlite:///{url} '
                          f'or postgresql://user@host/database, or {_JOURNAL}{url}')
    if not url.startswith('sqlite'):
        url = _with_driver(url)
        _check_driver(url)
        return RDBStorage(url, engine_kwargs=dict(pool_pre_ping=True))
    _check_folder(url, make_url(url).database)
    storage = RDBStorage(url)
    event.listen(storage.engine, 'connect', _use_write_ahead_log)
    storage.engine.dispose()  # existing connections were opened without
    return storage


def _check_folder(url: str, path: str | None) -> None:
    if path and not Path(path).parent.is_dir():
        raise RecordError(f'the storage {url} cannot be opened: there is no folder {Path(path).parent}')


def _with_driver(url: str) -> str:
    """Name a driver that is installed in a URL of PostgreSQL that names none.

    The one that SQLAlchemy takes then depends on its version, not on what is installed.
    """
    backend, _, rest = url.partition('://')
    if backend not in ('postgresql', 'postgres'):
        return url
    for driver in _POSTGRES_DRIVERS:
        with suppress(ImportError):
            importlib.import_module(driver)
            return f'postgresql+{driver}://{rest}'
    raise RecordError(f"the storage {without_password(url)} needs a driver of PostgreSQL, "
                      f"{' or '.join(_POSTGRES_DRIVERS)}: pip install 'mmnasfpn[postgres]'")


def _check_driver(url: str) -> None:
    shown = without_password(url)
    try:
        parsed = make_url(url.format(SCHEMA_VERSION=0))  # as Optuna does
        if '@' in (parsed.host or ''):  # the end of a password
            raise ValueError
    except (ArgumentError, ValueError, LookupError):  # which may show the password
        raise RecordError(
            f'the storage {shown} cannot be read: it must be like postgresql://user:password@host:5432/'
            'database, with %40 for a @ in the password') from None
    try:
        parsed.get_dialect().import_dbapi()
    except ImportError as error:
        raise RecordError(
            f'the storage {shown} needs a driver that cannot be imported ({error}): install it, or name '
            f'another one, {parsed.get_backend_name()}+DRIVER://') from None


def _open_journal(path: str) -> JournalStorage:
    """Open a journal, less a line that a killed process left unfinished: Optuna would append to it."""
    lock = JournalFileOpenLock(path)
    backend = JournalFileBackend(path, lock_obj=lock)
    lock.acquire()
    try:
        with open(path, 'rb+') as file:
            text = file.read()
            if text[:len(_BEGINNING)] != _BEGINNING[:len(text)]:
                raise RecordError(f'the storage {path} is no journal of Optuna: give another --storage')
            file.truncate(text.rfind(b'\n') + 1)
    finally:
        lock.release()
    return JournalStorage(backend)


def _use_write_ahead_log(connection: Any, _: Any) -> None:
    connection.execute('PRAGMA journal_mode=WAL')
    connection.execute('PRAGMA synchronous=NORMAL')
