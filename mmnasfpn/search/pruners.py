"""Optuna's pruners: what stops trials that are not promising."""
import copy
from collections.abc import Container, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn.search.rewards import Reward
from mmnasfpn.search.trials import draw_numbers

#: One of so many trials goes on to so many times the steps.
_REDUCTION_FACTOR = 2
#: What the names of the system attributes begin with that pruners give a trial.
_PRUNERS_ATTRIBUTE = 'completed_rung_'


def make_pruner(name: str, reward: Reward, reduction_factor: int | None = None) -> BasePruner:
    """Make the pruner of a name.

    Args:
        name (str): One of :data:`mmnasfpn.search.settings.PRUNERS`.
        reward (Reward): What reports the values that it decides by.
        reduction_factor (int | None): One of so many trials goes on to so many times the steps, 2 or
            more. Defaults to None: 2, which experiments found best, see ``docs/search.md``.

    Raises:
        ValueError: If the reward reports none, or has several goals.
    """
    if name == 'none':
        return NopPruner()
    if len(reward.goals) > 1:
        raise ValueError(f"--pruner {name} stops trials by one value, but the reward has "
                         f"{len(reward.goals)} goals, {', '.join(reward.goals)}: give --pruner none")
    if reward.num_reports < 1:
        raise ValueError(f'--pruner {name} stops trials by what they report after each epoch, but the '
                         f'reward {type(reward).__name__} of this config reports nothing before its '
                         'end: give --pruner none, or a ProxyTask of several epochs')
    reduction_factor = reduction_factor or _REDUCTION_FACTOR
    if name == 'halving':
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction_factor)
    return HyperbandPruner(min_resource=1, max_resource=reward.num_reports + 1,
                           reduction_factor=reduction_factor)


def ask_pruner(study: optuna.Study, number: int, num_decisions: int) -> bool:
    """Ask the pruner of a study whether to stop a trial that has reported.

    The pruner sees each draw once: no failed trials, and for the number of a trial, by which Hyperband
    chooses its bracket, that of its draw. So a search that was killed and continued stops the trials
    that it would have stopped without.

    Args:
        study (optuna.Study): The study.
        number (int): Number of the trial.
        num_decisions (int): How many decisions a draw has.
    """
    storage: Any = _Draws(study._storage, num_decisions)
    draws = optuna.load_study(study_name=study.study_name, storage=storage, pruner=study.pruner,
                              sampler=study.sampler)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    trial, = (trial for trial in draws.get_trials(deepcopy=False) if trial._trial_id == trial_id)
    return study.pruner.prune(draws, trial)


def without_pruners(system_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the system attributes of a trial less those that a pruner has given it."""
    return {key: value for key, value in system_attrs.items() if not key.startswith(_PRUNERS_ATTRIBUTE)}


class _Draws:
    """A storage, for a pruner to read: each draw is there once."""

    def __init__(self, storage: BaseStorage, num_decisions: int) -> None:
        self._storage = storage
        self._num_decisions = num_decisions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(self, study_id: int, deepcopy: bool = True,
                       states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        numbers = draw_numbers(trials, self._num_decisions)
        draws = [copy.copy(trial) for trial in trials if trial.state is not TrialState.FAIL
                 and (states is None or trial.state in states)]
        for trial in draws:
            trial.number = numbers[trial.number]
        return draws
