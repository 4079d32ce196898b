r"""Certified accuracy over the budget, and over the nodes of one attack."""

from __future__ import annotations

from collections.abc import Sequence

from bokeh.models import HoverTool
from bokeh.plotting import figure

from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.report.look import count_in_ones, quiet
from pyg_hiersmooth.report.reported_run import ReportedRun

DASHES = ("solid", "dashed", "dotted", "dotdash")


def curves(run: ReportedRun) -> list[figure]:
    r"""A figure for each budget of the noise, and one for a collective certificate."""
    if run.certificate is None:
        return []
    chart = run.certificate.chart(run.y)
    figures = []
    for panel in chart.panels:
        plot = _figure(panel.label, chart.clean_accuracy)
        for i, curve in enumerate(panel.curves):
            label = "certified" if curve.r is None else f"r = {curve.r}"
            look = {"color": COLORS[i], "line_width": 2 + 1.5 * (len(panel.curves) - 1 - i)}
            plot.step(curve.x, curve.accuracy, mode="after", legend_label=label, **look)
            if panel.whole:
                plot.scatter(curve.x, curve.accuracy, color=COLORS[i], size=6)
        figures.append(_finished(plot, panel.whole))
    return [*figures, *_collective(run)]


def compared(runs: Sequence[ReportedRun]) -> list[figure]:
    r"""The runs over each other at :math:`r = 1`, a figure for each budget they share."""
    found: dict[str, figure] = {}
    whole: dict[str, bool] = {}
    for i, run in enumerate(runs):
        if run.certificate is None:
            continue
        chart = run.certificate.chart(run.y)
        for panel in chart.panels:
            if panel.label not in found:
                found[panel.label] = _figure(panel.label, None)
                whole[panel.label] = panel.whole
            curve = panel.curves[0]
            found[panel.label].step(
                curve.x,
                curve.accuracy,
                mode="after",
                legend_label=run.name,
                color=COLORS[i % len(COLORS)],
                line_dash=DASHES[i % len(DASHES)],
                line_width=2,
            )
    return [_finished(plot, whole[label]) for label, plot in found.items()]


def _collective(run: ReportedRun) -> list[figure]:
    summary = run.summary.collective
    if summary is None:
        return []
    plot = _figure("Changed entities in all", run.summary.accuracy)
    for i, (changes, (together, alone)) in enumerate(summary.by_changes.items()):
        for dash, name, shares in (("solid", "all", together), ("dashed", "each", alone)):
            look = {"color": COLORS[i % len(COLORS)], "line_dash": dash, "line_width": 2}
            label = f"{changes}: one attack on {name}"
            plot.line(summary.changed, shares, legend_label=label, **look)
            plot.scatter(summary.changed, shares, color=look["color"], size=6)
    return [_finished(plot, True)]


def _figure(label: str, clean: float | None) -> figure:
    label = label.replace("$r$", "r").replace(r"$\ell_2$", "l2").replace(r"$\epsilon$", "eps")
    plot = figure(
        height=320,
        sizing_mode="stretch_width",
        x_axis_label=label.replace("$", ""),
        y_axis_label="certified accuracy",
        y_range=(0, 1),
        tools="pan,wheel_zoom,box_zoom,reset,save",
    )
    plot.add_tools(HoverTool(tooltips=[("budget", "@x"), ("certified", "@y{0.0%}")]))
    if clean is not None:
        plot.hspan(clean, color="gray", line_width=1, legend_label="clean accuracy")
    return plot


def _finished(plot: figure, whole: bool) -> figure:
    plot.legend.click_policy = "hide"
    if whole:
        count_in_ones(plot.xaxis)
    return quiet(plot)
