from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import CitationSBM
from pyg_hiersmooth.experiment import Settings
from pyg_hiersmooth.report import reported_run
from pyg_hiersmooth.report.reported_run import ReportedRun, run_title


def test_what_is_read(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["flips"], "flips")
    assert run.certificate is not None and run.edges is not None
    kept = Certificate.load(runs["flips"] / "certificate.npz")
    np.testing.assert_array_equal(run.certificate.p_lower, kept.p_lower)
    np.testing.assert_array_equal(run.edges, CitationSBM()[0].edge_index.numpy())
    assert run.noun == "nodes" and "torch" in run.versions
    assert run.certificate.clean_accuracy(run.y) == run.summary.accuracy


def test_many_graphs_and_no_noise(runs: dict[str, Path]) -> None:
    run = ReportedRun.read(runs["graphs"], "graphs")
    assert run.edges is None and run.noun == "graphs"
    assert ReportedRun.read(runs["none"], "none").certificate is None


def test_data_that_are_not_at_hand(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(reported_run, "load_dataset", missing)
    assert ReportedRun.read(runs["flips"], "flips").edges is None


def test_bad_folders(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        ReportedRun.read(tmp_path, "a")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(runs["flips"], unfinished)
    (unfinished / "results.json").unlink()
    with pytest.raises(ValueError, match="is not finished: continue it with"):
        ReportedRun.read(unfinished, "a")


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"model": "appnp"}, "APPNP, flips"),
        ({"model": "sage", "noise": "gaussian"}, "GraphSAGE, gaussian"),
        ({"noise": "ablation", "selection": "partition"}, "GCN, exact ablation"),
        ({"noise": "ablation"}, "GCN, ablation"),
        ({"model": "nets:Mine", "noise": "none"}, "Mine, no noise"),
        ({"model": "gcn", "task": "graph", "dataset": "MUTAG"}, "GCN, ablation"),
    ],
)
def test_titles(options: dict, title: str) -> None:
    assert run_title(Settings.of(**options)) == title


def test_settings_in_a_line(runs: dict[str, Path]) -> None:
    assert ReportedRun.read(runs["flips"], "a").described == (
        "CitationSBM, p = 0.9, p_plus = 0.001, p_minus = 0.8, n0 = 10, n = 60, alpha = 0.01, seed 0"
    )
    exact = ReportedRun.read(runs["exact"], "a")
    assert exact.described == "CitationSBM, groups = 10, partitions = 10, seed 0"
    assert exact.at_will and not ReportedRun.read(runs["none"], "a").at_will
    assert exact.covers_budgets and exact.certificate is not None
    exact.certificate.noise.of = "messages"  # other nodes and edges, which is another adversary
    assert exact.at_will and not exact.covers_budgets
