"""Rewards that do to a search what can happen to one; configs name this module in ``custom_imports``."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy

from mmnasfpn.genotypes import architecture_hash
from mmnasfpn.search.rewards import REWARDS, GenotypeMatch, Reward

_GPU_AT_IMPORT = os.environ.get('CUDA_VISIBLE_DEVICES')


def state_of_the_process():
    """Return what a trial finds at its first line."""
    return dict(
        time=time.time(), modules=sorted(sys.modules), draw=numpy.random.randint(2 ** 31),
        gpu_at_import=_GPU_AT_IMPORT, parent=os.getppid(),
        threads_of_parent=len(os.listdir(f'/proc/{os.getppid()}/task')))


@REWARDS.register_module(force=True)
class Scripted(Reward):
    """A reward of a process of its own that first does what it is told to.

    Args:
        script (dict): What happens at the n-th call for a trial's first cell level, ``{n: what}``.
        folder (str): Where calls are counted: one file each, named by their number, of the process's id.
        seconds (float): How long a call takes.
    """

    def __init__(self, cfg, space, folder, script=None, seconds=0.0):
        super().__init__(cfg, space)
        self.folder = Path(folder)
        self.script = dict(script or {})
        self.seconds = seconds

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.gpu = os.environ.get('CUDA_VISIBLE_DEVICES')  # when this was unpickled

    def __call__(self, genotype, work_dir):
        what = self.script.get(str(self._count()))
        time.sleep(self.seconds)
        if what == 'sleep':
            time.sleep(600)
        elif what == 'sleep beside a child':
            (self.folder / 'child').write_text(str(subprocess.Popen(['sleep', '600']).pid))
            time.sleep(600)
        elif what == 'die':
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == 'exit':
            os._exit(3)
        elif what == 'raise':
            raise MemoryError('out of everything')
        elif what == 'nan':
            return float('nan')
        elif what == 'infinite':
            return float('inf')
        elif what == 'tell':
            Path(work_dir, 'state.json').write_text(json.dumps(
                dict(state_of_the_process(), gpu_at_opening=self.gpu), default=int))
        print('a word for the log')
        return sum(node for cell in genotype.cells for node in cell.inputs) / 100

    def _count(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            try:
                with open(self.folder / str(number), 'x') as file:
                    file.write(str(os.getpid()))
                return number
            except FileExistsError:
                number += 1


@REWARDS.register_module(force=True)
class NotedMatch(GenotypeMatch):
    """A match that takes some time, in the process of the search, and notes its calls.

    Args:
        notes (str): The file, of a line for each call: the trial's folder.
        seconds (float): How long a call takes.
    """

    def __init__(self, cfg, space, target, notes, seconds):
        super().__init__(cfg, space, target)
        self.notes = notes
        self.seconds = seconds

    def __call__(self, genotype, work_dir):
        with open(self.notes, 'a') as file:
            file.write(f'{work_dir}\n')
        time.sleep(self.seconds)
        return super().__call__(genotype, work_dir)


@REWARDS.register_module(force=True)
class Rising(Scripted):
    """A reward that reports how it rises, by a fifth at each of 4 steps, and does as it is told then.

    Its script says what happens once a report of the n-th call is known: ``{n: (step, what)}``.
    """

    needs_process = False
    num_reports = 4

    def __call__(self, genotype, work_dir):
        last, what = self.script.get(str(self._count()), (0, ''))
        value = self.value_of(genotype)
        for step in range(1, self.num_reports + 1):
            try:
                self.report(step, step / 5 * value)
            finally:  # also where that stops it
                if step == last:
                    self._do(what)
        return value

    def _do(self, what):
        if what == 'stop':
            raise KeyboardInterrupt
        if what == 'raise':
            raise MemoryError('out of everything')
        if what == 'nan':
            self.report(2, float('nan'))
        time.sleep(600)

    @staticmethod
    def value_of(genotype):
        return random.Random(architecture_hash(genotype)).random()


@REWARDS.register_module(force=True)
class RisingElsewhere(Rising):
    """The same, each call in a process of its own."""

    needs_process = True


@REWARDS.register_module(force=True)
class RisingWithSize(Rising):
    """The same with a second goal."""

    goals = dict(reward='maximize', size='minimize')
