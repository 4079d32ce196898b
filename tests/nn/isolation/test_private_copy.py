from __future__ import annotations

import copy
import random

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn

from pyg_hiersmooth.nn.isolation.adjacency_cache import caches
from pyg_hiersmooth.nn.isolation.private_copy import (
    private_copy,
    same_weights,
    without_caches,
)
from pyg_hiersmooth.sampling.generators import seed_generators

X = torch.rand(4, 3)
EDGES = torch.tensor([[0, 1, 2], [1, 2, 3]])


CACHING = [
    gnn.GCNConv(3, 2, cached=True),
    gnn.APPNP(2, 0.1, cached=True),
    gnn.SGConv(3, 2, 2, cached=True),
    gnn.SSGConv(3, 2, 0.1, 2, cached=True),
]


@pytest.mark.parametrize("conv", CACHING)
def test_the_copy_caches_nothing(conv: nn.Module) -> None:
    expected = conv(X, EDGES)
    copied = private_copy(nn.Sequential(conv))[0]
    assert caches(copied) and not any(getattr(copied, name) for name in caches(copied))
    copied(X, EDGES)
    assert not copied.cached and not any(getattr(copied, name) for name in caches(copied))
    torch.testing.assert_close(conv(X, EDGES), expected)  # the user's own still caches
    assert any(getattr(conv, name) is not None for name in caches(conv))


def test_attributes_of_the_users_that_are_called_like_caches_stay() -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 2)
            self._cached_scale, self.cached = 2.0, True

    copied = private_copy(Scaled())
    assert copied._cached_scale == 2.0 and copied.cached


def test_the_copy_evaluates_and_shares_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    copied = private_copy(model)
    assert model.training and model[1].training
    assert not copied.training and not copied[1].training
    copied[0].weight.data.zero_()
    assert bool(model[0].weight.any())


def test_tensors_in_the_middle_of_a_gradient_are_no_obstacle() -> None:
    model = nn.Linear(3, 2)
    model.activation = model(X)
    assert torch.equal(private_copy(model).activation, model.activation)


def test_models_that_cannot_be_copied_are_refused() -> None:
    class Whole(nn.Linear):
        def __deepcopy__(self, memo: dict[int, object]) -> Whole:
            return self

    class Never(nn.Linear):
        def __deepcopy__(self, memo: dict[int, object]) -> Never:
            raise TypeError("no")

    with pytest.raises(ValueError, match="whose copy shares its tensors"):
        private_copy(Whole(2, 2))
    with pytest.raises(ValueError, match=r"that copy\.deepcopy can copy"):
        private_copy(Never(2, 2))


def test_same_weights_share_parameters_and_no_cache() -> None:
    model = gnn.GCNConv(3, 2, cached=True)
    pristine, weights = private_copy(model), private_copy(model)
    copied = same_weights(pristine, weights)
    assert copied.lin.weight is weights.lin.weight is not pristine.lin.weight
    assert copied is not weights and copied._cached_edge_index is None


def test_training_without_caches() -> None:
    model = nn.ModuleList([gnn.GCNConv(3, 2, cached=True), gnn.SGConv(3, 2, cached=True)])

    def forward(x: Tensor) -> list[Tensor]:
        return [conv(x, EDGES) for conv in model]

    with without_caches(model):
        plain = copy.deepcopy(model)
        assert not any(conv.cached for conv in plain)
        first, second = forward(X), forward(X + 1)
        assert not torch.equal(first[1], second[1])
    assert all(conv.cached for conv in model)
    assert model[0]._cached_edge_index is None and model[1]._cached_x is None


@pytest.mark.parametrize("depths", [(1, 2), (2, 1)])
def test_copies_of_sequential_have_their_own_forward(depths: tuple[int, ...]) -> None:
    """PyG's Sequential names the code of a copy by Python's generator, which is seeded alike."""
    for depth in depths:
        convs = [(gnn.SAGEConv(3, 3), "x, edges -> x") for _ in range(depth)]
        model = gnn.Sequential("x, edges", convs)
        expected = model(X, EDGES)
        for copy_of in (private_copy, lambda each: same_weights(each, each)):
            seed_generators(7, torch.device("cpu"))
            drawn = random.getstate()
            torch.testing.assert_close(copy_of(model)(X, EDGES), expected)
            assert random.getstate() == drawn
