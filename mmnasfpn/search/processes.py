"""Processes that end together, and what they may use."""
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

import torch

#: The environment variable that says which GPUs a process may use.
VISIBLE_GPUS = 'CUDA_VISIBLE_DEVICES'


def end_with_parent() -> None:
    """Have this process, and those that it starts, end when its parent ends."""
    os.setpgid(0, 0)  # so that they can be killed together
    parent = multiprocessing.parent_process()
    assert parent is not None

    def kill_when_it_ends() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=kill_when_it_ends, daemon=True).start()


def kill_group(process: Any) -> None:
    """Kill a process that called :func:`end_with_parent`, if it lives, and those that it started."""
    if process.is_alive():
        with suppress(ProcessLookupError):  # it has not made the group yet
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get(VISIBLE_GPUS)
    count = torch.cuda.device_count()
    return named.split(',')[:count] if named else [str(index) for index in range(count)]


def num_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))
