"""Votes on disk are continued under the very settings they were drawn with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier, smoothed_classifier
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint, read_votes
from pyg_hiersmooth.selection import BernoulliSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 5, 3


def smoothing(p: float | Tensor = 0.7, std: float = 0.5) -> HierarchicalNodeFeatureNoise:
    return HierarchicalNodeFeatureNoise(BernoulliSelection(p), GaussianNoise(std))


def draw(path: Path, num_samples: int, transform: Any = None, **options: Any) -> Tensor:
    """Votes of one small model on one small graph, continued from a file."""
    generator = torch.Generator().manual_seed(0)
    data = Data(
        x=torch.rand(N, D, generator=generator),
        edge_index=torch.randint(0, N, (2, 3 * N), generator=generator),
    )
    torch.manual_seed(0)
    classifier = SmoothedNodeClassifier(GCN(D + 1, C), transform or smoothing(), C)
    return classifier.sample_votes(
        data, num_samples, num_workers=0, progress=False, checkpoint=path, **options
    )


def refuses(path: Path, difference: str, *arguments: Any, **options: Any) -> None:
    """What is refused names the difference, and leaves the file as it was."""
    kept = path.read_bytes()
    with pytest.raises(ValueError, match=f"made with another {difference}"):
        draw(path, 30, *arguments, **options)
    assert path.read_bytes() == kept


@pytest.mark.parametrize("dense", [False, True])
def test_of_another_way_into_the_model(dense: bool, tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    draw(path, 20, dense=dense)
    refuses(path, f"'dense': {dense} there, {not dense} here", dense=not dense)
    assert draw(path, 30, dense=dense).sum() == 30 * N


def test_of_another_kind_of_device(tmp_path: Path) -> None:
    """A GPU draws other noise from the same seed."""
    path = tmp_path / "votes.npz"
    draw(path, 20)
    votes, num_samples, settings = read_votes(path)
    VoteCheckpoint(path, {**settings, "device": "cuda"}).save(Counted(votes, num_samples))
    refuses(path, "'device': cuda there, cpu here")


@pytest.mark.parametrize(
    "other", [smoothing(p=0.7 + 1e-9), smoothing(std=0.5 + 1e-9)], ids=["selection", "noise"]
)
def test_of_another_smoothing(other: HierarchicalNodeFeatureNoise, tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    draw(path, 20)
    refuses(path, "'transform'", other)


def test_of_another_smoothing_that_prints_alike(tmp_path: Path) -> None:
    """Probabilities of many nodes are summed up when printed, and told apart all the same."""
    path = tmp_path / "votes.npz"
    p = torch.linspace(0.6, 0.8, N)
    other = smoothing(p.flip(0))
    assert str(other) == str(smoothing(p))
    draw(path, 20, smoothing(p))
    refuses(path, "'smoothing'", other)


@pytest.mark.parametrize("progress", [False, True])
def test_a_number_that_was_asked_for_is_kept_from_the_start(
    progress: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    data = Data(x=torch.rand(N, D), edge_index=torch.randint(0, N, (2, 3 * N)))
    classifier = SmoothedNodeClassifier(GCN(D + 1, C), smoothing(), C)
    options: dict[str, Any] = {"num_workers": 0, "progress": progress, "checkpoint": tmp_path}

    def stop(*arguments: Any, **options: Any) -> Tensor:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(smoothed_classifier, "sample_votes", stop)  # among the pre-votes
        classifier.certify(data, n0=8, n=40, **options)
    assert {file.name for file in tmp_path.iterdir()} == {"pre_votes.npz", "votes.npz"}
    with pytest.raises(ValueError, match="was started with n=40"):
        classifier.certify(data, n0=8, n=80, **options)
    assert classifier.certify(data, n0=8, n=40, **options).n == 40


def test_a_number_that_is_fixed_in_advance_is_kept_in_a_file_that_others_began(
    tmp_path: Path,
) -> None:
    """Votes of a fixed number bound nothing once it is raised at the sight of them."""
    data = Data(x=torch.rand(N, D), edge_index=torch.randint(0, N, (2, 3 * N)))
    classifier = SmoothedNodeClassifier(GCN(D + 1, C), smoothing(), C)
    options: dict[str, Any] = {"progress": False, "num_workers": 0}
    classifier.sample_votes(data, 40, start=5, checkpoint=tmp_path / "votes.npz", **options)
    assert classifier.certify(data, 5, 40, checkpoint=tmp_path, **options).n == 40
    assert read_votes(tmp_path / "votes.npz")[2]["fixed_n"] == 40
    with pytest.raises(ValueError, match=r"started with n=40"):
        classifier.certify(data, 5, 60, checkpoint=tmp_path, **options)
