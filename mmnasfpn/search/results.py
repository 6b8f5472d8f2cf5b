"""What a search found: numbers, genotypes and pictures."""
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn._files import write_text
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.record import Record, is_given_up, last_failures
from mmnasfpn.search.trials import ARCHITECTURE, RETRY_OF, REUSED_FROM, is_whole
from mmnasfpn.visualization.genotype_drawing import graph_figure

_TOP = 10  # genotypes in top.json
_GRAPHS = 6  # architectures that are drawn
_RECENT = 500  # completed trials among which repeats are counted


@dataclass(frozen=True)
class Found:
    """A genotype that was evaluated.

    Args:
        reward (float): Its reward.
        genotype (Genotype): What it is.
        trial (int): Number of the trial that evaluated it.
        times (int): In how many completed trials its architecture was drawn.
    """

    reward: float
    genotype: Genotype
    trial: int
    times: int


class Results:
    """What the record of a search holds at one moment.

    Args:
        record (Record): The record.
        max_retries (int): How often a failed trial is tried again before it is given up.
    """

    def __init__(self, record: Record, max_retries: int) -> None:
        self.record = record
        trials = record.trials
        #: Completed trials, in the order of their completion.
        self.completed = sorted((trial for trial in trials if trial.state is TrialState.COMPLETE),
                                key=lambda trial: (trial.datetime_complete, trial.number))
        #: Rewards in the same order.
        self.rewards: list[float] = [trial.values[0] for trial in self.completed]
        self.num_failed = sum(trial.state is TrialState.FAIL for trial in trials)
        self.num_given_up = sum(is_given_up(trial, max_retries) for trial in last_failures(trials))
        #: Draws: trials that do not try another one again.
        self.num_trials = sum(is_whole(trial, len(record.space.decisions))
                              and RETRY_OF not in trial.user_attrs for trial in trials)

    @cached_property
    def _times(self) -> Counter[str]:
        return Counter(trial.user_attrs[ARCHITECTURE] for trial in self.completed)

    @cached_property
    def num_unique(self) -> list[int]:
        """How many different architectures there were after each completed trial."""
        seen: set[str] = set()
        counts = []
        for trial in self.completed:
            seen.add(trial.user_attrs[ARCHITECTURE])
            counts.append(len(seen))
        return counts

    def top(self, number: int = _TOP) -> list[Found]:
        """Return the best genotypes, the best first; of equal ones the one that came first."""
        evaluated = [trial for trial in self.completed if REUSED_FROM not in trial.user_attrs]
        evaluated.sort(key=lambda trial: trial.values[0], reverse=True)
        return [self._found(trial) for trial in evaluated[:number]]

    def improvements(self) -> list[Found]:
        """Return the genotypes that were better than all before them, in order."""
        improvements: list[Found] = []
        for trial, reward in zip(self.completed, self.rewards, strict=True):
            if not improvements or reward > improvements[-1].reward:
                improvements.append(self._found(trial))
        return improvements

    def _found(self, trial: FrozenTrial) -> Found:
        return Found(trial.values[0], self.record.genotype(trial.params), trial.number,
                     self._times[trial.user_attrs[ARCHITECTURE]])

    def summary(self, sampler: str, seconds: float) -> dict[str, Any]:
        """Return the results as plain data: ``best`` and the mean are None while nothing is completed.

        ``trials`` counts each draw once, ``failed`` every failed attempt at one, ``given_up`` the draws
        that were tried in vain: in the end, ``trials`` are ``completed`` and ``given_up``.
        ``repeated_last_500`` is the share of the last ones whose architecture had been drawn before.
        """
        best = self.top(1)
        last = self.rewards[-200:]
        num_unique = self.num_unique
        recent = min(_RECENT, len(num_unique))
        new = num_unique[-1] - [0, *num_unique][-recent - 1] if recent else 0
        return dict(
            trials=self.num_trials, completed=len(self.completed), failed=self.num_failed,
            given_up=self.num_given_up, unique=num_unique[-1] if num_unique else 0,
            best=dict(reward=best[0].reward, genotype=best[0].genotype.to_dict()) if best else None,
            mean_reward_last_200=sum(last) / len(last) if last else None,
            repeated_last_500=1 - new / recent if recent else None,
            sampler=sampler, seconds=round(seconds, 1))

    def write(self, work_dir: str | os.PathLike[str]) -> None:
        """Write ``best.json``, a genotype, and ``top.json``, the ten best, if there are any yet."""
        top = self.top()
        if not top:
            return
        write_text(Path(work_dir) / 'best.json', top[0].genotype.to_json())
        write_text(Path(work_dir) / 'top.json', json.dumps(
            [dict(reward=found.reward, trial=found.trial, times=found.times,
                  genotype=found.genotype.to_dict()) for found in top], indent=1) + '\n')

    def draw(self, work_dir: str | os.PathLike[str]) -> None:
        """Draw ``search.png`` and ``architectures.png``, if there is something to draw yet."""
        if self.completed:
            draw_search(self.rewards, self.num_unique, Path(work_dir) / 'search.png')
            draw_architectures(self.improvements(), Path(work_dir) / 'architectures.png')


def draw_search(rewards: Sequence[float], num_unique: Sequence[int],
                out: str | os.PathLike[str]) -> None:
    """Draw how a search went, in the manner of Figure 5.

    Args:
        rewards (Sequence[float]): Reward of each completed trial, in order.
        num_unique (Sequence[int]): Number of different architectures after each.
        out (str | PathLike): Picture to write.
    """
    figure = Figure(figsize=(12, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    numbers = np.arange(1, len(rewards) + 1)
    left.plot(numbers, rewards, '.', color='#7ba3d0', markersize=5, alpha=0.5, label='trial')
    window = max(5, len(rewards) // 25)
    if len(rewards) > window:
        means = np.convolve(rewards, np.ones(window) / window, mode='valid')
        left.plot(numbers[window - 1:], means, color='#1f4e8c', label=f'mean of the last {window}')
    left.plot(numbers, np.maximum.accumulate(rewards), color='#c62828', linewidth=1.2,
              label='best so far')
    left.set(xlabel='completed trials', ylabel='reward', title='Rewards')
    left.set_ylim(top=left.get_ylim()[1] + 0.15 * np.ptp(left.get_ylim()))  # for the legend
    left.legend(loc='upper left', ncols=3)
    right.plot(numbers, num_unique, color='#1f4e8c', label='different architectures')
    right.plot(numbers, numbers, color='#7b8794', linestyle='--', linewidth=1,
               label='if all were different')
    right.set(xlabel='completed trials', ylabel='different architectures',
              title='Different architectures among all')
    right.legend(loc='upper left')
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, len(rewards) + 1)
    figure.savefig(out, dpi=100)


def draw_architectures(improvements: Sequence[Found], out: str | os.PathLike[str]) -> None:
    """Draw the graphs of genotypes of rising reward, in the manner of Figure 7.

    Args:
        improvements (Sequence[Found]): Genotypes of rising reward, of which up to six are drawn, the
            first and the last among them.
        out (str | PathLike): Picture to write.
    """
    places = np.unique(np.linspace(0, len(improvements) - 1, min(_GRAPHS, len(improvements))).round())
    shown = [improvements[int(place)] for place in places]
    graphs = []
    for letter, found in zip('abcdef', shown, strict=False):
        figure = graph_figure(found.genotype,
                              f'({letter}) reward {found.reward:.3f}, trial {found.trial}')
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(100)
        canvas.draw()
        graphs.append(np.asarray(canvas.buffer_rgba())[..., :3])
    height, width = (max(graph.shape[side] for graph in graphs) for side in (0, 1))
    columns = 1 if len(graphs) == 1 else 2
    rows = -(-len(graphs) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for place, graph in enumerate(graphs):
        row, column = divmod(place, columns)
        sheet[row * height:row * height + graph.shape[0],
              column * width:column * width + graph.shape[1]] = graph
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100))
    FigureCanvasAgg(figure)
    figure.figimage(sheet)
    figure.savefig(out, dpi=100)
