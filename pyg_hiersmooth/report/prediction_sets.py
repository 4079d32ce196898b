r"""Prediction sets: how large they are, how many contain the label, and what is guaranteed."""

from __future__ import annotations

from html import escape

from bokeh.models import HoverTool, NumeralTickFormatter

from pyg_hiersmooth.experiment.sets_summary import SetsSummary
from pyg_hiersmooth.report.curves import draw_before
from pyg_hiersmooth.report.legend import Entry, color_of, legend
from pyg_hiersmooth.report.look import TEXT, count_in_ones, new_figure
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun


def prediction_sets(run: ReportedRun) -> list[Part]:
    r"""A section with a table and curves; nothing where nobody asked for sets."""
    sets = run.summary.sets
    if sets is None:
        return []
    figures, entries = _curves(run, sets)
    return [
        f"<h2>Prediction sets</h2><p>{escape(sets.statement)}</p><div class=charts>",
        *_table(run, sets.reported),
        *figures,
        "</div>",
        legend(entries),
    ]


def _table(run: ReportedRun, sets: SetsSummary) -> list[Part]:
    head = "".join(f"<th class=number>{name}</th>" for name in sets.heads)
    rows = []
    for changes, cells in sets.by_changes.items():
        sizes = [f"{cell.size:.2f}{'*' if cell.uninformative else ''}" for cell in cells]
        rows.append(_row(f"{changes}, average size", sizes))
        rows.append(_row("share with the label", [f"{cell.coverage:.1%}" for cell in cells]))
    scores = "votes" if sets.approve is None else f"softmax of at least {sets.approve:g}"
    told = f"{sets.num_calibration:,} calibration {run.noun}, scored by {scores}."
    if any(cell.uninformative for cell in sets.sizes):
        told += " * Some classes are in every set, whatever the votes."
    return [
        f"<div><div class=wide><table><thead><tr><th>total changes</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>",
        f"<p class=muted>{escape(told)}</p></div>",
    ]


def _curves(run: ReportedRun, sets: SetsSummary) -> tuple[list[Part], list[Entry]]:
    r"""Average sizes and coverage over the number of changes; between two numbers stands what is
    known for the larger. None if budgets say how many entities change.
    """
    if not sets.curves:
        return [], []
    x = {"x_axis_label": "changes r"}
    size = new_figure(300, y_axis_label="average size", y_range=(0, 1.05 * sets.num_classes), **x)
    hold = new_figure(300, y_axis_label="share with the label", y_range=(0, 1.02), **x)
    size.add_tools(HoverTool(tooltips=[("changes r", "@x"), ("classes", "@y{0.00}")]))
    hold.add_tools(HoverTool(tooltips=[("changes r", "@x"), ("share with the label", "@y{0.0%}")]))
    hold.yaxis.formatter = NumeralTickFormatter(format="0%")
    size.hspan(sets.num_classes, color=TEXT, line_width=1, name="line")
    hold.hspan(sets.nominal, color=TEXT, line_width=1, name="line")
    entries = []
    for i, (changes, cells) in enumerate(sets.curves.items()):
        names, color = (f"{run.key}-size-{i}", f"{run.key}-hold-{i}"), color_of(i)
        sizes, shares = [cell.size for cell in cells], [cell.coverage for cell in cells]
        draw_before(size, sets.changed, sizes, color, "solid", names[0])
        draw_before(hold, sets.changed, shares, color, "solid", names[1])
        entries.append(Entry(changes, color, curves=names))
    entries.append(Entry("all classes; what is guaranteed", TEXT, width=1.0))
    count_in_ones([*size.xaxis, *hold.xaxis])
    return ["<figure>", size, "</figure><figure>", hold, "</figure>"], entries


def _row(name: str, values: list[str]) -> str:
    cells = "".join(f"<td class=number>{escape(value)}</td>" for value in values)
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"
