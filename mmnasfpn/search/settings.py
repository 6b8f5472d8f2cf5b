"""The settings of a search, without what runs it: a command line reads them at once."""
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmnasfpn._checks import check_whole_number

#: Where trials can run.
EVALUATORS = ('local', 'ray')
#: What can draw genotypes: the controller, or one of Optuna's samplers.
SAMPLERS = ('controller', 'random', 'tpe', 'nsgaii')
#: What can stop trials that are not promising: one of Optuna's pruners.
PRUNERS = ('none', 'halving', 'hyperband')
#: Name of the study in its storage, unless another is given.
STUDY_NAME = 'nasfpn-search'


@dataclass(frozen=True)
class SearchSettings:
    """How a search runs. What it searches is in its config.

    Args:
        num_trials (int | None): Number of trials, those of earlier runs included. Defaults to None: the
            config's ``num_trials``, or 8,000.
        num_workers (int | None): How many trials at a time; more than there are GPUs share them.
            Defaults to None: one for each GPU, or without GPUs for each core; with Ray, as many as the
            cluster has room for.
        evaluator (str): One of :data:`EVALUATORS`.
        sampler (str): One of :data:`SAMPLERS`.
        pruner (str): One of :data:`PRUNERS`. Defaults to ``'none'``: each trial runs to its end.
        storage (str | None): As for :func:`mmnasfpn.search.storage.open_storage`. Defaults to None:
            ``search.db`` in the work dir, or where files cannot be locked, ``search.journal``.
        study_name (str): Name of the study in the storage.
        seed (int): Seed of the sampler.
        max_retries (int): How often a failed trial is tried again before it is given up.
        ray_address (str | None): As for :class:`mmnasfpn.search.ray_evaluator.RayEvaluator`.
        resources (Mapping | None): As for :class:`mmnasfpn.search.ray_evaluator.RayEvaluator`.
        start (Mapping): Genotypes to evaluate first, as :func:`mmnasfpn.genotypes.get_genotype` takes
            them, by the names that pictures show. Defaults to none.
        draws (bool): Whether genotypes are drawn after those of ``start``. Defaults to True; if not,
            the search ends with the last of ``start``, and ``num_trials`` is not used.
        num_top (int): How many of the best genotypes ``top.json`` holds. Defaults to 10.
        trial_timeout (float | None): Seconds after which a trial is killed, which counts as a failure.
            Defaults to None: no limit. Ignored for a reward that needs no process.

    Raises:
        ValueError: If a setting is out of its range.
    """

    num_trials: int | None = None
    num_workers: int | None = None
    evaluator: str = 'local'
    sampler: str = 'controller'
    pruner: str = 'none'
    storage: str | None = None
    study_name: str = STUDY_NAME
    seed: int = 0
    max_retries: int = 2
    ray_address: str | None = None
    resources: Mapping[str, float] | None = None
    trial_timeout: float | None = None
    start: Mapping[str, Any] = field(default_factory=dict)
    draws: bool = True
    num_top: int = 10

    def for_given(self, genotypes: Mapping[str, Any], sampler: str = 'random') -> 'SearchSettings':
        """Return settings of a search that evaluates these genotypes to the end, and draws none.

        Args:
            genotypes (Mapping): As ``start``.
            sampler (str): What can draw if the search goes on later. Defaults to random draws.
        """
        return replace(self, num_trials=None, sampler=sampler, pruner='none', storage=None,
                       start=genotypes, draws=False)

    def __post_init__(self) -> None:
        for name, value, choices in (('evaluator', self.evaluator, EVALUATORS),
                                     ('sampler', self.sampler, SAMPLERS),
                                     ('pruner', self.pruner, PRUNERS)):
            if value not in choices:
                raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
        if self.num_trials is not None:
            check_whole_number('num_trials', self.num_trials, 1)
        check_whole_number('max_retries', self.max_retries, 0)
        check_whole_number('num_top', self.num_top, 1)
        if not self.draws and not self.start:
            raise ValueError('draws is False and start is empty, so that there is nothing to evaluate')
        if self.trial_timeout is not None and not 0 < self.trial_timeout < math.inf:
            raise ValueError(f'trial_timeout is {self.trial_timeout!r}, but must be a number of seconds '
                             'above 0')
