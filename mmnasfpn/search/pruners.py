"""Optuna's pruners: what stops trials that are not promising."""
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner

from mmnasfpn.search.rewards import Reward

#: One of so many trials goes on to so many times the steps: epochs are few.
_REDUCTION_FACTOR = 2


def make_pruner(name: str, reward: Reward) -> BasePruner:
    """Make the pruner of a name.

    Args:
        name (str): One of :data:`mmnasfpn.search.settings.PRUNERS`.
        reward (Reward): What reports the values that it decides by.

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
    if name == 'halving':
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=_REDUCTION_FACTOR)
    return HyperbandPruner(min_resource=1, max_resource=reward.num_reports + 1,
                           reduction_factor=_REDUCTION_FACTOR)
