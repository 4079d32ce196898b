"""What the graph is turned into for sampling changes no vote, and holds nothing of features."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import (
    APPNP,
    ARMAConv,
    ChebConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    HeteroConv,
    PNAConv,
    RGCNConv,
    SAGEConv,
    SGConv,
    TopKPooling,
    TransformerConv,
)
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import WITH_TORCH_SPARSE

from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import Call, plain_votes, pyg_call, weighted_call
from .small import ABLATION, SAMPLES, C, D, Linear, N, make_graph, seeded
from .verdict import assert_votes, right_or_refused

CSR = "torch.sparse CSR"
FUSED = "SparseTensor" if WITH_TORCH_SPARSE else "edge_index"


def simple(directed: bool = False, loops: bool = False) -> Data:
    """A graph without repeated edges."""
    data = make_graph()
    edges = data.edge_index[:, : N * 2] if directed else data.edge_index
    edges = edges[:, edges[0] != edges[1]]
    if loops:
        edges = torch.cat([edges, torch.arange(0, N, 3).repeat(2, 1)], dim=1)
    data.edge_index = edges.unique(dim=1)
    del data.edge_weight
    return data


def weighted(data: Data) -> Data:
    """The same weight in both directions of an edge."""
    low, high = data.edge_index.sort(dim=0).values
    data.edge_weight = 0.2 + ((7 * low + 3 * high) % 5) / 2
    return data


def sampled(
    model: nn.Module, data: Data, forward: Any = None, transform: Any = ABLATION, **options: Any
) -> tuple[Tensor, str]:
    """Votes by the engine, and the form of the graph that it says it took."""
    classifier = SmoothedNodeClassifier(model, transform, C, forward=forward)
    votes = classifier.sample_votes(data, SAMPLES, progress=False, num_workers=0, **options)
    return votes, str(classifier.adjacency)


def check(
    build: Callable[[], nn.Module], data: Data, expected: str, call: Call = pyg_call, **kw: Any
) -> None:
    """The votes are those of a plain loop, and the form is the expected one."""
    for seed in range(1, 30):
        truth = plain_votes(call, seeded(build, seed=seed), ABLATION, data, SAMPLES, C)
        if bool((truth.max(dim=1).values < SAMPLES).any()):
            break
    for block_size in (1, None):
        votes, form = sampled(seeded(build, seed=seed), data, block_size=block_size, **kw)
        assert_votes(votes, truth)
        assert form == expected or form.startswith(f"{expected} ("), form


class Layers(nn.Module):
    """Two convolutions behind a linear map."""

    def __init__(self, make: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.first = nn.Linear(D + 1, 8)
        self.convs = nn.ModuleList([make(8, 8), make(8, C)])

    def forward(self, x: Tensor, edge_index: Any, *more: Tensor) -> Tensor:
        h = self.convs[0](self.first(x).tanh(), edge_index, *more).tanh()
        return self.convs[1](h, edge_index, *more)


class Weighted(Layers):
    """One that takes weights of edges."""

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Any = None) -> Tensor:
        return super().forward(x, edge_index, edge_weight)


class Unweighted(Layers):
    """One that takes none."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return super().forward(x, edge_index)


def appnp(width: int, out: int) -> nn.Module:
    """APPNP's propagation before a linear map."""

    class Propagates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.propagation, self.last = APPNP(4, 0.1), nn.Linear(width, out)

        def forward(self, x: Tensor, edge_index: Any) -> Tensor:
            return self.last(self.propagation(x, edge_index))

    return Propagates()


def mlp(width: int, out: int) -> nn.Module:
    """Two linear maps."""
    return nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, out))


PNA: dict[str, Any] = {
    "aggregators": ["mean", "max"],
    "scalers": ["identity", "amplification"],
    "deg": torch.tensor([1, 3, 4, 2, 2]),
}
ONCE = f"{CSR}, normalized once"
CONVS: dict[str, tuple[Callable[[int, int], nn.Module], str]] = {
    "GCN": (GCNConv, ONCE),
    "GAT": (GATConv, "edge_index"),
    "GATv2": (GATv2Conv, "edge_index"),
    "APPNP": (appnp, ONCE),
    "SGConv": (lambda i, o: SGConv(i, o, K=2), CSR),
    "SAGE": (SAGEConv, CSR),
    "SAGE-max": (lambda i, o: SAGEConv(i, o, aggr="max"), CSR),
    "GIN": (lambda i, o: GINConv(mlp(i, o)), CSR),
    "PNA": (lambda i, o: PNAConv(i, o, **PNA), "edge_index"),
    "Transformer": (TransformerConv, "edge_index"),
    "Cheb": (lambda i, o: ChebConv(i, o, K=3), "edge_index"),
    "ARMA": (ARMAConv, FUSED),
}
GRAPHS = {
    "undirected": simple(),
    "directed": simple(directed=True),
    "self_loops": simple(loops=True),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", CONVS)
def test_convolutions_vote_as_on_the_edges(name: str, graph: str) -> None:
    make, expected = CONVS[name]
    if graph == "self_loops":  # which some convolutions add once more to CSR matrices
        expected = {
            "GCN": f"{FUSED}, normalized once",
            "APPNP": f"{FUSED}, normalized once",
            "SGConv": FUSED,
        }.get(name, expected)
    check(lambda: Layers(make), GRAPHS[graph], expected)


@pytest.mark.parametrize("name", MODELS["node"])
def test_the_models_of_the_package(name: str) -> None:
    expected = {"gcn": ONCE, "appnp": ONCE, "sage": CSR}.get(name, "edge_index")
    check(lambda: build_model(name, D + 1, C), simple(directed=True), expected)


@pytest.mark.parametrize(("make", "form"), [(GCNConv, ONCE), (GATConv, "edge_index")])
def test_edges_that_occur_twice_become_one_where_that_is_the_same(make: type, form: str) -> None:
    """GCN adds up messages; attention counts them."""
    check(lambda: Unweighted(make), doubled(simple()), form)


def test_weights_of_edges_that_occur_twice_are_added_where_that_is_the_same() -> None:
    data = doubled(simple())
    data.edge_weight = 0.2 + (torch.arange(data.num_edges) % 5) / 2
    check(lambda: Weighted(GCNConv), data, ONCE, weighted_call)


def doubled(data: Data) -> Data:
    """With a third of the edges twice."""
    data.edge_index = torch.cat([data.edge_index, data.edge_index[:, ::3]], dim=1)
    return data


@pytest.mark.parametrize("make", [GCNConv, SAGEConv], ids=["taken", "not_taken"])
def test_weights_of_edges_go_where_the_model_takes_them(make: type) -> None:
    data = weighted(simple())
    if make is GCNConv:
        check(lambda: Weighted(GCNConv), data, ONCE, weighted_call)
    else:
        check(lambda: Unweighted(SAGEConv), data, CSR)


def test_attributes_of_edges_stay_on_edges() -> None:
    data = simple()
    data.edge_attr = torch.rand(data.edge_index.size(1), 2)

    class Attributed(Layers):
        def forward(self, x: Tensor, edge_index: Any, edge_attr: Any = None) -> Tensor:
            return super().forward(x, edge_index, edge_attr)

    def call(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        return model(x, data.edge_index, edge_attr=data.edge_attr)

    check(lambda: Attributed(lambda i, o: GATConv(i, o, edge_dim=2)), data, "edge_index", call)


def test_a_users_call_is_given_the_graph_as_it_is() -> None:
    data = simple()
    data.edge_type = torch.arange(data.edge_index.size(1)) % 2

    def call(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        return model(x, data.edge_index, data.edge_type)

    check(
        lambda: Layers(lambda i, o: RGCNConv(i, o, num_relations=2)),
        data,
        "edge_index ('forward' is given the graph as it is)",
        call,
        forward=call,
    )
    once = "edge_index, normalized once"
    check(lambda: Layers(GCNConv), data, once, forward=pyg_call)


def test_heterogeneous_graphs_stay_edges_and_are_normalized_once() -> None:
    plain = simple(directed=True)
    data = HeteroData()
    data["a"].x, data["b"].x = plain.x, plain.x[:7]
    data["a", "to", "a"].edge_index = plain.edge_index
    data["b", "to", "a"].edge_index = torch.stack([torch.arange(7), torch.arange(7) * 2])

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(D + 1, 8), nn.Linear(D, 8)
            self.conv = HeteroConv(
                {
                    ("a", "to", "a"): GCNConv(8, C),
                    ("b", "to", "a"): SAGEConv((8, 8), C),
                }
            )

        def forward(self, x_dict: Any, edges: Any) -> Any:
            return self.conv({"a": self.a(x_dict["a"]), "b": self.b(x_dict["b"])}, edges)

    transform = HierarchicalNodeFeatureNoise({"a": 0.5}, AblationNoise())
    votes = []
    for call in (None, lambda model, x, data: model({**data.x_dict, "a": x}, data.edge_index_dict)):
        model = seeded(Model)
        classifier = SmoothedNodeClassifier(model, transform, C, node_type="a", forward=call)
        votes.append(classifier.sample_votes(data, SAMPLES, progress=False, num_workers=0))
        form = "edge_index, normalized once (the graph is heterogeneous)"
        assert classifier.adjacency == form
    assert torch.equal(*votes)


# Attacks ----------------------------------------------------------------------------------------


class WeightsFromFeatures(nn.Module):
    """Attention of the user's own: the normalized adjacency depends on features."""

    def __init__(self, strength: float, above: float) -> None:
        super().__init__()
        self.first, self.conv = nn.Linear(D + 1, 8), GCNConv(8, C)
        self.strength, self.above = strength, above

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        h = self.first(x)
        score = (h[edge_index[0]] * h[edge_index[1]]).sum(-1)
        weight = 1.0 + self.strength * (score * (score > self.above)).sigmoid()
        return self.conv(h, edge_index, weight)


@pytest.mark.parametrize(
    ("strength", "above"), [(9.0, -1e9), (1e-5, -1e9), (9.0, 2.0)], ids=["much", "little", "rarely"]
)
def test_weights_made_from_features_are_never_kept(strength: float, above: float) -> None:
    """Even where the logits are all but the same, what would be kept is not, and so is not."""
    check(lambda: WeightsFromFeatures(strength, above), simple(), "edge_index")


class DependsOnceInAWhile(WeightsFromFeatures):
    """Weights depend on features so rarely that no trial shows it."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        h = self.first(x)
        rare = (x[:, 0] * 1e4).round() == 12345.0
        weight = 1.0 + (h[edge_index[0]].sum(-1) * rare[edge_index[0]])
        return self.conv(h, edge_index, weight)


def _voter(classifier: SmoothedNodeClassifier, data: Data) -> Any:
    return classifier._voter(data, None, VoterOptions(0, 1))[0]


@pytest.mark.parametrize("build", [lambda: Layers(GCNConv), lambda: Layers(appnp)])
def test_own_edges_are_normalized_once(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for module in ("gcn_conv", "appnp"):
        name = f"torch_geometric.nn.conv.{module}.gcn_norm"

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return gcn_norm(*args, **kwargs)

        monkeypatch.setattr(name, counted)
    classifier = SmoothedNodeClassifier(seeded(build), ABLATION, C)
    voter = _voter(classifier, simple())
    voter.predict(range(1))
    calls.clear()
    voter.predict(range(4))
    assert not calls


class OnPooledGraph(nn.Module):
    """The graph of the second convolution is chosen by features."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(D + 1, 8)
        self.conv, self.pool, self.last = GCNConv(8, 8), TopKPooling(8, 0.5), GCNConv(8, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.conv(self.first(x), edge_index)
        pooled, edges, _, _, chosen, _ = self.pool(h, edge_index)
        return nn.functional.pad(h, (0, 0))[:, :C].index_add(0, chosen, self.last(pooled, edges))


class OfTwoGraphs(nn.Module):
    """One convolution on two graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Linear(D + 1, C), GCNConv(C, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.first(x)
        return self.conv(h, edge_index) - 2 * self.conv(h, edge_index.flip(0)[:, ::2])


class CountsEdges(Linear):
    """The number of edges, counted in Python, scales the logits."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return self.own(x) * (edge_index.size(1) - 30) + self.other(x)


class AsksForMatrices(nn.Module):
    """Takes both, and aggregates against the edges where it gets a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Linear(D + 1, C), SAGEConv(C, C)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        h = self.first(x)
        if isinstance(edge_index, Tensor) and edge_index.layout == torch.strided:
            return self.conv(h, edge_index)
        if isinstance(edge_index, Tensor):
            return self.conv(h, edge_index.to_dense().t().to_sparse_csr())
        return self.conv(h, edge_index.t())


@pytest.mark.parametrize("build", [OnPooledGraph, OfTwoGraphs, CountsEdges, AsksForMatrices])
def test_models_that_tell_the_forms_apart_get_the_edges(build: Callable[[], nn.Module]) -> None:
    own = build in (OnPooledGraph, OfTwoGraphs)  # of which one convolution gets the graph's own
    form = "edge_index, normalized once" if own else "edge_index"
    check(build, simple(directed=True), form)


def test_a_users_cached_weights_are_right_or_refused() -> None:
    data = simple()
    model = seeded(WeightsFromFeatures, 9.0, -1e9)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    model.conv.cached = True
    right_or_refused(lambda: sampled(model, data)[0], truth, "_cached_edge_index", "conv")


def test_the_users_model_and_graph_are_left_alone() -> None:
    data, model = simple(), seeded(Layers, GCNConv)
    kept = copy.deepcopy(data)
    _, form = sampled(model, data)
    assert form == ONCE
    assert not any(conv.cached or conv._cached_edge_index for conv in model.convs)
    assert torch.equal(kept.edge_index, data.edge_index) and "adj_t" not in data


def test_workers_vote_alike() -> None:
    data, model = simple(), seeded(Layers, GCNConv)
    votes = []
    for workers in (0, 2):
        classifier = SmoothedNodeClassifier(model, ABLATION, C)
        votes.append(classifier.sample_votes(data, 64, progress=False, num_workers=workers))
    assert torch.equal(*votes)
