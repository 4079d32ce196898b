"""The published tables are those of the committed results, and of the runs that were planned."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pyg_hiersmooth.study.methods import METHODS
from pyg_hiersmooth.study.report import report_methods, report_sweep
from pyg_hiersmooth.study.results import load_results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "node_classification", raising=False)
    import node_classification

    return node_classification


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["search", "main", "consistent", "doubled", "plain", "table"])
def test_tables_are_written_from_the_results(study: ModuleType, name: str, tmp_path: Path) -> None:
    report = report_sweep if name == "search" else report_methods
    report(load_results(study.RESULTS / name), tmp_path, draw=False)
    assert (study.DOCS / name / "tables.md").read_text() == (tmp_path / "tables.md").read_text()


@pytest.mark.parametrize("name", ["search", "main", "consistent", "doubled", "plain", "table"])
def test_every_planned_run_has_a_result(
    study: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = [
        method
        for method in METHODS.values()
        if method.noise != "gaussian" and method.changes == "features"
    ]
    monkeypatch.setattr(study, "fitting_methods", lambda dataset, root: binary)
    planned = study.planned(name, "data")
    found = [result.run for result in load_results(study.RESULTS / name)]
    assert sorted(found, key=repr) == sorted(planned, key=repr) and len(found) >= 20
