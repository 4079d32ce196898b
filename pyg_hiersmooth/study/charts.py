r"""Results as charts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.noise import NOISE_KINDS, Axis
from pyg_hiersmooth.plotting import COLORS, MARKERS, legend_below, new_figure
from pyg_hiersmooth.study.budgets import kept_budgets
from pyg_hiersmooth.study.methods import Method
from pyg_hiersmooth.study.pareto import ADVERSARIES, outcomes, pareto_front
from pyg_hiersmooth.study.results import CHANGED_IN_ALL, Group, Result, Tally, tallies

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGED = (1, 2, 3)
MOST_AT_WILL = 22
r"""Most changed nodes that are drawn where a node is changed at will."""

MARK_EVERY = 5

MAX_LOSS = 0.12
r"""Clean accuracy that a setting may lose to the best one and still be drawn."""


def draw_certified_accuracy(group: Group, kind: Kind, part: str = "test") -> Figure:
    r"""Certified accuracy over the strength of the adversary, a column of panels for each
    :math:`r`: means over seeds, with a band of one standard deviation.

    Args:
        group (Group): What to compare.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)

    Raises:
        ImportError: If matplotlib is not installed.
    """
    smoothed = {
        method: tallies(results, part, kind)
        for method, results in group.seeds.items()
        if method.noise != "none"
    }
    noise = NOISE_KINDS[group.noise]
    figure = new_figure(9.6, 0.8 + 2.5 * len(noise.axes))
    panels = figure.subplots(len(noise.axes), len(CHANGED), sharey=True, squeeze=False)
    for row, axis in zip(panels, noise.axes, strict=True):
        for r, panel in zip(CHANGED, row, strict=True):
            _draw_curves(panel, smoothed, r, noise.name, axis)
            panel.set_xlabel(axis.label if axis.whole else f"{axis.label} / {noise.unit}")
        row[0].set_ylabel("certified accuracy")
    for r, panel in zip(CHANGED, panels[0], strict=True):
        panel.set_title(f"r = {r}", fontsize="medium")
    _draw_legend(figure, panels[0, 0])
    figure.suptitle(f"{group.title}, {kind}")
    return figure


def draw_changed_at_will(group: Group, part: str = "test") -> Figure:
    r"""Certified accuracy over the number of nodes that change at will, means over seeds: node by
    node in steps, and under one attack on all of them in marks.

    Args:
        group (Group): What to compare, of which those methods are drawn that have both.
        part (str): The part of the split. (default: :obj:`"test"`)

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure = new_figure(6.0, 3.8)
    panel = figure.subplots()
    changed = np.arange(MOST_AT_WILL + 1)
    methods = at_will(group, part)
    labels = _labels(methods)
    for color, marker, (method, results) in zip(COLORS, MARKERS, methods.items(), strict=False):
        seeds = tallies(results, part, "multiclass")
        each = [
            [tally.clean_accuracy if r == 0 else tally.certified_accuracy(r) for tally in seeds]
            for r in changed.tolist()
        ]
        together = np.array([np.array(tally.collective) / tally.num_nodes for tally in seeds])
        panel.step(
            changed,
            np.mean(each, axis=1),
            where="pre",
            color=color,
            label=labels[method],
        )
        panel.plot(
            CHANGED_IN_ALL,
            together.mean(axis=0),
            marker,
            color=color,
            linestyle="none",
        )
    panel.set_xlabel("changed nodes r")
    panel.set_ylabel("certified accuracy")
    panel.set_xlim(0.0, changed[-1])
    panel.locator_params(axis="x", integer=True)
    panel.set_ylim(0.0, 1.0)
    panel.grid(color="0.9", linewidth=0.8)
    panel.set_title("steps: node by node; marks: one attack on all", fontsize="small")
    _draw_legend(figure, panel)
    figure.suptitle(group.title)
    return figure


def at_will(group: Group, part: str = "test") -> dict[Method, list[Result]]:
    r"""The results of a group that say what one attack on all nodes leaves."""
    return {
        method: results
        for method, results in group.seeds.items()
        if all(each.parts[part]["multiclass"].collective is not None for each in results)
    }


def draw_pareto_fronts(results: Iterable[Result], kind: Kind, part: str = "test") -> Figure:
    r"""Every setting as a point of clean and certified accuracy, a panel for each adversary, with
    the front of each method: the settings that no other one of it beats in both.

    Args:
        results (list of Result): Results of one dataset, model and seed.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)

    Raises:
        ImportError: If matplotlib is not installed.
    """
    results = list(results)
    best = max(result.parts[part][kind].clean_accuracy for result in results)
    figure = new_figure(9.6, 5.8)
    panels = figure.subplots(2, len(ADVERSARIES) // 2, sharex=True, sharey=True)
    for adversary, panel in zip(ADVERSARIES, panels.flat, strict=True):
        for color, marker, (name, points) in zip(
            COLORS, MARKERS, outcomes(results, adversary, kind, part).items(), strict=False
        ):
            panel.plot(*points.T, marker, color=color, markersize=2.5, alpha=0.5)
            look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4}
            # What is certified at a clean accuracy or more: that of the next setting to the right.
            panel.step(*pareto_front(points).T, where="post", label=name, **look)
        panel.set_title(str(adversary), fontsize="medium")
        panel.set_xlim(best - MAX_LOSS, best + 0.01)
        panel.grid(color="0.9", linewidth=0.8)
    for panel in panels[-1]:
        panel.set_xlabel("clean accuracy")
    for panel in panels[:, 0]:
        panel.set_ylabel("certified accuracy")
    _draw_legend(figure, panels[0, 0])
    figure.suptitle(f"{results[0].run.title}, {kind}")
    return figure


def _draw_curves(
    panel: Axes, smoothed: dict[Method, list[Tally]], r: int, noise: str, axis: Axis
) -> None:
    x, budgets = np.array(axis.kept), kept_budgets(noise, axis)
    end = 0.0
    labels = _labels(smoothed)
    for color, marker, (method, seeds) in zip(COLORS, MARKERS, smoothed.items(), strict=False):
        curves = np.array(
            [[budget.certified_accuracy(tally, r) for budget in budgets] for tally in seeds]
        )
        mean, std = curves.mean(axis=0), curves.std(axis=0)
        look: dict[str, Any] = {"marker": marker, "markersize": 3.5, "markevery": MARK_EVERY}
        panel.step(x, mean, where="post", color=color, label=labels[method], **look)
        panel.fill_between(
            x, mean - std, mean + std, color=color, alpha=0.2, linewidth=0, step="post"
        )
        if method.noise == noise:  # else it is changed at will, and its curve never ends
            end = max(end, x[min(int((mean > 0).sum()), len(x) - 1)])
    panel.set_xlim(0.0, end or x[-1])
    panel.set_ylim(0.0, 1.0)
    panel.grid(color="0.9", linewidth=0.8)


def _labels(methods: Iterable[Method]) -> dict[Method, str]:
    r"""A name for each method, with its settings where others share it."""
    methods = list(methods)
    names = [method.name for method in methods]
    return {
        method: method.name if names.count(method.name) == 1 else method.title for method in methods
    }


def _draw_legend(figure: Figure, panel: Axes) -> None:
    legend_below(figure, panel.get_legend_handles_labels()[0])
