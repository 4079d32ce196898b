from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import (
    APPNP,
    ChebConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    PNAConv,
    RGCNConv,
    SAGEConv,
    SGConv,
    TransformerConv,
)

from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.neighborhoods.neighborhood import (
    BOUNDARIES,
    CSC,
    Neighborhood,
    check_cut,
    ranges,
    rows_of,
    telling_nodes,
)

N, D, C = 25, 4, 3


def make(seed: int = 0, num_edges: int = 45) -> Data:
    """A directed graph with self-loops, repeated edges and isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(N - 3, (2, num_edges), generator=generator)
    edge_index = torch.cat([edge_index, edge_index[:, :4], torch.arange(3).repeat(2, 1)], dim=1)
    num_edges = edge_index.size(1)
    return Data(
        edge_index=edge_index,
        edge_weight=torch.rand(num_edges, generator=generator) + 0.1,
        edge_type=torch.randint(2, (num_edges,), generator=generator),
        num_nodes=N,
    )


def reached(edge_index: torch.Tensor, target: int, hops: int) -> set[int]:
    """Nodes that steps against the edges lead to, by a plain loop."""
    nodes = {target}
    for _ in range(hops):
        nodes |= {int(i) for i, j in edge_index.t().tolist() if j in nodes}
    return nodes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 3), st.integers(0, N - 1))
def test_fields_are_those_of_a_plain_loop(seed: int, hops: int, target: int) -> None:
    graph = make(seed)
    edges = CSC(graph)
    field = edges.field(np.array([target]), hops)
    assert set(field.nodes.tolist()) == reached(graph.edge_index, target, hops)
    inner = reached(graph.edge_index, target, hops - 1) if hops > 0 else set()
    assert set(field.inner.tolist()) == inner
    degree = np.bincount(graph.edge_index[1], minlength=N)
    np.testing.assert_array_equal(edges.degree(np.arange(N)), degree)
    size = len(field.nodes) + int(degree[field.nodes].sum())
    assert edges.field_size(np.array([target]), hops) == size
    ending = edges.ending_at(field.nodes)
    assert sorted(ending.tolist()) == [
        i for i, j in enumerate(graph.edge_index[1].tolist()) if j in set(field.nodes.tolist())
    ]


class Layers(nn.Module):
    """Convolutions one after another."""

    def __init__(self, *convs: nn.Module, extra: str | None = None) -> None:
        super().__init__()
        self.convs, self.extra = nn.ModuleList(convs), extra

    def forward(self, x: torch.Tensor, graph: Data) -> torch.Tensor:
        more = () if self.extra is None else (graph[self.extra],)
        for conv in self.convs:
            x = conv(x, graph.edge_index, *more).tanh()
        return x


def two(make_conv: Callable[[int, int], nn.Module], extra: str | None = None) -> Layers:
    return Layers(make_conv(D, 6), make_conv(6, C), extra=extra)


PNA: dict[str, Any] = {
    "aggregators": ["mean", "max"],
    "scalers": ["identity", "amplification"],
    "deg": torch.tensor([1, 3, 4]),
}
# What makes a model, its hops, and the cheapest boundary on which it is right.
MODELS: dict[str, tuple[Callable[[], Layers], int, str | None]] = {
    "GCN": (lambda: two(GCNConv), 2, "edges"),
    "GCN weighted": (lambda: two(GCNConv, "edge_weight"), 2, "weights"),
    "GAT": (lambda: two(GATConv), 2, "none"),
    "GATv2": (lambda: two(GATv2Conv), 2, "none"),
    "SAGE": (lambda: two(SAGEConv), 2, "none"),
    "GIN": (lambda: two(lambda i, o: GINConv(nn.Linear(i, o))), 2, "none"),
    "PNA": (lambda: two(lambda i, o: PNAConv(i, o, **PNA)), 2, "none"),
    "Transformer": (lambda: two(TransformerConv), 2, "none"),
    "RGCN": (lambda: two(lambda i, o: RGCNConv(i, o, 2), "edge_type"), 2, "none"),
    "SGConv": (lambda: Layers(SGConv(D, C, K=2)), 2, "edges"),
    "APPNP": (lambda: Layers(APPNP(2, 0.1)), 2, "edges"),
    # It divides by the number of edges that start at a node, which no neighborhood holds: the
    # trials before sampling find that out.
    "Cheb": (lambda: Layers(ChebConv(D, C, K=3)), 2, None),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_of_targets_are_those_in_the_whole_graph(name: str) -> None:
    build, hops, cheapest = MODELS[name]
    torch.manual_seed(0)
    model = build().double().eval()
    right = {boundary: True for boundary in BOUNDARIES}
    for seed in range(6):
        graph = make(seed)
        graph.edge_weight = graph.edge_weight.double()
        x = torch.randn(N, D, dtype=torch.float64)
        whole, edges = model(x, graph), CSC(graph)
        for targets in (np.array([seed]), np.array([3, 11, N - 1])):
            for boundary in BOUNDARIES:
                part = Neighborhood(graph, edges, targets, hops, boundary, (), torch.float64)
                own = part.extended(x[part.nodes], torch.randn(1, D, dtype=torch.float64))
                logits = model(own, part.graph)[part.targets]
                right[boundary] &= bool(torch.allclose(logits, whole[targets], atol=1e-12))
    assert next((boundary for boundary in BOUNDARIES if right[boundary]), None) == cheapest
    assert right["edges"] or cheapest is None


def test_too_few_hops_answer_otherwise() -> None:
    torch.manual_seed(0)
    model, graph, x = two(GCNConv).eval(), make(), torch.randn(N, D)
    part = Neighborhood(graph, CSC(graph), np.array([3]), 1)
    logits = model(part.extended(x[part.nodes], x[:1]), part.graph)[part.targets]
    assert not torch.allclose(logits, model(x, graph)[[3]])


@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_coo, torch.sparse_csr])
def test_rows_of_features(layout: torch.layout) -> None:
    x = (torch.arange(20.0).view(5, 4) % 3).to_dense()
    rows = torch.tensor([3, 0, 4])
    given = x if layout == torch.strided else x.to_sparse(layout=layout)
    assert torch.equal(rows_of(given, rows).to_dense(), x[rows])


def test_ranges() -> None:
    assert ranges(np.array([5, 1]), np.array([2, 3])).tolist() == [5, 6, 1, 2, 3]
    assert ranges(np.array([5]), np.array([0])).tolist() == []


def test_graphs_that_are_not_cut() -> None:
    check_cut(make(), ())
    with pytest.raises(NotTaken, match="one of"):
        check_cut(Data(num_nodes=3), ())
    graph = make()
    graph.batch = torch.zeros(N, dtype=torch.long)
    with pytest.raises(NotTaken, match="'batch'"):
        check_cut(graph, ())


def test_telling_nodes_have_edges_of_all_kinds() -> None:
    data = make()
    found = set(telling_nodes(CSC(data), 16).tolist())
    source, target = data.edge_index
    loops = set(target[source == target].tolist())
    alone = {N - 3, N - 2, N - 1}
    pairs, count = data.edge_index.unique(dim=1, return_counts=True)
    repeated = set(pairs[1, count > 1].tolist())
    assert loops & found and alone & found and repeated & found
    assert len(found) <= 16 and max(found) < N
    assert telling_nodes(CSC(Data(edge_index=torch.empty(2, 0).long(), num_nodes=3)), 8).size
