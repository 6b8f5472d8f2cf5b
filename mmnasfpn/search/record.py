"""The record of a search: an Optuna study that survives a kill at any moment."""
import datetime
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import IntegrityError, ProgrammingError

from mmnasfpn.genotypes import Genotype, architecture_hash
from mmnasfpn.search.pruners import ask_pruner, without_pruners
from mmnasfpn.search.samplers import ControllerSampler
from mmnasfpn.search.settings import STUDY_NAME
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.storage import RecordError, open_storage, without_password
from mmnasfpn.search.trials import (
    ARCHITECTURE,
    FAILURES,
    OWNER,
    REASON,
    RETRY_OF,
    REUSED_FROM,
    START,
    distributions,
    genotype_of,
    is_whole,
    params_of,
)

_IDENTITY = 'mmnasfpn:search'  # user attribute of the study: what it searches
_PREPARATION = 'mmnasfpn:preparation'  # and what was done before the first trial
_SECONDS = 'mmnasfpn:seconds'  # how long it has run
# What a database says to one of several drivers that make its tables at the same moment.
_CONFLICTS = (IntegrityError, ProgrammingError)
_REOPEN = 5  # how often it is tried again then
_ASKING = datetime.timedelta(days=1)  # no draw takes longer, whatever the clocks of other machines say


@dataclass(frozen=True)
class Attempt:
    """A trial that is to be evaluated, and how many attempts at the same draw have failed before.

    ``start`` is the name of its genotype if that was given; else nothing.
    """

    number: int
    genotype: Genotype
    architecture: str
    failures: int = 0
    start: str = ''


class Record:
    """An Optuna study of one search, opened by one process at a time for each owner.

    A trial is drawn, and then completed or failed. A failed one is followed by another trial of the same
    actions, its retry. A trial that ran when its owner was killed fails when the owner comes back.

    Args:
        url (str): As for :func:`mmnasfpn.search.storage.open_storage`.
        space (SearchSpace): What is searched.
        identity (Mapping): What makes it this search, plain data: compared with the record's.
        owner (str): Who opens it. Running trials of other owners are left alone.
        study_name (str): Name of the study in the storage.
        goals (Mapping[str, str]): The values of a trial: the name of each, and whether to
            ``'maximize'`` or ``'minimize'`` it. Defaults to a reward.

    Raises:
        RecordError: If the storage cannot be opened, or its study is another search's.
    """

    def __init__(self, url: str, space: SearchSpace, identity: Mapping[str, Any], owner: str,
                 study_name: str = STUDY_NAME,
                 goals: Mapping[str, str] = MappingProxyType({'reward': 'maximize'})) -> None:
        self.goals = goals
        self.space = space
        self.owner = owner
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._open(url, study_name, dict(identity))
        self._distributions = distributions(space)
        self._architectures: dict[int, str] = {}  # by the number of the trial

    def _open(self, url: str, study_name: str, identity: dict[str, Any]) -> None:
        shown = without_password(url)
        for is_last in (False,) * _REOPEN + (True,):
            try:
                self._storage = open_storage(url)
                self.study = optuna.create_study(
                    storage=self._storage, study_name=study_name,
                    directions=list(self.goals.values()), load_if_exists=True)
                self._check_identity(shown, identity)
                return
            except RecordError:
                raise
            except Exception as error:  # of SQLAlchemy, a driver, Optuna, Alembic or the system
                if is_last or not isinstance(error, _CONFLICTS):
                    cause = getattr(error, 'orig', None) or error  # without what SQLAlchemy adds
                    raise RecordError(f'the storage {shown} cannot be opened: {type(cause).__name__}: '
                                      f"{' '.join(str(cause).split())}") from None
            time.sleep(random.uniform(0.1, 0.5))

    def _check_identity(self, url: str, identity: dict[str, Any]) -> None:
        found = self.study.user_attrs.get(_IDENTITY)
        if found is None and not self.trials:
            self.study.set_user_attr(_IDENTITY, identity)
            return
        if found == identity:
            return
        name = self.study.study_name
        if found is None:
            raise RecordError(f'the study {name!r} in {url} was not made by a search of this package: '
                              'give another --storage or --study-name')
        differ = [key for key in {**identity, **found} if identity.get(key) != found.get(key)]
        shown = '; '.join(
            f'{key} is {identity.get(key)!r}, but was {found.get(key)!r}' for key in differ)
        raise RecordError(
            f'the study {name!r} in {url} is of another search: {shown}. To go on with it, give the '
            'command that it was begun with; for a new one, give another --work-dir, and where you name '
            'a --storage, another one or another --study-name')

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, not to be changed."""
        return self.study.get_trials(deepcopy=False)

    @property
    def preparation(self) -> dict[str, Any]:
        """What the reward's preparation returned, ``result``, and what it cost, all runs together."""
        return self.study.user_attrs.get(_PREPARATION) or dict(result='', seconds=0.0, cpu_seconds=0.0)

    def note_preparation(self, result: str, seconds: float, cpu_seconds: float) -> None:
        """Note what the reward's preparation returned, '' if it was interrupted, and what it cost."""
        before = self.preparation
        self.study.set_user_attr(_PREPARATION, dict(
            result=result or before['result'], seconds=before['seconds'] + seconds,
            cpu_seconds=before['cpu_seconds'] + cpu_seconds))

    @property
    def seconds(self) -> float:
        """How long the search has run, all runs together, when it was last noted."""
        return self.study.user_attrs.get(_SECONDS, 0.0)

    def note_seconds(self, seconds: float) -> None:
        """Note how long the search has run."""
        self.study.set_user_attr(_SECONDS, seconds)

    def recover(self, max_retries: int, is_only_owner: bool) -> list[FrozenTrial]:
        """Fail what was left running, and return the trials that are to be tried again.

        Args:
            max_retries (int): How often a draw that failed is tried again. An interruption is no
                failure.
            is_only_owner (bool): Whether nobody else can have drawn in this storage.
        """
        now = datetime.datetime.now()
        for trial in self.trials:
            owner = trial.user_attrs.get(OWNER)
            is_forgotten = owner is None and now - (trial.datetime_start or now) > _ASKING
            if trial.state is TrialState.RUNNING and (
                    is_only_owner or owner == self.owner or is_forgotten):
                self._fail(trial.number, 'interrupted: the search was stopped while it ran')
        return [trial for trial in last_failures(self.trials)
                if is_whole(trial, len(self._distributions))
                and (is_only_owner or trial.user_attrs.get(OWNER, self.owner) == self.owner)
                and not is_given_up(trial, max_retries)]

    def draw(self) -> Attempt:
        """Draw a trial."""
        if isinstance(self.study.sampler, ControllerSampler):
            return self._begin(*self.study.sampler.draw(self.trials))
        return self._ask()

    def start(self, name: str, genotype: Genotype) -> Attempt:
        """Make a trial of a genotype that was given."""
        params = self._params(genotype)
        if isinstance(self.study.sampler, ControllerSampler):
            return self._begin(params, {}, {START: name})  # without a policy it does not learn from it
        if not self._is_waiting(params):  # unless a kill came between
            self.study.enqueue_trial(params, {START: name})
        return self._ask()

    def _is_waiting(self, params: Mapping[str, int]) -> bool:
        return any(trial.state is TrialState.WAITING and trial.system_attrs.get('fixed_params') == params
                   for trial in self.trials)

    def has_started(self, name: str, genotype: Genotype) -> bool:
        """Say whether there is a trial of a genotype that was given by this name."""
        params = self._params(genotype)
        return any(trial.user_attrs.get(START) == name and trial.params == params
                   for trial in self.trials)

    def _params(self, genotype: Genotype) -> dict[str, int]:
        return params_of(self.space, genotype)

    def _ask(self) -> Attempt:
        trial = self.study.ask(self._distributions)
        genotype = self.genotype(trial.params)
        architecture = architecture_hash(genotype)
        trial.set_user_attr(OWNER, self.owner)
        trial.set_user_attr(ARCHITECTURE, architecture)
        return Attempt(trial.number, genotype, architecture, start=trial.user_attrs.get(START, ''))

    def complete(self, number: int, values: Sequence[float], is_pruned: bool = False,
                 attrs: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Complete a trial.

        Args:
            number (int): Its number.
            values (Sequence[float]): Its reward, or a value for each goal.
            is_pruned (bool): Whether it was stopped early, or has the reward of one that was: the
                value is then what that last reported. Defaults to False.
            attrs (Mapping): Attributes of the trial.
        """
        for key, value in attrs.items():
            self._set(number, key, value)
        if not is_pruned:
            self.study.tell(number, list(values))
            return
        if REUSED_FROM in attrs:  # it has reported nothing itself
            for step, value in self.trials[attrs[REUSED_FROM]].intermediate_values.items():
                self._storage.set_trial_intermediate_value(self._id(number), step, value)
        self.study.tell(number, state=TrialState.PRUNED)  # Optuna takes the last report as its value

    def report(self, number: int, step: int, value: float) -> bool:
        """Record what a trial reports on its way, and return whether the study's pruner stops it.

        It stops none whose genotype was given: that is to be known in the end.
        """
        self._storage.set_trial_intermediate_value(self._id(number), step, value)
        is_stopped = ask_pruner(self.study, number, len(self._distributions))
        return is_stopped and START not in self.trials[number].user_attrs

    def fail(self, attempt: Attempt, reason: str) -> FrozenTrial:
        """Fail a trial and return it; the reason is for whoever reads the record."""
        self._set(attempt.number, FAILURES, attempt.failures + 1)
        return self._fail(attempt.number, reason)

    def retry(self, trial: FrozenTrial) -> Attempt:
        """Make another trial of a failed one's actions, running, and return it."""
        # The sampler's attributes tell it how the actions were drawn.
        attrs = {key: trial.user_attrs[key] for key in (FAILURES, START) if key in trial.user_attrs}
        return self._begin(trial.params, without_pruners(trial.system_attrs),
                           {RETRY_OF: trial.number, **attrs})

    def genotype(self, params: Mapping[str, Any]) -> Genotype:
        """Return the genotype of a whole trial's parameters."""
        return genotype_of(self.space, params)

    def architecture(self, trial: FrozenTrial) -> str:
        """Return the hash of a whole trial's architecture.

        It is computed from the parameters: the attribute may be a hash of an earlier version.
        """
        if trial.number not in self._architectures:
            self._architectures[trial.number] = architecture_hash(self.genotype(trial.params))
        return self._architectures[trial.number]

    def _begin(self, params: Mapping[str, Any], system_attrs: Mapping[str, Any],
               user_attrs: Mapping[str, Any] = MappingProxyType({})) -> Attempt:
        """Make a running trial, whole at once: a kill leaves all of it in the record or nothing."""
        genotype = self.genotype(params)
        architecture = architecture_hash(genotype)
        self.study.add_trial(create_trial(
            state=TrialState.RUNNING, params=dict(params), distributions=dict(self._distributions),
            user_attrs={OWNER: self.owner, ARCHITECTURE: architecture, **user_attrs},
            system_attrs=dict(system_attrs)))
        number = max(trial.number for trial in self.trials
                     if trial.user_attrs.get(OWNER) == self.owner)
        return Attempt(number, genotype, architecture, user_attrs.get(FAILURES, 0),
                       user_attrs.get(START, ''))

    def _fail(self, number: int, reason: str) -> FrozenTrial:
        self._set(number, REASON, reason)
        return self.study.tell(number, state=TrialState.FAIL)

    def _set(self, number: int, key: str, value: Any) -> None:
        # A study sets no attributes of trials that it did not ask for, or that an earlier process did.
        self._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        """Return what the storage knows a trial by."""
        study = self._storage.get_study_id_from_name(self.study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)


def last_failures(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the failed trials that no other one tries again."""
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    return [trial for trial in trials
            if trial.state is TrialState.FAIL and trial.number not in retried]


def is_given_up(failure: FrozenTrial, max_retries: int) -> bool:
    """Say whether the last attempt at a draw, which failed, is not to be tried again."""
    return failure.user_attrs.get(FAILURES, 0) > max_retries
