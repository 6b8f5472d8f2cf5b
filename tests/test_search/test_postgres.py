"""A search in PostgreSQL, on a server of its own that is thrown away."""
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import URL

from mmnasfpn.search.record import Record, RecordError
from mmnasfpn.search.samplers import ControllerSampler
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.storage import open_storage
from tests.test_search.searches import kill, match_config, retries_of, start

pytestmark = pytest.mark.usefixtures('no_graphs')

SPACE = SearchSpace(3, 4, 1)
PASSWORD = 'a secret: 100%@home/'


def url_of(port, database, password=PASSWORD):
    return URL.create('postgresql', 'me', password, '127.0.0.1', port, database).render_as_string(
        hide_password=False)


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def folder_of_programs():
    """Return where PostgreSQL's programs are; Debian does not put them on PATH."""
    on_path = shutil.which('initdb')
    if on_path:
        return Path(on_path).resolve().parent
    return max(Path('/usr/lib/postgresql').glob('*/bin'), default=None)


@pytest.fixture(scope='module')
def driver():
    if not any(map(find_spec, ('psycopg', 'psycopg2'))):
        pytest.skip("no driver of PostgreSQL is installed: pip install 'mmnasfpn[postgres]'")


@pytest.fixture(scope='module')
def server(driver):
    """The port of a server."""
    programs = folder_of_programs()
    if programs is None:
        pytest.skip('no server of PostgreSQL is installed: initdb is neither on PATH nor in '
                    '/usr/lib/postgresql/*/bin (apt-get install postgresql)')
    user = {}
    if os.getuid() == 0:  # as which PostgreSQL does not run
        user = dict(user='nobody', group=pwd.getpwnam('nobody').pw_gid, extra_groups=[])
    port = free_port()
    # Not tmp_path, which is closed to other users.
    with TemporaryDirectory(prefix='postgres-') as folder:
        def run(program, *arguments):
            done = subprocess.run(
                [programs / program, '-D', 'data', *arguments], cwd=folder, text=True, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user)
            assert done.returncode == 0, done.stdout

        Path(folder, 'password').write_text(PASSWORD)
        if user:
            shutil.chown(folder, 'nobody')
        run('initdb', '--username=me', '--pwfile=password', '--auth=scram-sha-256', '--no-sync')
        run('pg_ctl', 'start', '--wait', '--log=log', f"--options=-F -h 127.0.0.1 -p {port} -k ''")
        try:
            yield port
        finally:
            run('pg_ctl', 'stop', '--mode=immediate')


def trials_in(storage):
    return optuna.load_study(storage=open_storage(storage), study_name='nasfpn-search').get_trials()


def wait_until(is_true, process):
    until = time.monotonic() + 120
    while not is_true():
        assert process.is_alive() and time.monotonic() < until, process.exitcode
        time.sleep(0.01)


def test_the_record_of_a_search_is_the_one_in_sqlite_to_the_last_bit(server, tmp_path):
    found = []
    storage = url_of(server, 'template1')
    for url in (storage, f'sqlite:///{tmp_path}/search.db'):
        record = Record(url, SPACE, dict(seed=0), 'me')
        record.study.sampler = ControllerSampler(SPACE, seed=0, batch_size=3, hidden_size=8)
        for _ in range(8):
            attempt = record.draw()
            record.complete(attempt.number, [1 / (attempt.number + 3)], attrs=dict(note={'ü': 0.1}))
        found.append([(trial.number, trial.params, trial.value, trial.state, trial.distributions,
                       trial.user_attrs, trial.system_attrs) for trial in trials_in(url)])
    assert found[0] == found[1]
    assert len(found[0]) == 8


def test_two_drivers_share_one_study_and_a_kill_of_one_loses_nothing(server, tmp_path):
    storage = url_of(server, 'postgres')  # empty, so that both make the tables at once
    notes = tmp_path / 'notes'
    config = match_config(reward=dict(
        type='NotedMatch', target='nasfpn', notes=str(notes), seconds=0.2))
    num_trials = 14

    def folders():
        return [Path(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    def begin(name):
        return start(config, tmp_path / name, num_trials, storage=storage)

    one, other = begin('one'), begin('other')
    wait_until(lambda: sum(tmp_path / 'one' in folder.parents for folder in folders()) >= 3, one)
    kill(one)
    killed = trials_in(storage)
    one = begin('one')
    for process in (one, other):
        process.join(240)
        assert process.exitcode == 0

    trials = trials_in(storage)
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    interrupted = [trial for trial in trials if trial.state is TrialState.FAIL]
    assert num_trials <= len(complete) <= num_trials + 1  # each counts the other's
    assert len(complete) + len(interrupted) == len(trials)
    # None was evaluated twice.
    numbers = [folder.name for folder in folders()]
    assert len(numbers) == len(set(numbers))
    evaluated = [trial for trial in complete if 'reused_from' not in trial.user_attrs]
    assert len({trial.user_attrs['architecture'] for trial in evaluated}) == len(evaluated)
    assert {f'{trial.number:05}' for trial in evaluated} <= set(numbers)
    # What was complete is as it was, and what was not is tried again.
    for before in killed:
        if before.state is TrialState.COMPLETE:
            assert trials[before.number] == before
    for trial in interrupted:
        retry, = retries_of(trial, trials)
        assert retry.params == trial.params
    owners = {trial.user_attrs['owner'] for trial in complete}
    assert owners == {(tmp_path / name / 'owner').read_text() for name in ('one', 'other')}


@pytest.mark.parametrize(('database', 'password', 'words'), [
    ('postgres', 'not a secret', 'password authentication failed for user "me"'),
    ('nowhere', PASSWORD, 'database "nowhere" does not exist')])
def test_what_the_server_says_is_one_line_without_the_password(server, database, password, words):
    with pytest.raises(RecordError, match=words) as raised:
        Record(url_of(server, database, password), SPACE, dict(seed=0), 'me')
    assert f'postgresql://me:***@127.0.0.1:{server}/{database} cannot be opened' in str(raised.value)
    assert not re.search('secret|home|\n|sqlalche.me', str(raised.value))


def test_a_server_that_cannot_be_reached_is_told_of_in_one_line(driver):
    port = free_port()
    with pytest.raises(RecordError, match='refused') as raised:
        Record(url_of(port, 'search'), SPACE, dict(seed=0), 'me')
    assert f'postgresql://me:***@127.0.0.1:{port}/search cannot be opened' in str(raised.value)
    assert not re.search('secret|home|\n|sqlalche.me', str(raised.value))
