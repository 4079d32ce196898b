from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import CitationSBM
from pyg_hiersmooth.report import reported_run
from pyg_hiersmooth.report.reported_run import ReportedRun


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
    with pytest.raises(ValueError, match="is not finished: go on with it by"):
        ReportedRun.read(unfinished, "a")
