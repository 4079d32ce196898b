r"""Certified accuracy over the budget, and over the nodes of one attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from bokeh.plotting import figure

from pyg_hiersmooth.chart import Panel
from pyg_hiersmooth.report.legend import Entry, color_of, legend
from pyg_hiersmooth.report.look import TEXT, accuracy_figure
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun

CLEAN = "without an attack"


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
        each = range(changed[-1] + 1)
        alone = [run.certificate.certified_accuracy(run.y, r, **budget) for r in each]
        for dash, whom, x, y in (
            ("solid", "all", changed, [run.summary.accuracy, *shares]),
            ("dashed", "each", each, alone),
        ):
            name = f"{run.key}-{whom}-{i}"
            draw_before(plot, np.array(x), np.array(y), color, dash, name)
            told = f"one attack on {whom} {run.noun}, {changes}"
            entries.append(Entry(told, color, dash, curves=(name,)))
    entries.append(Entry(CLEAN, TEXT, width=1.0))
    return ["<figure>", plot, "</figure>"], legend(entries)


def compared(runs: Sequence[ReportedRun]) -> list[Part]:
    r"""The runs over each other at :math:`r = 1`, a figure for each budget that one of them has,
    and one for one attack on all objects.

    A noise without a budget certifies against any change of a node, and so against each budget.
    """
    charts = {run.key: run.certificate.chart(run.y) for run in runs if run.certificate is not None}
    labels: dict[str, list[Panel]] = {}
    for chart in charts.values():
        for panel in chart.panels:
            labels.setdefault(panel.label, []).append(panel)
    parts: list[Part] = []
    shown: dict[str, list[str]] = {run.key: [] for run in runs}
    for k, (label, panels) in enumerate(labels.items()):
        over_r = panels[0].curves[0].r is None
        plot = accuracy_figure(in_words(label), panels[0].whole, "budget")
        end = max(panel.curves[0].x[-1] for panel in panels)
        for i, run in enumerate(runs):
            if run.key not in charts:
                continue
            own = [panel for panel in charts[run.key].panels if panel.label == label]
            if own:
                x, y = own[0].curves[0].x, own[0].curves[0].accuracy
            elif run.at_will and not over_r:
                x, y = _at_will(run, end, panels[0].whole)
            else:
                continue
            shown[run.key].append(f"{run.key}-compared-{k}")
            _draw_after(plot, x, y, color_of(i), f"{run.key}-compared-{k}", panels[0].whole)
        told = "Any change of r nodes" if over_r else "r = 1: one node is changed"
        parts += [f"<figure><figcaption><b>{told}</b></figcaption>", plot, "</figure>"]
    together = accuracy_figure("changed nodes r", True, "changed nodes r")
    for i, run in enumerate(runs):
        if run.summary.collective is not None:
            shares, _ = next(iter(run.summary.collective.by_changes.values()))
            x, y = [0, *run.summary.collective.changed], [run.summary.accuracy, *shares]
            shown[run.key].append(f"{run.key}-compared-all")
            draw_before(
                together, np.array(x), np.array(y), color_of(i), "solid", shown[run.key][-1]
            )
    if together.renderers:
        told = "One attack on all nodes"
        parts += [f"<figure><figcaption><b>{told}</b></figcaption>", together, "</figure>"]
    entries = [
        Entry(_compared_name(run), color_of(i), curves=tuple(shown[run.key]))
        for i, run in enumerate(runs)
        if shown[run.key]
    ]
    return ["<div class=charts>", *parts, "</div>", legend(entries)] if parts else []


def in_words(label: str) -> str:
    r"""The label of a chart without its TeX."""
    words: Mapping[str, str] = {
        "Changed entities $r$": "changed nodes r",
        r"$\ell_1$": "l1",
        r"$\ell_2$": "l2",
        r"$\epsilon$": "eps",
    }
    for tex, word in words.items():
        label = label.replace(tex, word)
    return label[:1].lower() + label[1:]


def draw_before(
    plot: figure, x: np.ndarray, y: np.ndarray, color: str, dash: str, name: str
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


def _at_will(run: ReportedRun, end: float, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    assert run.certificate is not None
    x = np.arange(int(end) + 1) if whole else np.array([0.0, end])
    y = np.full(len(x), run.certificate.certified_accuracy(run.y, 1))
    y[0] = run.summary.accuracy if whole else y[0]
    return x, y


def _compared_name(run: ReportedRun) -> str:
    if run.summary.collective is None:
        return run.name
    changes = next(iter(run.summary.collective.by_changes))
    return f"{run.name} (one attack on all: {changes})"


def _of_r(r: int | None) -> str:
    if r is None:
        return "certified"
    return f"r = {r} changed {'node' if r == 1 else 'nodes'}"


def _width(count: int, j: int) -> float:
    r"""Of curves that coincide, the lower ones are wider."""
    return 2.0 + 1.5 * (count - 1 - j)


def _name(run: ReportedRun, i: int, j: int) -> str:
    return f"{run.key}-curve-{i}-{j}"
