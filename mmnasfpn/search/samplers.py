"""Optuna samplers of genotypes: the controller, beside Optuna's own."""
import copy
import math
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from mmnasfpn._checks import check_whole_number
from mmnasfpn.search.controller import Controller
from mmnasfpn.search.ppo import advantages, moving_baseline, ppo_loss
from mmnasfpn.search.settings import SAMPLERS
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.tpe import NewTPESampler
from mmnasfpn.search.trials import distributions, draw_number, has_all

#: System attribute of a trial: how often the controller had learned when it drew the trial.
_POLICY = 'mmnasfpn:policy'
#: System attribute of a trial: the actions that were fixed when the controller drew the others, by name.
_FIXED = 'mmnasfpn:fixed'
#: Values of larger magnitude are not learned from: they would drown all others.
_LARGEST_VALUE = 1e18

#: Held by what learns, draws, or changes the number of threads, which is one for the whole process.
_LOCK = threading.RLock()


def make_sampler(name: str, space: SearchSpace, seed: int, num_trials: int,
                 controller: Mapping[str, Any] | None = None, owner: str = '') -> BaseSampler:
    """Make the sampler of a name.

    Args:
        name (str): One of :data:`SAMPLERS`.
        space (SearchSpace): What to draw from.
        seed (int): Seed of the search.
        num_trials (int): How many trials the record holds already. Optuna's own samplers do not keep
            their random state, so that one that is continued gets another seed than one that begins.
        controller (Mapping | None): Further arguments of :class:`ControllerSampler`.
        owner (str): Who draws, where several do from one record, so that they do not draw the same.

    Raises:
        ValueError: If there is no such sampler, or the controller's arguments do not fit.
    """
    if name == 'controller':
        try:
            return ControllerSampler(space, seed, owner=owner, **(controller or {}))
        except TypeError as error:
            raise ValueError(f'controller: {error}') from None
    if name not in SAMPLERS:
        raise ValueError(f"sampler is {name!r}, but must be one of {', '.join(SAMPLERS)}")
    seed = random.Random(f'{seed} {num_trials} {owner}').getrandbits(32)
    if name == 'tpe':
        return NewTPESampler(space, seed)
    return RandomSampler(seed) if name == 'random' else NSGAIISampler(seed=seed)


class ControllerSampler(BaseSampler):
    """Draw trials from the controller, which learns from completed ones by PPO (section 4.2).

    It learns each time that ``batch_size`` more trials are completed or pruned, in the order in which
    that happened. Its state follows from the seed and the record: a new sampler on an old study learns
    what the old one had learned, and draws what it would have drawn. So a sampler is for one study.

    It works with ``study.optimize`` and several threads, as Optuna's own samplers do:

    - It maximises or minimises as the study does.
    - A parameter that is not a decision of the space is drawn at random, by seed, trial and name.
    - Decisions that :class:`optuna.samplers.PartialFixedSampler` or ``study.enqueue_trial`` fixes stay
      as they are. The controller draws the others given these, and learns from the others only.
    - From a trial that was pruned it learns the last value that it reported, as its reward.
    - It does not learn from a trial that failed, or was pruned before it reported; whose value is
      infinite or beyond ±1e18; that lacks a decision, or has other choices for one; whose decisions were
      all fixed, or one of them by a sampler that does not say how.

    Its defaults were chosen by experiment: see ``docs/search_details.md``, and for pruned trials
    ``docs/search.md``.

    Args:
        space (SearchSpace): What to draw from.
        seed (int): Seed of the controller's weights and draws. Defaults to 0.
        batch_size (int): Completed trials that it learns from at a time. Defaults to 10.
        epochs (int): Gradient steps for each batch. Defaults to 4.
        lr (float): Learning rate of Adam. Defaults to 0.001.
        clip (float): How far the ratio of probabilities may be from 1. Defaults to 0.2.
        entropy_weight (float): Weight of the softmaxes' mean entropy. Defaults to 0.1.
        baseline_decay (float): How much of the moving baseline a batch leaves. Defaults to 0.9.
        max_grad_norm (float): Norm to which gradients are clipped. Defaults to 1.
        hidden_size (int): Size of the LSTM. Defaults to 100.
        max_lag (int): How often the controller may have learned between the draw of a trial and its
            completion; it does not learn from a trial that took longer. Defaults to 20.
        learn_pruned (bool): Learn from a trial that was pruned as if its last value were its reward.
            Defaults to True. If False, it is ignored.
        owner (str): Who draws, where several controllers of one seed draw for one record.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, batch_size: int = 10, epochs: int = 4,
                 lr: float = 0.001, clip: float = 0.2, entropy_weight: float = 0.1,
                 baseline_decay: float = 0.9, max_grad_norm: float = 1.0, hidden_size: int = 100,
                 max_lag: int = 20, learn_pruned: bool = True, owner: str = '') -> None:
        for name, number, least in (
                ('seed', seed, 0), ('batch_size', batch_size, 2), ('epochs', epochs, 1),
                ('hidden_size', hidden_size, 1), ('max_lag', max_lag, 0)):
            check_whole_number(name, number, least)
        for name, value in (('lr', lr), ('clip', clip), ('max_grad_norm', max_grad_norm),
                            ('entropy_weight', entropy_weight), ('baseline_decay', baseline_decay)):
            high = 1 if name == 'baseline_decay' else math.inf
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
                raise ValueError(f'{name} is {value!r}, but must be a number in 0..{high}')
        if not isinstance(learn_pruned, bool):
            raise ValueError(f'learn_pruned is {learn_pruned!r}, but must be True or False')
        self.space = space
        self.seed = seed
        self.batch_size = batch_size
        self.epochs = epochs
        self.clip = clip
        self.entropy_weight = entropy_weight
        self.baseline_decay = baseline_decay
        self.max_grad_norm = max_grad_norm
        self.max_lag = max_lag
        self.learn_pruned = learn_pruned
        self.owner = owner
        self.baseline: float | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.controller = Controller(space, hidden_size)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=lr)
        self._names = [decision.name for decision in space.decisions]
        self._distributions = distributions(space)
        # The weights after each time that it learned, the last ones.
        self._policies = {0: copy.deepcopy(self.controller.state_dict())}
        self._seen: set[int] = set()  # numbers of the trials that were learned from or skipped
        self._waiting: list[FrozenTrial] = []

    @property
    def num_updates(self) -> int:
        """How often the controller has learned."""
        return max(self._policies)

    def infer_relative_search_space(self, study: optuna.Study,
                                    trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all decisions: they are drawn together."""
        return dict(self._distributions)  # a copy: PartialFixedSampler takes some out

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Learn from what has completed, and draw the decisions of a trial.

        Raises:
            ValueError: If the study has several objectives.
        """
        _refuse_several_objectives(study)
        fixed = self._fixed(study, trial)
        params, system_attrs = self.draw(
            study.get_trials(deepcopy=False), trial.number, study.direction, fixed)
        # Without the attributes it learns nothing: it cannot score what it drew beside unknown actions.
        if all(name in search_space or name in fixed for name in self._names):
            for key, value in system_attrs.items():
                study._storage.set_trial_system_attr(trial._trial_id, key, value)
        return {name: params[name] if name in params
                else self.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()}

    def draw(self, trials: Sequence[FrozenTrial], number: int | None = None,
             direction: StudyDirection = StudyDirection.MAXIMIZE,
             fixed: Mapping[str, int] = MappingProxyType({})) -> tuple[dict[str, Any], dict[str, Any]]:
        """Learn from what has completed, and draw a trial, without writing it anywhere.

        Args:
            trials (Sequence[FrozenTrial]): All trials of the study.
            number (int | None): Number of the trial. Defaults to None: that of the next one.
            direction (StudyDirection): Whether the study maximises, the default, or minimises.
            fixed (Mapping[str, int]): Actions that are not drawn, by the names of their decisions.

        Returns:
            tuple[dict, dict]: Its parameters, and the system attributes that it must be given.
        """
        number = draw_number(len(trials) if number is None else number, trials, len(self._names))
        generator = torch.Generator().manual_seed(self._seed_of(number))
        given = {self._names.index(name): action for name, action in fixed.items()}
        with _one_thread():
            self.learn(trials, direction)
            with torch.no_grad():
                actions = self.controller(generator=generator, fixed=given).actions[0].tolist()
            system_attrs: dict[str, Any] = {_POLICY: self.num_updates}
        if fixed:
            system_attrs[_FIXED] = dict(fixed)
        return dict(zip(self._names, actions, strict=True)), system_attrs

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Draw a parameter that is not a decision of the space, at random.

        The draw follows from the seed, the trial's number and the parameter's name, so that there is no
        random state to restore, or for threads to share.

        Raises:
            ValueError: If the study has several objectives.
        """
        _refuse_several_objectives(study)
        sampler = RandomSampler(self._seed_of(f'{trial.number} {param_name}'))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def learn(self, trials: Sequence[FrozenTrial],
              direction: StudyDirection = StudyDirection.MAXIMIZE) -> None:
        """Learn from the trials that have completed since, if they make up a batch.

        Args:
            trials (Sequence[FrozenTrial]): All trials of the study.
            direction (StudyDirection): Whether the study maximises, the default, or minimises.
        """
        with _one_thread():
            states = [TrialState.COMPLETE, *([TrialState.PRUNED] if self.learn_pruned else [])]
            new = [trial for trial in trials if trial.state in states and trial.number not in self._seen]
            for trial in sorted(new, key=lambda trial: (trial.datetime_complete, trial.number)):
                self._seen.add(trial.number)
                if self._is_usable(trial):
                    self._waiting.append(trial)
                if len(self._waiting) == self.batch_size:
                    self._update(self._waiting, direction)
                    self._waiting = []

    def _is_usable(self, trial: FrozenTrial) -> bool:
        """Say whether a completed trial is one to learn from."""
        fixed = trial.system_attrs.get(_FIXED, {})
        return (trial.system_attrs.get(_POLICY, -1) in self._policies
                and len(trial.values or ()) == 1 and abs(trial.values[0]) <= _LARGEST_VALUE
                and has_all(trial, self._distributions)
                and any(decision.name not in fixed and decision.num_actions > 1
                        for decision in self.space.decisions)
                and all(trial.params[name] == action for name, action in fixed.items()))

    def _fixed(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, int]:
        """Return the actions of a trial that are known before it is drawn, by name."""
        known: dict[str, Any] = {}
        sampler = study.sampler
        while isinstance(sampler, PartialFixedSampler):
            known = {**sampler._fixed_params, **known}  # the outer one is asked first
            sampler = sampler._base_sampler
        # Enqueued, or drawn before the trial was interrupted. Optuna itself refuses wrong values.
        known = {**known, **trial.system_attrs.get('fixed_params', {}), **trial.params}
        return {decision.name: range(decision.num_actions).index(known[decision.name])
                for decision in self.space.decisions
                if known.get(decision.name) in range(decision.num_actions)}

    def _seed_of(self, what: int | str) -> int:
        # Mixed, since PyTorch and NumPy look at 32 bits of a seed only.
        return random.Random(f'{self.seed} {what} {self.owner}').getrandbits(32)

    def _update(self, batch: Sequence[FrozenTrial], direction: StudyDirection) -> None:
        actions = torch.tensor(  # (B, T)
            [[trial.params[name] for name in self._names] for trial in batch])
        is_drawn = torch.tensor(  # (B, T)
            [[name not in trial.system_attrs.get(_FIXED, {}) for name in self._names]
             for trial in batch])
        advantage = self._advantages(batch, direction)  # (B,)
        old_log_probs = self._old_log_probs(actions, [trial.system_attrs[_POLICY] for trial in batch])
        for _ in range(self.epochs):
            decided = self.controller(actions)
            # The ratio of an action that was not drawn stays at 1: it has no gradient.
            log_probs = torch.where(is_drawn, decided.log_probs, old_log_probs)  # (B, T)
            loss = ppo_loss(log_probs, old_log_probs, advantage, decided.entropies, self.clip,
                            self.entropy_weight)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.controller.parameters(), self.max_grad_norm)
            self.optimizer.step()
        number = self.num_updates + 1
        self._policies[number] = copy.deepcopy(self.controller.state_dict())
        self._policies.pop(number - self.max_lag - 1, None)

    def _advantages(self, batch: Sequence[FrozenTrial], direction: StudyDirection) -> Tensor:
        """Return the advantages of a batch, (B,), and move the baseline on."""
        rewards = torch.tensor([trial.value for trial in batch], dtype=torch.float64)
        if direction is StudyDirection.MINIMIZE:
            rewards = -rewards
        if self.baseline is None:
            self.baseline = moving_baseline(None, rewards, self.baseline_decay)
        result = advantages(rewards, self.baseline)
        self.baseline = moving_baseline(self.baseline, rewards, self.baseline_decay)
        return result

    def _old_log_probs(self, actions: Tensor, policies: Sequence[int]) -> Tensor:
        """Score each row under the policy that drew it, (B, T).

        Computed here, not when drawn, so that a controller that is rebuilt from the record gets the
        same to the last bit.
        """
        scores = torch.empty(actions.shape, dtype=torch.float64)
        for policy in set(policies):
            rows = torch.tensor([row == policy for row in policies])
            with torch.no_grad():
                scores[rows] = torch.func.functional_call(
                    self.controller, self._policies[policy], (actions[rows],)).log_probs
        return scores


def _refuse_several_objectives(study: optuna.Study) -> None:
    if len(study.directions) > 1:
        raise ValueError(f'the study {study.study_name!r} has {len(study.directions)} objectives, but '
                         "ControllerSampler learns from one: use Optuna's NSGAIISampler, which is "
                         "make_sampler('nsgaii', ...)")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: the controller is too small for several, and sums then never vary.

    Other threads wait meanwhile.
    """
    with _LOCK:
        number = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(number)
