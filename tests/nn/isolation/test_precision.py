from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, isolate
from pyg_hiersmooth.nn.isolation.precision import cast, in_high_precision

N, D, C = 6, 4, 3
X = torch.rand(N, D, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])


class Single(GCN):
    """Casts its features itself, and so takes no double weights."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x.float(), edge_index)


class Otherwise(GCN):
    """Answers something else in double precision."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * (2.0 if x.dtype == torch.float64 else 1.0)


def precise(model: nn.Module, x: Tensor = X, **graph: Any) -> IsolatedModel:
    torch.manual_seed(0)
    data = Data(x=x, edge_index=EDGES, **graph)
    prepared = isolate(model.eval(), GraphForward(None, [data], node_level=True), x)
    with torch.no_grad():
        return in_high_precision(prepared, x, prepared.answer(x))[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_models_are_cast_with_their_graph(weighted: bool) -> None:
    graph = {"edge_weight": torch.rand(4)} if weighted else {}
    model = GCN(D, 8, 2, C)
    found = precise(model, **graph)
    assert found.precision == torch.float64
    expected = precise(model.double(), X.double(), **{k: v.double() for k, v in graph.items()})
    assert expected.precision is None  # it is as precise as can be
    with torch.no_grad():
        assert torch.equal(found.answer(X.double()), expected.answer(X.double()))


@pytest.mark.parametrize("kind", [Single, Otherwise])
def test_what_takes_no_double_precision_stays_as_it_is(kind: type[nn.Module]) -> None:
    assert precise(kind(D, 8, 2, C)).precision is None


def test_half_precision_is_at_least_single() -> None:
    torch.manual_seed(0)
    assert precise(GCN(D, 8, 2, C).half(), X.half()).precision == torch.float64


def test_integers_are_not_cast() -> None:
    words = torch.arange(4)
    assert cast(words, torch.float64) is words
    assert cast(X, torch.float64).dtype == torch.float64
