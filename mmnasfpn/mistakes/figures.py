"""Figures of a look at a detector's mistakes."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from mmnasfpn.mistakes.coco import BoxAP
from mmnasfpn.mistakes.confusion import shares_of_rows
from mmnasfpn.mistakes.paint import COLOURS
from mmnasfpn.mistakes.tide import Costs

_MAX_LEGEND = 10  # classes with colours of their own
_MAX_NUMBERS = 20  # classes in a matrix whose cells have numbers
_MAX_NAME = 18


def draw_costs(costs: Costs, out: Path) -> None:
    """Draw how much each kind of error costs, the most costly on top."""
    kinds = sorted(costs.of_kind, key=lambda kind: costs.of_kind[kind])
    figure = Figure(figsize=(7, 3.2), layout='constrained')
    axes = figure.subplots()
    bars = axes.barh(kinds, [costs.of_kind[kind] for kind in kinds],
                     color=[COLOURS[kind] for kind in kinds])
    axes.bar_label(bars, fmt='%.3f', padding=4)
    axes.set_xlim(0, max(1.15 * max(costs.of_kind.values()), 0.01))
    axes.set_xlabel(f'what putting it right would add to AP50, which is {costs.ap:.3f}')
    axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(out, dpi=110)


def draw_curves(ap: BoxAP, names: dict[int, str], out: Path) -> None:
    """Draw precision over recall of each class, and their mean, at IoUs of 0.5, 0.75 and in the mean.

    Of many classes those of the lowest AP have a colour and a place in the legend.
    """
    order = sorted(ap.curves, key=lambda key: ap.of_class[key]['AP'] or 0.)
    named = order if len(order) <= _MAX_LEGEND else order[:_MAX_LEGEND // 2]
    colours = {category: f'C{place}' for place, category in enumerate(named)}
    figure = Figure(figsize=(12, 4.4), layout='constrained')
    titles = {'0.5': 'IoU 0.5', '0.75': 'IoU 0.75', 'mean': 'mean over IoU 0.5 to 0.95'}
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for category in reversed(order):
            is_named = category in colours
            axes.plot(ap.recalls, ap.curves[category][key], linewidth=1.6 if is_named else 0.6,
                      color=colours.get(category, '#b8c0c8'), zorder=3 if is_named else 2,
                      label=_escape(names[category]) if is_named else None)
        if len(order) > 1:
            mean = np.mean([ap.curves[category][key] for category in order], axis=0)
            axes.plot(ap.recalls, mean, color='black', linewidth=2.4, linestyle='--', zorder=4,
                      label='mean of all' if len(order) > _MAX_LEGEND else 'mean')
        axes.set(title=title, xlabel='recall', xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel('precision')
    handles, labels = panels[0].get_legend_handles_labels()
    title = f'the {len(named)} classes of the lowest AP' if len(named) < len(order) else ''
    figure.legend(handles[::-1], labels[::-1], loc='outside lower center', ncols=6, frameon=False,
                  title=title or None)
    figure.savefig(out, dpi=110)


def draw_confusions(counts: np.ndarray, classes: Sequence[str], out: Path) -> None:
    """Draw a confusion matrix in percent of its rows; with numbers unless there are many classes."""
    shares = shares_of_rows(counts)
    labels = [_escape(name) for name in (*classes, 'background')]
    side = float(np.clip(2.5 + (0.62 if len(classes) <= _MAX_NUMBERS else 0.17) * len(labels), 4.5, 17))
    figure = Figure(figsize=(side + 1, side), layout='constrained')
    axes = figure.subplots()
    palette = colormaps['Blues'].with_extremes(bad='#eeeeee')
    are_few = len(classes) <= _MAX_NUMBERS
    # Of many classes, where cells have no numbers, a few percent must be seen by their colour.
    image = axes.imshow(100 * shares, cmap=palette, norm=PowerNorm(1 if are_few else 0.5, 0, 100))
    figure.colorbar(image, ax=axes, label='percent of the row', shrink=0.6, fraction=0.04, pad=0.02)
    size = 9 if are_few else 6
    axes.set_xticks(range(len(labels)), labels, rotation=90 if len(classes) > 5 else 0, fontsize=size)
    axes.set_yticks(range(len(labels)), [*labels[:-1], 'background'], fontsize=size)
    axes.set(xlabel='detected as (background: not detected)', ylabel='is (background: nothing there)')
    if are_few:
        _write_numbers(axes, shares)
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which='minor', color='white', linewidth=1 if are_few else 0.3)
    axes.tick_params(which='both', length=0)
    figure.savefig(out, dpi=110)


def _write_numbers(axes: Axes, shares: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if share > 0:
            axes.text(column, row, f'{100 * share:.0f}' if share >= 0.005 else '<1', fontsize=9,
                      ha='center', va='center', color='white' if share > 0.55 else 'black')


def _escape(name: str) -> str:
    """Return a name as Matplotlib shows it: short, and a dollar is no formula."""
    short = name if len(name) <= _MAX_NAME else f'{name[:_MAX_NAME - 1]}…'
    return short.replace('$', r'\$')
