from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate

SHORT = ("--max-epochs", 3, "--n0", 10, "--n", 40)


@pytest.fixture
def mutag(certify: Callable[..., Result], data_root: Path) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        return certify("--dataset", "MUTAG", "--root", data_root, *arguments)

    return run


@pytest.mark.parametrize("model", ["gin", "gcn"])
def test_graphs_with_ablation_where_no_noise_is_named(
    model: str, mutag: Callable[..., Result], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = mutag("--task", "graph", "--model", model, *SHORT, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Certified graphs" in result.stdout
    assert "AblationNoise()" in result.stdout
    certificate = Certificate.load(out / "certificate.npz")
    assert len(certificate) == 19
    assert certificate.num_entities is not None and certificate.num_entities.min() >= 10
    assert json.loads((out / "settings.json").read_text())["options"]["task"] == "graph"


def test_a_finished_run_of_graphs_is_resumed(
    mutag: Callable[..., Result], certify: Callable[..., Result], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("--task", "graph", "--noise", "gaussian", "--std", 1.0, *SHORT, "--out", out)
    assert mutag(*arguments).exit_code == 0
    before = (out / "certificate.npz").read_bytes()
    assert certify("--resume", out).exit_code == 0
    assert (out / "certificate.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--task", "graph", "--noise", "flips"), "take '--noise ablation' or '--noise gaussian'"),
        ((), "'--dataset MUTAG' holds 188 graphs, which go with '--task graph'"),
        (("--task", "graph", "--model", "gat"), "'--task graph', which takes gin, gcn"),
    ],
)
def test_what_does_not_fit_graphs(
    arguments: tuple[object, ...],
    sentence: str,
    mutag: Callable[..., Result],
    tmp_path: Path,
) -> None:
    noise = () if "--noise" in arguments or arguments else ("--noise", "ablation")
    result = mutag(*arguments, *noise, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_nodes(certify: Callable[..., Result], tmp_path: Path) -> None:
    for arguments, sentence in (
        (("--task", "graph"), "'--task graph' needs at least ten graphs"),
        (("--model", "gin"), "'--model gin' does not fit '--task node', which takes gcn"),
    ):
        result = certify(*arguments, "--out", tmp_path / "run")
        assert result.exit_code == 1
        assert sentence in " ".join(result.stderr.split())
