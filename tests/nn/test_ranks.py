"""Smoothed classifiers in a group of ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth import models
from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.nn import (
    SmoothedGraphClassifier,
    SmoothedImageClassifier,
    SmoothedNodeClassifier,
)
from pyg_hiersmooth.nn.voters import sharded_voter
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.sampling import current_ranks
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

OnRanks = Callable[..., list[Any]]

FLIPS = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.1, 0.6))
GAUSSIAN = HierarchicalNodeFeatureNoise(0.6, GaussianNoise(0.5))
MASKS = HierarchicalNodeFeatureNoise(PartitionSelection(5, 2), AblationNoise())


def graph(num_nodes: int = 30, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(num_nodes, 9, generator=generator) < 0.3).float()
    return Data(x=x, edge_index=torch.randint(0, num_nodes, (2, 90), generator=generator))


def nodes(transform: Any, **options: Any) -> SmoothedNodeClassifier:
    torch.manual_seed(0)
    return SmoothedNodeClassifier(models.GCN(10, 3), transform, 3, **options)


def graphs(transform: Any) -> SmoothedGraphClassifier:
    torch.manual_seed(0)
    return SmoothedGraphClassifier(models.build_model("gin", 10, 3, "graph"), transform, 3)


def images(transform: Any) -> SmoothedImageClassifier:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(24, 3))
    return SmoothedImageClassifier(model, transform, 3)


def many() -> list[Data]:
    return [graph(size, size) for size in (3, 8, 5)]


def pixels() -> Tensor:
    return torch.rand(3, 2, 3, 4, generator=torch.Generator().manual_seed(0))


SAMPLED = {"n0": 20, "n": 130}
FEW = {"n0": 3, "n": 20}
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any], dict[str, int]]] = {
    "nodes": (lambda: nodes(FLIPS), graph, SAMPLED),
    "graphs in shards": (lambda: graphs(GAUSSIAN), many, FEW),
    "images in shards": (lambda: images(GAUSSIAN), pixels, FEW),
    "exact": (lambda: nodes(MASKS), graph, {}),
}


def bounds(certificate: Certificate) -> list[Any]:
    each = (certificate.prediction, certificate.p_lower, certificate.p_upper)
    return [np.asarray(values).tolist() for values in each if values is not None]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("case", CASES)
def test_all_ranks_return_the_certificate_of_one_process(
    case: str, on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_voter, "ENTITIES_PER_SHARD", 13)
    classifier, data, samples = CASES[case]
    alone = classifier().certify(data(), **samples, num_workers=0, progress=False)

    def work(rank: int) -> Any:
        together = classifier().certify(data(), **samples, num_workers=0, progress=False)
        return bounds(together)

    assert on_ranks(work) == [bounds(alone)] * 2


def test_votes_of_a_range_and_the_estimate_of_probabilities(on_ranks: OnRanks) -> None:
    alone = nodes(FLIPS).sample_votes(graph(), 99, 3, start=17, num_workers=0, progress=False)
    estimate = nodes(FLIPS)(graph(), 50)

    def work(rank: int) -> Any:
        votes = nodes(FLIPS).sample_votes(graph(), 99, 3, start=17, num_workers=0, progress=False)
        return votes.tolist(), nodes(FLIPS)(graph(), 50).tolist()

    assert on_ranks(work) == [(alone.tolist(), estimate.tolist())] * 2


def test_the_first_rank_alone_writes(tmp_path: Path, on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        written: list[str] = []

        def listen(event: str, arguments: Any) -> None:
            if event == "open" and isinstance(arguments[0], str) and arguments[2] & os.O_RDWR:
                written.append(arguments[0])
            if event in ("os.mkdir", "os.rename"):
                written.append(str(arguments[0]))

        sys.addaudithook(listen)
        folder = tmp_path / "votes"
        nodes(FLIPS).certify(graph(), 20, 130, num_workers=0, progress=False, checkpoint=folder)
        return [path for path in written if str(tmp_path) in path]

    first, second = on_ranks(work)
    assert second == []
    assert first[0] == str(tmp_path / "votes") and len(first) > 4
    assert {file.name for file in (tmp_path / "votes").iterdir()} == {"pre_votes.npz", "votes.npz"}


def other_weights(classifier: SmoothedNodeClassifier) -> None:
    with torch.no_grad():
        next(classifier.parameters()).add_(1.0)


@pytest.mark.parametrize(
    ("change", "arguments", "name"),
    [
        (None, {"n": 131}, "n"),
        (None, {"alpha": 0.02}, "alpha"),
        (None, {"seed": 1}, "seed"),
        (None, {"node_index": [*range(29), 28]}, "targets"),
        (None, {"data": Data(x=1 - graph().x, edge_index=graph().edge_index)}, "features"),
        (None, {"data": Data(x=graph().x, edge_index=graph(seed=1).edge_index)}, "objects"),
        (other_weights, {}, "model weights"),
    ],
)
def test_ranks_with_other_data_or_arguments_are_refused_by_name(
    change: Callable[[Any], None] | None, arguments: dict[str, Any], name: str, on_ranks: OnRanks
) -> None:
    def work(rank: int) -> Any:
        classifier = nodes(FLIPS)
        if rank == 1 and change is not None:
            change(classifier)
        own = arguments if rank == 1 else {}
        taken = {"data": graph(), "node_index": [*range(30)], **SAMPLED, **own}
        return classifier.certify(**taken, num_workers=0, progress=False)

    outcomes = on_ranks(work)
    for error in outcomes:
        assert isinstance(error, ValueError)
        assert f"all ranks must have the same '{name}' (got" in str(error)
    assert str(outcomes[0]) == str(outcomes[1])


def test_another_way_to_call_the_model_is_found_by_its_logits(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
            return (1.0 + rank) * model(x, data.edge_index)

        return nodes(FLIPS, forward=forward).certify(graph(), **SAMPLED, progress=False)

    assert ["'trial logits'" in str(error) for error in on_ranks(work)] == [True, True]


@pytest.mark.parametrize("bad", [{"n": 0}, {"data": Data(x=graph().x)}, {"num_workers": -1}])
def test_an_argument_that_is_wrong_on_one_rank_ends_all(
    bad: dict[str, Any], on_ranks: OnRanks
) -> None:
    def work(rank: int) -> Any:
        own = bad if rank == 1 else {}
        return nodes(FLIPS).certify(**{"data": graph(), **SAMPLED, **own}, progress=False)

    first, second = on_ranks(work, seconds=30.0)
    assert isinstance(first, ValueError) and str(first) == str(second) != ""


def test_a_model_that_fails_on_one_rank_ends_all(
    on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = ForwardVoter.cast

    def fail_sometimes(voter: ForwardVoter, samples: range) -> Any:
        if current_ranks().rank == 1 and samples.stop > 100:
            raise RuntimeError("the GPU is out of memory")
        return cast(voter, samples)

    monkeypatch.setattr(ForwardVoter, "cast", fail_sometimes)

    def work(rank: int) -> Any:
        nodes(FLIPS).certify(graph(), **SAMPLED, num_workers=0, progress=False)

    outcomes = on_ranks(work, seconds=30.0)
    assert [str(error) for error in outcomes] == ["the GPU is out of memory"] * 2


def test_ranks_stop_where_one_process_does(on_ranks: OnRanks) -> None:
    options: dict[str, Any] = {"n": 200, "until": {"r": 1, "deletions": 1}, "progress": False}
    alone = nodes(FLIPS).certify(graph(), num_workers=0, **options)

    def work(rank: int) -> Any:
        certificate = nodes(FLIPS).certify(graph(), num_workers=0, **options)
        return certificate.num_samples.tolist(), certificate.p_lower.tolist()

    expected = alone.num_samples.tolist(), alone.p_lower.tolist()
    assert on_ranks(work) == [expected, expected]
    assert len(set(expected[0])) > 1
