r"""Certified accuracy over the budget, and over the nodes of one attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from bokeh.plotting import figure

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.chart import Panel
from pyg_hiersmooth.noise import NOISE_KINDS
from pyg_hiersmooth.report.legend import Entry, color_of, legend
from pyg_hiersmooth.report.look import TEXT, accuracy_figure
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun

CLEAN = "without an attack"
OVER_NODES = "Changed nodes $r$"
OF_FEATURES = {axis.label for kind in NOISE_KINDS.values() for axis in kind.axes}
r"""The budgets of changed features."""


def curves(run: ReportedRun) -> tuple[list[Part], str]:
    r"""A figure for each budget of the noise, and the legend of all of them."""
    if run.certificate is None:
        return [], ""
    chart = run.certificate.chart(run.y)
    figures = [_of_panel(run, i, panel) for i, panel in enumerate(chart.panels)]
    entries = [
        Entry(
            _of_r(curve.r), color_of(j), width=_width(len(chart.panels[0].curves), j), curves=each
        )
        for j, curve in enumerate(chart.panels[0].curves)
        if (each := tuple(_name(run, i, j) for i in range(len(figures))))
    ]
    entries.append(Entry(CLEAN, TEXT, width=1.0))
    parts = [part for plot in figures for part in ("<figure>", plot, "</figure>")]
    return parts, legend(entries)


def collective_curves(run: ReportedRun) -> tuple[list[Part], str]:
    r"""What one attack on all objects leaves, and one on each, over the number of changed nodes:
    between two numbers stands what is proved for the larger.
    """
    together = run.summary.collective
    if together is None or run.certificate is None:
        return [], ""
    plot = accuracy_figure("changed nodes r", True, "changed nodes r")
    _draw_clean(plot, run.summary.accuracy)
    entries = []
    for i, (changes, (shares, _)) in enumerate(together.by_changes.items()):
        changed, color = [0, *together.changed], color_of(i)
        budget = next(cell.budget for cell in together.certified if cell.changes == changes)
        each = list(range(changed[-1] + 1))
        alone = [run.certificate.certified_accuracy(run.y, r, **budget) for r in each]
        names = (f"{run.key}-all-{i}", f"{run.key}-each-{i}")
        draw_before(plot, each, alone, color, "dashed", names[1])
        draw_before(plot, changed, [run.summary.accuracy, *shares], color, "solid", names[0])
        entries.append(Entry(any_change(changes), color, curves=names))
    entries += [
        Entry(f"one attack on all {run.noun}", TEXT),
        Entry("one attack on each", TEXT, "dashed"),
        Entry(CLEAN, TEXT, width=1.0),
    ]
    return ["<figure>", plot, "</figure>"], legend(entries)


def compared(runs: Sequence[ReportedRun]) -> list[Part]:
    r"""The runs over each other at :math:`r = 1`, a figure for each budget that one of them has,
    and one for one attack on all objects.

    A noise without a budget certifies against any change of a node, and so against each budget.
    """
    panels = {run.key: _panels(run, run.certificate) for run in runs if run.certificate is not None}
    labels = dict.fromkeys(label for own in panels.values() for label in own)
    figures = [_compared_over(k, label, runs, panels) for k, label in enumerate(labels)]
    figures.append(_compared_together(runs))
    parts = [
        part
        for told, plot in figures
        if plot.renderers
        for part in (f"<figure><figcaption><b>{told}</b></figcaption>", plot, "</figure>")
    ]
    entries = [
        Entry(_compared_name(run), color_of(i), curves=_compared_curves(run, len(labels)))
        for i, run in enumerate(runs)
        if run.certificate is not None
    ]
    return ["<div class=charts>", *parts, "</div>", legend(entries)] if parts else []


def _panels(run: ReportedRun, certificate: Certificate) -> dict[str, Panel]:
    return {panel.label: panel for panel in certificate.chart(run.y).panels}


def _compared_over(
    k: int, label: str, runs: Sequence[ReportedRun], panels: Mapping[str, Mapping[str, Panel]]
) -> tuple[str, figure]:
    shown = [own[label] for own in panels.values() if label in own]
    whole, over_r = shown[0].whole, shown[0].curves[0].r is None
    end = max(panel.curves[0].x[-1] for panel in shown)
    plot = accuracy_figure(in_words(label), whole, "budget")
    of_features = label in OF_FEATURES and not over_r
    for i, run in enumerate(runs):
        own = panels.get(run.key, {})
        if label in own:
            x, y = own[label].curves[0].x, own[label].curves[0].accuracy
        elif run.certificate is not None and run.covers_budgets and of_features:
            x, y = _at_will(run, run.certificate, end, whole)
        else:
            continue
        _draw_after(plot, x, y, color_of(i), f"{run.key}-over-{k}", whole)
    if not over_r:
        return "r = 1: one node is changed", plot
    return "Any change of r nodes" if label == OVER_NODES else f"Over {in_words(label)}", plot


def _compared_together(runs: Sequence[ReportedRun]) -> tuple[str, figure]:
    plot = accuracy_figure("changed nodes r", True, "changed nodes r")
    for i, run in enumerate(runs):
        if run.summary.collective is not None:
            shares, _ = next(iter(run.summary.collective.by_changes.values()))
            x, y = [0, *run.summary.collective.changed], [run.summary.accuracy, *shares]
            draw_before(plot, x, y, color_of(i), "solid", f"{run.key}-together")
    return "One attack on all nodes", plot


def in_words(label: str) -> str:
    r"""The label of a chart without its TeX."""
    words: Mapping[str, str] = {
        "$r$": "r",
        r"$\ell_1$": "l1",
        r"$\ell_2$": "l2",
        r"$\epsilon$": "eps",
    }
    for tex, word in words.items():
        label = label.replace(tex, word)
    return label[:1].lower() + label[1:]


def draw_before(
    plot: figure, x: Sequence[int], y: Sequence[float], color: str, dash: str, name: str
) -> None:
    r"""Draws steps that hold for the next number."""
    look = {"color": color, "name": name}
    plot.step(x, y, mode="before", line_width=2.5, line_dash=dash, **look)
    plot.scatter(x, y, size=5, name=f"{name}-dots", color=color)


def _draw_after(
    plot: figure,
    x: np.ndarray,
    y: np.ndarray,
    color: str,
    name: str,
    whole: bool,
    width: float = 2.5,
) -> None:
    plot.step(x, y, mode="after", color=color, line_width=width, name=name)
    if whole:
        plot.scatter(x, y, size=5, color=color, name=f"{name}-dots")


def _draw_clean(plot: figure, accuracy: float) -> None:
    plot.hspan(accuracy, color=TEXT, line_width=1)


def _of_panel(run: ReportedRun, i: int, panel: Panel) -> figure:
    plot = accuracy_figure(in_words(panel.label), panel.whole, "budget")
    _draw_clean(plot, run.summary.accuracy)
    for j, curve in enumerate(panel.curves):
        width = _width(len(panel.curves), j)
        look = (color_of(j), _name(run, i, j), panel.whole, width)
        _draw_after(plot, curve.x, curve.accuracy, *look)
    return plot


def _at_will(
    run: ReportedRun, certificate: Certificate, end: float, whole: bool
) -> tuple[np.ndarray, np.ndarray]:
    x = np.arange(int(end) + 1) if whole else np.array([0.0, end])
    y = np.full(len(x), certificate.certified_accuracy(run.y, 1))
    y[0] = run.summary.accuracy if whole else y[0]
    return x, y


def _compared_name(run: ReportedRun) -> str:
    if run.summary.collective is None:
        return run.name
    changes = next(iter(run.summary.collective.by_changes))
    return f"{run.name} (one attack on all: {any_change(changes)})"


def _compared_curves(run: ReportedRun, num_figures: int) -> tuple[str, ...]:
    return (*(f"{run.key}-over-{k}" for k in range(num_figures)), f"{run.key}-together")


def any_change(changes: str) -> str:
    r"""What is changed, as a noun."""
    return "any change" if changes == "anything" else changes


def _of_r(r: int | None) -> str:
    if r is None:
        return "certified"
    return f"r = {r} changed {'node' if r == 1 else 'nodes'}"


def _width(count: int, j: int) -> float:
    r"""Of curves that coincide, the lower ones are wider."""
    return 2.0 + 1.5 * (count - 1 - j)


def _name(run: ReportedRun, i: int, j: int) -> str:
    return f"{run.key}-curve-{i}-{j}"
