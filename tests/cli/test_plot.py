from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.cli.plot import run_names
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Program = Callable[..., Result]


def copy_run(source: Path, target: Path, **options: object) -> Path:
    """A copy of a run with other options in its settings."""
    shutil.copytree(source, target)
    settings = json.loads((target / "settings.json").read_text())
    settings["options"] |= options
    (target / "settings.json").write_text(json.dumps(settings))
    return target


def message_of(result: Result) -> str:
    assert result.exit_code != 0 and "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def test_one_run(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "figure.png"
    result = hiersmooth("plot", finished_run, "--out", out)
    assert result.exit_code == 0 and result.stdout == f"Drew 1 run to {out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")
    assert run_names((finished_run,)) == ["CitationSBM, gcn"]


def test_default_file(
    hiersmooth: Program, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hiersmooth("plot", finished_run).exit_code == 0
    assert [file.name for file in tmp_path.iterdir()] == ["certified_accuracy.png"]


def test_several_runs(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    other = copy_run(finished_run, tmp_path / "other", model="gat")
    out = tmp_path / "figure.pdf"
    result = hiersmooth("plot", finished_run, other, "--out", out)
    assert result.exit_code == 0 and result.stdout == f"Drew 2 runs to {out}\n"
    assert out.read_bytes().startswith(b"%PDF")


def test_names_tell_runs_apart(finished_run: Path, tmp_path: Path) -> None:
    gat = copy_run(finished_run, tmp_path / "gat", model="gat", p=0.9, num_workers=5)
    assert run_names((finished_run, gat)) == ["gcn, p=0.81", "gat, p=0.9"]
    few = copy_run(finished_run, tmp_path / "few", n0=3, max_epochs=7)
    assert run_names((few, gat)) == ["gcn, p=0.81", "gat, p=0.9"]
    assert run_names((finished_run, few)) == ["n0=10, max_epochs=5", "n0=3, max_epochs=7"]
    more = copy_run(finished_run, tmp_path / "more", n=20)
    assert run_names((finished_run, more)) == ["n=40", "n=20"]
    none = dict.fromkeys(("p", "p_plus", "p_minus", "n0", "n", "alpha", "simultaneous"))
    exact = copy_run(
        finished_run, tmp_path / "exact", noise="ablation", selection="partition", groups=9, **none
    )
    assert run_names((finished_run, exact)) == [
        "flips, p=0.81, p_plus=0.05, p_minus=0.8",
        "ablation, partition, groups=9, partitions=10",
    ]
    twin = copy_run(finished_run, tmp_path / "twin")
    assert run_names((finished_run, twin)) == [f"({finished_run})", f"({twin})"]


def test_mixed_noises(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    other = copy_run(finished_run, tmp_path / "other", noise="gaussian", p_plus=None, p_minus=None)
    flips = Certificate.load(finished_run / "certificate.npz")
    transform = HierarchicalNodeFeatureNoise(0.81, GaussianNoise(0.25))
    Certificate.from_bounds(transform, flips.prediction, flips.p_lower, flips.p_upper).save(
        other / "certificate.npz"
    )
    message = message_of(hiersmooth("plot", finished_run, other, "--out", tmp_path / "a.png"))
    assert "must share one kind of budget" in message
    assert not (tmp_path / "a.png").exists()


def test_unfinished_run(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    other = copy_run(finished_run, tmp_path / "other")
    (other / "certificate.npz").unlink()
    message = message_of(hiersmooth("plot", other, "--out", tmp_path / "a.png"))
    assert f"the run in '{other}' is not finished" in message
    assert f"hiersmooth certify --resume {other}" in message


def test_run_without_noise(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    other = copy_run(finished_run, tmp_path / "other", noise="none", p_plus=None, p_minus=None)
    message = message_of(hiersmooth("plot", other, "--out", tmp_path / "a.png"))
    assert f"the run in '{other}' was made without noise" in message


def test_folder_without_a_run(hiersmooth: Program, tmp_path: Path) -> None:
    assert f"'{tmp_path}' holds no run" in message_of(hiersmooth("plot", tmp_path))


def test_no_folder(hiersmooth: Program) -> None:
    assert "DIR..." in message_of(hiersmooth("plot"))


def test_one_run_twice(hiersmooth: Program, finished_run: Path) -> None:
    message = message_of(hiersmooth("plot", finished_run, finished_run))
    assert "'DIR...' names a run twice" in message


@pytest.mark.parametrize(
    ("file", "text"), [("certificate.npz", "is not a certificate"), ("labels.npz", "no labels")]
)
def test_damaged_run(
    file: str, text: str, hiersmooth: Program, finished_run: Path, tmp_path: Path
) -> None:
    other = copy_run(finished_run, tmp_path / "other")
    (other / file).write_bytes(b"nonsense")
    message = message_of(hiersmooth("plot", other, "--out", tmp_path / "a.png"))
    assert str(other / file) in message and text in message


def test_unknown_format(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    message = message_of(hiersmooth("plot", finished_run, "--out", tmp_path / "a.nonsense"))
    assert "'nonsense' is not supported" in message


def test_missing_folder(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    message = message_of(hiersmooth("plot", finished_run, "--out", tmp_path / "no" / "a.png"))
    assert "No such file or directory" in message


def test_missing_matplotlib(
    hiersmooth: Program, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = message_of(hiersmooth("plot", finished_run, "--out", tmp_path / "a.png"))
    assert "pip install matplotlib" in message
