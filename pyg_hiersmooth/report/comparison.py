r"""Runs side by side: a table and their curves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pyg_hiersmooth.report.curves import any_change, compared
from pyg_hiersmooth.report.headline import adversary, headline_attack
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun

NOTHING = "<td class=number>-</td>"
AT_WILL = (
    "<p class=muted>A certificate against any change of a node covers every budget, so its value "
    "is repeated in each column.</p>"
)


def comparison(runs: Sequence[ReportedRun]) -> list[Part]:
    r"""What is shown of them, from top to bottom."""
    told = f"<h1>{len(runs)} runs compared</h1>"
    return [told, _table(runs), "<h2>Certified accuracy</h2>", *compared(runs)]


def _table(runs: Sequence[ReportedRun]) -> str:
    budgets = dict.fromkeys(cell.changes for run in runs for cell in run.summary.certified)
    budgets.pop("nothing", None)
    columns: list[list[float | None]] = [[run.summary.accuracy for run in runs]]
    columns += [[_share(run, changes) for run in runs] for changes in budgets]
    alike = len({run.settings.data.dataset for run in runs}) == 1
    certified = [_cells(column, alike) for column in columns]
    heads = "".join(f"<th class=number>{escape(any_change(name))}</th>" for name in budgets)
    differ = len({run.summary.threat for run in runs if run.summary.threat}) > 1
    rows = "".join(
        f"<tr><th>{_name(run, differ)}</th>{clean}{_attack(run)}{''.join(shares)}</tr>"
        for run, clean, *shares in zip(runs, *certified, strict=True)
    )
    note = AT_WILL if any(run.covers_budgets for run in runs) and len(budgets) > 1 else ""
    return (
        "<div class=wide><table class=runs><thead><tr><th></th><th></th><th></th>"
        f"<th class=span colspan={max(len(budgets), 1)}>certified, r = 1</th></tr><tr><th>run</th>"
        "<th class=number>without<br>an attack</th><th class=number>one attack<br>on all</th>"
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _name(run: ReportedRun, with_threat: bool) -> str:
    link = f'<a href="#" data-opens="{run.key}">{escape(run.name)}</a>'
    told = f"{link}<small>{escape(run.described)}</small>"
    if with_threat and run.summary.threat:
        told += f"<small>against: {escape(run.summary.threat)}</small>"
    return told


def _attack(run: ReportedRun) -> str:
    cell = headline_attack(run)
    if cell is None:
        return NOTHING
    return f"<td class=number>{cell.accuracy:.1%}<small>{escape(adversary(cell))}</small></td>"


def _share(run: ReportedRun, changes: str) -> float | None:
    r"""Certified accuracy at one changed node; :obj:`None` where nothing is known."""
    covered = run.covers_budgets and "edge" not in changes
    known = (changes, "anything") if covered else (changes,)
    cells = [cell for cell in run.summary.certified if cell.changes in known]
    cells = [cell for cell in cells if cell.r == 1] or cells
    return cells[0].accuracy if cells else None


def _cells(column: Sequence[float | None], alike: bool) -> list[str]:
    r"""The cells of a column, the best one of several in bold if they are alike."""
    known = [share for share in column if share is not None]
    best = max(known) if len(known) > 1 and alike else None
    return [
        NOTHING
        if share is None
        else f'<td class="number{" best" if share == best else ""}">{share:.1%}</td>'
        for share in column
    ]
