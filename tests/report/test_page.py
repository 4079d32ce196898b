from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyg_hiersmooth.experiment import RunFolder
from pyg_hiersmooth.report import write_report


def written(folders: dict[str, Path], tmp_path: Path) -> str:
    write_report(folders, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", ["flips", "exact", "none", "graphs"])
def test_one_run(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    html = written({f"my {name}": runs[name]}, tmp_path)
    summary = RunFolder(runs[name]).read_summary()
    assert summary is not None
    assert f"my {name}" in html and f"{summary.accuracy:.1%}" in html
    for cell in summary.certified:
        assert f"{cell.accuracy:.1%}" in html
    assert ("withstands" in html) == (name != "none")
    assert ("The graph;" in html) == (name in {"flips", "exact"})
    assert ("one attack on all" in html) == (name == "exact")


def test_nothing_is_loaded_from_elsewhere(runs: dict[str, Path], tmp_path: Path) -> None:
    html = written({"flips": runs["flips"]}, tmp_path)
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?http", html)


def test_names_are_escaped(runs: dict[str, Path], tmp_path: Path) -> None:
    html = written({"<script>alert(1)</script>": runs["none"]}, tmp_path)
    assert "<script>alert(1)" not in html


def test_large_graphs_are_not_drawn(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyg_hiersmooth.report.objects.MOST_NODES", 100)
    assert "The graph is not drawn: it has 2,708 nodes" in written(
        {"flips": runs["flips"]}, tmp_path
    )


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'folders' must hold at least one run"):
        write_report({}, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
