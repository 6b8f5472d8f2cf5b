"""Optuna samplers of genotypes: the controller, beside Optuna's own."""
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from mmnasfpn._checks import check_whole_number
from mmnasfpn.search.controller import Controller
from mmnasfpn.search.ppo import advantages, moving_baseline, ppo_loss
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.trials import draw_number

#: Names for ``--sampler``.
SAMPLERS = ('controller', 'random', 'tpe', 'nsgaii')

#: System attribute of a trial: how often the controller had learned when it drew the trial.
_POLICY = 'mmnasfpn:policy'


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return what Optuna draws from: one categorical distribution for each decision of a space."""
    return {decision.name: CategoricalDistribution(range(decision.num_actions))
            for decision in space.decisions}


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
    if name == 'random':
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed) if name == 'tpe' else NSGAIISampler(seed=seed)


class ControllerSampler(BaseSampler):
    """Draw trials from the controller, which learns from completed ones by PPO (section 4.2).

    It learns each time that ``batch_size`` more trials are completed, in the order in which they
    completed. All that it is follows from the seed and the record: a new sampler on an old study learns
    what it had learned, and draws what it would have drawn.

    Its arguments were chosen by experiment: see ``docs/search.md``.

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
            completion; it learns nothing from a trial that took longer. Defaults to 20.
        owner (str): Who draws, where several controllers of one seed draw for one record. Defaults to
            ``''``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, batch_size: int = 10, epochs: int = 4,
                 lr: float = 0.001, clip: float = 0.2, entropy_weight: float = 0.1,
                 baseline_decay: float = 0.9, max_grad_norm: float = 1.0, hidden_size: int = 100,
                 max_lag: int = 20, owner: str = '') -> None:
        for name, number, least in (
                ('seed', seed, 0), ('batch_size', batch_size, 2), ('epochs', epochs, 1),
                ('hidden_size', hidden_size, 1), ('max_lag', max_lag, 0)):
            check_whole_number(name, number, least)
        for name, value, low, high in (
                ('lr', lr, 0, math.inf), ('clip', clip, 0, math.inf),
                ('max_grad_norm', max_grad_norm, 0, math.inf),
                ('entropy_weight', entropy_weight, 0, math.inf),
                ('baseline_decay', baseline_decay, 0, 1)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f'{name} is {value!r}, but must be a number in {low}..{high}')
        self.space = space
        self.seed = seed
        self.batch_size = batch_size
        self.epochs = epochs
        self.clip = clip
        self.entropy_weight = entropy_weight
        self.baseline_decay = baseline_decay
        self.max_grad_norm = max_grad_norm
        self.max_lag = max_lag
        self.owner = owner
        self.baseline: float | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.controller = Controller(space, hidden_size)
        self.optimizer = torch.optim.Adam(self.controller.parameters(), lr=lr)
        self._names = [decision.name for decision in space.decisions]
        self._distributions = distributions(space)
        # The weights after each time that it learned, the last ones.
        self._policies = {0: self._weights()}
        self._learned: set[int] = set()  # numbers of the trials that were learned from or passed over
        self._waiting: list[FrozenTrial] = []

    @property
    def num_updates(self) -> int:
        """How often the controller has learned."""
        return max(self._policies)

    def infer_relative_search_space(self, study: optuna.Study,
                                    trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all decisions: they are drawn together."""
        return self._distributions

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Learn from what has completed, and draw the decisions of a trial."""
        params, system_attrs = self.draw(study.get_trials(deepcopy=False), trial.number)
        for key, value in system_attrs.items():
            study._storage.set_trial_system_attr(trial._trial_id, key, value)
        return params

    def draw(self, trials: Sequence[FrozenTrial],
             number: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Learn from what has completed, and draw a trial, without writing it anywhere.

        Args:
            trials (Sequence[FrozenTrial]): All trials of the study.
            number (int | None): Number of the trial. Defaults to None: that of the next one.

        Returns:
            tuple[dict, dict]: Its parameters, and the system attributes that it must be given.
        """
        self.learn(trials)
        number = draw_number(len(trials) if number is None else number, trials, len(self._names))
        # Mixed, since PyTorch looks at 32 bits of a seed only.
        seed = random.Random(f'{self.seed} {number} {self.owner}').getrandbits(32)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad(), _one_thread():
            actions = self.controller(generator=generator).actions[0].tolist()
        return dict(zip(self._names, actions, strict=True)), {_POLICY: self.num_updates}

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        """Refuse: the controller draws the decisions of its space only.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f'{param_name} is not a decision of {self.space}')

    def learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Learn from the trials that have completed since, if they make up a batch.

        Args:
            trials (Sequence[FrozenTrial]): All trials of the study.
        """
        new = [trial for trial in trials
               if trial.state is TrialState.COMPLETE and trial.number not in self._learned]
        new.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        for trial in new:
            self._learned.add(trial.number)
            if trial.system_attrs.get(_POLICY, -1) in self._policies:
                self._waiting.append(trial)
                if len(self._waiting) == self.batch_size:
                    with _one_thread():
                        self._update(self._waiting)
                    self._waiting = []

    def _update(self, batch: Sequence[FrozenTrial]) -> None:
        rewards = torch.tensor([trial.value for trial in batch])  # (B,)
        actions = torch.tensor(  # (B, T)
            [[trial.params[name] for name in self._names] for trial in batch])
        policies = [trial.system_attrs[_POLICY] for trial in batch]
        if self.baseline is None:
            self.baseline = moving_baseline(None, rewards, self.baseline_decay)
        advantage = advantages(rewards, self.baseline)
        self.baseline = moving_baseline(self.baseline, rewards, self.baseline_decay)
        old_log_probs = self._old_log_probs(actions, policies)
        for _ in range(self.epochs):
            decided = self.controller(actions)
            loss = ppo_loss(decided.log_probs, old_log_probs, advantage, decided.entropies, self.clip,
                            self.entropy_weight)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.controller.parameters(), self.max_grad_norm)
            self.optimizer.step()
        number = self.num_updates + 1
        self._policies[number] = self._weights()
        self._policies.pop(number - self.max_lag - 1, None)

    def _old_log_probs(self, actions: Tensor, policies: Sequence[int]) -> Tensor:
        """Score each row under the policy that drew it, (B, T).

        Computed here, not when drawn, so that a controller that is rebuilt from the record gets the
        same to the last bit.
        """
        scores = torch.empty(actions.shape)
        for policy in set(policies):
            rows = torch.tensor([row == policy for row in policies])
            with torch.no_grad():
                scores[rows] = torch.func.functional_call(
                    self.controller, self._policies[policy], (actions[rows],)).log_probs
        return scores

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.controller.state_dict().items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: the controller is too small for several, and sums then never vary."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(number)
