r"""The page: what was asked and what came out, for one run or several."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.models import Column, TabPanel, Tabs
from bokeh.models.widgets import Div
from bokeh.resources import INLINE

from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.report.curves import compared, curves
from pyg_hiersmooth.report.look import PROSE, TEMPLATE
from pyg_hiersmooth.report.objects import objects
from pyg_hiersmooth.report.reported_run import ReportedRun


def write_report(
    folders: Mapping[str, str | os.PathLike[str]], path: str | os.PathLike[str]
) -> None:
    r"""Writes one HTML file about finished runs, which needs no other file and no network.

    Args:
        folders (Mapping): For each name, the folder of a run of ``hiersmooth certify`` or of an
            :class:`~pyg_hiersmooth.experiment.Experiment`.
        path (str or os.PathLike): Where to write.

    Raises:
        ValueError: If there are no folders, or one holds no finished run.
        OSError: If a file cannot be read or written.
    """
    if not folders:
        raise ValueError("'folders' must hold at least one run (got none)")
    runs = [ReportedRun.read(folder, name) for name, folder in folders.items()]
    pages = [(run.name, _page(run)) for run in runs]
    if len(runs) > 1:
        pages.insert(0, ("Compared", _comparison(runs)))
    body = Tabs(
        tabs=[TabPanel(child=page, title=name) for name, page in pages],
        sizing_mode="stretch_width",
    )
    shown = body if len(runs) > 1 else pages[0][1]
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs compared"
    html = file_html(shown, INLINE, f"Certificates: {escape(title)}", template=TEMPLATE)
    with replace_atomically(path) as file:
        file.write(html.encode())


def _page(run: ReportedRun) -> Column:
    settings = {name: value for name, value in run.settings.options.items() if value is not None}
    return column(
        _prose(
            f"<h1>{escape(run.name)}</h1><p>{escape(run.summary.aloud(run.noun))}</p>{_facts(run)}{_certified(run)}"
        ),
        *curves(run),
        *objects(run),
        _prose(f"<h2>Settings and versions</h2>{_table(settings | run.versions)}"),
        sizing_mode="stretch_width",
    )


def _comparison(runs: Sequence[ReportedRun]) -> Column:
    rows = "".join(
        f"<tr><th>{escape(run.name)}</th><td class=number>{run.summary.accuracy:.1%}</td>"
        f"<td class=number>{run.summary.abstained:.1%}</td><td>{escape(_best(run))}</td></tr>"
        for run in runs
    )
    head = "<tr><th>run</th><th>clean</th><th>abstained</th><th>certified accuracy</th></tr>"
    return column(
        _prose(f"<h1>Compared</h1><div class=wide><table>{head}{rows}</table></div>"),
        *compared(runs),
        sizing_mode="stretch_width",
    )


def _best(run: ReportedRun) -> str:
    cells = [cell for cell in run.summary.certified if cell.changes != "nothing"][:3]
    told = (f"r = {cell.r}, {cell.changes}: {cell.accuracy:.1%}" for cell in cells)
    return "; ".join(told) or "nothing is certified without noise"


def _facts(run: ReportedRun) -> str:
    summary = run.summary
    facts: dict[str, Any] = {
        "smoothing": summary.smoothing,
        "accuracy of the smoothed classifier": f"{summary.accuracy:.1%}",
        "abstained": f"{summary.abstained:.1%}",
    }
    if summary.majority is not None:
        facts["share of the most frequent class"] = f"{summary.majority:.1%}"
    if summary.mean_samples is not None:
        facts["samples on average"] = f"{summary.mean_samples:,.0f}"
    return _table(facts)


def _certified(run: ReportedRun) -> str:
    cells = run.summary.certified
    if not cells:
        return ""
    changed = sorted({cell.r for cell in cells})
    rows: dict[str, list[str]] = {}
    for cell in cells:
        rows.setdefault(cell.changes, []).append(f"<td class=number>{cell.accuracy:.1%}</td>")
    head = "".join(f"<th>r = {r}</th>" for r in changed)
    body = "".join(f"<tr><th>{escape(name)}</th>{''.join(row)}</tr>" for name, row in rows.items())
    return (
        "<h2>Certified accuracy</h2><div class=wide><table><tr><th>the adversary changes, in "
        f"total</th>{head}</tr>{body}</table></div>"
    )


def _table(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div class=wide><table>{rows}</table></div>"


def _prose(html: str) -> Div:
    return Div(text=html, stylesheets=[PROSE], sizing_mode="stretch_width")
