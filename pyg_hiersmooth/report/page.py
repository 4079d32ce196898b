r"""The page: what was asked and what came out, for one run or several."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape

from bokeh.models import CustomJS

from pyg_hiersmooth.experiment.collective_summary import REPORTED_IN_ALL
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.report.comparison import comparison
from pyg_hiersmooth.report.curves import any_change, collective_curves, curves
from pyg_hiersmooth.report.headline import headline
from pyg_hiersmooth.report.objects import objects
from pyg_hiersmooth.report.parts import Part, as_file, facts_table
from pyg_hiersmooth.report.prediction_sets import prediction_sets
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
        OSError: If a file cannot be read or written, which is found out before any work.
    """
    if not folders:
        raise ValueError("'folders' must hold at least one run (got none)")
    with replace_atomically(path) as file:
        runs = [
            ReportedRun.read(folder, name, f"run{i}")
            for i, (name, folder) in enumerate(folders.items())
        ]
        file.write(_html(runs).encode())


def _html(runs: Sequence[ReportedRun]) -> str:
    pages: list[tuple[str, str, list[Part]]] = []
    at_once: list[CustomJS] = []
    for run in runs:
        parts, own = _page(run)
        pages.append((run.key, run.name, parts))
        at_once += own
    title = runs[0].name
    if len(runs) > 1:
        title = f"{len(runs)} runs compared"
        pages.insert(0, ("compared", "Compared", comparison(runs)))
    body: list[Part] = [_tabs(pages)] if len(pages) > 1 else []
    for i, (key, _, parts) in enumerate(pages):
        body += [f"<main class=page id={key}{' hidden' if i else ''}>", *parts, "</main>"]
    return as_file(body, f"Certificates: {title}", at_once)


def _tabs(pages: Sequence[tuple[str, str, list[Part]]]) -> str:
    tabs = "".join(
        f"<button type=button role=tab aria-selected={'false' if i else 'true'} data-opens={key}>"
        f"{escape(name)}</button>"
        for i, (key, name, _) in enumerate(pages)
    )
    return f"<nav class=tabs role=tablist>{tabs}</nav>"


def _page(run: ReportedRun) -> tuple[list[Part], list[CustomJS]]:
    settings = {name: value for name, value in run.settings.options.items() if value is not None}
    shown, at_once = objects(run)
    parts: list[Part] = [
        f"<h1>{escape(run.name)}</h1><p class=muted>{escape(run.described)}</p>",
        headline(run),
        f"<p>{escape(run.summary.in_words(run.noun))}</p>",
        *_certified(run),
        *_one_attack(run),
        *prediction_sets(run),
        *shown,
        "<details><summary>All settings and versions</summary>",
        facts_table({**settings, **run.versions}),
        "</details>",
    ]
    return parts, at_once


def _certified(run: ReportedRun) -> list[Part]:
    if not run.summary.certified:
        return []
    heads, rows = run.summary.table()
    title = f"Certified accuracy, a separate attack on each {run.noun[:-1]}"
    return _section(title, _shares_table(heads, rows), *curves(run))


def _one_attack(run: ReportedRun) -> list[Part]:
    if run.summary.collective is None:
        return []
    summary = run.summary.collective.only(REPORTED_IN_ALL)
    rows = {changes: shares for changes, (shares, _) in summary.by_changes.items()}
    heads = [f"r = {r}" for r in summary.changed]
    title = f"Certified accuracy, one attack on all {run.noun}"
    return _section(title, _shares_table(heads, rows), *collective_curves(run))


def _section(title: str, table: str, figures: Sequence[Part], legend: str) -> list[Part]:
    return [f"<h2>{title}</h2><div class=charts>", table, *figures, "</div>", legend]


def _shares_table(heads: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    head = "".join(f"<th class=number>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr><th>{escape(any_change(name))}</th>"
        f"{''.join(f'<td class=number>{share:.1%}</td>' for share in row)}</tr>"
        for name, row in rows.items()
    )
    return (
        f"<div class=wide><table><thead><tr><th>total changes</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
