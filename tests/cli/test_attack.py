from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from pyg_hiersmooth.attacks import AttackResult
from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.experiment import Experiment, Settings

Program = Callable[..., Result]


@pytest.fixture(scope="module")
def exact_run(certify: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "exact"
    kind = ["--selection", "partition", "--noise", "ablation", "--ablate", "messages"]
    more = ["--groups", 4, "--partitions", 2, "--max-epochs", 5]
    assert certify("--out", folder, *kind, *more).exit_code == 0
    return folder


def test_a_table_and_a_file(hiersmooth: Program, exact_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(exact_run, run)
    result = hiersmooth("attack", run, "--r", 2, "--r", 1, "--targets", 20, "--no-progress")
    assert result.exit_code == 0, result.output
    kept = json.loads((run / "attack.json").read_text())
    assert kept["num_nodes"] == 20 and kept["num_samples"] is None and kept["budget"] == {}
    assert [row["r"] for row in kept["accuracies"]] == [1, 2]
    for row in kept["accuracies"]:
        assert row["certified"] <= row["attacked"] <= row["clean"]
        assert f"{row['attacked']:.1%}" in result.stdout
    assert row["attacked"] < row["clean"]  # it does attack
    assert "taken over" in result.stdout and "attacked" in result.stdout


def test_a_sampled_run_with_a_budget(
    hiersmooth: Program, finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    few = ["--targets", 2, "--restarts", 1, "--num-samples", 10, "--no-progress"]
    result = hiersmooth("attack", run, "--r", 1, "--deletions", 2, *few)
    assert result.exit_code == 0, result.output
    assert json.loads((run / "attack.json").read_text())["budget"] == {"deletions": 2}
    result = hiersmooth("attack", run, "--r", 1, *few)
    assert result.exit_code == 1 and "needs the budget '--additions' or" in result.stderr


def test_a_run_with_noise_on_edges_alone(
    certify: Program, hiersmooth: Program, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    kind = ["--edges", "ablation", "--edges-groups", 4, "--edges-partitions", 2]
    assert certify("--out", run, *kind, "--max-epochs", 5).exit_code == 0
    few = ["--targets", 2, "--restarts", 1, "--no-progress"]
    result = hiersmooth("attack", run, "--r", 1, *few)
    assert result.exit_code == 0, result.output
    assert "pairs of nodes get other edges" in " ".join(result.stdout.split())
    (row,) = json.loads((run / "attack.json").read_text())["accuracies"]
    assert row["certified"] <= row["attacked"] <= row["clean"]


def test_a_budget_that_says_how_many_edges_change(
    certify: Program, hiersmooth: Program, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    kind = ["--edges", "flips", "--edges-p-plus", 0.001, "--edges-p-minus", 0.4]
    more = ["--n0", 10, "--n", 20, "--max-epochs", 5]
    assert certify("--out", run, *kind, *more).exit_code == 0
    few = ["--targets", 2, "--restarts", 1, "--num-samples", 4, "--no-progress"]
    result = hiersmooth("attack", run, "--deletions", 1, "--additions", 1, *few)
    assert result.exit_code == 0, result.output
    (row,) = json.loads((run / "attack.json").read_text())["accuracies"]
    assert row["r"] == 2
    result = hiersmooth("attack", run, "--deletions", 1, "--r", 1, *few)
    assert result.exit_code == 1 and "'--r' does nothing where the budget says" in result.stderr


def test_a_certified_prediction_that_falls(
    hiersmooth: Program, exact_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(exact_run, run)
    certificate = Certificate.load(run / "certificate.npz")
    wrong = np.where(certificate.abstained, -1, 4)
    replace(certificate, largest_r=wrong).save(run / "certificate.npz")
    result = hiersmooth("attack", run, "--r", 4, "--no-progress")
    assert result.exit_code == 1 and "contradiction.npz" in result.stderr
    assert "was certified as class" in result.stderr and not (run / "attack.json").exists()
    assert AttackResult.load(run / "contradiction.npz").contradicted[-1]


def test_no_run_to_attack(hiersmooth: Program, finished_run: Path, tmp_path: Path) -> None:
    result = hiersmooth("attack", tmp_path)
    assert result.exit_code == 1 and "holds no run" in result.stderr
    run = tmp_path / "unfinished"
    shutil.copytree(finished_run, run)
    (run / "certificate.npz").unlink()
    result = hiersmooth("attack", run, "--deletions", 1)
    assert result.exit_code == 1 and "is not finished" in result.stderr
    settings = Settings.of(noise="none", max_epochs=1)
    Experiment(settings, tmp_path / "plain").run(progress=False)
    result = hiersmooth("attack", tmp_path / "plain")
    assert result.exit_code == 1 and "without noise" in result.stderr
