"""Evaluators: where the rewards of genotypes are computed."""
import logging
import os
import pickle
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log

from mmnasfpn._checks import check_whole_number
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.evaluation import Evaluation, evaluate
from mmnasfpn.search.processes import (
    VISIBLE_GPUS,
    end_with_parent,
    kill_group,
    num_cores,
    visible_gpus,
)
from mmnasfpn.search.rewards import Reward
from mmnasfpn.search.settings import SearchSettings
from mmnasfpn.search.template import context_for_gpus, environment, start_template


class Outcome(NamedTuple):
    """What became of a trial."""

    number: int
    evaluation: Evaluation


class Evaluator(ABC):
    """Evaluates some genotypes at a time; what goes wrong with one is its outcome, not an error.

    Args:
        reward (Reward): What to evaluate.
        num_workers (int): How many genotypes at a time.
        trial_timeout (float | None): Seconds after which an evaluation is killed and has failed.
            Defaults to None: no limit.
    """

    def __init__(self, reward: Reward, num_workers: int, trial_timeout: float | None = None) -> None:
        check_whole_number('workers', num_workers, 1)
        self.reward = reward
        self.num_workers = num_workers
        self.trial_timeout = trial_timeout
        #: Takes what a trial reports on its way, its number, the step and the value, and returns whether
        #: to stop it; None to have trials report nothing.
        self.reporter: Callable[[int, int, float], bool] | None = None

    @property
    def _over_time(self) -> str:
        return f'it took longer than the time limit of {self.trial_timeout:g} s (--trial-timeout)'

    @abstractmethod
    def submit(self, number: int, genotype: Genotype, work_dir: Path) -> None:
        """Begin to evaluate a genotype; there must be a free worker."""

    @abstractmethod
    def wait(self, timeout: float) -> list[Outcome]:
        """Return outcomes that have not been returned yet, waiting up to ``timeout`` seconds for one."""

    @abstractmethod
    def close(self) -> None:
        """Stop what is running."""


class InProcessEvaluator(Evaluator):
    """Evaluates in this process, for rewards that take no time.

    Args:
        reward (Reward): What to evaluate.
        trial_timeout (float | None): Ignored with a warning: this process cannot be killed.
    """

    def __init__(self, reward: Reward, trial_timeout: float | None = None) -> None:
        super().__init__(reward, 1)
        if trial_timeout is not None:
            print_log(f'the time limit (--trial-timeout) is ignored: the reward {type(reward).__name__} '
                      'takes no time, so that it needs no process of its own that could be killed',
                      logger='current', level=logging.WARNING)
        self._outcomes: list[Outcome] = []

    def submit(self, number: int, genotype: Genotype, work_dir: Path) -> None:
        """Evaluate it."""
        reporter = self.reporter and partial(self.reporter, number)
        self._outcomes.append(Outcome(number, evaluate(self.reward, genotype, work_dir, reporter)))

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what was evaluated."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self) -> None:
        """Do nothing."""


class _Report(NamedTuple):
    """What a trial says on its way."""

    step: int
    value: float


_ENDING = 30.0  # seconds that a process has to end once it has answered


class _Trial(NamedTuple):
    """A trial that a local process evaluates: its process, its pipe, its GPU and when it began."""

    process: Any
    connection: Connection
    gpu: str | None
    start: float


class LocalEvaluator(Evaluator):
    """Evaluates each genotype in a process of its own on this machine, on one GPU where there are some.

    So an evaluation that dies leaves nothing behind. Its process ends when this one does. What it prints
    goes to ``log.txt`` in the trial's folder.

    Args:
        reward (Reward): What to evaluate.
        num_workers (int): How many at a time; they are spread evenly over the GPUs, several to one where
            there are fewer GPUs, and all share the cores.
        trial_timeout (float | None): Seconds after which the process and those that it started are
            killed, counted from its start. Defaults to None: no limit.
    """

    def __init__(self, reward: Reward, num_workers: int, trial_timeout: float | None = None) -> None:
        super().__init__(reward, num_workers, trial_timeout)
        self._gpus: list[str | None] = [*visible_gpus()] or [None]
        self._num_threads = max(1, num_cores() // num_workers)
        self._template = start_template([type(reward).__module__, *_custom_imports(reward)])
        self._running: dict[int, _Trial] = {}

    @cached_property
    def _pickled(self) -> bytes:
        return pickle.dumps(self.reward)  # a trial opens it once it is on its GPU

    @cached_property
    def _context(self) -> Any:
        return self._template if self._gpus == [None] else context_for_gpus(self._template)

    def submit(self, number: int, genotype: Genotype, work_dir: Path) -> None:
        """Start the process."""
        num_running = Counter(trial.gpu for trial in self._running.values())
        gpu = min(self._gpus, key=num_running.__getitem__)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._pickled, genotype, work_dir, self._num_threads, gpu,
                                self.reporter is not None))
        # For one that is no copy of the template, and looks for GPUs as it imports.
        with environment(**({} if gpu is None else {VISIBLE_GPUS: gpu})):
            process.start()
        theirs.close()
        self._running[number] = _Trial(process, ours, gpu, time.monotonic())

    def wait(self, timeout: float) -> list[Outcome]:
        """Wait for a process to answer, to end, or to take too long."""
        wait([trial.connection for trial in self._running.values()], timeout)
        outcomes = []
        for number, trial in list(self._running.items()):
            # One that is killed may leave processes behind that hold its end of the pipe for a while.
            is_alive = trial.process.is_alive()
            is_over_time = (self.trial_timeout is not None
                            and time.monotonic() - trial.start >= self.trial_timeout)
            message = self._receive(trial)
            if isinstance(message, Evaluation):
                outcomes.append(self._end(number, trial, message))
            elif not is_alive or is_over_time:
                outcomes.append(self._end(number, trial, None))
            elif message is not None:
                self._answer(number, trial, message)
        return outcomes

    @staticmethod
    def _receive(trial: _Trial) -> Evaluation | _Report | None:
        """Return what a trial has sent; None if nothing."""
        if trial.connection.poll():
            with suppress(EOFError, ConnectionError):  # the latter if it did not read our answer
                return trial.connection.recv()
        return None

    def _answer(self, number: int, trial: _Trial, report: _Report) -> None:
        assert self.reporter is not None
        with suppress(ConnectionError):  # it has died meanwhile
            trial.connection.send(self.reporter(number, report.step, report.value))

    def _end(self, number: int, trial: _Trial, found: Evaluation | None) -> Outcome:
        """Return what became of a trial that has answered or ended, or is out of time."""
        if found is None and trial.process.is_alive():
            kill_group(trial.process)
            found = Evaluation(None, self._over_time)
        trial.process.join(_ENDING)
        kill_group(trial.process)
        trial.connection.close()
        del self._running[number]
        return Outcome(number, found or Evaluation(None, _how_it_ended(trial.process.exitcode)))

    def close(self) -> None:
        """Kill what is running."""
        for trial in self._running.values():
            kill_group(trial.process)
            trial.connection.close()
        self._running.clear()


def make_evaluator(reward: Reward, settings: SearchSettings) -> Evaluator:
    """Make the evaluator of a search's settings."""
    timeout = settings.trial_timeout
    if settings.evaluator == 'ray':
        from mmnasfpn.search.ray_evaluator import RayEvaluator
        return RayEvaluator(reward, settings.num_workers, settings.ray_address, settings.resources,
                            timeout)
    if not reward.needs_process:
        return InProcessEvaluator(reward, timeout)
    return LocalEvaluator(reward, settings.num_workers or len(visible_gpus()) or num_cores(), timeout)


def _custom_imports(reward: Reward) -> list[str]:
    names = (reward.cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def _work(connection: Connection, pickled_reward: bytes, genotype: Genotype, work_dir: Path,
          num_threads: int, gpu: str | None, reports: bool) -> None:
    """Evaluate a genotype: the process of a local worker."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which then stops this
    if gpu is not None:
        os.environ[VISIBLE_GPUS] = gpu  # CUDA looks once, when it is first used
    torch.set_num_threads(num_threads)
    np.random.seed()  # copies of the template would all draw the same, and MMEngine draws seeds so
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / 'log.txt', 'a') as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())

        def report(step: int, value: float) -> bool:
            connection.send(_Report(step, value))
            return connection.recv()

        connection.send(evaluate(pickle.loads(pickled_reward), genotype, work_dir,
                                 report if reports else None))


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        advice = ', as the system does where memory runs out' if name == 'SIGKILL' else ''
        return f'its process was killed by {name}{advice}'
    return f'its process ended with exit status {exit_code}'
