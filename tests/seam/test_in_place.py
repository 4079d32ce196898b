"""Row 9: a model that works in place on the graph it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.nn import SmoothedGraphClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call, weighted_call
from .small import ABLATION, FLIPS, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_refusal, right_or_refused


class InPlace(Linear):
    """Weighs the messages, after it has changed the graph in place."""

    def __init__(self, change: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        self.change(edge_index, edge_weight)
        h = edge_weight.view(-1, 1) * self.other(x)[edge_index[0]]
        return self.own(x) + torch.zeros(x.size(0), C).index_add(0, edge_index[1], h)


CHANGES: dict[str, Callable[[Tensor, Tensor], object]] = {
    "mul": lambda edges, weight: weight.mul_(-0.8),
    "data": lambda edges, weight: weight.data.mul_(-0.8),
    "clamp": lambda edges, weight: weight.sub_(0.05).clamp_(min=0),
    "item": lambda edges, weight: weight.__setitem__(slice(0, 5), weight[5:10].clone()),
    "roll": lambda edges, weight: edges.copy_(edges.roll(1, dims=1)),
    "flip": lambda edges, weight: edges.copy_(edges.flip(0)),
    "view": lambda edges, weight: weight.view(-1)[::2].neg_(),
    "numpy": lambda edges, weight: weight.numpy().__imul__(-0.8),
    "resize": lambda edges, weight: weight.set_(-weight.clone()),
}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", CHANGES)
def test_a_graph_that_is_changed_in_place(name: str, num_workers: int) -> None:
    data, model = make_graph(), seeded(InPlace, CHANGES[name])
    before = data.clone()
    truth = plain_votes(weighted_call, model, ABLATION, data, SAMPLES, C)
    right_or_refused(
        lambda: votes_of(model, data, num_workers=num_workers), truth, "edge_weight", "edge_index"
    )
    assert torch.equal(data.edge_weight, before.edge_weight)
    assert torch.equal(data.edge_index, before.edge_index)


def test_a_rare_change_in_place_is_not_missed() -> None:
    """No sample of a short check changes the graph, but a later one does."""

    class Rare(InPlace):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            if float(x[:N, -1].mean()) <= 0.7:
                self.change = lambda edges, weight: None
            else:
                self.change = CHANGES["mul"]
            return super().forward(x, edge_index, edge_weight)

    data, model = make_graph(), seeded(Rare, CHANGES["mul"])
    before = data.edge_weight.clone()
    truth = plain_votes(weighted_call, model, ABLATION, data, 200, C)
    right_or_refused(
        lambda: votes_of(model, data, num_samples=200, block_size=1), truth, "edge_weight"
    )
    assert torch.equal(data.edge_weight, before)


def test_a_sparse_adjacency_that_is_changed_in_place() -> None:
    class Sparse(Linear):
        def forward(self, x: Tensor, adj_t: Tensor) -> Tensor:
            adj_t.values().mul_(-0.8)
            return self.own(x) + adj_t @ self.other(x)

    data = make_graph()
    adjacency = torch.sparse_coo_tensor(data.edge_index.flip(0), data.edge_weight, (N, N))
    graph = Data(x=data.x, adj_t=adjacency.coalesce().to_sparse_csr())
    before, model = graph.adj_t.values().clone(), seeded(Sparse)
    # Sparse tensors are copied with the graph in the plain loop.
    truth = plain_votes(lambda m, x, g: m(x, g.adj_t), model, ABLATION, graph, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, graph), truth, "adj_t")
    assert torch.equal(graph.adj_t.values(), before)


@pytest.mark.parametrize("append_indicator", [True, False])
@pytest.mark.parametrize("noise", [ABLATION.noise, FLIPS.noise], ids=["ablation", "flips"])
@pytest.mark.parametrize("dense", [False, True])
def test_features_that_are_changed_in_place(
    dense: bool, noise: Any, append_indicator: bool
) -> None:
    class Features(Linear):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(x.mul_(-1).add_(0.5), edge_index)

    data = make_graph(binary=noise is FLIPS.noise)
    before = data.x.clone()
    transform = HierarchicalNodeFeatureNoise(0.5, noise, append_indicator)
    model = seeded(Features, D + append_indicator, seed=3)
    truth = plain_votes(pyg_call, model, transform, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data, transform, dense=dense), truth, "x", "dense")
    assert torch.equal(data.x, before)


def test_graphs_that_are_changed_in_place() -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gnn = GCN(D + 1, 8, 2, C)

        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, edge_weight: Tensor) -> Any:
            logits = self.gnn(x, edge_index, edge_weight.mul_(0.7))
            return torch.zeros(int(batch.max()) + 1, C).index_add(0, batch, logits)

    graphs = [make_graph(seed=seed) for seed in range(3)]
    before = [graph.edge_weight.clone() for graph in graphs]
    model, transform = seeded(Graph), HierarchicalNodeFeatureNoise(0.5, AblationNoise())
    classifier = SmoothedGraphClassifier(model, transform, C)
    votes = []
    for block_size in (1, 4):
        try:
            votes.append(
                classifier.sample_votes(graphs, SAMPLES, progress=False, block_size=block_size)
            )
        except ValueError as error:
            assert_refusal(error, "edge_weight", "block_size")
    assert len(votes) < 2 or torch.equal(*votes)
    for graph, weight in zip(graphs, before, strict=True):
        assert torch.equal(graph.edge_weight, weight)
