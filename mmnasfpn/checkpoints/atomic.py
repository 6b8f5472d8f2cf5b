"""Checkpoints that survive a kill at any moment."""
import errno
import logging
import os
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmnasfpn.registry import HOOKS

#: The name of the backend below, for MMEngine.
ATOMIC_BACKEND = 'mmnasfpn_atomic'

#: How file systems say that a folder cannot be synced, or not even opened. Files on them can.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EPERM,
                errno.EACCES, errno.EBADF, errno.EISDIR}
_has_warned = False


@register_backend(ATOMIC_BACKEND, force=True)
class AtomicLocalBackend(LocalBackend):
    """Local files that are either as they were or complete, never in between."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` aside, sync it to the disk, and rename it to ``filepath``.

        Where folders cannot be synced, as on some network shares, the rename is not, and a warning
        says so.
        """
        path = Path(filepath)
        unfinished = path.with_name(f'{path.name}.unfinished')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(unfinished, 'wb') as file:
                file.write(obj)
                file.flush()
                _sync(file.fileno(), path.parent)
            unfinished.replace(path)
            _sync_folder(path.parent)  # the rename itself
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text as :meth:`put` does."""
        self.put(obj.encode(encoding), filepath)


def _sync_folder(path: Path) -> None:
    try:
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        _go_on_unless_it_matters(path, error)
        return
    try:
        _sync(folder, path)
    finally:
        os.close(folder)


def _sync(file: int, folder: Path) -> None:
    """Sync an open file or folder, where the file system can."""
    try:
        os.fsync(file)
    except OSError as error:
        _go_on_unless_it_matters(folder, error)


def _go_on_unless_it_matters(path: Path, error: OSError) -> None:
    """Warn, once in a process, of a file system that cannot sync; raise any other error."""
    global _has_warned
    if error.errno not in _CANNOT_SYNC:
        raise error
    if not _has_warned:
        _has_warned = True
        print_log(f'{path} is on a file system that cannot sync folders ({error.strerror}). Checkpoints '
                  'are written there all the same, but after a power cut the newest one may be missing: '
                  'to be safe, set work_dir to a local disk', 'current', logging.WARNING)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook with an order that cannot lose the last good checkpoint.

    MMEngine deletes the oldest file before it writes the next one, and writes in place. This
    hook writes aside, syncs, renames, points ``last_checkpoint`` to the new file in the same
    way, and only then deletes. A run killed in between goes on from the one before with
    ``--resume``, which also deletes the outdated checkpoints that the killed one could not; only a
    previous best one may stay.

    Takes the arguments of :class:`mmengine.hooks.CheckpointHook`. Folders that are not local
    are written as MMEngine writes them.
    """

    backend_args: dict | None
    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, str | None]

    def before_train(self, runner: Runner) -> None:
        """Choose how files are written, then do as MMEngine does."""
        is_local = '://' not in str(self.out_dir or runner.work_dir)
        if is_local and self.backend_args is None and self.file_client_args is None:
            self.backend_args = dict(backend=ATOMIC_BACKEND)
        super().before_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated: list[int] = []
        if self.max_keep_ckpts > 0:
            steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
            # The outdated ones go into the file as well: should the run be killed before they
            # are deleted, before_train of the resumed run finds and deletes them.
            runner.message_hub.update_info('keep_ckpt_ids', steps)
            outdated = steps[:-self.max_keep_ckpts]
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(steps[-self.max_keep_ckpts:])
        file_name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, file_name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir, file_name, self.file_client_args, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
            backend_args=self.backend_args, **self.args)
        if is_main_process():
            get_file_backend(backend_args=dict(backend=ATOMIC_BACKEND)).put_text(
                self.last_ckpt, Path(runner.work_dir) / 'last_checkpoint')
        for old in outdated:
            self._delete(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        # MMEngine deletes the previous best first; made to believe that there is none, it
        # leaves that to us.
        single = len(self.key_indicators) == 1
        before = {'': self.best_ckpt_path} if single else dict(self.best_ckpt_path_dict)
        if single:
            self.best_ckpt_path = None
        else:
            self.best_ckpt_path_dict = dict.fromkeys(before)
        super()._save_best_checkpoint(runner, metrics)
        after = {'': self.best_ckpt_path} if single else self.best_ckpt_path_dict
        for key, previous in before.items():
            if after[key] is None:
                after[key] = previous
            elif previous is not None and previous != after[key]:
                self._delete(previous)
        if single:
            self.best_ckpt_path = after['']

    def _delete(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's checkpoints are folders
            self.file_backend.rmtree(path)
