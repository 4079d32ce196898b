from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from pyg_hiersmooth.nn.calls.model_call import call_model

X = torch.rand(4, 3)
DATA = Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), edge_weight=torch.rand(3), num_nodes=4)


class Wrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inside = model
        self.scale = nn.Dropout(0.1)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inside(*args, **kwargs)


class Positional(Wrapper):
    def forward(self, *args: Any) -> Any:  # type: ignore[override]
        return self.inside(*args)


class Named(nn.Module):
    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Any = None, edge_weight: Any = None
    ) -> Any:
        return edge_attr, edge_weight


class Demanding(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor, size: int, edge_weight: Any = None) -> Any:
        return edge_weight


def test_what_the_model_names_is_passed() -> None:
    model = GCN(3, 4, 2, 2).eval()
    expected = model(X, DATA.edge_index, edge_weight=DATA.edge_weight)
    assert torch.equal(call_model(model, X, DATA), expected)
    assert not torch.equal(call_model(model, X, Data(edge_index=DATA.edge_index)), expected)


@pytest.mark.parametrize("wrap", [Wrapper, Positional, lambda m: Wrapper(Wrapper(m))])
def test_wrappers_pass_it_on(wrap: Any) -> None:
    assert call_model(wrap(Named()), X, DATA) == (None, DATA.edge_weight)


def test_wrappers_of_pytorch_pass_it_on() -> None:
    model = GCN(3, 4, 2, 2).eval()
    expected = call_model(model, X, DATA)
    for wrapper in (
        torch.optim.swa_utils.AveragedModel(model),
        nn.DataParallel(model),
        torch.compile(model, backend="eager"),
    ):
        assert torch.equal(call_model(wrapper.eval(), X, DATA), expected)


def test_a_model_that_does_not_take_it_is_called_without() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return x

    assert torch.equal(call_model(Plain(), X, DATA), X)
    assert torch.equal(call_model(Wrapper(Plain()), X, DATA), X)


def test_where_it_cannot_be_told_is_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = Named(), Named()

        def forward(self, *args: Any) -> Any:
            return self.one(*args)

    for model in (Two(), Positional(Demanding())):
        with pytest.raises(ValueError, match="does not say whether the model takes 'edge_weight'"):
            call_model(model, X, DATA)
    assert call_model(Two(), X, Data(edge_index=DATA.edge_index)) == (None, None)


def test_scripted_models_say_what_they_take() -> None:
    class Weighted(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            return edge_weight

    assert torch.equal(call_model(torch.jit.script(Weighted()), X, DATA), DATA.edge_weight)
