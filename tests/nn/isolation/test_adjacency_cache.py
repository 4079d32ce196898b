from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from pyg_hiersmooth.nn.isolation.adjacency_cache import caches, can_cache, keep_adjacencies

N = 6
X = torch.rand(N, 3, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
WEIGHTS = torch.rand(5, generator=torch.Generator().manual_seed(1))
CONVS: dict[str, Any] = {
    "GCN": lambda: gnn.GCNConv(3, 2),
    "APPNP": lambda: gnn.APPNP(2, 0.1),
    "EG": lambda: gnn.EGConv(3, 4, aggregators=["symnorm"], num_heads=2),
    "GCN2": lambda: gnn.GCN2Conv(3, 0.1),
    "FA": lambda: gnn.FAConv(3),
}


def is_own(value: Any) -> bool:
    return value is EDGES or value is WEIGHTS


def call(conv: nn.Module, x: Tensor, edges: Tensor) -> Tensor:
    return conv(x, x, edges) if isinstance(conv, gnn.GCN2Conv | gnn.FAConv) else conv(x, edges)


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of edges of each normalization."""
    calls: list[int] = []

    def counted(edge_index: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(edge_index.size(1))
        return gcn_norm(edge_index, *args, **kwargs)

    monkeypatch.setattr("torch_geometric.nn.conv.gcn_conv.gcn_norm", counted)
    return calls


@pytest.mark.parametrize("name", CONVS)
def test_other_edges_are_computed_as_they_stand(name: str) -> None:
    torch.manual_seed(0)
    plain = CONVS[name]().eval()
    kept = copy.deepcopy(plain)
    assert can_cache(kept)
    keep_adjacencies(kept, is_own)
    with torch.no_grad():
        for edges in (EDGES, EDGES[:, :3], EDGES.clone(), EDGES, EDGES[:, 1:], EDGES):
            for x in (X, 2 * X):
                assert torch.equal(call(kept, x, edges), call(plain, x, edges))
    assert not kept.cached and not any(getattr(kept, each) is not None for each in caches(kept))


def test_own_edges_are_normalized_once_for_each_weight(normalized: list[int]) -> None:
    conv = gnn.GCNConv(3, 2)
    keep_adjacencies(conv, is_own)
    for _ in range(3):
        conv(X, EDGES)
        conv(X, EDGES, WEIGHTS)
        conv(X, edge_weight=WEIGHTS, edge_index=EDGES)
    assert len(normalized) == 2
    conv(X, EDGES, WEIGHTS.clone())
    conv(X, EDGES[:, :2])
    assert len(normalized) == 4


def test_edges_that_were_written_to_are_other_edges(normalized: list[int]) -> None:
    conv, edges = gnn.GCNConv(3, 2), EDGES.clone()
    keep_adjacencies(conv, lambda value: value is edges)
    conv(X, edges)
    edges[0, 0] = 5
    assert torch.equal(conv(X, edges), gnn_like(conv)(X, edges))
    assert len(normalized) == 3


def gnn_like(conv: nn.Module) -> nn.Module:
    plain = gnn.GCNConv(3, 2)
    plain.load_state_dict(conv.state_dict())
    return plain


def test_a_failed_call_leaves_nothing_behind() -> None:
    conv = gnn.GCNConv(3, 2)
    keep_adjacencies(conv, is_own)
    with pytest.raises(RuntimeError):
        conv(X[:, :2], EDGES)
    assert not conv.cached and conv._cached_edge_index is None
    assert torch.equal(conv(X, EDGES), gnn_like(conv)(X, EDGES))


def test_modules_of_the_users_have_no_caches() -> None:
    class Own(gnn.MessagePassing):
        def __init__(self) -> None:
            super().__init__()
            self.cached, self._cached_bias, self._cached_edge_index = True, 1.0, None

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x)

    class Overridden(gnn.GCNConv):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(x, edge_index)

    assert caches(Own()) == [] and not can_cache(Own())
    assert not can_cache(Overridden(3, 2))
    assert not can_cache(gnn.SGConv(3, 2))  # which keeps propagated features


def test_generated_modules_keep_nothing() -> None:
    """Their classes, such as those of ``to_hetero``, may name no module."""
    generated = type("Generated", (nn.Module,), {"__module__": None})()
    assert caches(generated) == [] and not can_cache(generated)
