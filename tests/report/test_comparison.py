from __future__ import annotations

import re
from pathlib import Path

from pyg_hiersmooth.report.comparison import comparison
from pyg_hiersmooth.report.reported_run import ReportedRun


def cells(row: str) -> list[str]:
    return [re.sub("<.*", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


def test_a_column_for_each_budget(runs: dict[str, Path]) -> None:
    read = [ReportedRun.read(runs[name], name, name) for name in ("flips", "exact", "none")]
    table = comparison(read)[1]
    assert isinstance(table, str)
    head, body = table.split("<tbody>")
    names = re.findall("<th class=number>(.*?)</th>", head)
    flips, exact, none = (cells(row) for row in body.split("<tr>")[1:])
    assert names[2:] == [
        *("5 deletions", "10 deletions", "20 deletions"),
        *("1 addition", "2 additions", "5 additions", "any change"),
    ]
    own = {c.changes: f"{c.accuracy:.1%}" for c in read[0].summary.certified if c.r == 1}
    assert flips == [
        f"{read[0].summary.accuracy:.1%}",
        "-",
        *(own.get(changes, "-") for changes in names[2:]),
    ]
    # What holds against any change holds against each budget.
    (anything,) = (cell for cell in read[1].summary.certified if cell.r == 1)
    assert exact[2:] == [f"{anything.accuracy:.1%}"] * 7 and "covers every budget" in table
    assert none == [f"{read[2].summary.accuracy:.1%}", *["-"] * 8]
    assert read[1].summary.collective is not None
    (tenth,) = (cell for cell in read[1].summary.collective.certified if cell.r == 10)
    assert exact[1] == f"{tenth.accuracy:.1%}" and "any change, r = 10" in body


def test_the_best_of_a_column_is_bold(runs: dict[str, Path]) -> None:
    read = [ReportedRun.read(runs[name], name, name) for name in ("flips", "exact")]
    best = max(run.summary.accuracy for run in read)
    assert f'<td class="number best">{best:.1%}</td>' in str(comparison(read)[1])


def test_runs_without_noise(runs: dict[str, Path]) -> None:
    read = [ReportedRun.read(runs["none"], name, name) for name in "ab"]
    assert all(isinstance(part, str) for part in comparison(read))
