r"""Results as charts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pyg_hiersmooth.extras import require
from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.study.methods import Method
from pyg_hiersmooth.study.pareto import ADVERSARIES, outcomes, pareto_front
from pyg_hiersmooth.study.results import (
    EPS,
    MAX_ADDITIONS,
    MAX_DELETIONS,
    Group,
    Result,
    Tally,
    tallies,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGED = (1, 2, 3)

MAX_LOSS = 0.12
r"""Clean accuracy that a setting may lose to the best one and still be drawn."""


class Strength(NamedTuple):
    r"""A row of panels: what grows from left to right, and what the adversary may do there."""

    label: str
    values: tuple[float, ...]
    budgets: tuple[tuple[int, ...], ...]


STRENGTHS = {
    "flips": (
        Strength(
            "deletions $r_d$ (no additions)",
            tuple(range(1, MAX_DELETIONS + 1)),
            tuple((0, deletions) for deletions in range(1, MAX_DELETIONS + 1)),
        ),
        Strength(
            "additions $r_a$ (no deletions)",
            tuple(range(1, MAX_ADDITIONS + 1)),
            tuple((additions, 0) for additions in range(1, MAX_ADDITIONS + 1)),
        ),
    ),
    "gaussian": (
        Strength(
            r"$\ell_2$ distance / std", EPS[1:], tuple((step,) for step in range(1, len(EPS)))
        ),
    ),
}


def draw_certified_accuracy(group: Group, kind: str, part: str = "test") -> Figure:
    r"""Certified accuracy over the strength of the adversary, a column of panels for each
    :math:`r`: means over seeds, with a band of one standard deviation.

    Args:
        group (Group): What to compare.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)

    Raises:
        ImportError: If matplotlib is not installed.
    """
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    smoothed = {
        method: tallies(results, part, kind)
        for method, results in group.seeds.items()
        if method.noise is not None
    }
    strengths = STRENGTHS[group.noise]
    figure = Figure(figsize=(9.6, 0.8 + 2.5 * len(strengths)), layout="constrained")
    panels = figure.subplots(len(strengths), len(CHANGED), sharey=True, squeeze=False)
    for row, strength in zip(panels, strengths, strict=True):
        for r, panel in zip(CHANGED, row, strict=True):
            _draw_curves(panel, smoothed, r, strength)
            panel.set_xlabel(strength.label)
        row[0].set_ylabel("certified accuracy")
    for r, panel in zip(CHANGED, panels[0], strict=True):
        panel.set_title(f"r = {r}", fontsize="medium")
    _draw_legend(figure, panels[0, 0])
    figure.suptitle(f"{group.title}, {kind}")
    return figure


def draw_pareto_fronts(results: Iterable[Result], kind: str, part: str = "test") -> Figure:
    r"""Every setting as a point of clean and certified accuracy, a panel for each adversary, with
    the front of each method: the settings that no other one of it beats in both.

    Args:
        results (list of Result): Results of one dataset, model and seed.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)

    Raises:
        ImportError: If matplotlib is not installed.
    """
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    results = list(results)
    best = max(result.parts[part][kind].clean_accuracy for result in results)
    figure = Figure(figsize=(9.6, 5.8), layout="constrained")
    panels = figure.subplots(2, len(ADVERSARIES) // 2, sharex=True, sharey=True)
    for adversary, panel in zip(ADVERSARIES, panels.flat, strict=True):
        for color, (name, points) in zip(
            COLORS, outcomes(results, adversary, kind, part).items(), strict=False
        ):
            panel.plot(*points.T, "o", color=color, markersize=2.5, alpha=0.5)
            panel.plot(*pareto_front(points).T, "o-", color=color, markersize=4, label=name)
        panel.set_title(str(adversary), fontsize="medium")
        panel.set_xlim(best - MAX_LOSS, best + 0.01)
        panel.grid(color="0.9", linewidth=0.8)
    for panel in panels[-1]:
        panel.set_xlabel("clean accuracy")
    for panel in panels[:, 0]:
        panel.set_ylabel("certified accuracy")
    _draw_legend(figure, panels[0, 0])
    run = results[0].run
    figure.suptitle(f"{run.dataset}, {run.model}, {kind}")
    return figure


def _draw_curves(
    panel: Axes, smoothed: dict[Method, list[Tally]], r: int, strength: Strength
) -> None:
    x = np.array([0.0, *strength.values])
    end = 0.0
    for color, (method, seeds) in zip(COLORS, smoothed.items(), strict=False):
        curves = np.array(
            [
                [tally.clean_accuracy]
                + [tally.certified_accuracy(r, *budget) for budget in strength.budgets]
                for tally in seeds
            ]
        )
        mean, std = curves.mean(axis=0), curves.std(axis=0)
        panel.plot(x, mean, color=color, label=method.name)
        panel.fill_between(x, mean - std, mean + std, color=color, alpha=0.2, linewidth=0)
        if method.noise != "ablation":  # whose curves never end
            end = max(end, x[min(int((mean > 0).sum()), len(x) - 1)])
    panel.set_xlim(0.0, end or x[-1])
    panel.set_ylim(0.0, 1.0)
    panel.grid(color="0.9", linewidth=0.8)


def _draw_legend(figure: Figure, panel: Axes) -> None:
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3)
