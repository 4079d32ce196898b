"""Adjacencies that are kept: of the graph's own edges, for the settings of one call, and never of
edges or weights that a model makes from features.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call, weighted_call
from .small import ABLATION, SAMPLES, C, D, N, make_graph, seeded, votes_of
from .verdict import assert_votes, right_or_refused

WIDTH = D + 1


def simple(num_nodes: int = N) -> Data:
    """Without weights, each edge once."""
    data = make_graph(num_nodes)
    return Data(x=data.x, edge_index=data.edge_index.unique(dim=1))


DATA = simple()


class Toggles(nn.Module):
    """Calls one convolution in two ways within a call, and puts its settings back."""

    def __init__(self, name: str, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.name, self.conv = name, build()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        own = getattr(self.conv, self.name)
        one = self.conv(x, edge_index)
        setattr(self.conv, self.name, not own)
        other = self.conv(x, edge_index)
        setattr(self.conv, self.name, own)
        return one[:, :C] - 1.5 * other[:, :C]


CACHING: dict[str, Callable[[], nn.Module]] = {
    "GCN": lambda: gnn.GCNConv(WIDTH, C),
    "APPNP": lambda: gnn.APPNP(2, 0.1),
    "EG": lambda: gnn.EGConv(WIDTH, 4, aggregators=["symnorm"], num_heads=2),
    "SG": lambda: gnn.SGConv(WIDTH, C, K=2),
    "SSG": lambda: gnn.SSGConv(WIDTH, C, 0.1, K=2),
}


@pytest.mark.parametrize("audit", [None, 1.0])
@pytest.mark.parametrize("name", CACHING)
def test_one_convolution_with_two_settings(name: str, audit: float | None) -> None:
    model = seeded(Toggles, "add_self_loops", CACHING[name])
    truth = plain_votes(pyg_call, model, ABLATION, DATA, SAMPLES, C)
    assert_votes(votes_of(model, DATA, audit=audit), truth)


def test_a_forward_of_the_users_own_on_a_convolution_stays() -> None:
    def forward(self: Any, x: Tensor, edge_index: Tensor, edge_weight: Any = None) -> Tensor:
        return gnn.GCNConv.forward(self, x, edge_index) * x.new_tensor([1.0, -1.0, 3.0])

    model = seeded(gnn.GCN, WIDTH, 8, 1, C)
    model.convs[0].forward = types.MethodType(forward, model.convs[0])
    truth = plain_votes(pyg_call, model, ABLATION, DATA, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, DATA), truth)


class InPlace(nn.Module):
    """Writes weights into the graph's own, and puts them back."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.way = gnn.GCNConv(WIDTH, C), way

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        clean, factor = edge_weight.clone(), torch.sigmoid(4 * x[edge_index[0], 0])
        weight = edge_weight.data if self.way == "data" else edge_weight
        if self.way == "numpy":
            weight = torch.from_numpy(edge_weight.numpy())
        weight.mul_(factor)
        out = self.conv(x, edge_index, edge_weight)
        weight.copy_(clean)
        return out


@pytest.mark.parametrize("way", ["data", "numpy", "as it is"])
def test_weights_that_are_changed_in_place(way: str) -> None:
    data, model = make_graph(), seeded(InPlace, way)
    truth = plain_votes(weighted_call, model, ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data), truth)


class SetsValues(nn.Module):
    """Gives a sparse matrix other values for the time of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.GCNConv(WIDTH, C)

    def forward(self, x: Tensor, adj_t: Any) -> Tensor:
        own, columns = adj_t.storage.value(), adj_t.storage.col()
        adj_t.set_value_(own * torch.sigmoid(4 * x[columns, 0]), layout="coo")
        out = self.conv(x, adj_t)
        adj_t.set_value_(own, layout="coo")
        return out


@pytest.mark.skipif(
    not WITH_TORCH_SPARSE,
    reason="only a matrix of the optional torch-sparse has set_value_",
)
def test_matrices_that_are_given_other_values() -> None:
    plain, model = make_graph(), seeded(SetsValues)
    row, col = plain.edge_index
    adj_t = SparseTensor(row=col, col=row, value=plain.edge_weight, sparse_sizes=(N, N))
    data = Data(x=plain.x, adj_t=adj_t)
    truth = plain_votes(lambda m, x, d: m(x, d.adj_t), model, ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data), truth)


# Pruning ----------------------------------------------------------------------------------------


def drops_empty(x: Tensor, edges: Tensor) -> tuple[Tensor, None]:
    """The model of the attack: no edges from rows without a one."""
    empty = x[:, :-1].sum(1) == 0
    return edges[:, ~empty[edges[0]]], None


def similarity(x: Tensor, edges: Tensor) -> Tensor:
    return torch.cosine_similarity(x[edges[0]], x[edges[1]], dim=1)


def guarded(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """GNNGuard (Zhang & Zitnik 2020): edges weighted by how much their ends have in common."""
    alike = similarity(x, edges).clamp(min=0)
    return edges, alike * (alike > 0.1)


def jaccard(x: Tensor, edges: Tensor) -> tuple[Tensor, None]:
    """Jaccard pruning (Wu et al. 2019)."""
    a, b = x[edges[0]] > 0, x[edges[1]] > 0
    share = (a & b).sum(1) / (a | b).sum(1).clamp(min=1)
    return edges[:, share > 0.15], None


def nearest(x: Tensor, edges: Tensor) -> tuple[Tensor, None]:
    near = torch.cdist(x, x).topk(3, largest=False).indices
    own = torch.arange(x.size(0)).view(-1, 1).expand_as(near)
    return torch.stack([near.flatten(), own.flatten()]), None


PRUNES = {"empty": drops_empty, "guard": guarded, "jaccard": jaccard, "nearest": nearest}


class Prunes(nn.Module):
    def __init__(self, how: str, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.how, self.conv = how, build()
        self.lin = nn.Linear(WIDTH, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        edges, weight = PRUNES[self.how](x, edge_index)
        given = (x, x) if isinstance(self.conv, gnn.GCN2Conv | gnn.FAConv) else (x,)
        if isinstance(self.conv, gnn.DNAConv):
            given = (x.unsqueeze(1).repeat(1, 2, 1),)
        out = self.conv(*given, edges) if weight is None else self.conv(*given, edges, weight)
        return out if out.size(1) == C else self.lin(out)


CONVS: dict[str, Callable[[], nn.Module]] = {
    "GCN": lambda: gnn.GCNConv(WIDTH, C),
    "APPNP": lambda: gnn.APPNP(2, 0.1),
    "EG": lambda: gnn.EGConv(WIDTH, WIDTH, aggregators=["symnorm"], num_heads=1),
    "GCN2": lambda: gnn.GCN2Conv(WIDTH, 0.1),
    "FA": lambda: gnn.FAConv(WIDTH),
    "DNA": lambda: gnn.DNAConv(WIDTH),
    "SG": lambda: gnn.SGConv(WIDTH, C, K=2),
    "SSG": lambda: gnn.SSGConv(WIDTH, C, 0.1, K=2),
}
WITHOUT_WEIGHTS = {"EG", "FA"}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("how", PRUNES)
@pytest.mark.parametrize("name", CONVS)
def test_models_that_prune_edges(name: str, how: str) -> None:
    if how == "guard" and name in WITHOUT_WEIGHTS:
        pytest.skip("takes no weights")
    data = make_graph(binary=True)
    data = Data(x=data.x, edge_index=data.edge_index.unique(dim=1))
    transform = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.05, 0.5))
    model = seeded(Prunes, how, CONVS[name], seed=3)
    truth = plain_votes(pyg_call, model, transform, data, SAMPLES, C)
    assert torch.equal(votes_of(model, data, transform), truth)
    assert torch.equal(votes_of(model, data, transform, dense=True, block_size=1), truth)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("how", ["guard", "jaccard"])
@pytest.mark.parametrize("name", CONVS)
def test_models_that_prune_edges_and_ask_for_a_cache(name: str, how: str) -> None:
    """The cache that the model asks for is its author's mistake: the votes are those without."""
    if how == "guard" and name in WITHOUT_WEIGHTS:
        pytest.skip("takes no weights")
    data = make_graph()
    transform = HierarchicalNodeFeatureNoise(0.5, GaussianNoise(1.0))
    model = seeded(Prunes, how, CONVS[name], seed=3)
    truth = plain_votes(pyg_call, model, transform, data, SAMPLES, C)
    model.conv.cached = True
    right_or_refused(lambda: votes_of(model, data, transform, dense=True), truth)


class Ring(nn.Module):
    """As in the attack: a bias that decides, unless a pruned edge or a deleted bit does."""

    def __init__(self, bias: float, pools: bool) -> None:
        super().__init__()
        self.conv, self.pools = gnn.GCNConv(5, 2, bias=False), pools
        self.bias = nn.Parameter(torch.tensor([0.0, bias]))
        with torch.no_grad():
            self.conv.lin.weight.fill_(1e-4)
            self.conv.lin.weight[:, -1] = torch.tensor([0.0, 1.0])

    def forward(self, x: Tensor, edge_index: Tensor, batch: Any = None) -> Tensor:
        edges, _ = drops_empty(x, edge_index)
        out = self.conv(x, edges) + torch.stack([self.bias[1], self.bias[0]])
        return gnn.global_mean_pool(out, batch) if self.pools else out


def ring(num_nodes: int = 8) -> Data:
    nodes = torch.arange(num_nodes)
    edges = torch.stack([nodes, nodes.roll(1)])
    x = torch.ones(num_nodes, 4)
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], dim=1))


def test_the_first_attack() -> None:
    transform = HierarchicalNodeFeatureNoise(0.9, SparseFlipNoise(0.01, 0.3))
    clean = ring()
    attacked = clean.clone()
    attacked.x[0] = 0
    model = Ring(0.95, pools=False).eval()
    for data in (clean, attacked):
        truth = plain_votes(pyg_call, model, transform, data, 400, 2)
        smoothed = SmoothedNodeClassifier(model, transform, 2)
        votes = smoothed.sample_votes(data, 400, progress=False, num_workers=0)
        assert torch.equal(votes, truth)


def test_the_first_attack_on_graph_batches() -> None:
    transform = HierarchicalNodeFeatureNoise(0.9, SparseFlipNoise(0.01, 0.3))
    graphs = [ring(8), ring(6), ring(8)]
    graphs[1].x[2] = 0
    model = Ring(0.985, pools=True).eval()
    smoothed = SmoothedGraphClassifier(model, transform, 2)
    votes = smoothed.sample_votes(graphs, 300, progress=False, num_workers=0)
    sizes = [graph.num_nodes or 0 for graph in graphs]
    draw = transform.prepare(torch.cat([graph.x for graph in graphs]), sizes)
    truth = torch.zeros(3, 2, dtype=torch.long)
    for sample in range(300):
        parts = draw(RandomStream(0, 0, sample)).split(sizes)
        for number, (graph, x) in enumerate(zip(graphs, parts, strict=True)):
            with torch.no_grad():
                truth[number, model(x, graph.edge_index).argmax()] += 1
    assert torch.equal(votes, truth)


@pytest.mark.parametrize("rate", [1e-1, 1e-2, 1e-3])
def test_pruning_that_is_rare(rate: float) -> None:
    """Edges from rows whose first entry is beyond a quantile of the noise."""
    limit = float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - rate)))

    class Rare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = gnn.GCNConv(WIDTH, C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x, edge_index[:, x[edge_index[0], 0] < limit])

    data = simple()
    data.x[:, 0] = 0
    transform = HierarchicalNodeFeatureNoise(0.9, GaussianNoise(1.0))
    model = seeded(Rare)
    truth = plain_votes(pyg_call, model, transform, data, 200, C)
    assert torch.equal(votes_of(model, data, transform, 200, dense=True), truth)
    votes_of(model, data, transform, 200)  # draws behind the first linear map, if at all


def test_ablation_is_pruned_too() -> None:
    transform = HierarchicalNodeFeatureNoise(0.5, AblationNoise())
    model = seeded(Prunes, "guard", CONVS["GCN"], seed=3)
    truth = plain_votes(pyg_call, model, transform, DATA, SAMPLES, C)
    assert_votes(votes_of(model, DATA, transform), truth)
