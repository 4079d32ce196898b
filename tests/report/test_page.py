from __future__ import annotations

import json
import re
import shutil
from html import escape
from pathlib import Path

import pytest

from pyg_hiersmooth.experiment import RunFolder
from pyg_hiersmooth.report import write_report
from pyg_hiersmooth.report.reported_run import ReportedRun


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
    assert ("withstands</b>" in html) == (name != "none")
    assert ("<b>The graph</b>" in html) == (name in {"flips", "exact"})
    assert ("one attack on all nodes" in html) == (name == "exact")


def test_nothing_is_loaded_from_elsewhere(runs: dict[str, Path], tmp_path: Path) -> None:
    html = written({"flips": runs["flips"]}, tmp_path)
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?http", html)


def test_names_are_escaped(runs: dict[str, Path], tmp_path: Path) -> None:
    html = written({"<script>alert(1)</script>": runs["none"]}, tmp_path)
    assert "<script>alert(1)" not in html


def test_what_files_hold_is_text(runs: dict[str, Path], tmp_path: Path) -> None:
    """A model, a version, what is changed and how it was smoothed, in scripts of their own."""
    folder = shutil.copytree(runs["exact"], tmp_path / "run")
    settings = json.loads((folder / "settings.json").read_text())
    settings["options"]["model"] = f"mine:{script('model')}"
    settings["options"]["dataset"] = script("dataset")
    settings["versions"][script("library")] = script("version")
    (folder / "settings.json").write_text(json.dumps(settings))
    results = json.loads((folder / "results.json").read_text())
    results["smoothing"] = script("smoothing")
    for cells in (results["certified"], results["collective"]["certified"]):
        for cell in cells:
            cell["changes"] = script("changes")
    (folder / "results.json").write_text(json.dumps(results))
    html = written({script("one"): folder, script("two"): runs["none"]}, tmp_path)
    for name in ("model", "dataset", "library", "version", "changes", "one", "two"):
        assert escape(script(name)) in html, name
    assert "<script>alert" not in html and "</script>alert" not in html


def script(name: str) -> str:
    return f"</script><script>alert('{name}')</script>"


def test_what_cannot_be_written_is_found_before_any_work(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReportedRun, "read", lambda *_: pytest.fail("too late"))
    with pytest.raises(OSError, match="none"):
        write_report({"a": runs["none"]}, tmp_path / "none" / "report.html")


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'folders' must hold at least one run"):
        write_report({}, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
