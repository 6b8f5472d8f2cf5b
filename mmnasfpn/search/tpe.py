"""Optuna's TPE, without drawing what is known."""
import random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn.genotypes import architecture_hash
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.trials import distributions, genotype_of, has_all, params_of

#: How many known architectures TPE may draw for a trial before one is drawn at random.
_MAX_KNOWN = 100


class NewTPESampler(BaseSampler):
    """Draw decisions by :class:`optuna.samplers.TPESampler`, but no architecture that the study has.

    An architecture that is drawn again has the reward that it had. TPE by itself takes that for one more
    observation, and so draws what was good again and again.

    Args:
        space (SearchSpace): What to draw from.
        seed (int): Seed of the draws.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._distributions = distributions(space)
        self._rng = random.Random(seed)
        self._random = RandomSampler(seed)
        self._tpe = TPESampler(seed=seed)
        self._distinct: optuna.Study | None = None  # one trial of each architecture
        self._learned: set[str] = set()  # architectures that TPE has learned from
        self._seen: set[int] = set()  # numbers of trials that were learned from or skipped

    def infer_relative_search_space(self, study: optuna.Study,
                                    trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all decisions, which are drawn together; none for a trial with fixed ones."""
        return {} if 'fixed_params' in trial.system_attrs else dict(self._distributions)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Draw all decisions of a trial."""
        if not search_space:
            return {}
        others = [other for other in study.get_trials(deepcopy=False)
                  if other.number != trial.number and other.number not in self._seen
                  and has_all(other, self._distributions)]
        distinct = self._learn(study, others)
        known = self._learned | {self._architecture(other.params) for other in others
                                 if not other.state.is_finished()}
        for _ in range(_MAX_KNOWN):
            drawn = distinct.ask(self._distributions)
            distinct.tell(drawn, state=TrialState.FAIL)  # TPE ignores it
            if self._architecture(drawn.params) not in known:
                return drawn.params
        return params_of(self._space, self._space.sample(self._rng))

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Draw a single parameter, at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _learn(self, study: optuna.Study, trials: list[FrozenTrial]) -> optuna.Study:
        """Let TPE learn from the first trial of each architecture, and return what it draws in."""
        if self._distinct is None:
            self._distinct = optuna.create_study(directions=study.directions, sampler=self._tpe)
        for trial in trials:
            if not trial.state.is_finished():
                continue
            self._seen.add(trial.number)
            architecture = self._architecture(trial.params)
            if trial.state is not TrialState.FAIL and architecture not in self._learned:
                self._learned.add(architecture)
                self._distinct.add_trial(trial)
        return self._distinct

    def _architecture(self, params: dict[str, Any]) -> str:
        return architecture_hash(genotype_of(self._space, params))
