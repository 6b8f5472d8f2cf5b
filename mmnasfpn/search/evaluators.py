"""Evaluators: where the rewards of genotypes are computed."""
import faulthandler
import logging
import math
import os
import pickle
import signal
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.utils import import_modules_from_strings

from mmnasfpn._checks import check_whole_number
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.processes import end_with_parent, kill_group
from mmnasfpn.search.rewards import Reward
from mmnasfpn.search.settings import SearchSettings
from mmnasfpn.search.template import context_for_gpus, environment, start_template


class Outcome(NamedTuple):
    """What became of a trial: its reward, or None and the reason why it failed; and what it cost."""

    number: int
    reward: float | None
    reason: str = ''
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all its processors


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
        self._outcomes.append(Outcome(number, *_evaluate(self.reward, genotype, work_dir)))

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what was evaluated."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self) -> None:
        """Do nothing."""


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
        self._num_threads = max(1, _num_cores() // num_workers)
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
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(theirs, self._pickled, genotype, work_dir, self._num_threads, gpu))
        # For one that is no copy of the template, and looks for GPUs as it imports.
        with environment(**({} if gpu is None else {_VISIBLE: gpu})):
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
            if trial.connection.poll() or not is_alive or is_over_time:
                outcomes.append(self._end(number, trial))
        return outcomes

    def _end(self, number: int, trial: _Trial) -> Outcome:
        """Return what became of a trial that has answered or ended, or is out of time."""
        answer = None
        if trial.connection.poll():
            with suppress(EOFError):
                answer = trial.connection.recv()
        elif trial.process.is_alive():
            kill_group(trial.process)
            answer = (None, self._over_time)
        trial.process.join(_ENDING)
        kill_group(trial.process)
        trial.connection.close()
        del self._running[number]
        return Outcome(number, *(answer or (None, _how_it_ended(trial.process.exitcode))))

    def close(self) -> None:
        """Kill what is running."""
        for trial in self._running.values():
            kill_group(trial.process)
            trial.connection.close()
        self._running.clear()


class RayEvaluator(Evaluator):
    """Evaluates genotypes as tasks of a Ray cluster.

    Args:
        reward (Reward): What to evaluate.
        num_workers (int | None): How many at a time. Defaults to None: as many as the cluster has room
            for.
        address (str | None): Of a running cluster, ``'auto'`` for the one of this machine. Defaults to
            None: start one that only this machine can reach.
        resources (Mapping | None): What each trial takes, e.g. ``{'CPU': 2, 'GPU': 0.5}``; other names
            are Ray's custom resources. Defaults to None: one core, and where the cluster has GPUs,
            one of them, or with more workers than GPUs an equal share.
        trial_timeout (float | None): Seconds after which a task ends, counted from when the cluster has
            room for it; ``hung.txt`` in its work dir then says where it was. Defaults to None: no limit.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If there is no such cluster, or it has too little for a single trial.
    """

    def __init__(self, reward: Reward, num_workers: int | None = None, address: str | None = None,
                 resources: Mapping[str, float] | None = None,
                 trial_timeout: float | None = None) -> None:
        self._connect(address, num_workers)
        cluster = self._ray.cluster_resources()
        needs = dict(resources or _equal_shares(num_workers, cluster.get('GPU', 0)))
        for name, amount in needs.items():
            if amount > cluster.get(name, 0):
                self.close()
                raise ValueError(f'each trial is to take {amount:g} {name}, but the whole Ray cluster '
                                 f'has {cluster.get(name, 0):g}: ask for less, or for another cluster')
        room = min((int(cluster[name] / amount) for name, amount in needs.items() if amount), default=1)
        super().__init__(reward, num_workers or max(1, room), trial_timeout)
        task = self._ray.remote(max_calls=1 if reward.needs_process else 0)(_evaluate_there)
        self._task: Any = task.options(
            num_cpus=needs.pop('CPU', 0), num_gpus=needs.pop('GPU', 0), resources=needs,
            max_retries=0)  # the search tries again, and counts
        self._running: dict[Any, tuple[int, Path]] = {}  # number and work dir

    @cached_property
    def _shared_reward(self) -> Any:
        return self._ray.put(self.reward)

    def _connect(self, address: str | None, num_workers: int | None) -> None:
        try:
            import ray
        except ImportError:
            raise ImportError("the evaluator 'ray' needs Ray: pip install 'mmnasfpn[ray]'") from None
        self._ray = ray
        local: dict[str, Any] = {} if address else dict(
            _node_ip_address='127.0.0.1', include_dashboard=False,
            num_cpus=max(num_workers or 1, _num_cores()))
        try:
            ray.init(address=address or 'local', log_to_driver=False, logging_level=logging.ERROR,
                     **local)
        except ConnectionError as error:
            raise ValueError(f'there is no Ray cluster at {address!r}: {error}') from None

    def submit(self, number: int, genotype: Genotype, work_dir: Path) -> None:
        """Start the task."""
        task = self._task.remote(self._shared_reward, genotype, work_dir.absolute(), os.getcwd(),
                                 self.trial_timeout)
        self._running[task] = (number, work_dir)

    def wait(self, timeout: float) -> list[Outcome]:
        """Wait for a task to answer or to end."""
        if not self._running:
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        outcomes = []
        for task in done:
            number, work_dir = self._running.pop(task)
            try:
                answer = self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                hung = work_dir / _HUNG
                has_hung = hung.is_file() and hung.stat().st_size > 0
                first_line = str(error).strip().partition('\n')[0]
                answer = (None, self._over_time if has_hung else f'{type(error).__name__}: {first_line}')
            outcomes.append(Outcome(number, *answer))
        return outcomes

    def close(self) -> None:
        """Leave the cluster; one that was started here stops."""
        self._ray.shutdown()


def _equal_shares(num_workers: int | None, num_gpus: float) -> dict[str, float]:
    """Return what each task takes, so that all workers fit: Ray gives out GPUs to four digits."""
    if not num_gpus:
        return {'CPU': 1}
    workers_of_each = math.ceil((num_workers or 1) / num_gpus)
    return {'CPU': 1, 'GPU': math.floor(10_000 / workers_of_each) / 10_000}


def make_evaluator(reward: Reward, settings: SearchSettings) -> Evaluator:
    """Make the evaluator of a search's settings."""
    timeout = settings.trial_timeout
    if settings.evaluator == 'ray':
        return RayEvaluator(reward, settings.num_workers, settings.ray_address, settings.resources,
                            timeout)
    if not reward.needs_process:
        return InProcessEvaluator(reward, timeout)
    return LocalEvaluator(reward, settings.num_workers or len(visible_gpus()) or _num_cores(), timeout)


_HUNG = 'hung.txt'  # where a task of Ray was when its time was over
_VISIBLE = 'CUDA_VISIBLE_DEVICES'


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = os.environ.get(_VISIBLE)
    count = torch.cuda.device_count()
    return named.split(',')[:count] if named else [str(index) for index in range(count)]


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))


def _custom_imports(reward: Reward) -> list[str]:
    names = (reward.cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def _work(connection: Connection, pickled_reward: bytes, genotype: Genotype, work_dir: Path,
          num_threads: int, gpu: str | None) -> None:
    """Evaluate a genotype: the process of a local worker."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which then stops this
    if gpu is not None:
        os.environ[_VISIBLE] = gpu  # CUDA looks once, when it is first used
    torch.set_num_threads(num_threads)
    np.random.seed()  # copies of the template would all draw the same, and MMEngine draws seeds so
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / 'log.txt', 'a') as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        connection.send(_evaluate(pickle.loads(pickled_reward), genotype, work_dir))


def _evaluate_there(reward: Reward, genotype: Genotype, work_dir: Path,
                    working_dir: str, trial_timeout: float | None) -> tuple[Any, ...]:
    """Evaluate a genotype: a task of Ray. Relative paths mean what they mean to the search."""
    if Path(working_dir).is_dir():
        os.chdir(working_dir)
    if trial_timeout is None:
        return _evaluate(reward, genotype, work_dir)
    # The search cannot tell a task that runs from one that waits for room: the time is taken here. This
    # ends the process even where Python hangs.
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / _HUNG, 'w') as file:
        faulthandler.dump_traceback_later(trial_timeout, exit=True, file=file)
        try:
            return _evaluate(reward, genotype, work_dir)
        finally:
            faulthandler.cancel_dump_traceback_later()
            (work_dir / _HUNG).unlink()


def _evaluate(reward: Reward, genotype: Genotype, work_dir: Path) -> tuple[Any, ...]:
    """Return what makes an outcome, but for the number of the trial."""
    start, cpu_start = time.monotonic(), _cpu_seconds()
    value, reason = None, ''
    try:
        if reward.cfg.get('custom_imports'):
            import_modules_from_strings(**reward.cfg.custom_imports)
        value = float(reward(genotype, work_dir))
        if not math.isfinite(value):
            value, reason = None, f'the reward is {value}, but must be a finite number'
    except Exception as error:
        traceback.print_exc()
        reason = f'{type(error).__name__}: {error}'
    return value, reason, time.monotonic() - start, _cpu_seconds() - cpu_start


def _cpu_seconds() -> float:
    """Return the seconds of all processors that this process used, and those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        advice = ', as the system does where memory runs out' if name == 'SIGKILL' else ''
        return f'its process was killed by {name}{advice}'
    return f'its process ended with exit status {exit_code}'
