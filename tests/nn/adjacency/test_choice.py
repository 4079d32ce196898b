from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv

from pyg_hiersmooth.nn.adjacency.choice import (
    Adjacency,
    adjacency_as_given,
    choose_adjacency,
)
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, isolate

N, D, C = 60, 5, 3


def prepared(model: nn.Module, call: Any = None) -> IsolatedModel:
    torch.manual_seed(0)
    edge_index = torch.randint(N, (2, 5 * N)).unique(dim=1)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    data = Data(x=torch.rand(N, D), edge_index=edge_index)
    return isolate(model.eval(), GraphForward(call, [data], node_level=True), data.x)


def choose(model: IsolatedModel) -> tuple[Adjacency, IsolatedModel]:
    """The form that is chosen, and the model on it."""
    draws = [torch.rand(N, D) for _ in range(3)]
    with torch.no_grad():
        adjacency, form = choose_adjacency(model, draws, torch.float32)
    return adjacency, model.fresh(form)


def test_names() -> None:
    assert str(Adjacency("adj_t", True, "as given")) == "adj_t, normalized once (as given)"
    assert Adjacency("edge_index", False, "why").name == "edge_index"


def test_a_matrix_where_it_is_cheaper_and_the_model_answers_the_same() -> None:
    conv = GCNConv(D, C)
    adjacency, model = choose(prepared(conv))
    assert adjacency.name == "torch.sparse CSR, normalized once" and not adjacency.as_given
    x = torch.rand(N, D)
    with torch.no_grad():
        torch.testing.assert_close(model.answer(x), prepared(conv).answer(x))


def test_attention_stays_on_edges() -> None:
    model = prepared(GATConv(D, C))
    with pytest.raises(NotTaken, match="an adjacency matrix is no cheaper"):
        choose(model)


class CountsEdges(nn.Module):
    """Answers otherwise on a matrix, without an error."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(D, C)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        is_edges = isinstance(edge_index, Tensor) and edge_index.layout == torch.strided
        return self.conv(x, edge_index) + torch.eye(1, C) * (0.0 if is_edges else 1.0)


class NeedsEdges(nn.Module):
    """Fails on anything but edges."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, destination = edge_index
        return torch.zeros(N, C).index_add_(0, destination, x[source, :C])


def test_models_that_want_edges_get_them() -> None:
    with pytest.raises(NotTaken, match="the model takes no adjacency matrix"):
        choose(prepared(NeedsEdges()))
    counts = prepared(CountsEdges())
    with pytest.raises(NotTaken, match="the model's logits differ on an adjacency matrix"):
        choose(counts)
    assert str(adjacency_as_given(counts, "why")) == "edge_index, normalized once (why)"


def test_a_call_of_the_users_own_gets_the_graph_as_it_is() -> None:
    model = prepared(NeedsEdges(), lambda model, x, data: model(x, data.edge_index))
    with pytest.raises(NotTaken, match="'forward' is given the graph as it is"):
        choose(model)


def test_a_compiled_model_is_left_alone() -> None:
    traced = torch.jit.trace(NeedsEdges(), (torch.rand(N, D), torch.zeros(2, 3).long()))
    with pytest.raises(NotTaken, match="compiled"):
        choose(prepared(traced))


class Picky(nn.Module):
    """Takes no features above 2, on edges; anything on a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(D, C)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        if edge_index.layout == torch.strided and bool((x > 2.0).any()):
            raise RuntimeError("features must be at most 2")
        answers: Tensor = self.conv(x, edge_index)
        return answers


@pytest.mark.parametrize(("strange", "is_taken"), [(0, False), (1, False), (2, True)])
def test_a_form_must_be_compared_on_real_features(strange: int, is_taken: bool) -> None:
    model, draws = prepared(Picky()), [torch.rand(N, D) for _ in range(3)]
    draws[strange] += 3.0
    with torch.no_grad(), nullcontext() if is_taken else pytest.raises(NotTaken):
        choose_adjacency(model, draws, torch.float32)
