from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, isolate

X = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
DATA = Data(x=X, edge_index=torch.tensor([[0, 1], [1, 2]]))


def prepare(model: nn.Module, call: Any = None) -> IsolatedModel:
    return isolate(model, GraphForward(call, [DATA], node_level=True), X)


def test_convolutions_keep_one_adjacency_for_each_number_of_copies() -> None:
    torch.manual_seed(0)
    model = GCNConv(3, 2, cached=True)
    prepared = prepare(model)
    with torch.no_grad():
        plain = GCNConv(3, 2)
        plain.load_state_dict(model.state_dict())
        expected = plain(X, DATA.edge_index)
        for _ in range(2):
            assert torch.allclose(prepared(X, 1), expected)
            assert torch.allclose(prepared(X.repeat(3, 1), 3), expected.repeat(3, 1))
    assert prepared.model._cached_edge_index is None
    assert model._cached_edge_index is None


def test_changes_after_watching_are_found_even_behind_the_version_counter() -> None:
    prepared = prepare(GCNConv(3, 2))
    prepared(X)
    prepared.watch()
    prepared.verify()
    prepared.model.lin.weight.data.add_(1e-3)
    with pytest.raises(ValueError, match=r"'model\.lin\.weight' changes from call to call"):
        prepared.verify()


def test_a_changed_graph_is_found() -> None:
    prepared = prepare(GCNConv(3, 2))
    prepared(X)
    prepared.watch()
    prepared.forward.graph.edge_index[0, 0] = 3  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the model changes 'edge_index' of the graph"):
        prepared.verify()


def test_clean_features_are_recognized_in_any_shape() -> None:
    for held in (X, X.t().contiguous(), torch.cat([X, torch.ones(4, 1)], 1), X.double()):
        model = GCNConv(3, 2)
        model.register_buffer("held", held.clone())
        with pytest.raises(ValueError, match=r"'model\.held' holds the clean features"):
            prepare(model)
        with pytest.raises(ValueError, match=r"'forward\.held' holds the clean features"):
            prepare(GCNConv(3, 2), lambda model, x, data, held=held: model(held, data.edge_index))


def test_a_row_for_each_node_must_be_registered() -> None:
    encodings = torch.rand(4, 2)
    model = GCNConv(3, 2)
    model.encodings = encodings
    with pytest.raises(ValueError, match=r"'model\.encodings' holds a row for each of the 4"):
        prepare(model)
    del model.encodings
    model.register_buffer("encodings", encodings)
    prepare(model)


def test_the_users_own_model_is_not_called() -> None:
    model = GCNConv(3, 2)

    def call(copied: nn.Module, x: Tensor, data: Data) -> Tensor:
        return model(x, data.edge_index)

    with pytest.raises(ValueError, match=r"'forward\.model\.\S+' is the user's model"):
        prepare(model, call)


def test_answers_have_their_own_memory() -> None:
    class Overwrites(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("out", torch.zeros(4, 3))

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            self.out.copy_(x.mul_(2))
            return self.out

    prepared, before = prepare(Overwrites()), X.clone()
    first = prepared.answer(X)
    prepared.answer(X + 1)
    assert torch.equal(first, 2 * before) and torch.equal(X, before)


def test_lazy_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="'model' must be initialized"):
        prepare(GCNConv(-1, 2))


@pytest.mark.parametrize("error", [MemoryError, torch.cuda.OutOfMemoryError])
def test_too_little_memory_is_no_answer(error: type[Exception]) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            raise error("too large") if bool((x > 9.0).any()) else ValueError("too strange")

    model = prepare(Fails())
    assert model.answer_probe(torch.zeros(4, 3)) is None
    with pytest.raises(error):
        model.answer_probe(torch.full((4, 3), 10.0))


@torch.no_grad()
def test_features_of_any_precision_are_taken_and_left_as_they_are() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return x.mul_(2.0)

    prepared = prepare(Writes())
    for model, dtype in ((prepared, X.dtype), (prepared.in_dtype(torch.float64), torch.float64)):
        before = X.clone()
        logits = model.answer(X)
        assert logits.dtype == dtype and torch.equal(logits, 2.0 * before.to(dtype))
        assert torch.equal(X, before)
    words = torch.arange(4).view(-1, 1)
    own = prepared.in_dtype(torch.float64).own(words)
    assert own.dtype == torch.int64 and own.data_ptr() != words.data_ptr()
