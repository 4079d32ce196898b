from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric import nn as gnn

from pyg_hiersmooth import models
from pyg_hiersmooth.sampling.linear_input import LinearInput, NotLinearError, find_linear_maps

N, D = 5, 7
LIKE = torch.empty(0)
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
WEIGHT = torch.randn(D, 3)


@pytest.mark.parametrize(
    ("use", "num_maps"),
    [
        (lambda x: x @ WEIGHT, 1),
        (lambda x: torch.mm(x, WEIGHT), 1),
        (lambda x: x.matmul(WEIGHT), 1),
        (lambda x: F.linear(x, WEIGHT.t()), 1),
        (lambda x: F.dropout(x, 0.5, training=False) @ WEIGHT, 1),
        (lambda x: nn.Linear(D, 4).eval()(x), 1),
        (lambda x: x @ WEIGHT + x @ WEIGHT, 1),
        (lambda x: x @ WEIGHT + x @ (WEIGHT + 1), 2),
        (lambda x: (x @ WEIGHT).new_zeros(x.size(0), x.shape[1]), 1),
    ],
)
def test_finds_the_linear_maps(use: Callable[[Tensor], Tensor], num_maps: int) -> None:
    maps = find_linear_maps(use, (N, D), LIKE)
    assert len(maps) == num_maps
    assert all(linear_map.matrix().shape == (D, linear_map.matrix().size(1)) for linear_map in maps)


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda x: x.relu() @ WEIGHT, "relu"),
        (lambda x: (x / x.sum(dim=1, keepdim=True)) @ WEIGHT, "sum"),
        (lambda x: F.normalize(x) @ WEIGHT, "normalize"),
        (lambda x: x[EDGES[0]] @ WEIGHT, "__getitem__"),
        (lambda x: x @ WEIGHT + x.sum(), "sum"),
        (lambda x: F.dropout(x, 0.5, training=True) @ WEIGHT, "dropout"),
        (lambda x: torch.cat([x, x]) @ WEIGHT, "cat"),
        (lambda x: WEIGHT.t() @ x.t(), "t"),
        (lambda x: torch.einsum("nd,dh->nh", x, WEIGHT), "einsum"),
        (lambda x: x @ WEIGHT.double(), "a product of other shape or dtype"),
        (lambda x: x @ WEIGHT[1:], "a product of other shape or dtype"),
        (lambda x: torch.from_numpy(x.numpy()), "numpy"),
        (lambda x: torch.zeros(N, 3), "no use at all"),
        (lambda x: x @ WEIGHT + 1 // 0, "ZeroDivisionError"),
    ],
)
def test_any_other_use_is_named(use: Callable[[Tensor], Tensor], name: str) -> None:
    with pytest.raises(NotLinearError) as caught:
        find_linear_maps(use, (N, D), LIKE)
    assert str(caught.value) == name


@pytest.mark.parametrize(
    ("model", "num_maps"),
    [
        (models.GCN(D, 3), 1),
        (models.GAT(D, 3), 1),
        (models.GATv2(D, 3), 2),
        (models.APPNP(D, 3), 1),
        (models.GraphSAGE(D, 3), 2),
        (gnn.GCN(D, 8, 2, 3), 1),
        (gnn.GAT(D, 8, 2, 3), 1),
    ],
)
def test_models_of_the_field(model: nn.Module, num_maps: int) -> None:
    model.eval()
    assert len(find_linear_maps(lambda x: model(x, EDGES), (N, D), LIKE)) == num_maps


@pytest.mark.parametrize(
    "model",
    [
        gnn.GraphSAGE(D, 8, 2, 3),
        gnn.GIN(D, 8, 2, 3),
        gnn.PNA(D, 8, 2, 3, aggregators=["mean"], scalers=["identity"], deg=torch.ones(3)),
    ],
)
def test_models_that_use_features_otherwise(model: nn.Module) -> None:
    model.eval()
    with pytest.raises(NotLinearError):
        find_linear_maps(lambda x: model(x, EDGES), (N, D), LIKE)


def test_nothing_leaks_below_the_python_level() -> None:
    x = LinearInput((N, D), torch.float32, torch.device("cpu"), lambda linear_map: LIKE)
    with pytest.raises(NotLinearError):
        torch._C._nn.gelu(x)
    with pytest.raises(NotLinearError):
        torch.ops.aten.relu(x)


def test_knows_a_map_by_the_memory_of_its_weight() -> None:
    def key(weight: Tensor, transposed: bool) -> object:
        keys = []
        x = LinearInput((N, D), LIKE.dtype, LIKE.device, lambda m: keys.append(m.key) or LIKE)
        _ = F.linear(x, weight) if transposed else x @ weight
        return keys[0]

    assert key(WEIGHT, False) == key(WEIGHT, False)
    assert key(WEIGHT, False) != key(WEIGHT.clone(), False)
    square = torch.randn(D, D)
    assert key(square, False) != key(square, True)
