from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.transforms as T
from scipy.stats import binom
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

GAUSSIAN = HierarchicalNodeFeatureNoise({"author": 0.7}, GaussianNoise(1.0))


def make_graph() -> HeteroData:
    generator = torch.Generator().manual_seed(0)
    data = HeteroData()
    data["paper"].x = torch.rand(6, 5, generator=generator)
    data["author"].x = torch.rand(4, 3, generator=generator)
    data["venue"].num_nodes = 2
    for source, target, edges in (("author", "paper", 12), ("paper", "author", 9)):
        ends = (data[source].num_nodes, data[target].num_nodes)
        index = [torch.randint(0, end, (edges,), generator=generator) for end in ends]
        data[source, "to", target].edge_index = torch.stack(index)
    return data


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = HeteroConv(
            {
                ("author", "to", "paper"): SAGEConv((4, 5), 3),
                ("paper", "to", "author"): SAGEConv((5, 4), 3),
            }
        )

    def forward(self, x_dict: dict[str, Tensor], edge_index_dict: dict[Any, Any]) -> Any:
        return self.conv(x_dict, edge_index_dict)


def smoothed(node_type: str | None = "paper", **options: Any) -> SmoothedNodeClassifier:
    return SmoothedNodeClassifier(Model(), GAUSSIAN, 3, node_type=node_type, **options)


@pytest.mark.parametrize(("node_type", "num_targets"), [("paper", 6), ("author", 4)])
def test_votes_for_a_target_type(node_type: str, num_targets: int) -> None:
    data, classifier = make_graph(), smoothed(node_type)
    votes = classifier.sample_votes(data, 80, progress=False, num_workers=0)
    assert votes.shape == (num_targets, 3)
    assert bool((votes.sum(1) == 80).all())
    one = classifier.sample_votes(data, 80, progress=False, num_workers=2, block_size=1)
    assert torch.equal(one, votes)
    some = classifier.sample_votes(data, 80, node_index=[3, 1], progress=False)
    assert torch.equal(some, votes[[3, 1]])
    certificate = classifier.certify(data, 20, 80, progress=False)
    assert certificate.num_entities.tolist() == [4] * num_targets  # the authors may change
    assert certificate.num_features == 3


@pytest.mark.parametrize("layout", [None, torch.sparse_csr])
def test_same_votes_from_sparse_adjacencies(layout: torch.layout | None) -> None:
    if layout is None:
        pytest.importorskip("torch_sparse")
    torch.manual_seed(1)
    data = make_graph()
    for store in data.edge_stores:  # sparse adjacencies hold an edge once
        store.edge_index = store.edge_index.unique(dim=1)
    votes = smoothed().sample_votes(data, 60, progress=False, num_workers=0)
    sparse = T.ToSparseTensor(layout=layout)(data)
    assert torch.equal(smoothed().sample_votes(sparse, 60, progress=False, num_workers=0), votes)


def test_only_the_noised_type_changes() -> None:
    data = make_graph()
    papers = float(data["paper"].x.sum())

    def forward(model: nn.Module, x: Tensor, graph: HeteroData) -> Tensor:
        assert x.shape == (4, 4)
        assert float(graph["paper"].x.sum()) == papers
        assert "x" not in graph["author"]
        return model({"author": x, "paper": graph["paper"].x}, graph.edge_index_dict)["paper"]

    custom = smoothed(forward=forward).sample_votes(
        data, 40, progress=False, num_workers=0, block_size=1
    )
    plain = smoothed().sample_votes(data, 40, progress=False, num_workers=0)
    assert torch.equal(custom, plain)
    assert torch.equal(data["author"].x, make_graph()["author"].x)


def test_vote_probabilities_equal_exact_enumeration() -> None:
    """Papers vote by a table over all bits of the two authors."""
    table = torch.randint(0, 3, (3, 16), generator=torch.Generator().manual_seed(5))
    place, clean, p, num = torch.tensor([1.0, 2.0, 4.0, 8.0]), (0, 1), 0.6, 4000
    flips = SparseFlipNoise(0.3, 0.7)

    class Table(nn.Module):
        def forward(self, x_dict: dict[str, Tensor], edge_index_dict: Any) -> dict[str, Tensor]:
            code = (x_dict["author"].view(-1, 4) @ place).long()
            return {"paper": nn.functional.one_hot(table[:, code].t(), 3).float().view(-1, 3)}

    data = HeteroData()
    data["author"].x = torch.tensor([clean]).float().t()
    data["paper"].x = torch.zeros(3, 1)
    transform = HierarchicalNodeFeatureNoise({"author": p}, flips)
    classifier = SmoothedNodeClassifier(Table(), transform, 3, node_type="paper")
    votes = classifier.sample_votes(data, num, seed=1, progress=False, num_workers=0)
    exact = np.zeros((3, 3))
    for tau, z in itertools.product(itertools.product((0, 1), repeat=2), repeat=2):
        weight = 1.0
        for t, before, after in zip(tau, clean, z, strict=True):
            flip = (flips.p_minus if before else flips.p_plus) if t else 0.0
            weight *= (p if t else 1 - p) * (flip if after != before else 1 - flip)
        rows = torch.tensor([z, tau]).float().t().reshape(-1)
        for paper in range(3):
            exact[paper, int(table[paper, int(rows @ place)])] += weight
    # 9 two-sided tests, each wrong once in a million: a false alarm in 1e-5 of seeds.
    low, high = binom.ppf(0.5e-6, num, exact), binom.ppf(1 - 0.5e-6, num, exact)
    assert ((low <= votes.numpy()) & (votes.numpy() <= high)).all()


def test_a_fixed_number_of_the_noised_type() -> None:
    transform = HierarchicalNodeFeatureNoise({"author": FixedSizeSelection(3)}, GaussianNoise(1.0))
    classifier = SmoothedNodeClassifier(Model(), transform, 3, node_type="paper")
    assert classifier.certify(make_graph(), 20, 50, progress=False).num_entities[0] == 4


@pytest.mark.parametrize(
    ("p", "node_type", "message"),
    [
        ({"author": 0.7}, None, "a HeteroData needs SmoothedNodeClassifier(..., node_type=...)"),
        ({"author": 0.7}, "editor", "'node_type' must be a node type of the graph, ['paper'"),
        ({"editor": 0.7}, "paper", "'p' names the node type 'editor', but the graph has ['paper'"),
        ({"venue": 0.7}, "paper", "'p' names the node type 'venue', which has no features 'x'"),
        (0.7, "paper", "cover the noise of one node type, p={node_type: ...} (got ['paper', 'aut"),
        ({"author": 0.7, "paper": 0.8}, "paper", "(got ['author', 'paper'])"),
    ],
)
def test_bad_node_types(p: Any, node_type: str | None, message: str) -> None:
    transform = HierarchicalNodeFeatureNoise(p, GaussianNoise(1.0))
    classifier = SmoothedNodeClassifier(Model(), transform, 3, node_type=node_type)
    with pytest.raises(ValueError) as caught:
        classifier.sample_votes(make_graph(), 10, progress=False)
    assert message in str(caught.value)


def test_a_homogeneous_graph_has_no_node_type() -> None:
    with pytest.raises(ValueError, match="'node_type' needs a HeteroData"):
        smoothed().sample_votes(Data(x=torch.rand(3, 3)), 10, progress=False)
