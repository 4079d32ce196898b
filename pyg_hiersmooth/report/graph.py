r"""The graph, its certified nodes colored by what they withstand."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    HoverTool,
    NumeralTickFormatter,
)
from bokeh.plotting import figure
from bokeh.transform import linear_cmap

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.report.layout import layout
from pyg_hiersmooth.report.look import DOTS, FAINT, PALETTE, STRONG, TEXT, new_figure
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun

MOST_NODES = 5_000
r"""Nodes up to which a graph is drawn."""

NEAR = """
const chosen = source.selected.indices;
if (chosen.length === 0) return;
const node = source.data.node[chosen[chosen.length - 1]];
const {a, b, x0, y0, x1, y1} = edges.data;
const hop = new Map([[node, 0]]);
for (const distance of [1, 2]) {
  const reached = [];
  for (let e = 0; e < a.length; e++) {
    if (hop.get(a[e]) === distance - 1 && !hop.has(b[e])) reached.push(b[e]);
    if (hop.get(b[e]) === distance - 1 && !hop.has(a[e])) reached.push(a[e]);
  }
  for (const each of reached) hop.set(each, distance);
}
const [lines, dots] = [{x0: [], y0: [], x1: [], y1: [], alpha: []}, {x: [], y: [], size: []}];
for (let e = 0; e < a.length; e++) {
  if (!hop.has(a[e]) || !hop.has(b[e])) continue;
  const nearest = Math.min(hop.get(a[e]), hop.get(b[e]));
  if (nearest > 1) continue;
  lines.x0.push(x0[e]); lines.y0.push(y0[e]); lines.x1.push(x1[e]); lines.y1.push(y1[e]);
  lines.alpha.push(nearest === 0 ? 0.9 : 0.3);
}
for (const [each, distance] of hop) {
  dots.x.push(nodes.data.x[each]); dots.y.push(nodes.data.y[each]);
  dots.size.push([16, 9, 5][distance]);
}
near_edges.data = lines;
near_nodes.data = dots;
"""


def graph(
    run: ReportedRun, certificate: Certificate, source: ColumnDataSource, column: str
) -> tuple[list[Part], list[CustomJS]]:
    r"""The graph, and what shows the neighborhood of the selected node when it changes.

    Args:
        run (ReportedRun): The run.
        certificate (Certificate): Its certificate.
        source (ColumnDataSource): The certified nodes, a row each, which gain ``x`` and ``y``.
        column (str): The column that colors show.
    """
    if run.edges is None:
        return [], []
    num_nodes = int(max(run.edges.max(initial=0), certificate.index.max(initial=0))) + 1
    if num_nodes > MOST_NODES:
        text = f"The graph is not drawn: it has {num_nodes:,} nodes, more than {MOST_NODES:,}."
        return [f"<p class=muted>{text}</p>"], []
    ends = run.edges[:, run.edges[0] < run.edges[1]]
    position = _positions(num_nodes, ends.tobytes())
    source.data["x"], source.data["y"] = position[certificate.index].T
    plot = new_figure(
        None,
        tools="pan,wheel_zoom,box_zoom,tap,reset,save",
        match_aspect=True,
        aspect_ratio=1.25,
        min_border=0,
    )
    plot.axis.visible = plot.grid.visible = False
    places = position[ends].astype(np.float32)  # [2, E, 2]
    names = ("x0", "y0", "x1", "y1")
    lines = {name: places[k // 2, :, k % 2] for k, name in enumerate(names)}
    edges = ColumnDataSource({**lines, "a": ends[0].astype("i4"), "b": ends[1].astype("i4")})
    plot.segment(*names, source=edges, color=FAINT, alpha=0.5, line_width=0.5)
    nodes = ColumnDataSource(dict(zip("xy", position.astype(np.float32).T, strict=True)))
    plot.scatter("x", "y", source=nodes, size=2.5, color=DOTS, alpha=0.7)
    near_edges = ColumnDataSource({name: [] for name in (*names, "alpha")})
    near_nodes = ColumnDataSource({"x": [], "y": [], "size": []})
    plot.segment(
        *names,
        source=near_edges,
        name=f"{run.key}-near-edges",
        color=COLORS[1],
        alpha="alpha",
        line_width=1.2,
    )
    plot.scatter(
        "x",
        "y",
        source=near_nodes,
        name=f"{run.key}-near-nodes",
        size="size",
        color=COLORS[1],
        alpha=0.9,
    )
    whole = run.at_will or certificate.noise.axes[0].whole
    _draw_certified(plot, source, column, whole)
    show = CustomJS(
        args={
            "source": source,
            "edges": edges,
            "nodes": nodes,
            "near_edges": near_edges,
            "near_nodes": near_nodes,
        },
        code=NEAR,
    )
    source.selected.js_on_change("indices", show)
    caption = (
        f"<figcaption><b>The graph</b> <span>Colors show '{column}' of the table below; crosses "
        "mark nodes that are wrong or abstain. Click a node to see its neighbors and theirs.</span>"
        "</figcaption>"
    )
    return ["<figure>", caption, plot, "</figure>"], [show]


def _draw_certified(plot: figure, source: ColumnDataSource, column: str, whole: bool) -> None:
    most = float(np.nanmax(source.data[column], initial=0.0))
    color = linear_cmap(column, list(PALETTE), low=0.0, high=most or 1.0, nan_color=DOTS)
    dots = plot.scatter(
        "x",
        "y",
        source=source,
        size=9,
        marker="marker",
        fill_color=color,
        line_color=color,
        nonselection_alpha=0.9,
        selection_line_color=STRONG,
        selection_line_width=2.5,
    )
    tips = [(name, "@{" + name + "}") for name in ("node", "label", "prediction", column)]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    bar = ColorBar(
        color_mapper=color.transform,
        width=8,
        background_fill_color=None,
        major_label_text_color=TEXT,
        major_tick_line_color=None,
        bar_line_color=None,
    )
    if whole:
        bar.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
        bar.formatter = NumeralTickFormatter(format="0")
    plot.add_layout(bar, "right")


@lru_cache(maxsize=8)
def _positions(num_nodes: int, edges: bytes) -> np.ndarray:
    r"""Where each node is drawn, float64 ``[N, 2]``; once for all runs on a graph."""
    return layout(num_nodes, np.frombuffer(edges, dtype=np.int64).reshape(2, -1))
