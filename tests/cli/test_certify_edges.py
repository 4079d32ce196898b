"""Certificates for changed edges from the command line, and what is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.experiment import RunFolder

Program = Callable[..., Result]

SHORT = ("--max-epochs", 10, "--lr", 0.01)
FEW = ("--n0", 5, "--n", 60)
LISTED = ("--edges", "ablation", "--edges-groups", 5, "--edges-partitions", 2)
RUNS = {
    "listed": LISTED,
    "flips": ("--edges", "flips", "--edges-p-plus", 0.0001, "--edges-p-minus", 0.6, *FEW),
    "composed": (
        *("--noise", "ablation", "--p", 0.9, "--edges", "ablation", "--edges-p", 0.95),
        *("--n", 60, "--until", "r=1,edges=2"),
    ),
}


class Run(NamedTuple):
    shown: str
    folder: Path
    certificate: Certificate


@pytest.fixture(scope="module")
def runs(certify: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of each kind on small graphs; not to be changed."""
    folder, found = tmp_path_factory.mktemp("edges"), {}
    for name, options in RUNS.items():
        out = folder / name
        data = ("--dataset", "RandomMolecules", "--task", "graph", "--model", "gin")
        result = certify(*data, *SHORT, *options, "--out", out)
        assert result.exit_code == 0, result.output
        shown = " ".join(result.stdout.split())
        found[name] = Run(shown, out, Certificate.load(out / "certificate.npz"))
    return found


def test_each_says_whom_it_is_about(runs: dict[str, Run]) -> None:
    for run in runs.values():
        results = json.loads((run.folder / "results.json").read_text())
        assert results["threat"] == run.certificate.noise.threat("nodes")
        assert "pairs of nodes" in results["threat"]
        assert (run.folder / "certified_accuracy.png").read_bytes().startswith(b"\x89PNG")
        assert f"Against {results['threat'][:10]}" in run.shown
    assert runs["listed"].certificate.exact and "Certified accuracy, exact" in runs["listed"].shown
    assert not runs["flips"].certificate.exact


def test_tables_hold_what_certificates_say(runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        y = RunFolder(run.folder).read_labels()
        cells = json.loads((run.folder / "results.json").read_text())["certified"]
        for cell in cells:
            robust = run.certificate.is_robust(cell["r"], **cell["budget"])
            right = run.certificate.prediction == y
            assert cell["accuracy"] == pytest.approx(np.mean(robust & right))
            assert f"{cell['accuracy']:.1%}" in run.shown
        heads = re.findall(r"r = \d", run.shown.split("total")[1].split("%")[0])
        expected = {"listed": range(1, 6), "flips": (), "composed": range(4)}[name]
        assert heads == [f"r = {r}" for r in expected]
    assert "r edges" in runs["listed"].shown
    assert "5 deleted edges" in runs["flips"].shown and "1 added edge" in runs["flips"].shown
    assert {cell["r"] for cell in cells} == {0, 1, 2, 3}
    assert "no edges" in runs["composed"].shown and "2 edges" in runs["composed"].shown
    assert "Correct, robust to r = 1, 2 edges" in runs["composed"].shown


def test_a_run_is_resumed(runs: dict[str, Run], certify: Program) -> None:
    for name in ("listed", "composed"):
        before = (runs[name].folder / "results.json").read_text()
        assert certify("--resume", runs[name].folder).exit_code == 0
        assert (runs[name].folder / "results.json").read_text() == before
    refused = certify("--resume", runs["listed"].folder, "--edges-groups", 6)
    assert "'--edges-groups' does not agree with the run to be resumed" in refused.stderr


def test_reports_and_pictures_keep_adversaries_apart(
    runs: dict[str, Run], certify: Program, hiersmooth: Program, tmp_path: Path
) -> None:
    pytest.importorskip("bokeh")
    nodes = tmp_path / "nodes"
    data = ("--dataset", "RandomMolecules", "--task", "graph", "--model", "gin", *SHORT)
    partition = ("--selection", "partition", "--groups", 5, "--partitions", 2, "--out", nodes)
    assert certify(*data, "--noise", "ablation", *partition).exit_code == 0
    folders = [nodes, *(run.folder for run in runs.values())]
    out = tmp_path / "report.html"
    result = hiersmooth("report", *folders, "--out", out)
    assert result.exit_code == 0, result.output
    page = out.read_text()
    for run in runs.values():
        assert json.loads((run.folder / "results.json").read_text())["threat"] in page
    # What holds of features is not said of edges.
    (table,) = re.findall(r"<table class=runs>.*?</table>", page, re.DOTALL)
    columns = re.findall(r"<th class=number>([^<]*)</th>", table)
    row = re.findall(r"<tr><th><a href.*?</tr>", table, re.DOTALL)[0]
    shares = re.findall(r'<td class="?number[^>]*>([^<]*)', row)[2:]
    told = dict(zip(columns[-len(shares) :], shares, strict=True))
    assert told["any change"] != "-" and told["r edges"] == told["2 edges"] == "-"
    mixed = hiersmooth("plot", nodes, runs["listed"].folder, "--out", tmp_path / "both.png")
    assert mixed.exit_code != 0 and "must share one kind of budget" in mixed.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--edges-p", 0.9), "'--edges-p' does nothing without '--edges': leave it out"),
        (("--edges", "ablation", "--p", 0.9), "that of pairs of nodes is '--edges-p'"),
        (("--edges", "flips", "--noise", "gaussian"), "one of two noises may draw"),
        (("--edges", "salt"), "'none', 'ablation', 'flips'"),
        ((*LISTED, "--n", 5), "'--num-samples' does nothing with '--edges-selection' partition"),
        ((*LISTED, "--collective"), "'--collective' counts changed nodes, not pairs of them"),
        (("--edges", "ablation", "--until", "edges=2"), "a question of '--until' needs 'r'"),
    ],
)
def test_what_there_is_not(
    options: tuple[object, ...], sentence: str, certify: Program, tmp_path: Path
) -> None:
    result = certify(*options, "--out", tmp_path / "run")
    assert result.exit_code != 0 and sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()
