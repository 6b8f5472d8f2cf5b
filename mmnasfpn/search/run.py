"""Search a pyramid: what ``tools/search.py`` does."""
import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn._checks import check_whole_number
from mmnasfpn._files import write_text
from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.search.evaluation import Evaluation, cpu_seconds
from mmnasfpn.search.evaluators import Evaluator, make_evaluator
from mmnasfpn.search.lock import only_one
from mmnasfpn.search.progress import Progress
from mmnasfpn.search.pruners import make_pruner
from mmnasfpn.search.record import Attempt, Record, is_given_up
from mmnasfpn.search.results import Results
from mmnasfpn.search.rewards import Reward, build_reward, nas_fpn_of
from mmnasfpn.search.samplers import make_sampler
from mmnasfpn.search.settings import SearchSettings
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.storage import RecordError, storage_of, without_password
from mmnasfpn.search.trials import CPU_SECONDS, DETAILS, REUSED_FROM, SECONDS

#: Number of trials where neither the settings nor the config say it: about the paper's (Figure 5).
NUM_TRIALS = 8000

_NOT_COMPARED = ('work_dir', 'launcher', 'num_trials', 'search_space', 'reward', 'controller')
_GIVE_UP_ALL = 3  # draws that fail before any completes
_WAIT = 1.0  # seconds between looks at the progress display
_NOTE_EVERY = 10.0  # seconds


class SearchFailed(RuntimeError):  # noqa: N818
    """A search in which nothing can be evaluated: says why."""


def search(cfg: Config, work_dir: str | os.PathLike[str],
           settings: SearchSettings = SearchSettings()) -> dict[str, Any]:  # noqa: B008 (it is frozen)
    """Search a pyramid, or continue a search that stopped.

    It writes ``best.json``, ``top.json``, ``search.png`` and ``architectures.png`` to the work dir, and
    each trial's log below ``trials/``.

    Args:
        cfg (Config): The config: a detector with a NASFPN neck, and where wanted ``search_space``
            (arguments of :class:`SearchSpace`; by default two intermediate cells on the levels of the
            neck's genotype), ``reward`` (by default the proxy task), ``controller`` (arguments of
            :class:`ControllerSampler`) and ``num_trials``.
        work_dir (str | PathLike): Where to write. One search at a time in each.
        settings (SearchSettings): How to search.

    Returns:
        dict: As :meth:`Results.summary` returns it.

    Raises:
        ValueError, FileNotFoundError: If the config or its data does not fit, or the work dir or the
            storage is another search's. Nothing is written then.
        RecordError: If the storage is lost while the search runs.
        SearchFailed: If the first trials fail, each time that they are tried.
    """
    num_trials = settings.num_trials or cfg.get('num_trials', NUM_TRIALS)
    check_whole_number('num_trials', num_trials, 1)
    space = space_of(cfg)
    starts = _starts(settings, space, num_trials)
    reward = build_reward(cfg, space)
    make_sampler(settings.sampler, space, settings.seed, 0, cfg.get('controller'))  # refuses a misfit
    if len(reward.goals) > 1 and settings.sampler == 'controller':
        raise ValueError(f"the reward has {len(reward.goals)} goals, {', '.join(reward.goals)}, but the "
                         'controller learns from one: give --sampler nsgaii, tpe or random, or make one '
                         "goal of them by reward=dict(type='WithCost', ...)")
    reward.check()
    pruner = make_pruner(settings.pruner, reward)
    work_dir = Path(work_dir)
    with only_one(work_dir), closing(make_evaluator(reward, settings)) as evaluator:
        owner = _owner(work_dir)
        storage = settings.storage or storage_of(work_dir)
        record = Record(storage, space, _identity(cfg, space, reward, settings), owner,
                        settings.study_name, reward.goals)
        write_text(work_dir / 'config.py', cfg.pretty_text)
        record.study.pruner = pruner
        if settings.pruner != 'none':
            evaluator.reporter = record.report
        record.study.sampler = make_sampler(
            settings.sampler, space, settings.seed, len(record.trials), cfg.get('controller'),
            owner if settings.storage else '')
        try:
            _prepare(reward, record, work_dir)
            return _Search(record, evaluator, num_trials, work_dir, settings, starts).run()
        except StorageInternalError as error:
            raise RecordError(
                f'the storage {without_password(storage)} cannot be used any more: {error}. No trial '
                'that it holds is lost: once it can be used, the same command goes on') from error


def space_of(cfg: Config) -> SearchSpace:
    """Return the search space of a config.

    Raises:
        ValueError: If its ``search_space`` does not fit, or it has neither one nor a NASFPN neck.
    """
    arguments = cfg.get('search_space')
    if arguments is None:
        genotype = get_genotype(nas_fpn_of(cfg).get('genotype', 'nasfpn'))
        return SearchSpace(genotype.min_level, genotype.max_level)
    try:
        return SearchSpace(**arguments)
    except TypeError as error:
        raise ValueError(f'search_space: {error}') from None


def _starts(settings: SearchSettings, space: SearchSpace, num_trials: int) -> dict[str, Genotype]:
    """Return the genotypes to start from, by their names."""
    starts = {name: get_genotype(given) for name, given in settings.start.items()}
    for name, genotype in starts.items():
        try:
            space.encode(genotype)
        except ValueError as error:
            raise ValueError(f'start: {name!r} cannot be evaluated: {error}') from None
    if settings.draws and len(starts) > num_trials:
        raise ValueError(f'start has {len(starts)} genotypes, but num_trials is {num_trials}: make it '
                         'more, for those that are drawn come after them')
    return starts


def _prepare(reward: Reward, record: Record, work_dir: Path) -> None:
    """Have the reward do what takes long, and note what it cost, also where it is interrupted."""
    start, cpu_start = time.monotonic(), cpu_seconds()
    result = before = record.preparation['result']
    is_new = True
    try:
        prepared = reward.prepare(work_dir, before)
        if (now := record.preparation['result']) not in (before, prepared):
            raise RecordError(f'another driver has meanwhile begun this search with {now}, and this one '
                              f'has prepared {prepared}: give all of them the same, such as one '
                              'checkpoint of SharedWeights')
        result, is_new = prepared, prepared != before
    finally:
        if is_new:
            record.note_preparation(result, time.monotonic() - start,
                                    cpu_seconds() - cpu_start + reward.prepare_cpu_seconds)


def _identity(cfg: Config, space: SearchSpace, reward: Reward,
              settings: SearchSettings) -> dict[str, Any]:
    """Return what a search cannot be continued without: a record keeps it and refuses anything else."""
    rest = {key: value for key, value in cfg.to_dict().items() if key not in _NOT_COMPARED}
    text = json.dumps(rest, sort_keys=True, default=repr)
    return dict(space=space.to_dict(),
                reward=json.loads(json.dumps(reward.identity() or None, default=repr)),
                sampler=settings.sampler, seed=settings.seed,
                **(dict(pruner=settings.pruner) if settings.pruner != 'none' else {}),
                controller=cfg.get('controller') if settings.sampler == 'controller' else None,
                config=hashlib.sha256(text.encode()).hexdigest()[:16])


def _owner(work_dir: Path) -> str:
    """Return a name that no other work dir has."""
    path = work_dir / 'owner'
    if not path.is_file():
        write_text(path, uuid.uuid4().hex)
    return path.read_text()


class _Known(NamedTuple):
    """What the evaluation of an architecture gave: in which trial."""

    number: int
    values: tuple[float, ...]
    is_pruned: bool


class _Search:
    """The loop: draw, evaluate, record."""

    def __init__(self, record: Record, evaluator: Evaluator, num_trials: int, work_dir: Path,
                 settings: SearchSettings, starts: Mapping[str, Genotype]) -> None:
        self.record = record
        self.evaluator = evaluator
        self.num_trials = num_trials
        self.work_dir = work_dir
        self.settings = settings
        self.is_only_owner = settings.storage is None
        self.seconds_before = record.seconds
        self.start = self.noted = time.monotonic()
        self.running: dict[int, Attempt] = {}
        self.to_retry: list[FrozenTrial] = []
        self.to_start = dict(starts)
        self.waiting: dict[str, list[Attempt]] = {}  # for the reward of a running trial, by architecture
        self.evaluated: dict[str, _Known] = {}  # by architecture
        self.num_given_up_now = 0  # in this run

    def run(self) -> dict[str, Any]:
        self.to_retry = self.record.recover(self.settings.max_retries, self.is_only_owner)
        results = self._read_record()
        self._make_room_for_starts()
        results.write(self.work_dir, self.settings.num_top)
        self.best = max(results.rewards, default=None)
        with Progress(self.num_trials, results.rewards, results.architectures,
                      self.num_given_up + self.num_pruned) as progress:
            self.progress = progress
            try:
                while self.running or self._num_over() < self.num_trials:
                    self._fill_workers()
                    for number, evaluation in self.evaluator.wait(_WAIT if self.running else 0):
                        self._take(number, evaluation)
                    self._note_seconds()
                if missed := self._not_started():  # others have run the last trials
                    self.progress.say(f"{', '.join(missed)} to start from were not evaluated: give more "
                                      f'--trials than {self.num_trials}')
            finally:
                self.record.note_seconds(self._seconds())
                results = Results(self.record, self.settings.max_retries)
                results.write(self.work_dir, self.settings.num_top)
                results.draw(self.work_dir)
        if not results.completed:
            raise self._none_completed() if self.num_pruned else self._all_failed('see the record')
        return results.summary(self.settings.sampler, self._seconds())

    def _read_record(self) -> Results:
        results = Results(self.record, self.settings.max_retries)
        self.num_completed = len(results.completed)
        self.num_given_up = results.num_given_up
        self.num_pruned = len(results.pruned)
        # A given genotype completes also where a draw of it was stopped: that is what counts then.
        for trial in (*results.pruned, *results.completed):
            if REUSED_FROM not in trial.user_attrs:
                self.evaluated[self.record.architecture(trial)] = _Known(
                    trial.number, tuple(trial.values), trial.state is TrialState.PRUNED)
        return results

    def _make_room_for_starts(self) -> None:
        new = self._not_started()
        needed = self._num_over() + len(self.to_retry) + len(new)
        if not self.settings.draws:
            self.num_trials = needed
        elif new and needed > self.num_trials:
            raise ValueError(f'{self._num_over()} of {self.num_trials} trials are over, so that there '
                             f"is no room for all of {', '.join(new)} to start from: give --trials "
                             f'{needed} or more')

    def _not_started(self) -> list[str]:
        return [name for name, genotype in self.to_start.items()
                if not self.record.has_started(name, genotype)]

    def _num_over(self) -> int:
        return self.num_completed + self.num_pruned + self.num_given_up

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.start

    def _note_seconds(self) -> None:
        if time.monotonic() - self.noted > _NOTE_EVERY:
            self.noted = time.monotonic()
            self.record.note_seconds(self._seconds())

    def _fill_workers(self) -> None:
        while True:
            num_waiting = sum(map(len, self.waiting.values()))
            # With as many waiting, the controller draws little else for now: let it learn first.
            if max(len(self.running), num_waiting) >= self.evaluator.num_workers:
                return
            if not self.is_only_owner:
                self._read_record()
            if self._num_over() + len(self.running) + num_waiting >= self.num_trials:
                return
            self._begin(self._next())

    def _next(self) -> Attempt:
        """Make a trial: of a draw that failed, of a genotype to start from, or of a new draw."""
        if self.to_retry:
            return self.record.retry(self.to_retry.pop(0))
        while self.to_start:
            name = next(iter(self.to_start))
            genotype = self.to_start.pop(name)
            if not self.record.has_started(name, genotype):
                return self.record.start(name, genotype)
        return self.record.draw()

    def _begin(self, attempt: Attempt) -> None:
        """Evaluate an attempt, or give it the reward of one of the same architecture."""
        known = self.evaluated.get(attempt.architecture)
        if known is not None and not (known.is_pruned and attempt.start):
            self._complete(attempt, known, {REUSED_FROM: known.number})
        elif any(attempt.architecture == other.architecture for other in self.running.values()):
            self.waiting.setdefault(attempt.architecture, []).append(attempt)
        else:
            self.running[attempt.number] = attempt
            self.evaluator.submit(attempt.number, attempt.genotype,
                                  self.work_dir / 'trials' / f'{attempt.number:05}')

    def _take(self, number: int, evaluation: Evaluation) -> None:
        attempt = self.running.pop(number)
        waiting = self.waiting.pop(attempt.architecture, [])
        if evaluation.values is not None:
            known = _Known(number, evaluation.values, evaluation.is_pruned)
            self.evaluated[attempt.architecture] = known
            details = {DETAILS: dict(evaluation.details)} if evaluation.details else {}
            self._complete(attempt, known, {
                SECONDS: evaluation.seconds, CPU_SECONDS: evaluation.cpu_seconds, **details})
        else:
            self._fail(attempt, evaluation.reason)
        for other in waiting:
            self._begin(other)

    def _complete(self, attempt: Attempt, known: _Known, attrs: Mapping[str, Any]) -> None:
        self.record.complete(attempt.number, known.values, known.is_pruned, attrs)
        if known.is_pruned:
            self.num_pruned += 1
            self.progress.end_trial()
            return
        reward = known.values[0]
        self.num_completed += 1
        self.progress.complete(reward, attempt.architecture)
        if self.best is None or reward > self.best:
            self.best = reward
            write_text(self.work_dir / 'best.json', attempt.genotype.to_json())

    def _fail(self, attempt: Attempt, reason: str) -> None:
        trial = self.record.fail(attempt, reason)
        if not is_given_up(trial, self.settings.max_retries):
            self.progress.say(f'trial {attempt.number} failed and is tried again: {reason}')
            self.to_retry.append(trial)
            return
        self.progress.say(f'trial {attempt.number} failed {attempt.failures + 1} times and is given up: '
                          f'{reason}')
        self.num_given_up += 1
        self.num_given_up_now += 1
        self.progress.end_trial()
        if (not self.num_completed + self.num_pruned
                and self.num_given_up_now >= min(_GIVE_UP_ALL, self.num_trials)):
            raise self._all_failed(reason)

    def _none_completed(self) -> SearchFailed:
        return SearchFailed(
            f'no trial was evaluated to its end: {self.num_pruned} were stopped early by --pruner '
            f'{self.settings.pruner}, and {self.num_given_up} failed. The same command with more '
            f'--trials than {self.num_trials} goes on, and with more --retries than '
            f'{self.settings.max_retries} it tries again what failed')

    def _all_failed(self, reason: str) -> SearchFailed:
        return SearchFailed(
            f'all of the first {self.num_given_up} trials failed, the last one because of: {reason}. '
            f'The logs are in {self.work_dir / "trials"}. Once that is repaired, the same command with '
            f'more --retries than {self.settings.max_retries} tries them again')
