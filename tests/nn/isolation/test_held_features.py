"""A model that holds the clean features, in whatever form, bypasses the noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.held_features import check_no_features, tensors

N, D = 9, 4
X = (torch.rand(N, D, generator=torch.Generator().manual_seed(0)) < 0.4).float()
EDGES = torch.tensor([[0, 1, 2], [1, 2, 3]])

FORMS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda x: x.clone(),
    "double": lambda x: x.double(),
    "bool": lambda x: x.bool(),
    "of eight bits": lambda x: x.to(torch.float8_e4m3fn),
    "long": lambda x: x.long(),
    "transposed": lambda x: x.t().contiguous(),
    "with more columns": lambda x: torch.cat([x, torch.ones(N, 2)], 1),
    "with more columns, sparse": lambda x: torch.cat([x, torch.ones(N, 2)], 1).to_sparse_csr(),
    "array": lambda x: x.numpy(),
    "array of bool": lambda x: x.bool().numpy(),
    "sparse": lambda x: x.to_sparse(),
    "compressed": lambda x: x.to_sparse_csr(),
    "of scipy": lambda x: sparse.csr_array(x.numpy()),
    "matrix of scipy": lambda x: sparse.csc_matrix(x.numpy()),
    "lists": lambda x: x.tolist(),
    "lists of integers": lambda x: x.long().tolist(),
    "places": lambda x: x.nonzero(),
    "places, transposed": lambda x: x.nonzero().t(),
    "columns": lambda x: x.nonzero()[:, 1].int(),
    "columns in lists": lambda x: [row.nonzero().view(-1).tolist() for row in x],
    "in a set of objects": lambda x: {Holder(x)},
}


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


class Model(nn.Module):
    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.held = held


def check(model: nn.Module, x: Tensor = X) -> None:
    check_no_features(model, GraphForward(None, [Data(x=x, edge_index=EDGES)], node_level=True), x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_features_are_found_in_any_form(form: str, layout: str) -> None:
    x = X if layout == "dense" else X.to_sparse()
    with pytest.raises(ValueError, match=r"'model\.held.*' holds the clean features"):
        check(Model(FORMS[form](X)), x)


def test_a_skip_connection_to_a_buffer_of_words_is_found() -> None:
    model = Model()
    model.register_buffer("words", X.bool())
    with pytest.raises(ValueError, match=r"'model\.words' holds the clean features"):
        check(model)


def test_what_has_a_row_for_each_entity_must_say_that_it_is_no_feature() -> None:
    encodings = torch.rand(N, 3)
    with pytest.raises(ValueError, match=r"'model\.held' holds a row for each of the 9"):
        check(Model(encodings))
    model = Model()
    model.register_buffer("encodings", encodings)
    check(model)


@pytest.mark.parametrize(
    "held",
    [
        EDGES,
        torch.arange(N),
        torch.arange(int(X.sum())),
        X[:3] + 1,
        torch.rand(D, 5),
        np.array(["a"]),
        [1, 2, [3.0, True]],
        sparse.eye_array(N),
        torch.zeros(N, D, dtype=torch.complex64),
        torch.quantize_per_tensor(torch.zeros(N, D), 1.0, 0, torch.qint8),
        EdgeIndex(EDGES),
        torch.zeros(3, D, dtype=torch.float8_e4m3fn),
        torch.zeros(4, 4).to_sparse_bsr((2, 2)),
    ],
)
def test_other_things_are_none(held: Any) -> None:
    check(Model(held))


def test_features_that_number_nodes_are_no_reason_to_refuse_numbers_of_nodes() -> None:
    check(Model(torch.arange(N)), torch.eye(N))


def test_everything_comes_with_the_path_to_it() -> None:
    found = dict(tensors(model=Model({"a": [[1, 2], [3, 4]], "b": sparse.eye_array(3)})))
    assert found["model.held.a"].tolist() == [1, 2, 3, 4]
    assert found["model.held.b"].to_dense().equal(torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "x",
    [
        torch.ones(N, D),
        torch.ones(N, D, dtype=torch.uint16),
        torch.zeros(N, 1),
        torch.eye(N),
        torch.eye(N).to_sparse_csr(),
    ],
)
def test_weights_that_look_like_features_without_information_are_weights(x: Tensor) -> None:
    model = Model()
    model.register_parameter("weight", nn.Parameter(x.to_dense().float()))
    model.register_buffer("variance", x.to_dense().clone())
    check(model, x)
    with pytest.raises(ValueError, match=r"'model\.held' holds the clean features"):
        check(Model(x.to_dense().clone()), x)


@pytest.mark.parametrize(
    "x", [X, X.to(torch.uint16), torch.eye(N).flip(0), 2 * torch.eye(N), X[:1].repeat(N, 1)]
)
def test_weights_that_hold_information_do_not_hide_in_a_buffer(x: Tensor) -> None:
    model = Model()
    model.register_buffer("table", x.clone())
    with pytest.raises(ValueError, match=r"'model\.table' holds the clean features"):
        check(model, x)
