"""Exact certificates from the engine, against every attack in a small world."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.nn import (
    SmoothedGraphClassifier,
    SmoothedImageClassifier,
    SmoothedNodeClassifier,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

EDGES = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 4], [1, 2, 3, 4, 0, 1, 2, 3]])
VALUES = (0.0, 1.0, 3.0)


class Table(nn.Module):
    """Votes by a table over what is seen of a node and its neighbors: no smooth function."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("place", torch.randn(2, 1, generator=generator))
        self.register_buffer("table", torch.randint(0, 3, (64,), generator=generator))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        own = x @ self.place
        code = own.index_add(0, edge_index[1], 0.7 * own[edge_index[0]])
        return F.one_hot(self.table[(code.view(-1) * 9).long() % 64], 3).float()


def partition(groups: int, partitions: int) -> HierarchicalNodeFeatureNoise:
    return HierarchicalNodeFeatureNoise(PartitionSelection(groups, partitions), AblationNoise())


def certify(x: Tensor, seed: int, groups: int, partitions: int, **options: Any) -> Certificate:
    classifier = SmoothedNodeClassifier(Table(seed), partition(groups, partitions), 3)
    return classifier.certify(Data(x=x, edge_index=EDGES), progress=False, **options)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("groups", "partitions"), [(3, 1), (5, 1), (5, 2), (4, 3)])
def test_no_attack_contradicts_a_claim(seed: int, groups: int, partitions: int) -> None:
    """All values of all sets of r = 1, 2 of 5 nodes."""
    x = torch.tensor([[1.0], [0.0], [1.0], [3.0], [0.0]])
    clean = certify(x, seed, groups, partitions)
    assert clean.exact and clean.simultaneous
    model = Table(seed)
    masks = [
        PartitionSelection(groups, partitions).mask(i, [5]) for i in range(groups * partitions)
    ]

    def majority(values: Tensor) -> np.ndarray:
        votes = torch.zeros(5, 3, dtype=torch.long)
        for mask in masks:
            seen = torch.cat([values.masked_fill(mask.view(-1, 1), 0), mask.view(-1, 1)], 1)
            votes[torch.arange(5), model(seen, EDGES).argmax(1)] += 1
        top = votes.sort(dim=1).values
        return np.where(top[:, -1] > top[:, -2], votes.argmax(1), -1)

    assert np.array_equal(majority(x), clean.prediction)
    for r in (1, 2):
        robust = clean.is_robust(r)
        for nodes in itertools.combinations(range(5), r):
            for values in itertools.product(VALUES, repeat=r):
                attacked = x.clone()
                attacked[list(nodes), 0] = torch.tensor(values)
                kept = majority(attacked) == clean.prediction
                assert kept[robust].all()


def test_the_same_for_any_workers_blocks_and_after_an_interruption(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, model = torch.rand(5, 3), GCN(4, 8, 2, 3)
    classifier = SmoothedNodeClassifier(model, partition(4, 5), 3)
    data = Data(x=x, edge_index=EDGES)
    certificate = classifier.certify(data, progress=False)
    counts = certificate.p_lower * 20
    assert np.array_equal(counts, counts.round())
    for options in (
        {"num_workers": 2},
        {"block_size": 1},
        {"block_size": 7},
        {"dense": True},
        {"seed": 5},
        {"checkpoint": tmp_path},
        {"checkpoint": tmp_path},
    ):
        again = classifier.certify(data, progress=False, **options)
        assert np.array_equal(again.p_lower, certificate.p_lower)
        assert np.array_equal(again.p_upper, certificate.p_upper)
    assert [file.name for file in tmp_path.iterdir()] == ["votes.npz"]


@pytest.mark.parametrize(
    "given", [{"n0": 5}, {"n": 5}, {"alpha": 0.1}, {"simultaneous": False}], ids=str
)
def test_what_belongs_to_sampling_is_not_taken(given: Any) -> None:
    with pytest.raises(ValueError, match=f"'{next(iter(given))}' belongs to sampling"):
        certify(torch.rand(5, 1), 0, 3, 1, **given)


def test_a_model_that_draws_random_numbers_is_refused() -> None:
    class Drops(GCN):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.3), edge_index)

    classifier = SmoothedNodeClassifier(Drops(4, 8, 2, 3), partition(4, 5), 3)
    with pytest.raises(ValueError, match="draws random numbers, so that no certificate of it"):
        classifier.certify(Data(x=torch.rand(5, 3), edge_index=EDGES), progress=False)


def test_a_noise_that_draws_is_sampled() -> None:
    torch.manual_seed(0)
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(4, 5), GaussianNoise(0.5))
    classifier = SmoothedNodeClassifier(GCN(4, 8, 2, 3), transform, 3)
    data = Data(x=torch.rand(5, 3), edge_index=EDGES)
    certificate = classifier.certify(data, 20, 50, progress=False)
    assert not certificate.exact


def test_graphs_and_images_are_exact_too() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.gnn = GCN(3, 8, 2, 2)

        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            nodes = self.gnn(x, edge_index)
            return nodes.new_zeros(int(batch.max()) + 1, 2).index_add(0, batch, nodes)

    graphs = [Data(x=torch.rand(5, 2), edge_index=EDGES) for _ in range(3)]
    some = SmoothedGraphClassifier(Pooled(), partition(3, 4), 2).certify(graphs, progress=False)
    assert some.exact and some.num_entities.tolist() == [5, 5, 5]
    images = torch.rand(4, 1, 3, 3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(18, 3))
    pixels = SmoothedImageClassifier(net, partition(4, 2), 3).certify(images, progress=False)
    assert pixels.exact and len(pixels) == 4
