from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate

SHORT = ("--max-epochs", 3, "--n0", 10, "--n", 40)


@pytest.fixture(params=[None, "MUTAG"], ids=["synthetic", "MUTAG"])
def graphs(certify: Callable[..., Result], request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Certifies graphs: synthetic ones, and real ones where they are."""

    def run(*arguments: object) -> Result:
        if request.param is None:
            return certify("--dataset", "RandomMolecules", *arguments)
        root = request.getfixturevalue("data_root")
        return certify("--dataset", "MUTAG", "--root", root, *arguments)

    return run


@pytest.mark.parametrize("model", ["gin", "gcn"])
def test_graphs_with_ablation_where_no_noise_is_named(
    model: str, graphs: Callable[..., Result], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = graphs("--task", "graph", "--model", model, *SHORT, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Certified graphs" in result.stdout
    assert "AblationNoise()" in result.stdout
    certificate = Certificate.load(out / "certificate.npz")
    assert len(certificate) in (12, 19)
    assert certificate.num_entities is not None and certificate.num_entities.min() >= 10
    settings = json.loads((out / "settings.json").read_text())["options"]
    assert (settings["task"], settings["lr"], settings["patience"]) == ("graph", 1e-2, 100)


def test_a_finished_run_of_graphs_is_resumed(
    graphs: Callable[..., Result], certify: Callable[..., Result], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("--task", "graph", "--noise", "gaussian", "--std", 1.0, *SHORT, "--out", out)
    assert graphs(*arguments).exit_code == 0
    before = (out / "certificate.npz").read_bytes()
    assert certify("--resume", out).exit_code == 0
    assert (out / "certificate.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--task", "graph", "--noise", "flips"),
            "'--noise' must be one of gaussian, ablation, laplace, uniform for",
        ),
        (("--noise", "ablation"), "'--dataset' must hold one graph for '--task' node (got 1"),
        (("--task", "graph", "--model", "gat"), "'--model' must be one of gin, gcn or"),
    ],
)
def test_what_does_not_fit_graphs(
    arguments: tuple[object, ...], sentence: str, graphs: Callable[..., Result], tmp_path: Path
) -> None:
    result = graphs(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_nodes(certify: Callable[..., Result], tmp_path: Path) -> None:
    for arguments, sentence in (
        (
            ("--task", "graph", "--dataset", "CitationSBM"),
            "'--dataset' must hold at least ten graphs for '--task' graph",
        ),
        (
            ("--model", "gin"),
            "'--model' must be one of gcn, gat, gatv2, appnp, sage or module:Class",
        ),
    ):
        result = certify(*arguments, "--out", tmp_path / "run")
        assert result.exit_code == 1
        assert sentence in " ".join(result.stderr.split())


def test_graphs_need_no_dataset_by_name(certify: Callable[..., Result], tmp_path: Path) -> None:
    result = certify("--task", "graph", *SHORT, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "RandomMolecules, gcn" in result.stdout


def test_sets_of_graphs(
    graphs: Callable[..., Result], certify: Callable[..., Result], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    small = ("--n0", 10, "--n", 60, "--max-epochs", 2, "--calibration", 30, "--num-workers", 0)
    result = graphs("--task", "graph", "--model", "gin", "--sets", 0.8, *small, "--out", run)
    assert "Prediction sets, coverage 0.8" in result.stdout
    told = " ".join(result.stdout.split())
    assert "With probability at least 0.8, over the random choice of calibration" in told
    found = json.loads((run / "results.json").read_text())["sets"]
    assert (found["nominal"], found["num_calibration"], found["num_classes"]) == (0.8, 30, 2)
    assert certify("--resume", run).exit_code == 0
