from __future__ import annotations

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
    assert "Compared" in out.read_text()


def test_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 1 and "holds no run" in result.output
