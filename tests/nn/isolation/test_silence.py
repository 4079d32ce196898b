from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation import silence
from pyg_hiersmooth.nn.isolation.hidden_model import HiddenModel
from pyg_hiersmooth.nn.isolation.isolated_model import isolate
from pyg_hiersmooth.nn.isolation.silence import check_silence

N, D, C = 24, 5, 3


def graph(seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, N, (2, 60), generator=generator)
    edges = edges[:, edges[1].argsort(stable=True)]  # as LSTM aggregation needs
    return Data(x=torch.randn(N, D, generator=generator), edge_index=edges, num_nodes=N)


class Layers(nn.Module):
    """Two of a kind, with something between them."""

    def __init__(self, conv: Callable[[int, int], nn.Module], between: Any = None) -> None:
        super().__init__()
        self.first, self.second = conv(D, 6), conv(6, C)
        self.between = between

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.first(x, edge_index)
        if self.between is not None:
            hidden = self.between(hidden)
        return self.second(hidden.tanh(), edge_index)


class Both(nn.Module):
    """Passes messages in both directions of every edge."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, to_undirected(edge_index, num_nodes=x.size(0)))


class Nearest(nn.Module):
    """Takes the nearest nodes for neighbors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        near = torch.cdist(x, x).topk(3, largest=False).indices
        ends = torch.arange(x.size(0)).repeat_interleave(3)
        return self.conv(x, torch.stack([near.flatten(), ends]))


class OutDegrees(nn.Module):
    """Knows how many edges leave each node."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        degree = edge_index[0].bincount(minlength=x.size(0)).to(x).view(-1, 1)
        return self.conv(torch.cat([x, degree], dim=1), edge_index)


class Pooled(nn.Module):
    """Adds the mean of all nodes to each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = gnn.SAGEConv(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.conv(x, edge_index)
        return hidden + hidden.mean(0)


def convolutions(name: str) -> Callable[[int, int], nn.Module]:
    """A convolution of PyG by its name, from so many channels to so many."""
    special: dict[str, Callable[[int, int], nn.Module]] = {
        "GIN": lambda i, o: gnn.GINConv(nn.Linear(i, o)),
        "PNA": lambda i, o: gnn.PNAConv(i, o, ["mean", "max", "std"], ["identity"], torch.ones(9)),
        "Cheb": lambda i, o: gnn.ChebConv(i, o, 3),
        "Dir": lambda i, o: gnn.DirGNNConv(gnn.SAGEConv(i, o)),
        "Backward": lambda i, o: gnn.GCNConv(i, o, flow="target_to_source"),
        "LSTM": lambda i, o: gnn.SAGEConv(i, o, aggr="lstm"),
    }
    return special.get(name) or getattr(gnn, f"{name}Conv")


LOCAL = (
    *("GCN", "GAT", "GATv2", "SAGE", "Graph", "GIN", "PNA", "TAG", "SG", "Transformer"),
    *("ResGatedGraph", "LE", "General", "ClusterGCN"),
)
NORMS: dict[str, Any] = {
    "LayerNorm": lambda: gnn.LayerNorm(6),
    "PairNorm": lambda: gnn.PairNorm(),
    "GraphNorm": lambda: gnn.GraphNorm(6),
    "InstanceNorm": lambda: gnn.InstanceNorm(6),
    "GraphSizeNorm": lambda: gnn.GraphSizeNorm(),
    "BatchNorm": lambda: gnn.BatchNorm(6, track_running_stats=False),
}


def check(model: nn.Module, data: Data | None = None) -> None:
    data = graph() if data is None else data
    prepared = isolate(model.eval(), GraphForward(None, [data], node_level=True), data.x)
    prepared = prepared.in_dtype(torch.float64)
    with torch.no_grad():
        check_silence(prepared, data.x.double(), False)


def made(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    return build()


@pytest.mark.parametrize("name", LOCAL)
def test_local_convolutions_pass(name: str) -> None:
    check(made(lambda: Layers(convolutions(name))))


def test_norms_of_each_node_pass() -> None:
    for norm in (gnn.LayerNorm(6, mode="node"), gnn.BatchNorm(6), nn.LayerNorm(6)):
        check(made(lambda norm=norm: Layers(gnn.GCNConv, norm)))


@pytest.mark.parametrize("name", NORMS)
def test_norms_over_all_nodes_are_refused_by_name(name: str) -> None:
    with pytest.raises(ImpureModelError, match=r"'between' computes something over all nodes"):
        check(made(lambda: Layers(gnn.GCNConv, NORMS[name]())))


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("Cheb", "divides by out-degrees"),
        ("Dir", "against the direction of edges"),
        ("Backward", "from target to source"),
        ("LSTM", "pads to the largest in-degree"),
        ("Hypergraph", "against the direction of edges"),
    ],
)
def test_convolutions_that_read_more_are_refused_with_the_cause(name: str, cause: str) -> None:
    with pytest.raises(ImpureModelError, match=f"{cause}.*: message ablation proves nothing"):
        check(made(lambda: Layers(convolutions(name))))


@pytest.mark.parametrize("kind", [Both, Nearest, OutDegrees, Pooled])
def test_models_that_read_more_are_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(ImpureModelError, match="lets a node that sends no messages reach others"):
        check(made(kind))


class Embedded(nn.Module):
    """Knows its nodes by their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.conv = nn.Parameter(torch.rand(N, D)), gnn.SAGEConv(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x + self.own, edge_index)


class Marked(nn.Module):
    """Passes messages of sending nodes in both directions, and does more on a whole graph."""

    def __init__(self, looks: bool = True, on_all: str = "") -> None:
        super().__init__()
        self.looks, self.on_all = looks, on_all
        self.map, self.mark = nn.Linear(D + 1, C), nn.Parameter(torch.eye(D + 1)[-1:])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden, mark = self.map(x).tanh(), nn.functional.linear(x, self.mark)
        silent = ~(mark < 0.5)  # NaN where others are infinite
        back = torch.where(silent & self.looks, 0.0, hidden)[edge_index[1]]
        logits = hidden.index_add(0, edge_index[1], hidden[edge_index[0]])
        logits = logits.index_add(0, edge_index[0], back)
        if len(x) > 5 * silence.PART_SIZE:
            if self.on_all == "adds" and bool((mark < 1.5).all()):
                logits = logits + hidden.mean(0)
            if self.on_all in ("squares", "squares all") and bool(self.map(x).abs().max() > 100.0):
                squares = x.square().sum(1, keepdim=True)
                logits = logits + (squares.mean(0) if self.on_all == "squares all" else 0 * squares)
        return logits


@pytest.mark.parametrize("behind_first_maps", [True, False])
def test_a_large_graph_is_tried_in_few_calls(behind_first_maps: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    num_nodes = 6 * silence.PART_SIZE
    edges = torch.randint(0, num_nodes, (2, 2_000), generator=generator)
    x = torch.randn(num_nodes, D, generator=generator)
    x = torch.cat([x, (torch.rand(num_nodes, 1, generator=generator) < 0.5).float()], dim=1)
    data = Data(x=x, edge_index=edges, num_nodes=num_nodes)

    def tried(model: nn.Module) -> None:
        model = model.eval()
        prepared = isolate(model, GraphForward(None, [data], node_level=True), x)
        prepared = prepared.in_dtype(torch.float64)
        products = HiddenModel.of(prepared, x).maps.products(x) if behind_first_maps else None
        with torch.no_grad():
            check_silence(prepared, x, True, products)

    for right in ({}, {"on_all": "squares"}):
        tried(made(lambda of=right: Marked(**of)))
    for wrong in ({"looks": False}, {"on_all": "adds"}, {"on_all": "squares all"}):
        with pytest.raises(ImpureModelError, match="lets a node that sends no messages reach"):
            tried(made(lambda of=wrong: Marked(**of)))


def test_models_that_take_no_more_nodes_are_refused() -> None:
    with pytest.raises(ImpureModelError, match="fails on a graph with an added node"):
        check(made(Embedded))
