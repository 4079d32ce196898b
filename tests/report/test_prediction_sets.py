from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from bokeh.plotting import figure

from pyg_hiersmooth.experiment.sets_summary import SetsSummary, SizeOfSets
from pyg_hiersmooth.report import write_report
from pyg_hiersmooth.report.prediction_sets import prediction_sets
from pyg_hiersmooth.report.reported_run import ReportedRun


def html_of(run: ReportedRun) -> str:
    return "".join(map(str, prediction_sets(run)))


def test_sizes_and_coverage_stand_in_a_table(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["exact"], "exact")
    assert run.summary.sets is not None
    html = html_of(run)
    assert run.summary.sets.statement in html and "50 calibration nodes" in html
    assert [r for r in range(11) if f">r = {r}<" in html] == [0, 1, 2, 3, 5]
    for cell in run.summary.sets.reported.sizes:
        assert f">{cell.size:.2f}" in html and f">{cell.coverage:.1%}<" in html
    assert ("in every set" in html) == any(
        each.uninformative for each in run.summary.sets.reported.sizes
    )


def test_what_says_nothing_is_marked_and_what_files_hold_is_text(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["exact"], "exact")
    cells = [SizeOfSets(r, {}, 7.0, 0.0, 1.0, r > 0, "<b>any</b>") for r in (0, 2)]
    sets = SetsSummary(0.9, None, 1_200, 7, "<i>sure</i>", cells)
    html = html_of(replace(run, summary=replace(run.summary, sets=sets)))
    assert re.findall(r">(7.00\*?)<", html) == ["7.00", "7.00*"] and "in every set" in html
    assert "<b>" not in html and "<i>" not in html and "&lt;i&gt;sure" in html
    assert "1,200 calibration nodes, scored by votes." in html


def test_sizes_and_coverage_are_steps_over_the_number_of_changes(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["exact"], "exact", "run0")
    sets = run.summary.sets
    assert sets is not None and sets.changed == list(range(11))
    size, hold = (part for part in prediction_sets(run) if isinstance(part, figure))
    for plot, name, values in (
        (size, "run0-size-0", [cell.size for cell in sets.sizes]),
        (hold, "run0-hold-0", [cell.coverage for cell in sets.sizes]),
    ):
        (drawn,) = [each for each in plot.renderers if each.name == name]
        assert list(drawn.data_source.data["x"]) == sets.changed
        assert list(drawn.data_source.data["y"]) == values
        assert drawn.glyph.mode == "before"
    lines = [each.glyph.y for plot in (size, hold) for each in plot.select(name="line")]
    assert lines == [sets.num_classes, sets.nominal]
    assert 'data-shows="run0-size-0 run0-hold-0"' in html_of(run)


def test_where_nobody_asked_there_is_no_section(runs: dict[str, Path], tmp_path: Path) -> None:
    assert prediction_sets(ReportedRun.read(runs["flips"], "flips")) == []
    for name in ("flips", "exact"):
        write_report({name: runs[name]}, tmp_path / "report.html")
        html = (tmp_path / "report.html").read_text()
        assert ("<h2>Prediction sets</h2>" in html) == (name == "exact")
