r"""Runs side by side: a table and their curves."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pyg_hiersmooth.report.curves import compared
from pyg_hiersmooth.report.headline import adversary, headline_attack
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun

AT_WILL = (
    "<p class=muted>Where nodes are changed at will, a certificate holds against any budget, so "
    "its number stands in every column.</p>"
)


def comparison(runs: Sequence[ReportedRun]) -> list[Part]:
    r"""What is shown of them, from top to bottom."""
    told = f"<h1>{len(runs)} runs compared</h1>"
    return [told, _table(runs), "<h2>Certified accuracy</h2>", *compared(runs)]


def _table(runs: Sequence[ReportedRun]) -> str:
    budgets = list(dict.fromkeys(cell.changes for run in runs for cell in run.summary.certified))
    budgets = [changes for changes in budgets if changes != "nothing"]
    columns = [[run.summary.accuracy for run in runs]]
    columns += [[_share(run, changes) for run in runs] for changes in budgets]
    heads = ["without an attack", *budgets]
    head = "".join(f"<th class=number>{escape(name)}</th>" for name in heads)
    span = f"<th class=number colspan={len(budgets)}>certified, r = 1</th>" if budgets else ""
    rows = []
    for i, run in enumerate(runs):
        attack = headline_attack(run)
        told = (
            ""
            if attack is None
            else f"{attack.accuracy:.1%}<small>{escape(adversary(attack))}</small>"
        )
        cells = "".join(
            _cell([column[i] for column in columns][k], column) for k, column in enumerate(columns)
        )
        link = f'<a href="#" data-opens="{run.key}">{escape(run.name)}</a>'
        rows.append(
            f"<tr><th>{link}<small>{escape(run.described)}</small></th>{cells}"
            f"<td class=number>{told}</td></tr>"
        )
    note = AT_WILL if any(run.at_will for run in runs) and len(budgets) > 1 else ""
    return (
        f"<div class=wide><table><thead><tr><th></th><th></th>{span}<th></th></tr>"
        f"<tr><th>run</th>{head}<th class=number>one attack on all</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _share(run: ReportedRun, changes: str) -> float | None:
    r"""Certified accuracy at one changed node; :obj:`None` where nothing is known."""
    known = (changes, "anything") if run.at_will else (changes,)
    cells = [cell for cell in run.summary.certified if cell.r == 1 and cell.changes in known]
    return cells[0].accuracy if cells else None


def _cell(share: float | None, column: Sequence[float | None]) -> str:
    if share is None:
        return "<td class=number>–</td>"
    others = [other for other in column if other is not None]
    best = " best" if len(others) > 1 and share == max(others) else ""
    return f'<td class="number{best}">{share:.1%}</td>'
