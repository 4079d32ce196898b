r"""Prediction sets: how large they are, how many contain the label, and what is guaranteed."""

from __future__ import annotations

from html import escape

from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun


def prediction_sets(run: ReportedRun) -> list[Part]:
    r"""A section with a table; nothing where nobody asked for sets."""
    sets = run.summary.sets
    if sets is None:
        return []
    head = "".join(f"<th class=number>r = {r}</th>" for r in sets.changed)
    rows = []
    for changes, cells in sets.by_changes.items():
        sizes = [f"{cell.size:.2f}{'*' if cell.uninformative else ''}" for cell in cells]
        rows.append(_row(f"{changes}, average size", sizes))
        rows.append(_row("contain the label", [f"{cell.coverage:.1%}" for cell in cells]))
    scores = "votes" if sets.approve is None else f"softmax of at least {sets.approve:g}"
    told = f"{sets.num_calibration:,} calibration {run.noun}, scored by {scores}."
    if any(cell.uninformative for cell in sets.sizes):
        told += " * Some classes are in every set, whatever the votes."
    return [
        "<h2>Prediction sets</h2>",
        f"<p>{escape(sets.statement)}</p>",
        f"<div class=wide><table><thead><tr><th>total changes</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>",
        f"<p class=muted>{escape(told)}</p>",
    ]


def _row(name: str, values: list[str]) -> str:
    cells = "".join(f"<td class=number>{escape(value)}</td>" for value in values)
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"
