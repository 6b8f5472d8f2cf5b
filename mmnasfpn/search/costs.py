"""What a pyramid costs, and rewards that weigh it against how good it is."""
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from torch.utils.benchmark import Timer, timer

from mmnasfpn._checks import check_whole_number
from mmnasfpn.analysis.complexity import count_complexity, test_image_size
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.rewards import REWARDS, Reward, build_reward, with_genotype
from mmnasfpn.search.space import SearchSpace

_TIMING = 1.0  # seconds in which a detector runs again and again


def _count_flops(cfg: Config, genotype: Genotype, image_size: tuple[int, int]) -> float:
    return float(count_complexity(with_genotype(cfg, genotype), image_size).flops)


def _count_params(cfg: Config, genotype: Genotype, image_size: tuple[int, int]) -> float:
    return float(count_complexity(with_genotype(cfg, genotype), image_size).params)


def _time(cfg: Config, genotype: Genotype, image_size: tuple[int, int]) -> float:
    run = _forward(with_genotype(cfg, genotype), image_size)
    times = Timer('run()', globals=dict(run=run), num_threads=torch.get_num_threads())
    # The fastest runs are those that other processes disturbed least.
    return 1000 * min(times.blocked_autorange(min_run_time=_TIMING).times)


def _compare_times(cfg: Config, genotype: Genotype, image_size: tuple[int, int]) -> float:
    runs = [_forward(with_genotype(cfg, genotype), image_size), _forward(cfg, image_size)]
    for run in runs:
        run()  # the first run is slower
    end = timer() + 2 * _TIMING
    ratios: list[float] = []
    while timer() < end or not ratios:
        moments = [timer()]
        for run in runs:
            run()
            moments.append(timer())
        ratios.append((moments[1] - moments[0]) / (moments[2] - moments[1]))
    return median(ratios)


def _forward(cfg: Config, image_size: tuple[int, int]) -> Callable[[], None]:
    """Return what runs the detector of a config on one image, without decoding and NMS."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    detector: Any = MODELS.build(cfg.model).to(get_device()).eval()
    sample = DetDataSample(metainfo=dict(
        img_shape=image_size, ori_shape=image_size, batch_input_shape=image_size))
    image = torch.randn(1, 3, *image_size, device=get_device())

    @torch.no_grad()
    def run() -> None:
        detector(image, [sample], mode='tensor')

    return run


#: Costs of a detector by name: functions of its config, a genotype, and rows and columns of an image.
COSTS: dict[str, Callable[[Config, Genotype, tuple[int, int]], float]] = dict(
    flops=_count_flops, params=_count_params, latency=_time, relative_latency=_compare_times)
#: What they are counted in.
UNITS = dict(flops='FLOPs', params='parameters', latency='ms',
             relative_latency="times the config's own latency")


def cost_of(name: str, cfg: Config, genotype: Genotype, image_size: tuple[int, int]) -> float:
    """Return what the detector of a config costs with a genotype.

    Args:
        name (str): One of

            - ``'flops'``: floating point operations for one image, 2 for each multiply-add.
            - ``'params'``: the number of parameters.
            - ``'latency'``: milliseconds that backbone, neck and head take for one image here, on the
              GPU if there is one: the fastest of the runs of a second.
            - ``'relative_latency'``: the same time as a share of what the detector takes with the
              genotype of its config. Both run in turn for two seconds, so that other programs slow both,
              and the median of the shares counts.
        cfg (Config): The config.
        genotype (Genotype): The genotype.
        image_size (tuple[int, int]): Rows and columns of the image.
    """
    return COSTS[name](cfg, genotype, image_size)


class RewardOfCosts(Reward):
    """A reward that another one and costs make together."""

    def __init__(self, cfg: Config, space: SearchSpace, reward: Mapping[str, Any],
                 costs: Sequence[str], image_size: Sequence[int] | None) -> None:
        super().__init__(cfg, space)
        for name in costs:
            if name not in COSTS:
                raise ValueError(f"reward: the cost is {name!r}, but must be one of {', '.join(COSTS)}")
        self.reward = build_reward(cfg, space, reward)
        if len(self.reward.goals) > 1:
            raise ValueError(f'reward: {type(self).__name__} weighs a reward of one goal, but '
                             f"{type(self.reward).__name__} has {', '.join(self.reward.goals)}")
        self.costs = tuple(costs)
        self.needs_process = self.reward.needs_process
        self.image_size = _image_size(cfg, image_size)

    @property
    def num_reports(self) -> int:
        """As often as the reward."""
        return self.reward.num_reports

    def identity(self) -> dict[str, Any]:
        """As that of any reward, with that of the inner one in it."""
        return {**super().identity(), 'reward': self.reward.identity()}

    def check(self) -> None:
        """Check the reward."""
        self.reward.check()

    def prepare(self, work_dir: Path, before: str) -> str:
        """Prepare the reward."""
        result = self.reward.prepare(work_dir, before)
        self.prepare_cpu_seconds = self.reward.prepare_cpu_seconds
        return result

    def _reward(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        reward = self.reward(genotype, work_dir)
        assert isinstance(reward, float | int)  # it has one goal
        return reward

    def _costs(self, genotype: Genotype) -> dict[str, float]:
        return {name: cost_of(name, self.cfg, genotype, self.image_size) for name in self.costs}


@REWARDS.register_module()
class WithCost(RewardOfCosts):
    """A reward, less for genotypes that cost more: MnasNet's product.

    It is ``reward * (cost / target) ** weight``
    (`Tan et al., 2019 <https://arxiv.org/abs/1807.11626>`_, equation 2). With the default weight, what
    costs twice as much has to be 5% better.

    Args:
        reward (Mapping): The reward, which must not be negative, e.g. ``dict(type='ProxyTask')``.
        cost (str): One of :data:`COSTS`, as in :func:`cost_of`.
        target (float): The cost at which the reward stays as it is, in the unit of the cost.
        weight (float): The exponent, 0 or less. Defaults to -0.07.
        image_size (Sequence[int] | None): Rows and columns of the image that costs are counted for.
            Defaults to None: what the test pipeline resizes to, padding included.

    Raises:
        ValueError: If there is no such cost, the target is not above 0, or the weight is above 0.
    """

    def __init__(self, cfg: Config, space: SearchSpace, reward: Mapping[str, Any], cost: str,
                 target: float, weight: float = -0.07,
                 image_size: Sequence[int] | None = None) -> None:
        super().__init__(cfg, space, reward, [cost], image_size)
        if not _is_number(target) or target <= 0:
            raise ValueError(f'reward: target is {target!r}, but must be a number of {UNITS[cost]} '
                             'above 0, the cost at which a reward stays as it is')
        if not _is_number(weight) or weight > 0:
            raise ValueError(f'reward: weight is {weight!r}, but must be 0 or less: a higher cost must '
                             'not be better')
        self.target = target
        self.weight = weight

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        """Return the product; the record keeps both of its parts."""
        costs = self._costs(genotype)
        factor = (costs[self.costs[0]] / self.target) ** self.weight
        if (report := self.reporter) is not None:
            self.reward.reporter = lambda step, value: report(step, value * factor)
        reward = self._reward(genotype, work_dir)
        if reward < 0:
            raise ValueError(f'the reward is {reward}, but must not be negative to be weighed with a '
                             'cost: a higher cost would make it better')
        self.details = dict(reward=reward, **costs)
        return reward * factor


@REWARDS.register_module()
class RewardAndCosts(RewardOfCosts):
    """A reward and costs, each a goal of its own: a search then looks for the Pareto front.

    Args:
        reward (Mapping): The reward, to be maximised, e.g. ``dict(type='ProxyTask')``.
        costs (Sequence[str]): Some of :data:`COSTS`, as in :func:`cost_of`, to be minimised.
        image_size (Sequence[int] | None): As for :class:`WithCost`.

    Raises:
        ValueError: If there is no such cost, or none at all.
    """

    def __init__(self, cfg: Config, space: SearchSpace, reward: Mapping[str, Any],
                 costs: Sequence[str], image_size: Sequence[int] | None = None) -> None:
        if isinstance(costs, str) or not costs:
            raise ValueError(f"reward: costs is {costs!r}, but must be a list of {', '.join(COSTS)}")
        super().__init__(cfg, space, reward, costs, image_size)
        self.goals = {'reward': 'maximize', **dict.fromkeys(costs, 'minimize')}

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> list[float]:
        """Return the reward, and each cost."""
        costs = self._costs(genotype)
        return [self._reward(genotype, work_dir), *costs.values()]


def _image_size(cfg: Config, given: Sequence[int] | None) -> tuple[int, int]:
    if given is None:
        size = test_image_size(cfg)
        if size is None:
            raise ValueError('reward: image_size is None, but must be rows and columns of the image '
                             'that costs are counted for: the test pipeline of this config does not say')
        return size
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 2:
        raise ValueError(f'reward: image_size is {given!r}, but must be two numbers, rows and columns')
    for number in given:
        check_whole_number('reward: image_size', number, 1)
    return given[0], given[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
