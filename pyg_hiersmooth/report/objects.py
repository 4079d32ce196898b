r"""The certified objects of a run: a table, the graph, and what the selected one withstands.

All three show one :class:`~bokeh.models.ColumnDataSource`: selecting in one selects in all.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from bokeh.models import BooleanFilter, CDSView, ColumnDataSource, CustomJS, HoverTool
from bokeh.models.widgets import DataTable, NumberFormatter, TableColumn, TextInput
from bokeh.transform import linear_cmap

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.views.largest_budgets import largest_budgets, largest_r
from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.report.curves import in_words
from pyg_hiersmooth.report.graph import graph
from pyg_hiersmooth.report.legend import Entry, legend
from pyg_hiersmooth.report.look import FIELD, LEVELS, ROWS, count_in_ones, new_figure
from pyg_hiersmooth.report.parts import Part, facts_table
from pyg_hiersmooth.report.reported_run import ReportedRun

CHANGED = (1, 2, 3)
MOST_ADDITIONS, MOST_DELETIONS = 15, 80
r"""Beyond these the picture of an object ends."""

MOST_R = 10

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
  if (flips) {
    for (let d = 0; d <= deepest; d++) { x.push(d); y.push(a); level.push(r + 1); }
  } else { x.push(a + 1); y.push(deepest); level.push(1); }
}));
cells.data = {x, y, level};
document.getElementById(caption).innerHTML = texts[i];
"""


def objects(run: ReportedRun) -> tuple[list[Part], list[CustomJS]]:
    r"""What is shown of them, from top to bottom, and what is done when the page is opened."""
    certificate = run.certificate
    if certificate is None:
        return [], []
    source, columns, best = _source(run, certificate)
    source.selected.indices = [int(np.argmax(certificate.p_lower))]  # the surest one
    drawn, near = graph(run, certificate, source, best)
    chosen, show = _chosen(run, certificate, source)
    parts: list[Part] = [f"<h2>The {run.noun}</h2>"]
    if drawn:
        parts += ["<div class=beside><div>", *drawn, "</div>", *chosen, "</div>"]
    else:
        parts += chosen
    return [*parts, *_table(run, source, columns)], [*near, show]


def _source(run: ReportedRun, certificate: Certificate) -> tuple[ColumnDataSource, list[str], str]:
    r"""The objects, the columns that the table shows, and the one that colors tell. An object
    without a prediction has nan there and in what it withstands.
    """
    right = certificate.correct(run.y)
    known = np.where(certificate.abstained, np.nan, 1.0)
    data: dict[str, Any] = {
        run.settings.data.task: certificate.index,
        "label": run.y,
        "prediction": certificate.prediction * known,
        "right": np.where(right, "yes", "no"),
        "p_lower": certificate.p_lower,
        "p_upper": certificate.p_upper,
    }
    if certificate.num_samples is not None and not certificate.exact:
        data["samples"] = certificate.num_samples
    largest: dict[str, np.ndarray] = {}
    if run.at_will:
        largest["withstands r"] = largest_r(certificate) * known
    for r in _reported(certificate) if certificate.noise.axes else ():
        for name, strength in largest_budgets(certificate, r).items():
            largest[name if r is None else f"{name}, r={r}"] = strength * known
    data |= largest
    columns = list(data)
    data["marker"] = np.where(right, "circle", "x")
    return ColumnDataSource(data), columns, next(iter(largest))


def _table(run: ReportedRun, source: ColumnDataSource, columns: list[str]) -> list[Part]:
    share = NumberFormatter(format="0.0%")
    number = NumberFormatter(format="0[.]00[0]", nan_format="none")
    formats = {"p_lower": share, "p_upper": share, "right": None}
    shown = [
        TableColumn(
            field=name,
            title=name,
            width=max(64, 18 + 7 * len(name)),
            **({"formatter": form} if (form := formats.get(name, number)) else {}),
        )
        for name in columns
    ]
    keep = BooleanFilter(booleans=[True] * len(run.y))
    search = TextInput(
        title=f"Search {run.noun} by a number, or words such as label=3 right=no, and press Enter",
        name=f"{run.key}-search",
        sizing_mode="stretch_width",
        margin=0,
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
        name=f"{run.key}-table",
        source=source,
        columns=shown,
        view=CDSView(filter=keep),
        height=min(380, 40 + 25 * (1 + len(run.y))),
        sizing_mode="stretch_width",
        index_position=None,
        autosize_mode="none",
        margin=(8, 0, 0, 0),
        stylesheets=[ROWS],
    )
    return [search, table]


def _chosen(
    run: ReportedRun, certificate: Certificate, source: ColumnDataSource
) -> tuple[list[Part], CustomJS]:
    r"""What the selected object withstands, drawn and in words, and what shows the next one."""
    flips = certificate.noise.counts_flips
    changed = certificate.counted
    shown = _frontiers(certificate) if flips else _over_r(certificate)
    cells = ColumnDataSource({"x": [], "y": [], "level": []}, name=f"{run.key}-cells")
    plot = new_figure(
        230,
        x_axis_label="deletions" if flips else f"changed {changed} r",
        y_axis_label="additions" if flips else _strength(certificate),
        tools="save",
    )
    if flips:
        steps = zip(_reported(certificate), LEVELS, strict=False)
        entries = (("certified" if r is None else f"r = {r}", color) for r, color in steps)
        legends = legend(Entry(told, color, width=10.0) for told, color in entries)
        # Each is drawn over those of fewer changed nodes.
        color = linear_cmap("level", list(LEVELS), low=1, high=3)
        plot.rect("x", "y", 0.94, 0.94, source=cells, fill_color=color, line_color=None)
        tooltip = [("deletions", "@x"), ("additions", "@y"), ("at r up to", "@level")]
    else:
        legends = ""
        plot.vbar("x", top="y", width=0.7, source=cells, color=COLORS[0])
        plot.y_range.start = 0
        tooltip = [("r", "@x"), ("withstands", "@y")]
    plot.add_tools(HoverTool(tooltips=tooltip))
    count_in_ones(plot.axis if flips or run.at_will else plot.xaxis)
    show = CustomJS(
        args={
            "source": source,
            "cells": cells,
            "caption": f"{run.key}-chosen",
            "texts": _texts(run, certificate),
            "shown": shown,
            "flips": flips,
        },
        code=SHOW,
    )
    source.selected.js_on_change("indices", show)
    parts: list[Part] = [
        f'<div class="chosen{" alone" if run.edges is None else ""}">',
        f"<figure><figcaption><b>What the selected {run.noun[:-1]} withstands</b></figcaption>",
        plot,
        f"{legends}</figure><div id={run.key}-chosen></div></div>",
    ]
    return parts, show


def _texts(run: ReportedRun, certificate: Certificate) -> list[str]:
    r"""What is said of each object, as HTML."""
    texts = []
    for i, label in zip(range(len(certificate)), run.y, strict=True):
        facts = [fact for fact in certificate[i].rows() if fact[0] != "smoothing"]
        title = f"{run.settings.data.task.capitalize()} {certificate.index[i]}"
        table = facts_table({"label": f"class {label}", **dict(facts)})
        texts.append(f"<h3>{escape(title)}</h3>{table}")
    return texts


def _frontiers(certificate: Certificate) -> list[list[list[float]]]:
    r"""For each object, :math:`r` and number of additions, the most deletions; -1 for none."""
    if certificate.noise.budget_is_r:
        most_r = MOST_ADDITIONS + MOST_DELETIONS
        grid = certificate.grid(most_r, MOST_ADDITIONS, MOST_DELETIONS)[:, -1:]
    else:
        grid = certificate.grid(CHANGED[-1], MOST_ADDITIONS, MOST_DELETIONS)[:, 1:]
    found: list[list[list[float]]] = (grid.sum(-1).astype(int) - 1).tolist()
    return found


def _over_r(certificate: Certificate) -> list[list[list[float]]]:
    changed = range(1, MOST_R + 1)
    axes = certificate.noise.axes
    if axes:
        each = (largest_budgets(certificate, r)[axes[0].name] for r in changed)
        columns = [np.maximum(np.nan_to_num(strength), 0.0) for strength in each]
    else:
        columns = [certificate.is_robust(r).astype(float) for r in changed]
    found: list[list[list[float]]] = np.stack(columns, 1)[:, None].round(4).tolist()
    return found


def _strength(certificate: Certificate) -> str:
    axes = certificate.noise.axes
    if not axes:
        return "any change (1: yes)"
    return "distance" if not axes[0].whole else in_words(axes[0].label)


def _reported(certificate: Certificate) -> tuple[int | None, ...]:
    r"""Numbers of changed entities, or :obj:`None` where budgets say how many change."""
    return (None,) if certificate.noise.budget_is_r else CHANGED
