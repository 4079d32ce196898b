from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bokeh.models import ColorBar, ColumnDataSource
from bokeh.plotting import figure

from pyg_hiersmooth.report.graph import graph
from pyg_hiersmooth.report.reported_run import ReportedRun


def drawn(run: ReportedRun) -> tuple[list, ColumnDataSource]:
    assert run.certificate is not None
    index = run.certificate.index
    source = ColumnDataSource({"node": index, "most": index % 4, "marker": ["x"] * len(index)})
    return graph(run, run.certificate, source, "most")[0], source


def test_edges_are_drawn_once_between_their_nodes(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["flips"], "flips")
    parts, source = drawn(run)
    (plot,) = (part for part in parts if isinstance(part, figure))
    edges, nodes = (each.data_source.data for each in plot.renderers[:2])
    assert run.edges is not None and run.certificate is not None
    assert len(edges["a"]) == run.edges.shape[1] / 2 and (edges["a"] < edges["b"]).all()
    for end, node in ((0, "a"), (1, "b")):
        for axis in "xy":
            np.testing.assert_array_equal(edges[f"{axis}{end}"], nodes[axis][edges[node]])
    np.testing.assert_allclose(source.data["x"], nodes["x"][run.certificate.index], rtol=1e-5)


def test_what_is_counted_has_whole_ticks(runs: dict[str, Path]) -> None:
    for name in ("flips", "exact"):
        parts, _ = drawn(ReportedRun.read(runs[name], name))
        (plot,) = (part for part in parts if isinstance(part, figure))
        (bar,) = plot.select(ColorBar)
        assert bar.ticker.min_interval == 1 and bar.color_mapper.low == 0


def test_large_graphs_are_not_drawn(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_hiersmooth.report.graph.MOST_NODES", 100)
    parts, _ = drawn(ReportedRun.read(runs["flips"], "flips"))
    assert "The graph is not drawn: it has 2,708 nodes" in str(parts)


def test_many_graphs_are_not_drawn(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["graphs"], "graphs")
    assert run.certificate is not None
    assert graph(run, run.certificate, ColumnDataSource(), "most") == ([], [])
