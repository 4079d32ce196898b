from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pyg_hiersmooth.sampling import linear_maps as lm
from pyg_hiersmooth.sampling.linear_input import NotLinearError
from pyg_hiersmooth.sampling.linear_maps import LinearMaps, linear_maps

N, D = 5, 7


class Two(nn.Module):
    """Reads its features through two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(D, 4), nn.Parameter(torch.randn(D, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x).relu() - x @ self.other


def found(model: nn.Module) -> LinearMaps:
    return linear_maps(model, (N, D), torch.empty(0))


@torch.no_grad()
def test_a_model_answers_for_products_as_for_their_features() -> None:
    torch.manual_seed(0)
    model, x = Two(), torch.randn(N, D)
    maps = found(model)
    assert len(maps) == 2 and maps.matrix.shape == (D, 8)
    assert torch.allclose(model(maps.stand_in(x @ maps.matrix)), model(x), atol=1e-5)


@torch.no_grad()
def test_other_or_changed_maps_are_not_answered() -> None:
    model = Two()
    maps = found(model)
    products = torch.randn(N, 8)
    with pytest.raises(NotLinearError):
        Two()(maps.stand_in(products))
    model.other.mul_(2.0)
    with pytest.raises(NotLinearError):
        model(maps.stand_in(products))


def test_another_use_is_named() -> None:
    with pytest.raises(NotLinearError, match="relu"):
        linear_maps(lambda x: x.relu(), (N, D), torch.empty(0))


@torch.no_grad()
def test_products_have_the_precision_of_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm, "ROWS_AT_ONCE", 2)
    maps = linear_maps(Two().double(), (N, D), torch.empty(0, dtype=torch.float64))
    x = torch.randn(N, D)
    for features in (x, x.double()):
        found = maps.products(features)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, x.double() @ maps.matrix, rtol=1e-13, atol=1e-13)
