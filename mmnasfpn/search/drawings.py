"""The figures of a search."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmnasfpn.genotypes import Genotype
from mmnasfpn.visualization.genotype_drawing import draw_genotype_graph

_GRAPHS = 6  # architectures that are drawn


@dataclass(frozen=True)
class Candidate:
    """A genotype that was evaluated."""

    reward: float
    genotype: Genotype
    trial: int  # that evaluated it
    times: int  # how many completed trials have its architecture
    start: str = ''  # its name, if it was given to start from


def draw_search(rewards: Sequence[float], num_unique: Sequence[int], out: Path,
                starts: Mapping[int, str]) -> None:
    """Draw how a search went, in the manner of Figure 5: each value is that of a completed trial.

    Args:
        rewards (Sequence[float]): Rewards in the order of completion.
        num_unique (Sequence[int]): How many different architectures there were after each.
        out (Path): The image.
        starts (Mapping[int, str]): Names of those that were given to start from, by their places,
            counted from 1.
    """
    figure = Figure(figsize=(12, 4.5), layout='constrained')
    left, right = figure.subplots(1, 2)
    _draw_rewards(left, rewards)
    _mark_starts(left, rewards, starts)
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


_NAMES = 8  # of genotypes to start from that are written beside them


def _mark_starts(axes: Axes, rewards: Sequence[float], starts: Mapping[int, str]) -> None:
    if not starts:
        return
    values = [rewards[number - 1] for number in starts]
    axes.plot(list(starts), values, 'D', color='#ef6c00', markerfacecolor='none', label='given')
    for (number, name), value in list(zip(starts.items(), values, strict=True))[:_NAMES]:
        axes.annotate(name, (number, value), xytext=(7, -3), textcoords='offset points', fontsize=8,
                      bbox=dict(color='white', alpha=0.7, pad=0.5))
    axes.legend(loc='upper left', ncols=4, fontsize='small')


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
        name = one.start or f'trial {one.trial}'
        draw_genotype_graph(axes, one.genotype, f'({letter}) reward {one.reward:.3f}, {name}')
    drawn = grid[:len(places)]
    width, height = (max(np.ptp(limits) for limits in sides) for sides in (
        [axes.get_xlim() for axes in drawn], [axes.get_ylim() for axes in drawn]))
    for axes in drawn:  # one scale for all: a unit is an inch
        left, top = axes.get_xlim()[0], axes.get_ylim()[1]
        axes.set(xlim=(left, left + width), ylim=(top - height, top))
    figure.set_size_inches(num_columns * width, num_rows * height)
    figure.savefig(out, dpi=100)


def draw_pareto_front(goals: Mapping[str, str], values: Sequence[Sequence[float]],
                      front: Sequence[Sequence[float]], out: Path) -> None:
    """Draw the first goal over each of the others, and the front.

    Args:
        goals (Mapping[str, str]): Names of two goals or more.
        values (Sequence[Sequence[float]]): The values of each completed trial.
        front (Sequence[Sequence[float]]): Those of the trials on the front.
        out (Path): The image.
    """
    first, *others = goals
    figure = Figure(figsize=(6 * len(others), 4.5), layout='constrained')
    for place, (name, axes) in enumerate(zip(others, figure.subplots(1, len(others), squeeze=False)[0],
                                             strict=True), 1):
        axes.plot([value[place] for value in values], [value[0] for value in values], '.',
                  color='#7ba3d0', alpha=0.5, label='trial')
        points = sorted((value[place], value[0]) for value in front)
        # With two goals, what is below and to the right of the line is worse than some point of it.
        axes.plot(*zip(*points, strict=True), 'o', color='#c62828', markersize=4, label='Pareto front',
                  drawstyle='steps-post', linestyle='-' if len(others) == 1 else '', linewidth=1.2)
        axes.set(xlabel=name, ylabel=first, title=f'{first} over {name}')
        axes.grid(alpha=0.3)
        axes.legend(loc='lower right')
    figure.savefig(out, dpi=100)
