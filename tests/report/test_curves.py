from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.report.curves import compared, curves
from pyg_hiersmooth.report.reported_run import ReportedRun


def steps(plot: object) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (np.asarray(each.data_source.data["x"]), np.asarray(each.data_source.data["y"]))
        for each in plot.renderers  # type: ignore[attr-defined]
        if type(each.glyph).__name__ == "Step"
    ]


@pytest.mark.parametrize("name", ["flips", "graphs", "exact"])
def test_curves_are_those_of_the_chart(name: str, runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs[name], name)
    assert run.certificate is not None
    panels = run.certificate.chart(run.y).panels
    drawn = curves(run)
    assert len(drawn) == len(panels) + (name == "exact")
    for plot, panel in zip(drawn, panels, strict=False):
        found = steps(plot)
        assert len(found) == len(panel.curves)
        for (x, y), curve in zip(found, panel.curves, strict=True):
            np.testing.assert_array_equal(x, curve.x)
            np.testing.assert_array_equal(y, curve.accuracy)


def test_runs_share_a_figure_where_they_share_a_budget(runs: dict[str, Path]) -> None:
    read = [ReportedRun.read(runs[name], name) for name in ("flips", "exact", "none", "flips")]
    deletions, additions, at_will = compared(read)
    assert [len(steps(plot)) for plot in (deletions, additions, at_will)] == [2, 2, 1]
