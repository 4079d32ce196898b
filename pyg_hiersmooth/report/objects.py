r"""The certified objects of a run: a table, the graph, and what the selected one withstands.

All three show one :class:`~bokeh.models.ColumnDataSource`: selecting in one selects in all.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

import networkx
import numpy as np
from bokeh.models import (
    BooleanFilter,
    CDSView,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    HoverTool,
)
from bokeh.models.ui import UIElement
from bokeh.models.widgets import DataTable, Div, NumberFormatter, TableColumn, TextInput
from bokeh.plotting import figure
from bokeh.transform import linear_cmap

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.views.largest_budgets import largest_budgets, largest_r
from pyg_hiersmooth.report.look import FIELD, GRAY, PROSE, ROWS, count_in_ones, quiet
from pyg_hiersmooth.report.reported_run import ReportedRun

CHANGED = (1, 2, 3)
MOST_ADDITIONS, MOST_DELETIONS = 15, 80
r"""Beyond these the picture of an object ends."""

MOST_R = 10
MOST_NODES = 5_000
r"""Nodes up to which a graph is drawn."""

PALETTE = "Viridis256"

SEARCH = """
const words = search.value.trim().toLowerCase().split(/\\s+/).filter(word => word);
const names = columns.map(column => source.data[column]);
filter.booleans = Array.from(names[0], (_, i) => {
  const row = columns.map((column, j) => column + "=" + names[j][i]).join(" ").toLowerCase();
  return words.every(word => row.includes(word) || names.some(each => String(each[i]) === word));
});
"""

SHOW = """
const chosen = source.selected.indices;
if (chosen.length === 0) return;
const i = chosen[chosen.length - 1];
const [x, y, level] = [[], [], []];
shown[i].forEach((frontier, r) => frontier.forEach((deepest, a) => {
  if (kind === "flips") {
    for (let d = 0; d <= deepest; d++) { x.push(d); y.push(a); level.push(r + 1); }
  } else { x.push(a + 1); y.push(deepest); level.push(1); }
}));
cells.data = {x, y, level};
caption.text = texts[i];
"""


def objects(run: ReportedRun) -> list[UIElement]:
    r"""What is shown of them, from top to bottom."""
    certificate = run.certificate
    if certificate is None:
        return []
    source, columns, best = _source(run, certificate)
    parts: list[UIElement] = []
    drawn = _graph(run, certificate, source, best)
    parts += [drawn] if drawn is not None else []
    parts += _one(run, certificate, source)
    return [*parts, *_table(run, source, columns)]


def _source(run: ReportedRun, certificate: Certificate) -> tuple[ColumnDataSource, list[str], str]:
    r"""The objects, the columns that the table shows, and the one that colours tell."""
    right = (certificate.prediction == run.y) & ~certificate.abstained
    data: dict[str, Any] = {
        run.settings.data.task: certificate.index,
        "label": run.y,
        "prediction": certificate.prediction,
        "right": np.where(right, "yes", "no"),
        "p_lower": certificate.p_lower,
        "p_upper": certificate.p_upper,
    }
    if certificate.num_samples is not None and not certificate.exact:
        data["samples"] = certificate.num_samples
    largest: dict[str, np.ndarray] = {}
    if not certificate.noise.axes:
        largest["withstands r"] = largest_r(certificate)
    for r in CHANGED if certificate.noise.axes else ():
        for name, strength in largest_budgets(certificate, r).items():
            largest[f"{name}, r={r}"] = np.nan_to_num(strength, nan=-1.0)
    data |= largest
    columns = list(data)
    data["marker"] = np.where(right, "circle", "x")
    best = next(iter(largest))
    return ColumnDataSource(data), columns, best


def _table(run: ReportedRun, source: ColumnDataSource, columns: list[str]) -> list[UIElement]:
    shares = NumberFormatter(format="0.0000")
    number = NumberFormatter(format="0[.]00[0]")
    formats = {"p_lower": shares, "p_upper": shares, "right": None}
    shown = [
        TableColumn(
            field=name,
            title=name,
            width=max(70, 9 * len(name)),
            **({"formatter": form} if (form := formats.get(name, number)) else {}),
        )
        for name in columns
    ]
    keep = BooleanFilter(booleans=[True] * len(run.y))
    search = TextInput(
        title=f"Search {run.noun} by a number, or words such as label=3 right=no, and press Enter",
        name="search",
        sizing_mode="stretch_width",
        stylesheets=[FIELD],
    )
    search.js_on_change(
        "value",  # not with each letter, as the table takes the focus
        CustomJS(
            args={"search": search, "filter": keep, "source": source, "columns": columns},
            code=SEARCH,
        ),
    )
    table = DataTable(
        name="table",
        source=source,
        columns=shown,
        view=CDSView(filter=keep),
        height=360,
        sizing_mode="stretch_width",
        index_position=None,
        autosize_mode="none",
        stylesheets=[ROWS],
    )
    return [search, table]


def _one(run: ReportedRun, certificate: Certificate, source: ColumnDataSource) -> list[UIElement]:
    r"""What the selected object withstands, drawn and in words; the surest one to begin with."""
    flips = certificate.noise.budget == ("additions", "deletions")
    shown = _frontiers(certificate) if flips else _over_r(certificate)
    caption = Div(name="caption", stylesheets=[PROSE], sizing_mode="stretch_width")
    cells = ColumnDataSource({"x": [], "y": [], "level": []})
    plot = figure(
        height=280,
        sizing_mode="stretch_width",
        title=f"What the selected {run.settings.data.task} withstands",
        tools="save",
        x_axis_label="deletions" if flips else "changed entities r",
        y_axis_label="additions" if flips else _strength(certificate),
    )
    if flips:
        color = linear_cmap("level", ["#9ecae1", "#4292c6", "#08519c"], low=1, high=3)
        plot.rect("x", "y", 0.95, 0.95, source=cells, fill_color=color, line_color=None)
        tooltip = [("deletions", "@x"), ("additions", "@y"), ("at r up to", "@level")]
    else:
        plot.vbar("x", top="y", width=0.7, source=cells, color="#4292c6")
        tooltip = [("r", "@x"), ("withstands", "@y")]
    plot.add_tools(HoverTool(tooltips=tooltip))
    count_in_ones(plot.axis if flips else plot.xaxis)
    texts = [f"<b>{run.settings.data.task.capitalize()} {i}</b>" for i in certificate.index]
    for position in range(len(certificate)):
        facts = certificate[position].rows()
        rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts)
        texts[position] += f"<table>{rows}</table>"
    show = CustomJS(
        args={
            "source": source,
            "cells": cells,
            "caption": caption,
            "texts": texts,
            "shown": shown,
            "kind": "flips" if flips else "others",
        },
        code=SHOW,
    )
    source.selected.js_on_change("indices", show)
    _select(int(np.argmax(certificate.p_lower)), source, cells, caption, texts, shown, flips)
    return [quiet(plot), caption]


def _select(
    i: int,
    source: ColumnDataSource,
    cells: ColumnDataSource,
    caption: Div,
    texts: list[str],
    shown: list[list[list[float]]],
    flips: bool,
) -> None:
    source.selected.indices = [i]
    points = [
        (d, a, r + 1) if flips else (a + 1, deepest, 1)
        for r, frontier in enumerate(shown[i])
        for a, deepest in enumerate(frontier)
        for d in range(int(deepest) + 1 if flips else 1)
    ]
    cells.data = {
        name: [point[k] for point in points] for k, name in enumerate(("x", "y", "level"))
    }
    caption.text = texts[i]


def _frontiers(certificate: Certificate) -> list[list[list[float]]]:
    r"""For each object, :math:`r` and number of additions, the most deletions; -1 for none."""
    grid = certificate.grid(CHANGED[-1], MOST_ADDITIONS, MOST_DELETIONS)[:, 1:]
    found: list[list[list[float]]] = (grid.sum(-1).astype(int) - 1).tolist()
    return found


def _over_r(certificate: Certificate) -> list[list[list[float]]]:
    changed = range(1, MOST_R + 1)
    if certificate.noise.axes:
        columns = [np.nan_to_num(certificate.radius(r)) for r in changed]
    else:
        columns = [certificate.is_robust(r).astype(float) for r in changed]
    found: list[list[list[float]]] = np.stack(columns, 1)[:, None].round(4).tolist()
    return found


def _strength(certificate: Certificate) -> str:
    return "distance" if certificate.noise.axes else "any change (1: yes)"


def _graph(
    run: ReportedRun, certificate: Certificate, source: ColumnDataSource, best: str
) -> UIElement | None:
    r"""The graph, its targets coloured by what they withstand."""
    if run.edges is None:
        return None
    num_nodes = int(max(run.edges.max(initial=0), certificate.index.max())) + 1
    if num_nodes > MOST_NODES:
        text = f"The graph is not drawn: it has {num_nodes:,} nodes, more than {MOST_NODES:,}."
        return Div(text=text, stylesheets=[PROSE])
    edges = run.edges[:, run.edges[0] < run.edges[1]]
    position = _positions(num_nodes, edges.tobytes())
    source.data["x"], source.data["y"] = position[certificate.index].T
    plot = figure(
        height=460,
        sizing_mode="stretch_width",
        title=f"The graph; certified nodes by '{best}' (x: wrong or abstains)",
        tools="pan,wheel_zoom,box_zoom,tap,reset,save",
        active_scroll="wheel_zoom",
    )
    ends = position[edges.T]
    plot.segment(
        *(ends[:, i, k] for i in (0, 1) for k in (0, 1)), color=GRAY, alpha=0.25, line_width=0.5
    )
    others = np.setdiff1d(np.arange(num_nodes), certificate.index)
    x, y = position[others].T
    plot.scatter(x, y, size=3, color=GRAY, alpha=0.6)
    color = linear_cmap(best, PALETTE, low=0, high=max(1.0, float(np.max(source.data[best]))))
    dots = plot.scatter(
        "x", "y", source=source, size=9, marker="marker", color=color, nonselection_alpha=0.85
    )
    task = run.settings.data.task
    tips = [(name, "@{" + name + "}") for name in (task, "label", "prediction", best)]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    bar = ColorBar(
        color_mapper=color.transform,
        width=8,
        background_fill_alpha=0.0,
        major_label_text_color=GRAY,
    )
    plot.add_layout(bar, "right")
    plot.axis.visible = False
    plot.grid.visible = False
    return quiet(plot)


@lru_cache(maxsize=8)
def _positions(num_nodes: int, edges: bytes) -> np.ndarray:
    r"""Where each node is drawn, float64 ``[N, 2]``; once for all runs on a graph."""
    graph = networkx.Graph()
    graph.add_nodes_from(range(num_nodes))
    graph.add_edges_from(np.frombuffer(edges, dtype=np.int64).reshape(2, -1).T.tolist())
    placed = networkx.spring_layout(graph, seed=0, iterations=40)
    return np.array([placed[node] for node in range(num_nodes)])
