from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyg_hiersmooth.cli import main
from pyg_hiersmooth.experiment import Experiment, Settings

pytest.importorskip("bokeh")


def test_two_runs_in_one_file(tmp_path: Path) -> None:
    for model in ("gcn", "sage"):
        settings = Settings.of(noise="none", model=model, max_epochs=1)
        Experiment(settings, tmp_path / model).run(progress=False)
    out = tmp_path / "both.html"
    folders = [str(tmp_path / model) for model in ("gcn", "sage")]
    result = CliRunner().invoke(main, ["report", *folders, "--out", str(out)])
    assert result.exit_code == 0 and f"Wrote 2 runs to {out}" in result.output
    page = out.read_text()
    assert "Compared" in page and "GCN, no noise" in page and "GraphSAGE, no noise" in page


def test_runs_of_one_title_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / f"seed{seed}" for seed in (1, 2)]
    for seed, folder in enumerate(folders, 1):
        settings = Settings.of(noise="none", max_epochs=1, seed=seed)
        Experiment(settings, folder).run(progress=False)
    out = tmp_path / "both.html"
    result = CliRunner().invoke(main, ["report", *map(str, folders), "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert "GCN, no noise: seed=1" in page and "GCN, no noise: seed=2" in page


def test_a_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_hiersmooth.cli.report.require", lambda *_, **__: pytest.fail("late"))
    path = str(tmp_path / "nowhere" / "report.html")
    result = CliRunner().invoke(main, ["report", str(tmp_path), "--out", path])
    assert result.exit_code == 1
    assert "'--out' must name a file in a folder that can be written" in result.output


def test_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 1 and "holds no run" in result.output


def test_a_report_takes_seconds(tmp_path: Path) -> None:
    settings = Settings.of(noise="ablation", selection="partition", max_epochs=1)
    Experiment(settings, tmp_path / "run").run(progress=False)
    command = [sys.executable, "-m", "pyg_hiersmooth", "report", str(tmp_path / "run")]
    before = os.times()
    subprocess.run([*command, "--out", str(tmp_path / "report.html")], check=True)
    after = os.times()
    # Of processor time: four on a quiet machine, most of them for PyTorch and PyG.
    assert after.children_user - before.children_user < 8.0
