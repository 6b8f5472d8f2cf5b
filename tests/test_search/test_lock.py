"""The lock of a work dir: one search at a time, and none that is locked out by a dead one."""
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from contextlib import nullcontext

import pytest
from filelock import MarkerSoftFileLock

from mmnasfpn.search import lock as module
from mmnasfpn.search.lock import only_one
from tests.conftest import REPO
from tests.test_search.searches import MATCH

NO_PROCESS = 2**22 + 1  # above the largest number of a process


@pytest.fixture
def work_dir(tmp_path):
    path = tmp_path / "my search's"
    path.mkdir()
    return path


@pytest.fixture(params=['exchanges', 'does not exchange'])
def file_system(request, monkeypatch):
    """One where filelock takes over from the dead, and one where it cannot, as on NFS."""
    if request.param != 'exchanges':
        monkeypatch.setattr(MarkerSoftFileLock, '_try_break_stale_lock', lambda _: None)


def names(work_dir):
    return sorted(path.name for path in work_dir.iterdir())


def owner_of(work_dir):
    return MarkerSoftFileLock(work_dir / 'search.lock').owner


def this_process():
    """Return what a lock of this process says, with everything that filelock writes."""
    with MarkerSoftFileLock(f'/tmp/of-{os.getpid()}.lock') as mine:
        return mine.owner


def write_lock(work_dir, pid, hostname, start=None, name='search.lock'):
    text = f'filelock/2\npid={pid}\nhost={hostname}\nmode=exclusive\n'
    (work_dir / name).write_text(text + (f'start={start}\n' if start is not None else ''))


@pytest.mark.parametrize('error', [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_lock_names_its_owner_and_goes_with_it_however_it_ends(error, work_dir):
    with pytest.raises(error) if error else nullcontext(), only_one(work_dir):
        assert names(work_dir) == ['search.lock']
        owner = owner_of(work_dir)
        assert (owner.pid, owner.hostname.split('?')[0]) == (os.getpid(), socket.gethostname())
        if error is not None:
            raise error
    assert names(work_dir) == []


def test_a_work_dir_is_made(tmp_path):
    with only_one(tmp_path / 'one/below'):
        assert names(tmp_path / 'one/below') == ['search.lock']


@pytest.mark.usefixtures('file_system')
def test_a_second_one_is_refused_while_the_owner_lives(work_dir):
    words = (f'another search is running in {re.escape(str(work_dir))}: process {os.getpid()} of this '
             f'host, {socket.gethostname()}.*Wait for it, stop it, or give another --work-dir')
    with only_one(work_dir):
        with pytest.raises(ValueError, match=words), only_one(work_dir):
            pass
        assert owner_of(work_dir).pid == os.getpid()
    with only_one(work_dir):
        pass


@pytest.mark.usefixtures('file_system')
@pytest.mark.parametrize('name', ['no process', 'another process of that number'])
def test_a_dead_owner_s_lock_is_taken_over(name, work_dir):
    mine = this_process()
    if name == 'no process':
        write_lock(work_dir, NO_PROCESS, mine.hostname, mine.start)
    else:
        write_lock(work_dir, os.getppid(), mine.hostname, mine.start - 1000)
    with only_one(work_dir):
        assert owner_of(work_dir).pid == os.getpid() and names(work_dir) == ['search.lock']


@pytest.mark.usefixtures('file_system')
@pytest.mark.parametrize('text', ['', '\n', 'filelock/2\npid=12', 'rubbish'])
def test_a_lock_whose_owner_was_killed_while_it_wrote_it_is_taken_over(text, work_dir):
    (work_dir / 'search.lock').write_text(text)
    with only_one(work_dir):
        assert owner_of(work_dir).pid == os.getpid() and names(work_dir) == ['search.lock']


@pytest.mark.usefixtures('file_system')
def test_an_owner_that_does_not_say_when_it_began_lives_if_a_process_has_its_number(work_dir):
    write_lock(work_dir, os.getppid(), this_process().hostname)
    with pytest.raises(ValueError, match=f'process {os.getppid()} of this host'), only_one(work_dir):
        pass


@pytest.mark.usefixtures('file_system')
def test_a_lock_of_another_host_is_refused_until_it_is_removed_by_the_command_that_is_named(work_dir):
    write_lock(work_dir, NO_PROCESS, 'elsewhere')
    with pytest.raises(ValueError, match='another search may be running') as raised, only_one(work_dir):
        pass
    message = str(raised.value)
    assert f'process {NO_PROCESS} of the host elsewhere' in message and socket.gethostname() in message
    subprocess.run(message[message.index('rm '):], shell=True, check=True)
    with only_one(work_dir):
        pass


def test_one_that_was_killed_while_it_took_a_lock_stands_in_nobody_s_way(work_dir):
    write_lock(work_dir, NO_PROCESS, this_process().hostname, name='search.lock.gate')
    with only_one(work_dir):
        assert names(work_dir) == ['search.lock']


def test_one_that_was_killed_elsewhere_while_it_took_a_lock_is_named_with_what_to_do(
        work_dir, monkeypatch):
    monkeypatch.setattr(module, '_PATIENCE', 0.1)
    write_lock(work_dir, NO_PROCESS, 'elsewhere', name='search.lock.gate')
    with pytest.raises(ValueError, match='try again.*rm .*search.lock.gate'), only_one(work_dir):
        pass


def _take(work_dir, barrier, answers):
    barrier.wait()
    try:
        with only_one(work_dir):
            answers.put('won')
            barrier.wait()
    except ValueError as error:
        answers.put(str(error))
        barrier.wait()


@pytest.mark.usefixtures('file_system')
@pytest.mark.parametrize('text', ['', f'filelock/2\npid={NO_PROCESS}\nhost=HERE\nmode=exclusive\n'])
def test_of_several_that_find_a_dead_owner_at_once_one_wins(text, work_dir):
    context = multiprocessing.get_context('fork')
    number = 4
    for _ in range(3):
        (work_dir / 'search.lock').write_text(text.replace('HERE', this_process().hostname))
        barrier, answers = context.Barrier(number), context.Queue()
        processes = [context.Process(target=_take, args=(work_dir, barrier, answers))
                     for _ in range(number)]
        for process in processes:
            process.start()
        said = sorted(answers.get(timeout=30) for _ in processes)
        for process in processes:
            process.join(30)
        assert said[-1] == 'won' and all('another search is running' in one for one in said[:-1])
        assert names(work_dir) == []


@pytest.mark.parametrize(('module', 'words'), [
    ('', 'this needs filelock'),
    ('__version__ = "3.29.0"', 'a search needs filelock>=4.1, but 3.29.0 is installed')])
def test_the_tool_names_what_to_install_where_filelock_is_missing_or_old(
        module, words, tmp_path, tool_env):
    (tmp_path / 'filelock.py').write_text(module)
    done = subprocess.run([sys.executable, 'tools/search.py', MATCH, '--work-dir', tmp_path / 'w'],
                          text=True, capture_output=True, cwd=REPO, check=False,
                          env={**tool_env, 'PYTHONPATH': f'{tmp_path}:{REPO}'})
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1, f"search.py: error: {words}: pip install 'mmnasfpn[search]'")
