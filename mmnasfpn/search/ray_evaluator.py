"""An evaluator that has a Ray cluster compute rewards."""
import asyncio
import faulthandler
import logging
import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.evaluation import Evaluation, evaluate
from mmnasfpn.search.evaluators import Evaluator, Outcome
from mmnasfpn.search.processes import num_cores
from mmnasfpn.search.rewards import Reward

_HUNG = 'hung.txt'  # where a task was when its time was over


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
        self._next_report: Any = None  # what the desk has not handed over yet

    @cached_property
    def _desk(self) -> Any:
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False)  # so that it ends with the search
        desk = self._ray.remote(num_cpus=0, scheduling_strategy=here)(_Desk).remote()
        self._next_report = desk.take.remote()
        return desk

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
            num_cpus=max(num_workers or 1, num_cores()))
        try:
            ray.init(address=address or 'local', log_to_driver=False, logging_level=logging.ERROR,
                     **local)
        except ConnectionError as error:
            raise ValueError(f'there is no Ray cluster at {address!r}: {error}') from None

    def submit(self, number: int, genotype: Genotype, work_dir: Path) -> None:
        """Start the task."""
        desk = None if self.reporter is None else self._desk
        task = self._task.remote(self._shared_reward, genotype, work_dir.absolute(), os.getcwd(),
                                 self.trial_timeout, number, desk)
        self._running[task] = (number, work_dir)

    def wait(self, timeout: float) -> list[Outcome]:
        """Wait for a task to answer or to end."""
        if not self._running:
            return []
        reports = [self._next_report] if self._next_report is not None else []
        done, _ = self._ray.wait([*self._running, *reports], num_returns=1, timeout=timeout)
        outcomes = []
        for task in done:
            if task is self._next_report:
                self._answer(*self._ray.get(task))
                continue
            number, work_dir = self._running.pop(task)
            try:
                found = self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                hung = work_dir / _HUNG
                has_hung = hung.is_file() and hung.stat().st_size > 0
                first_line = str(error).strip().partition('\n')[0]
                found = Evaluation(
                    None, self._over_time if has_hung else f'{type(error).__name__}: {first_line}')
            outcomes.append(Outcome(number, found))
        return outcomes

    def _answer(self, number: int, step: int, value: float) -> None:
        assert self.reporter is not None
        # What has ended since it reported is in the record already, which takes no more of it.
        if any(number == running for running, _ in self._running.values()):
            self._desk.answer.remote(number, self.reporter(number, step, value))
        self._next_report = self._desk.take.remote()

    def close(self) -> None:
        """Leave the cluster; one that was started here stops."""
        self._ray.shutdown()


def _equal_shares(num_workers: int | None, num_gpus: float) -> dict[str, float]:
    """Return what each task takes, so that all workers fit: Ray gives out GPUs to four digits."""
    if not num_gpus:
        return {'CPU': 1}
    workers_of_each = math.ceil((num_workers or 1) / num_gpus)
    return {'CPU': 1, 'GPU': math.floor(10_000 / workers_of_each) / 10_000}


class _Desk:
    """Where tasks leave their reports and wait for the answer: an actor of Ray."""

    def __init__(self) -> None:
        self._reports: asyncio.Queue[tuple[int, int, float]] = asyncio.Queue()
        self._answers: dict[int, asyncio.Future[bool]] = {}

    async def report(self, number: int, step: int, value: float) -> bool:
        """Return whether the search stops a trial: what it does once it has answered."""
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._reports.put_nowait((number, step, value))
        return await self._answers[number]

    async def take(self) -> tuple[int, int, float]:
        """Return the next report, once there is one."""
        return await self._reports.get()

    async def answer(self, number: int, stop: bool) -> None:
        """Answer a report."""
        self._answers.pop(number).set_result(stop)


def _evaluate_there(reward: Reward, genotype: Genotype, work_dir: Path, working_dir: str,
                    trial_timeout: float | None, number: int, desk: Any) -> Evaluation:
    """Evaluate a genotype: a task of Ray. Relative paths mean what they mean to the search."""
    if Path(working_dir).is_dir():
        os.chdir(working_dir)

    def report(step: int, value: float) -> bool:
        import ray
        return ray.get(desk.report.remote(number, step, value))

    reporter = None if desk is None else report
    if trial_timeout is None:
        return evaluate(reward, genotype, work_dir, reporter)
    # The search cannot tell a task that runs from one that waits for room: the time is taken here. This
    # ends the process even where Python hangs.
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / _HUNG, 'w') as file:
        faulthandler.dump_traceback_later(trial_timeout, exit=True, file=file)
        try:
            return evaluate(reward, genotype, work_dir, reporter)
        finally:
            faulthandler.cancel_dump_traceback_later()
            (work_dir / _HUNG).unlink()
