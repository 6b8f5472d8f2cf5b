"""The lock of a work dir: a file, as not every file system can lock files."""
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import __version__ as _found
from packaging.version import Version

if Version(_found) < Version('4.1'):  # locks of earlier ones lack what is read of them
    raise ImportError(f"a search needs filelock>=4.1, but {_found} is installed: pip install "
                      "'mmnasfpn[search]'")

from filelock import MarkerSoftFileLock, OwnerRecord, Timeout

#: Name of the file.
LOCK = 'search.lock'

_PATIENCE = 5.0  # seconds; nobody holds the gate for longer than some milliseconds


@contextmanager
def only_one(work_dir: Path) -> Iterator[None]:
    """Keep other searches out of a work dir, which is made where there is none.

    The lock is the file ``search.lock``, which names its owner: a process, the host and when it began.
    It is removed in the end, also after an error or Ctrl-C. A lock that a killed process left behind is
    taken over on the same host; of a process of another host nobody can see whether it still runs.

    Args:
        work_dir (Path): The work dir.

    Raises:
        ValueError: If another search holds the lock, or may hold it, or the work dir cannot be written.
    """
    lock = MarkerSoftFileLock(work_dir.absolute() / LOCK, timeout=0)
    try:
        try:
            work_dir.mkdir(parents=True, exist_ok=True)
            _acquire(lock, work_dir)
        except OSError as error:
            raise ValueError(f'the work dir {work_dir} cannot be written or locked: {error}') from None
        yield
    finally:
        lock.release()


def _acquire(lock: MarkerSoftFileLock, work_dir: Path) -> None:
    # The gate lets one search at a time look at the lock. So only one takes it over from a dead owner,
    # and a lock that names nobody is not one that is being written.
    gate = MarkerSoftFileLock(f'{lock.lock_file}.gate', timeout=_PATIENCE)
    try:
        with gate:
            try:
                lock.acquire()  # takes over from the dead where the file system can exchange two files
            except Timeout:
                owner, here = lock.owner, gate.owner
                assert here is not None
                if owner is not None and _may_live(owner, here):
                    raise ValueError(_refusal(work_dir, lock.lock_file, owner, here)) from None
                Path(lock.lock_file).unlink(missing_ok=True)
                lock.acquire()
            _flush(lock.lock_file)
    except Timeout as timeout:
        raise ValueError(
            f'another search is about to begin in {work_dir}: try again. If this does not end, one was '
            f'killed just then: {_removal(timeout.lock_file)}') from None


def _may_live(owner: OwnerRecord, here: OwnerRecord) -> bool:
    """Say whether an owner may be alive; ``here`` is what filelock writes of this process."""
    if owner.hostname != here.hostname:
        return True
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    # Its number may be another process's by now. The lower 64 bits of filelock's ``start`` are when the
    # process began, by the kernel's clock; where they are not for this process, nothing can be said.
    if owner.start is None or here.start is None or _start(here.pid) != here.start % 2**64:
        return True
    return _start(owner.pid) in (None, owner.start % 2**64)


def _start(pid: int) -> int | None:
    """Return when a process began, in the kernel's ticks since the machine did, if that can be read."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text(errors='replace')
    except OSError:
        return None
    return int(stat.rpartition(')')[2].split()[19])


def _flush(path: str) -> None:
    """Let other hosts see what was written: NFS sends it late while the file is open."""
    with open(path, 'rb+') as file, suppress(OSError):  # where there is no fsync
        os.fsync(file)


def _refusal(work_dir: Path, path: str, owner: OwnerRecord, here: OwnerRecord) -> str:
    advice = 'Wait for it, stop it, or give another --work-dir'
    if owner.hostname == here.hostname:
        return (f'another search is running in {work_dir}: process {owner.pid} of this host, '
                f'{owner.hostname}. {advice}')
    return (f'another search may be running in {work_dir}: process {owner.pid} of the host '
            f'{owner.hostname}. From this host, {here.hostname}, nobody can see whether it still runs; '
            f'each container is a host of its own. {advice}. If it is over, {_removal(path)}')


def _removal(path: str) -> str:
    return f'remove its lock: rm {shlex.quote(path)}'
