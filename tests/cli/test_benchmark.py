from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.sampling.checkpoint import read_votes

Program = Callable[..., Result]

SMALL = ("--quick", "--max-epochs", 3, "--n0", 10, "--n", 60, "--no-progress")


@pytest.fixture(scope="module")
def small(hiersmooth: Program, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What a small benchmark prints, and its folder; not to be changed."""
    out = tmp_path_factory.mktemp("benchmark")
    return hiersmooth("benchmark", *SMALL, "--out", out), out


def sentence_of(result: Result) -> str:
    assert result.exit_code != 0 and "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def drawn(file: Path) -> int:
    return read_votes(file)[1]


def test_quick_compares_all_methods_that_fit(small: tuple[Result, Path]) -> None:
    result, out = small
    assert result.exit_code == 0, result.output
    titles = (
        "hierarchical flips, p=0.81",
        "flat flips, p=1",
        "exact node ablation, groups=10",
        "node ablation, p=0.81",
        "unprotected",
    )
    assert all(title in result.stdout for title in titles) and "Gaussian" not in result.stdout
    runs = [record["run"] for record in JsonLines(out / "results.jsonl").read()]
    assert len(runs) == 5 and {(run["dataset"], run["model"]) for run in runs} == {
        ("CitationSBM", "gcn")
    }
    assert {(run["n0"], run["n"], run["max_epochs"]) for run in runs} == {(10, 60, 3)}


@pytest.mark.slow
def test_edges_have_a_table_of_their_own(hiersmooth: Program, tmp_path: Path) -> None:
    options = ("--quick", "--max-epochs", 2, "--no-progress", "--jobs", 1, "--out", tmp_path)
    listed = ("--method", "exact edge ablation", "--edges-groups", 4, "--edges-partitions", 1)
    result = hiersmooth("benchmark", *options, *listed)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "tables.md").read_text()
    assert "multiclass, against: at most r pairs of nodes get other edges" in text
    assert "exact edge ablation, edges_groups=4, edges_partitions=1" in text
    (run,) = (record["run"] for record in JsonLines(tmp_path / "results.jsonl").read())
    assert run["method"]["edges"] == "ablation" and "p" not in run["method"]
    again = hiersmooth("benchmark", *options, *listed)
    assert again.exit_code == 0 and "exact edge ablation" in again.stdout


def test_tables_and_figures_are_written(small: tuple[Result, Path]) -> None:
    _, out = small
    text = (out / "tables.md").read_text()
    assert "**CitationSBM, gcn, multiclass**" in text and "**CitationSBM, gcn, binary**" in text
    assert (out / "CitationSBM-gcn-flips.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_command_does_nothing_again(
    hiersmooth: Program, small: tuple[Result, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out = small
    monkeypatch.delattr("pyg_hiersmooth.study.runner.ProcessPoolExecutor")
    again = hiersmooth("benchmark", *SMALL, "--out", out)
    assert again.exit_code == 0 and again.stdout == result.stdout


@pytest.mark.slow
def test_a_sweep_chooses_on_validation_nodes(hiersmooth: Program, tmp_path: Path) -> None:
    result = hiersmooth("benchmark", *SMALL, "--sweep", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "chosen on validation nodes" in result.stdout
    assert "r = 3, 20 deletions" in (tmp_path / "tables.md").read_text()
    assert (tmp_path / "CitationSBM-gcn-pareto.png").exists()
    results = JsonLines(tmp_path / "results.jsonl").read()
    assert [set(each["parts"]) for each in results] == [{"val", "test"}] * 3


def test_settings_of_methods_can_be_replaced(
    hiersmooth: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []
    monkeypatch.setattr(
        "pyg_hiersmooth.study.runner.run_all",
        lambda runs, *args, **kwargs: planned.extend(runs),
    )
    options = ("--p", 0.9, "--p-plus", 0.01, "--groups", 6, "--out", tmp_path / "new")
    hiersmooth("benchmark", *SMALL, *options)
    settings = {
        run.method.name: (run.method.smoothing.p, run.method.smoothing.p_plus) for run in planned
    }
    assert settings == {
        "hierarchical flips": (0.9, 0.01),
        "flat flips": (1.0, 0.01),
        "node ablation": (0.9, None),
        "exact node ablation": (None, None),
        "unprotected": (None, None),
    }
    groups = {run.method.name: run.method.smoothing.groups for run in planned}
    assert groups == dict.fromkeys(settings) | {"exact node ablation": 6}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sweep", 2, "--p", 0.9), "'--p' does nothing with '--sweep'"),
        (("--sweep", 2, "--method", "unprotected"), "'--method' does nothing with '--sweep'"),
        (("--method", "node ablation", "--std", 1), "'--std' does nothing with any '--method'"),
        (("--method", "flat flips", "--p", 0.9), "'--p' does nothing with any '--method'"),
        (("--method", "magic"), "'magic' is not one of"),
        (("--model", "magic"), "'magic' is not one of"),
        (("--dataset", "magic"), "'--dataset' must be one of"),
    ],
)
def test_mistakes_are_explained(
    hiersmooth: Program, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    result = hiersmooth("benchmark", "--quick", *options, "--out", tmp_path)
    assert message in sentence_of(result)
    assert list(tmp_path.iterdir()) == []


def test_results_of_other_settings_are_refused(
    hiersmooth: Program, small: tuple[Result, Path]
) -> None:
    _, out = small
    result = hiersmooth("benchmark", *SMALL, "--n", 70, "--out", out)
    assert "with another '--num-samples': choose" in sentence_of(result)


def test_interrupted(hiersmooth: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyg_hiersmooth.study.runner.run_all", stop)
    result = hiersmooth("benchmark", *SMALL, "--out", tmp_path)
    assert result.exit_code == 130 and "the same command continues" in sentence_of(result)


@pytest.mark.slow
def test_ctrl_c_stops_all_runs_at_once_and_loses_nothing(
    hiersmooth: Program, leisurely: list[str], tmp_path: Path
) -> None:
    options = [*SMALL, "--method", "node ablation", "--seed", 13, "--seed", 17, "--n", 640]
    command = [*leisurely, "benchmark", *map(str, options), "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (begun := [file for file in tmp_path.glob("runs/*/votes.npz") if drawn(file)]):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # a terminal interrupts the whole group
    _, error = process.communicate()
    assert process.returncode == 130 and "Traceback" not in error
    assert error.endswith("Interrupted; the same command continues\n")
    kept = read_votes(begun[0])[0]
    assert 0 < drawn(begun[0]) < 640 and not (tmp_path / "results.jsonl").exists()

    assert hiersmooth("benchmark", *options, "--out", tmp_path).exit_code == 0
    assert len(JsonLines(tmp_path / "results.jsonl").read()) == 2
    assert drawn(begun[0]) == 640 and bool((read_votes(begun[0])[0] >= kept).all())
