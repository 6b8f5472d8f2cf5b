"""A kill at any moment leaves a checkpoint to go on from."""
import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmnasfpn import _files
from mmnasfpn.checkpoints.atomic import AtomicLocalBackend
from mmnasfpn.engine import AtomicCheckpointHook


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x, mode='tensor'):
        loss = self.layer(torch.ones(1, 2)).square().sum()
        return dict(loss=loss) if mode == 'loss' else [loss]


class Kill:
    """Let ``left`` file operations through, then die in the next one; None lets all through."""

    def __init__(self, monkeypatch):
        self.left = None
        for module, name in ((os, 'fsync'), (os, 'replace'), (os, 'remove'), (os, 'unlink')):
            self.patch(monkeypatch, module, name)
        self.patch(monkeypatch, Path, 'replace')
        original_open = open

        def killing_open(file, mode='r', *args, **kwargs):
            opened = original_open(file, mode, *args, **kwargs)
            if 'w' in mode and self.left is not None:
                self.tick(lambda: opened.close())  # the file is there, and empty
            return opened

        monkeypatch.setattr('builtins.open', killing_open)

    def patch(self, monkeypatch, owner, name):
        original = getattr(owner, name)

        def wrapper(*args, **kwargs):
            self.tick()
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapper)

    def tick(self, cleanup=lambda: None):
        if self.left is None:
            return
        if self.left == 0:
            cleanup()
            raise KilledError
        self.left -= 1


def make_runner(work_dir, epochs, hook_type=AtomicCheckpointHook, resume=False, **hook):
    return Runner(
        Toy(), str(work_dir), train_dataloader=dict(
            dataset=[dict(x=torch.zeros(1))] * 2, sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1, num_workers=0, collate_fn=dict(type='default_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=epochs), resume=resume,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type=hook_type, interval=1, **hook)),
        log_level='ERROR', experiment_name=f'{work_dir.name}-{epochs}-{resume}-{id(hook)}')


def hook_of(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))


def last_epoch(work_dir):
    path = Path((work_dir / 'last_checkpoint').read_text())
    return torch.load(path, weights_only=False)['meta']['epoch']


@pytest.mark.parametrize('max_keep', [1, 2])
def test_a_kill_between_any_two_file_operations_loses_no_checkpoint(
        tmp_path, monkeypatch, max_keep):
    kill = Kill(monkeypatch)
    deaths = 0
    for operations in range(40):
        work_dir = tmp_path / str(operations)
        kill.left = None
        make_runner(work_dir, 2, max_keep_ckpts=max_keep).train()
        assert last_epoch(work_dir) == 2
        runner = make_runner(work_dir, 3, resume=True, max_keep_ckpts=max_keep)
        hook = hook_of(runner)
        save = hook._save_checkpoint_with_step

        def save_and_perhaps_die(*args, save=save, operations=operations, **kwargs):
            kill.left = operations
            save(*args, **kwargs)
            kill.left = None

        monkeypatch.setattr(hook, '_save_checkpoint_with_step', save_and_perhaps_die)
        try:
            runner.train()
        except KilledError:
            deaths += 1
        else:
            break
        finally:
            kill.left = None
        assert last_epoch(work_dir) in (2, 3)
        make_runner(work_dir, 4, resume=True, max_keep_ckpts=max_keep).train()
        assert last_epoch(work_dir) == 4
        kept = sorted(path.name for path in work_dir.glob('epoch_*.pth'))
        assert kept == [f'epoch_{epoch}.pth' for epoch in range(5 - max_keep, 5)]
    assert deaths >= 7  # write, sync, rename, sync for two files, delete


def test_the_test_would_catch_mmengines_own_hook(tmp_path, monkeypatch):
    kill = Kill(monkeypatch)
    make_runner(tmp_path, 2, CheckpointHook, max_keep_ckpts=1).train()
    runner = make_runner(tmp_path, 3, CheckpointHook, resume=True, max_keep_ckpts=1)
    hook = hook_of(runner)
    save = hook._save_checkpoint_with_step

    def save_and_die(*args, **kwargs):
        kill.left = 1
        save(*args, **kwargs)

    monkeypatch.setattr(hook, '_save_checkpoint_with_step', save_and_die)
    with pytest.raises(KilledError):
        runner.train()
    kill.left = None
    with pytest.raises((FileNotFoundError, EOFError, RuntimeError)):
        last_epoch(tmp_path)


@pytest.mark.parametrize('save_best', ['score', ['score', 'other']])
def test_the_previous_best_is_deleted_only_after_the_new_one_is_written(
        tmp_path, monkeypatch, save_best):
    runner = make_runner(tmp_path, 1, save_best=save_best, rule='greater')
    hook = hook_of(runner)
    assert isinstance(hook, AtomicCheckpointHook)
    runner.train()
    best = 'best_score_epoch_1.pth'
    hook._save_best_checkpoint(runner, dict(score=0.5, other=0.5))
    assert (tmp_path / best).is_file()
    runner.train_loop._epoch = 2
    save, seen = runner.save_checkpoint, []

    def spy(*args, **kwargs):
        seen.append((tmp_path / best).is_file())
        save(*args, **kwargs)

    monkeypatch.setattr(runner, 'save_checkpoint', spy)
    hook._save_best_checkpoint(runner, dict(score=0.4, other=0.4))
    assert (tmp_path / best).is_file() and seen == []
    hook._save_best_checkpoint(runner, dict(score=0.6, other=0.4))
    assert seen and all(seen)
    assert not (tmp_path / best).exists() and (tmp_path / 'best_score_epoch_2.pth').is_file()
    if isinstance(save_best, list):
        assert (tmp_path / 'best_other_epoch_1.pth').is_file()


def test_an_unchanged_best_stays_the_best(tmp_path):
    runner = make_runner(tmp_path, 1, save_best='score', rule='greater')
    hook = hook_of(runner)
    runner.train()
    for score in (0.5, 0.3, 0.2):
        hook._save_best_checkpoint(runner, dict(score=score))
    assert Path(hook.best_ckpt_path).name == 'best_score_epoch_1.pth'
    assert Path(hook.best_ckpt_path).is_file()


def let_folders_fail(monkeypatch, call, error):
    """Let a call of ``os`` fail for folders, and return the list of what is logged."""
    original = getattr(os, call)

    def failing(what, *args, **kwargs):
        mode = os.fstat(what).st_mode if isinstance(what, int) else os.stat(what).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(error, os.strerror(error))
        return original(what, *args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    monkeypatch.setattr(_files, '_has_warned', False)
    logged = []
    monkeypatch.setattr(_files, 'print_log', lambda message, *args: logged.append(message))
    return logged


@pytest.mark.parametrize(('call', 'error'), [
    ('fsync', errno.EINVAL), ('fsync', errno.ENOTSUP), ('fsync', errno.ENOSYS), ('fsync', errno.EBADF),
    ('open', errno.EACCES), ('open', errno.EPERM)])
def test_where_folders_cannot_be_synced_files_are_written_with_one_warning(
        tmp_path, monkeypatch, call, error):
    logged = let_folders_fail(monkeypatch, call, error)
    for name in ('a.pth', 'b.pth', 'folder/c.pth'):
        AtomicLocalBackend().put(b'weights', tmp_path / name)
        assert (tmp_path / name).read_bytes() == b'weights'
    [message] = logged
    assert str(tmp_path) in message and 'power cut' in message and os.strerror(error) in message


@pytest.mark.parametrize('error', [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_is_an_error_still(tmp_path, monkeypatch, error):
    logged = let_folders_fail(monkeypatch, 'fsync', error)
    with pytest.raises(OSError, match=f'{os.strerror(error)}.*a.pth'):
        AtomicLocalBackend().put(b'weights', tmp_path / 'a.pth')
    assert logged == []


@pytest.mark.parametrize(('error', 'is_written'), [(errno.ENOSYS, True), (errno.EIO, False)])
def test_files_that_cannot_be_synced_are_written_and_failed_ones_leave_nothing(
        tmp_path, monkeypatch, error, is_written):
    def fsync(file):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, 'fsync', fsync)
    monkeypatch.setattr(_files, '_has_warned', False)
    try:
        AtomicLocalBackend().put(b'weights', tmp_path / 'a.pth')
    except OSError as failed:
        assert failed.filename == str(tmp_path / 'a.pth')  # noqa: PT017
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth'] * is_written
