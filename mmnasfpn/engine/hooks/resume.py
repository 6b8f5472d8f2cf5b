"""Resume in a work dir that was moved or copied, from what lies in it."""
import logging
import os
from pathlib import Path
from typing import Any

from mmengine.fileio import exists, join_path
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class ResumeHook(Hook):
    """Go on from the checkpoints of the work dir, wherever they were written.

    MMEngine keeps the paths of the last and the best checkpoint. After a work dir was moved they lead to
    nothing, and after it was copied into the original, where the resumed run would delete the best
    checkpoint as soon as it has a better one. With this hook, a file of the same name in the folder of
    the run's own checkpoints is the one that is meant, and others are left alone.

    Raises:
        CheckpointError: When resuming starts, if ``last_checkpoint`` names a file that is nowhere.
    """

    def before_run(self, runner: Runner) -> None:
        """Find the last checkpoint, where none is named; MMEngine loads it next."""
        if not runner._resume or runner._load_from is not None:
            return
        folder, backend_args = _folder_of(runner)
        path = last_checkpoint(runner.work_dir, folder, backend_args)
        if path is not None:
            is_own = _parent(path) == _parent(join_path(folder, 'x'))
            runner.logger.log(
                logging.INFO if is_own else logging.WARNING,
                f'Resuming from the last checkpoint, {path}' + (
                    '' if is_own else f', since there is none of that name in {folder}'))
            runner._load_from = path

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Let the paths in the state of a resumed training lead into the folder of its checkpoints."""
        records = checkpoint.get('message_hub')
        if not runner._resume or not isinstance(records, dict):
            return
        folder, backend_args = _folder_of(runner)
        is_own = _parent(str(runner._load_from)) == _parent(join_path(folder, 'x'))
        info = records.get('runtime_info', {})
        for key in [key for key in info if key == 'last_ckpt' or key.startswith('best_ckpt')]:
            path = info[key]
            if not isinstance(path, str):
                continue
            here = join_path(folder, os.path.basename(path.rstrip('/')), backend_args=backend_args)
            if is_own and exists(here, backend_args=backend_args):
                info[key] = here
            elif path != here:
                del info[key]
                records.get('resumed_keys', {}).pop(key, None)
                if key != 'last_ckpt':
                    runner.logger.warning(f'The best checkpoint so far, {path}, is not in {folder}: it '
                                          'stays where it is')


def last_checkpoint(work_dir: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None,
                    backend_args: dict | None = None) -> str | None:
    """Return the path of the last checkpoint of a work dir, also of one that was moved or copied.

    Args:
        work_dir (str | PathLike): The work dir, with the file ``last_checkpoint``.
        folder (str | PathLike | None): The folder or URL of its checkpoints. Defaults to None: the work
            dir.
        backend_args (dict | None): How to read ``folder``, as MMEngine's ``get_file_backend`` takes it.
            Defaults to None.

    Returns:
        str | None: None if there is no file ``last_checkpoint``.

    Raises:
        CheckpointError: If it names a file that is nowhere.
    """
    pointer = Path(work_dir) / 'last_checkpoint'
    if not pointer.is_file():
        return None
    named = pointer.read_text().strip()
    folder = str(work_dir if folder is None else folder)
    if name := os.path.basename(named.rstrip('/')):  # a killed run can leave an empty file
        for path, args in ((join_path(folder, name, backend_args=backend_args), backend_args),
                           (str(Path(work_dir) / name), None), (named, None)):
            if exists(path, backend_args=args):
                return path
    places = dict.fromkeys([str(work_dir), *([] if '://' in folder else [folder])])
    there = sorted(str(path) for place in places for path in Path(place).glob('*.pth'))
    raise CheckpointError(
        f'{pointer} names {named!r}, which is neither there nor in {" or ".join(places)}: '
        + (f'resume from one of {", ".join(there)} (--resume CHECKPOINT)' if there else
           'there are no checkpoints either; copy them into it, or delete that file to start anew'))


def _folder_of(runner: Runner) -> tuple[str, dict | None]:
    """Return where the run's checkpoints go, as MMEngine's hook has it, and how that is accessed."""
    hook: Any = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or hook.out_dir is None or hook.out_dir == runner.work_dir:
        return runner.work_dir, None
    name = os.path.basename(runner.work_dir.rstrip(os.sep))
    return join_path(hook.out_dir, name, backend_args=hook.backend_args), hook.backend_args


def _parent(path: str) -> str:
    """Return the folder of a file, the same however its path is written."""
    folder = path.rstrip('/').rpartition('/')[0]
    return folder if '://' in path else os.path.realpath(folder or '.')
