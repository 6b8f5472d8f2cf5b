"""Attributes of the trials of a record, and what follows from them."""
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.space import SearchSpace

#: Hash of its architecture.
ARCHITECTURE = 'architecture'
#: Who runs it.
OWNER = 'owner'
#: Number of the trial that it tries again.
RETRY_OF = 'retry_of'
#: How many attempts at its draw have failed, itself included.
FAILURES = 'failures'
#: Why it failed.
REASON = 'reason'
#: Number of the trial of the same architecture whose reward it has.
REUSED_FROM = 'reused_from'
#: Name of the genotype that it was given to start from, in place of a draw.
START = 'start'
#: What the reward left for the record, by name.
DETAILS = 'details'
#: Seconds that its evaluation took, and those of all its processors.
SECONDS, CPU_SECONDS = 'seconds', 'cpu_seconds'


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return what Optuna draws from: one categorical distribution for each decision of a space."""
    return {decision.name: CategoricalDistribution(range(decision.num_actions))
            for decision in space.decisions}


def params_of(space: SearchSpace, genotype: Genotype) -> dict[str, int]:
    """Return the parameters of a trial that draws a genotype of the space."""
    return dict(zip((decision.name for decision in space.decisions), space.encode(genotype),
                    strict=True))


def genotype_of(space: SearchSpace, params: Mapping[str, Any]) -> Genotype:
    """Return the genotype that the parameters of a whole trial mean."""
    return space.decode([params[decision.name] for decision in space.decisions])


def has_all(trial: FrozenTrial, known: Mapping[str, BaseDistribution]) -> bool:
    """Say whether a trial has these parameters, each with the same choices."""
    return all(trial.distributions.get(name) == distribution for name, distribution in known.items())


def is_whole(trial: FrozenTrial, num_decisions: int) -> bool:
    """Say whether all decisions of a trial are in the record."""
    return len(trial.params) == num_decisions


def is_draw(trial: FrozenTrial, num_decisions: int) -> bool:
    """Say whether a trial was drawn, or is being drawn: not given, not a retry, not cut before."""
    was_cut = (trial.state is TrialState.FAIL and REASON in trial.user_attrs
               and not is_whole(trial, num_decisions))
    return not {RETRY_OF, START} & trial.user_attrs.keys() and not was_cut


def draw_number(number: int, trials: Sequence[FrozenTrial], num_decisions: int) -> int:
    """Return how many draws there were before a trial.

    That is its number, less the trials before it that were given, repeat a draw or were interrupted
    while they were drawn. So a search that was killed and continued draws what it would have drawn
    without, and so does one that has genotypes to start from before it learns of them.
    """
    return number - sum(trial.number < number and not is_draw(trial, num_decisions) for trial in trials)


def draw_numbers(trials: Sequence[FrozenTrial], num_decisions: int) -> dict[int, int]:
    """Return by the number of each trial the :func:`draw_number` of the draw that it is or repeats."""
    numbers: dict[int, int] = {}
    num_draws = 0
    for trial in trials:
        numbers[trial.number] = numbers.get(trial.user_attrs.get(RETRY_OF, -1), num_draws)
        num_draws += is_draw(trial, num_decisions)
    return numbers
