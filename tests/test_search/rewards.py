"""Rewards that do to a search what can happen to one; configs name this module in ``custom_imports``."""
import os
import signal
import subprocess
import time
from pathlib import Path

from mmnasfpn.search.rewards import REWARDS, Reward

_GPUS = os.environ.get('CUDA_VISIBLE_DEVICES')  # when the process began


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
        print('a word for the log', f"CUDA_VISIBLE_DEVICES={_GPUS!r}")
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
