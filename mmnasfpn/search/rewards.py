"""Rewards of genotypes: what a search maximises."""
import copy
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, Registry

from mmnasfpn._checks import check_whole_number
from mmnasfpn.genotypes import Genotype, MergingCell, get_genotype
from mmnasfpn.registry import class_of
from mmnasfpn.search.space import SearchSpace

#: Rewards by name: what ``reward=dict(type=...)`` of a config looks up.
REWARDS = Registry('reward', scope='mmnasfpn', locations=[
    'mmnasfpn.search.proxy_task', 'mmnasfpn.search.shared_weights', 'mmnasfpn.search.costs'])


class Pruned(Exception):  # noqa: N818
    """The search stops an evaluation, since others were better after as many steps."""


class Reward(ABC):
    """A function of a genotype, the higher the better, that an evaluator calls.

    One of your own derives from this, is registered in :data:`REWARDS`, and is named by a config with
    ``custom_imports``. It is sent to other processes, so that it must be picklable.

    Args:
        cfg (Config): The config of the search.
        space (SearchSpace): What is searched.
    """

    #: Whether each call is to have a process of its own. A call that takes no time needs none.
    needs_process = True
    #: What calls return, a value for each: the name of a goal, and whether to maximise or minimise it.
    goals: Mapping[str, str] = MappingProxyType({'reward': 'maximize'})
    #: Arguments that may differ when a search goes on.
    not_compared: Sequence[str] = ()
    #: What a call leaves for the record besides the reward, such as the parts that make it.
    details: Mapping[str, float] = MappingProxyType({})
    #: Seconds of all processors that :meth:`prepare` took in processes of its own.
    prepare_cpu_seconds = 0.0
    #: Set where reports are wanted: takes a step and a value, and returns whether to stop.
    reporter: Callable[[int, float], bool] | None = None

    def __init__(self, cfg: Config, space: SearchSpace) -> None:
        self.cfg = cfg
        self.space = space
        self.given: Mapping[str, Any] = {}  # its type and arguments, where a config gives them

    def identity(self) -> dict[str, Any]:
        """Return the type and the arguments that a search cannot go on without."""
        return {key: value for key, value in self.given.items() if key not in self.not_compared}

    def check(self) -> None:  # noqa: B027
        """Raise a ValueError or FileNotFoundError if calls would fail; called once before a search."""

    def prepare(self, work_dir: Path, before: str) -> str:
        """Do what takes long, once, before the first call.

        Args:
            work_dir (Path): Of the search.
            before (str): What this returned when the record was begun; '' for a new record.

        Returns:
            str: What rewards depend on besides the config, such as the hash of a file: a search does
            not go on with another. Defaults to nothing.
        """
        return ''

    @property
    def num_reports(self) -> int:
        """How often a call can report how good the genotype is so far; 0, the default, for never."""
        return 0

    def report(self, step: int, value: float) -> None:
        """Say, while a genotype is evaluated, how good it is so far.

        Args:
            step (int): How often this was said, counted from 1, for this genotype.
            value (float): What the reward would be if the evaluation ended here.

        Raises:
            Pruned: If the search stops the evaluation; not to be caught.
            ValueError: If the step is below 1, or the value is infinite or NaN.
        """
        if self.reporter is None:
            return
        check_whole_number('step', step, 1)
        if not math.isfinite(value):
            raise ValueError(f'what is reported at step {step} is {value}, but must be a finite number')
        if self.reporter(step, value):
            raise Pruned

    @abstractmethod
    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float | Sequence[float]:
        """Return the reward, or a value for each of :attr:`goals`.

        Args:
            genotype (Genotype): What to evaluate.
            work_dir (str | PathLike): Folder for what the call writes; it need not exist.
        """


def build_reward(cfg: Config, space: SearchSpace, reward: Mapping[str, Any] | None = None) -> Reward:
    """Build a reward.

    Args:
        cfg (Config): The config of the search.
        space (SearchSpace): What is searched.
        reward (Mapping | None): Its type and arguments. Defaults to None: those of the config, or the
            proxy task.

    Raises:
        ValueError: If there is no such reward, or its arguments do not fit.
    """
    given = reward or cfg.get('reward') or {}
    arguments = dict(given or dict(type='ProxyTask'))
    arguments.pop('_scope_', None)  # of a config that came through a package
    name = arguments.pop('type', None)
    kind = REWARDS.get(name) if isinstance(name, str) else name
    if not isinstance(kind, type) or not issubclass(kind, Reward):
        names = ', '.join(sorted(REWARDS.module_dict))
        raise ValueError(f'reward: type is {name!r}, but must be one of {names}, or one of your own '
                         'that custom_imports imports')
    try:
        built = kind(cfg=cfg, space=space, **arguments)
    except TypeError as error:
        raise ValueError(f'reward: {error}') from None
    built.given = given
    return built


@REWARDS.register_module()
class GenotypeMatch(Reward):
    """The share of a target's fields that a genotype equals: a reward without training.

    The fields of a cell are its two inputs, its level and its op. Inputs are compared in the order in
    which more of them agree, except where the target's order matters, in ``gp`` at equal levels.

    Args:
        target: What to find, as :func:`mmnasfpn.genotypes.get_genotype` takes it.

    Raises:
        ValueError: If the target is no genotype, or not in the space.
    """

    needs_process = False

    def __init__(self, cfg: Config, space: SearchSpace, target: Any) -> None:
        super().__init__(cfg, space)
        self.target = get_genotype(target)
        try:
            space.encode(self.target)
        except ValueError as error:
            raise ValueError(f'reward: target is {target!r}, but {error}') from None

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str] = '') -> float:
        """Return the share, 0..1."""
        equal = sum(self._equal_fields(cell, target)
                    for cell, target in zip(genotype.cells, self.target.cells, strict=True))
        return equal / (4 * len(self.target.cells))

    def _equal_fields(self, cell: MergingCell, target: MergingCell) -> int:
        first, second = (self.target.node_levels[node] for node in target.inputs)
        orders = [cell.inputs]
        if target.op == 'sum' or first != second:
            orders.append(cell.inputs[::-1])
        inputs = max(sum(a == b for a, b in zip(order, target.inputs, strict=True)) for order in orders)
        return inputs + (cell.level == target.level) + (cell.op == target.op)


def with_genotype(cfg: Config, genotype: Genotype) -> Config:
    """Return a copy of a config with this genotype in its neck."""
    cfg = copy.deepcopy(cfg)
    nas_fpn_of(cfg).genotype = genotype.to_dict()
    return cfg


def nas_fpn_of(cfg: Config) -> ConfigDict:
    """Return the NASFPN neck of a config.

    Raises:
        ValueError: If it has none.
    """
    neck = (cfg.get('model') or {}).get('neck')
    if not isinstance(neck, Mapping) or not issubclass(
            class_of(MODELS, neck, cfg), MODELS.get('mmnasfpn.NASFPN')):
        found = f"is of type {neck.get('type')!r}" if isinstance(neck, Mapping) else 'is missing'
        raise ValueError(f"the config's model.neck {found}, but a pyramid can only be searched for a "
                         "neck of type 'mmnasfpn.NASFPN': the README shows a config with one")
    return neck
