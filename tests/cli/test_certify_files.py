"""Files that people publish, as ``--dataset PATH``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import CitationSBM


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = CitationSBM()[0]
    np.savez(
        tmp_path / "own.npz",
        node_features=data.x.numpy(),
        node_labels=data.y.numpy(),
        edges=data.edge_index.t().numpy(),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_certified_as_the_dataset_in_it(
    certify: Callable[..., Result], published: Path
) -> None:
    votes = []
    for dataset in ("own.npz", "CitationSBM"):
        folder = published / Path(dataset).stem
        options = ["--max-epochs", 2, "--n0", 5, "--n", 20, "--num-workers", 0, "--out", folder]
        result = certify("--dataset", dataset, *options)
        assert result.exit_code == 0, result.output
        votes.append(Certificate.load(folder / "certificate.npz").votes)
    assert np.array_equal(*votes)
    settings = json.loads((published / "own" / "settings.json").read_text())
    assert "own.npz" in json.dumps(settings)


def test_a_file_names_its_folder(certify: Callable[..., Result], published: Path) -> None:
    options = ["--max-epochs", 1, "--n0", 5, "--n", 20, "--num-workers", 0]
    result = certify("--dataset", published / "own.npz", *options)
    assert result.exit_code == 0, result.output
    assert (published / "runs" / "own-gcn-flips-seed0").is_dir()
    assert "own, gcn" in result.output


def test_a_file_that_is_none(certify: Callable[..., Result], published: Path) -> None:
    result = certify("--dataset", "other.npz")
    assert result.exit_code != 0 and "other.npz" in result.output
    (published / "bad.npz").write_text("no zip")
    result = certify("--dataset", "bad.npz")
    assert result.exit_code != 0 and "must be an .npz file" in " ".join(result.output.split())
