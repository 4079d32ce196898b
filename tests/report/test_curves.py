from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.plotting import figure

from pyg_hiersmooth.report.curves import collective_curves, compared, curves, in_words
from pyg_hiersmooth.report.parts import Part
from pyg_hiersmooth.report.reported_run import ReportedRun


def figures(parts: list[Part]) -> list[figure]:
    return [part for part in parts if isinstance(part, figure)]


def steps(plot: figure) -> list[tuple[np.ndarray, np.ndarray, str]]:
    return [
        (np.asarray(data["x"]), np.asarray(data["y"]), each.glyph.mode)
        for each in plot.renderers
        if type(each.glyph).__name__ == "Step"
        for data in [each.data_source.data]
    ]


@pytest.mark.parametrize("name", ["flips", "graphs", "exact"])
def test_curves_are_those_of_the_chart(name: str, runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs[name], name)
    assert run.certificate is not None
    panels = run.certificate.chart(run.y).panels
    parts, legend = curves(run)
    assert legend.count("<button") == len(panels[0].curves)
    drawn = figures(parts)
    assert len(drawn) == len(panels)
    for plot, panel in zip(drawn, panels, strict=True):
        found = steps(plot)
        assert len(found) == len(panel.curves)
        for (x, y, mode), curve in zip(found, panel.curves, strict=True):
            np.testing.assert_array_equal(x, curve.x)
            np.testing.assert_array_equal(y, curve.accuracy)
            assert mode == "after"


def test_one_attack_on_all_is_drawn_in_steps_that_were_proved(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["exact"], "exact")
    assert run.certificate is not None and run.summary.collective is not None
    (plot,) = figures(collective_curves(run)[0])
    each, together = steps(plot)
    np.testing.assert_array_equal(each[0], range(21))
    np.testing.assert_array_equal(together[0], range(21))
    np.testing.assert_array_equal(
        each[1], [run.certificate.certified_accuracy(run.y, r) for r in range(21)]
    )
    proved = [cell.accuracy for cell in run.summary.collective.certified]
    np.testing.assert_array_equal(together[1], [run.summary.accuracy, *proved])
    assert each[2] == together[2] == "before"  # what holds for the larger number


def test_runs_of_old_know_fewer_numbers(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(runs["exact"], tmp_path / "old")
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    cells = results["collective"]["certified"]
    results["collective"]["certified"] = [cell for cell in cells if cell["r"] in (1, 5, 20)]
    (folder / "results.json").write_text(json.dumps(results))
    (plot,) = figures(collective_curves(ReportedRun.read(folder, "old"))[0])
    each, together = steps(plot)
    assert together[0].tolist() == [0, 1, 5, 20] and each[0].tolist() == [*range(21)]


def test_nothing_is_drawn_of_what_nobody_asked(runs: dict[str, Path]) -> None:
    assert collective_curves(ReportedRun.read(runs["flips"], "flips")) == ([], "")
    assert curves(ReportedRun.read(runs["none"], "none")) == ([], "")


def test_runs_share_a_figure_where_they_share_a_budget(runs: dict[str, Path]) -> None:
    names = ("flips", "exact", "none", "flips")
    read = [ReportedRun.read(runs[name], name, f"run{i}") for i, name in enumerate(names)]
    parts = compared(read)
    deletions, additions, at_will, together = figures(parts)
    assert [len(steps(plot)) for plot in (deletions, additions, at_will, together)] == [3, 3, 1, 1]
    assert str(parts[-1]).count("<button") == 3
    # Where nodes are changed at will, one changed node leaves as much against any budget.
    exact = read[1]
    assert exact.certificate is not None
    _, y, _ = steps(deletions)[1]
    assert y[0] == exact.summary.accuracy
    assert set(y[1:]) == {exact.certificate.certified_accuracy(exact.y, 1)}


def test_labels_without_tex() -> None:
    assert in_words(r"$\ell_2$ distance $\epsilon$") == "l2 distance eps"
    assert in_words("Changed nodes $r$") == "changed nodes r"
