"""Hooks that tell or stop what the processes of a training do, for ``custom_imports``."""
import json
import os
import time
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmnasfpn.checkpoints.fit import unwrapped
from mmnasfpn.genotypes import architecture_hash
from mmnasfpn.registry import HOOKS


@HOOKS.register_module(force=True)
class NoteStepsHook(Hook):
    """Note the genotype of each step and a sum of the weights after it, in a file for each process."""

    priority = 'VERY_LOW'

    def __init__(self, folder):
        self.folder = Path(folder)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = unwrapped(runner.model)
        weights = sum(float(parameter.double().sum()) for parameter in model.parameters())
        with open(self.folder / f'{get_rank()}.jsonl', 'a') as file:
            file.write(json.dumps([architecture_hash(model.neck.genotype), weights]) + '\n')


@HOOKS.register_module(force=True)
class WaitOnceHook(Hook):
    """Wait at a step, the first time that it comes to it: the file then holds the process's id."""

    def __init__(self, step, file):
        self.step = step
        self.file = Path(file)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step and not self.file.exists():
            self.file.write_text(str(os.getpid()))
            time.sleep(600)
