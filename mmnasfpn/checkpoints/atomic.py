"""Checkpoints that survive a kill at any moment."""
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmnasfpn._files import atomic_write
from mmnasfpn.registry import HOOKS

#: The name of the backend below, for MMEngine.
ATOMIC_BACKEND = 'mmnasfpn_atomic'


@register_backend(ATOMIC_BACKEND, force=True)
class AtomicLocalBackend(LocalBackend):
    """Local files of bytes that are either as they were or complete, never in between."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` aside, sync it to the disk, and rename it to ``filepath``."""
        atomic_write(Path(filepath), obj, fsync=True)


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint file, whole or not at all; missing folders are made."""
    file = io.BytesIO()  # torch.save to a full disk raises no OSError
    torch.save(checkpoint, file)
    atomic_write(Path(path), file.getvalue(), fsync=True)


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
            atomic_write(Path(runner.work_dir) / 'last_checkpoint', self.last_ckpt.encode(), fsync=True)
        for old in outdated:
            self._delete(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        # MMEngine deletes the previous best first; made to believe that there is none, it
        # leaves that to us.
        is_single = len(self.key_indicators) == 1
        before = {'': self.best_ckpt_path} if is_single else self.best_ckpt_path_dict
        self.best_ckpt_path, self.best_ckpt_path_dict = None, dict.fromkeys(before)
        super()._save_best_checkpoint(runner, metrics)
        after = {'': self.best_ckpt_path} if is_single else self.best_ckpt_path_dict
        for key, previous in before.items():
            if previous and after[key] and previous != after[key]:
                self._delete(previous)
        best = {key: after[key] or previous for key, previous in before.items()}
        self.best_ckpt_path, self.best_ckpt_path_dict = best.get(''), best

    def _delete(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # DeepSpeed's checkpoints are folders
            self.file_backend.rmtree(path)
