"""The results of a search: numbers, genotypes and figures."""
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn._files import write_json, write_text
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.record import Record, is_given_up, last_failures
from mmnasfpn.search.trials import CPU_SECONDS, RETRY_OF, REUSED_FROM, SECONDS, START, is_whole
from mmnasfpn.visualization.genotype_drawing import draw_genotype_graph

_TOP = 10  # genotypes in top.json
_GRAPHS = 6  # architectures that are drawn
_RECENT = 500  # completed trials among which repeats are counted


@dataclass(frozen=True)
class Candidate:
    """A genotype that was evaluated."""

    reward: float
    genotype: Genotype
    trial: int  # that evaluated it
    times: int  # how many completed trials have its architecture


class Results:
    """What the record of a search holds at one moment."""

    def __init__(self, record: Record, max_retries: int) -> None:
        self.record = record
        trials = record.trials
        #: Completed trials, in the order of their completion.
        self.completed = sorted((trial for trial in trials if trial.state is TrialState.COMPLETE),
                                key=lambda trial: (trial.datetime_complete, trial.number))
        #: Their rewards, and the hashes of their architectures.
        self.rewards: list[float] = [trial.values[0] for trial in self.completed]
        self.architectures = [record.architecture(trial) for trial in self.completed]
        #: Trials that were stopped early.
        self.pruned = [trial for trial in trials if trial.state is TrialState.PRUNED and trial.values]
        self.num_failed = sum(trial.state is TrialState.FAIL for trial in trials)
        self.num_given_up = sum(is_given_up(trial, max_retries) for trial in last_failures(trials))
        #: Draws: trials that do not try another one again.
        self.num_trials = sum(is_whole(trial, len(record.space.decisions))
                              and RETRY_OF not in trial.user_attrs for trial in trials)

    def num_unique(self) -> list[int]:
        """Return how many different architectures there were after each completed trial."""
        _, first = np.unique(self.architectures, return_index=True)
        return np.isin(np.arange(len(self.architectures)), first).cumsum().tolist()

    def top(self, number: int = _TOP) -> list[Candidate]:
        """Return the best genotypes, the best first; of equal ones the one that came first."""
        evaluated = [trial for trial in self.completed if REUSED_FROM not in trial.user_attrs]
        evaluated.sort(key=lambda trial: trial.values[0], reverse=True)
        return self._candidates(evaluated[:number])

    def improvements(self) -> list[Candidate]:
        """Return the genotypes that were better than all before them, in order."""
        best: list[FrozenTrial] = []
        for trial in self.completed:
            if not best or trial.values[0] > best[-1].values[0]:
                best.append(trial)
        return self._candidates(best)

    def _candidates(self, trials: Sequence[FrozenTrial]) -> list[Candidate]:
        times = Counter(self.architectures)
        return [Candidate(trial.values[0], self.record.genotype(trial.params), trial.number,
                          times[self.record.architecture(trial)]) for trial in trials]

    def summary(self, sampler: str, seconds: float) -> dict[str, Any]:
        """Return the results as plain data: ``best`` and the mean are None while nothing is completed.

        ``trials`` counts each draw once, ``failed`` every failed attempt at one, ``given_up`` the draws
        whose attempts all failed: in the end, ``trials`` are ``completed``, ``pruned`` and ``given_up``.
        ``starts`` are the genotypes that were given; ``preparation`` is what was done before the first
        trial. ``repeated_last_500`` is the share of the last ones whose architecture had been drawn
        before.
        """
        best = self.top(1)
        last = self.rewards[-200:]
        num_unique = [0, *self.num_unique()]
        recent = min(_RECENT, len(self.completed))
        new = num_unique[-1] - num_unique[-recent - 1]
        return dict(
            trials=self.num_trials, completed=len(self.completed), pruned=len(self.pruned),
            failed=self.num_failed, given_up=self.num_given_up, unique=num_unique[-1],
            best=dict(reward=best[0].reward, genotype=best[0].genotype.to_dict()) if best else None,
            mean_reward_last_200=sum(last) / len(last) if last else None,
            repeated_last_500=1 - new / recent if recent else None,
            starts=self.starts(), preparation=self.record.preparation,
            sampler=sampler, seconds=round(seconds, 1))

    def starts(self) -> dict[str, dict[str, Any]]:
        """Return what became of each genotype that was given, by its name: reward and cost."""
        by_number = {trial.number: trial for trial in self.completed}
        found = {}
        for trial in self.completed:
            if START in trial.user_attrs:
                evaluated = by_number[trial.user_attrs.get(REUSED_FROM, trial.number)]
                found[trial.user_attrs[START]] = dict(
                    reward=trial.values[0], trial=trial.number,
                    **{key: evaluated.user_attrs.get(key) for key in (SECONDS, CPU_SECONDS)})
        return found

    def write(self, work_dir: Path) -> None:
        """Write ``best.json``, a genotype, and ``top.json``, the ten best, if there are any yet."""
        top = self.top()
        if not top:
            return
        write_text(work_dir / 'best.json', top[0].genotype.to_json())
        write_json(work_dir / 'top.json', [
            dict(reward=one.reward, trial=one.trial, times=one.times, genotype=one.genotype.to_dict())
            for one in top])

    def draw(self, work_dir: Path) -> None:
        """Draw ``search.png`` and ``architectures.png``, if there is something to draw yet."""
        if self.completed:
            draw_search(self.rewards, self.num_unique(), work_dir / 'search.png')
            draw_architectures(self.improvements(), work_dir / 'architectures.png')


def draw_search(rewards: Sequence[float], num_unique: Sequence[int], out: Path) -> None:
    """Draw how a search went, in the manner of Figure 5: each value is that of a completed trial."""
    figure = Figure(figsize=(12, 4.5), layout='constrained')
    left, right = figure.subplots(1, 2)
    _draw_rewards(left, rewards)
    numbers = np.arange(1, len(rewards) + 1)
    right.plot(numbers, num_unique, color='#1f4e8c', label='different architectures')
    right.plot(numbers, numbers, color='#7b8794', linestyle='--', linewidth=1,
               label='if all were different')
    right.set(xlabel='completed trials', ylabel='different architectures', ylim=(0, None),
              title='Different architectures among all')
    right.legend(loc='upper left')
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, len(rewards) + 1)
    figure.savefig(out, dpi=100)


def _draw_rewards(axes: Axes, rewards: Sequence[float]) -> None:
    numbers = np.arange(1, len(rewards) + 1)
    axes.plot(numbers, rewards, '.', color='#7ba3d0', markersize=5, alpha=0.5, label='trial')
    window = max(5, len(rewards) // 25)
    if len(rewards) > window:
        means = np.convolve(rewards, np.ones(window) / window, mode='valid')
        axes.plot(numbers[window - 1:], means, color='#1f4e8c', label=f'mean of the last {window}')
    axes.plot(numbers, np.maximum.accumulate(rewards), color='#c62828', linewidth=1.2,
              label='best so far')
    axes.set(xlabel='completed trials', ylabel='reward', title='Rewards')
    axes.set_ylim(top=axes.get_ylim()[1] + 0.15 * np.ptp(axes.get_ylim()))  # for the legend
    axes.legend(loc='upper left', ncols=3)


def draw_architectures(improvements: Sequence[Candidate], out: Path) -> None:
    """Draw the graphs of genotypes of rising reward, in the manner of Figure 7.

    Up to six are drawn, the first and the last among them.
    """
    places = np.unique(np.linspace(0, len(improvements) - 1, min(_GRAPHS, len(improvements))).round())
    num_columns = min(2, len(places))
    num_rows = -(-len(places) // num_columns)
    figure = Figure()
    fill = dict(left=0, right=1, bottom=0, top=1, wspace=0, hspace=0)
    grid = figure.subplots(num_rows, num_columns, squeeze=False, gridspec_kw=fill).ravel()
    for axes in grid:
        axes.axis('off')
    for letter, place, axes in zip('abcdef', places, grid, strict=False):
        one = improvements[int(place)]
        draw_genotype_graph(axes, one.genotype, f'({letter}) reward {one.reward:.3f}, trial {one.trial}')
    drawn = grid[:len(places)]
    width, height = (max(np.ptp(limits) for limits in sides) for sides in (
        [axes.get_xlim() for axes in drawn], [axes.get_ylim() for axes in drawn]))
    for axes in drawn:  # one scale for all: a unit is an inch
        left, top = axes.get_xlim()[0], axes.get_ylim()[1]
        axes.set(xlim=(left, left + width), ylim=(top - height, top))
    figure.set_size_inches(num_columns * width, num_rows * height)
    figure.savefig(out, dpi=100)
