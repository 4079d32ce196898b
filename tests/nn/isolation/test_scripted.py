from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from pyg_hiersmooth.nn.isolation.scripted import scripted_values, stop_scripted_caching

X = torch.rand(4, 3)
EDGES = torch.tensor([[0, 1, 2], [1, 2, 3]])


class Shifted(nn.Module):
    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.shift = shift
        self.scales = [2, 3]

    def forward(self, x: Tensor) -> Tensor:
        return self.lin(x) * self.scales[0] + self.shift


def test_values_that_code_reads() -> None:
    shift = torch.rand(2)
    module = Shifted(shift)
    assert scripted_values(module) == {}
    values = scripted_values(torch.jit.script(module))
    assert torch.equal(values["shift"], shift)
    assert values["scales"] == [2, 3]
    assert values.keys().isdisjoint({"lin", "weight", "bias"})
    assert scripted_values(torch.jit.script(nn.Linear(3, 2))).keys() <= {"training"}


def test_values_that_tracing_kept() -> None:
    shift = torch.rand(2)

    def add(x: Tensor) -> Tensor:
        return x + shift

    class Calls(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return add(x)

    for module in (Shifted(shift), Calls()):
        traced = torch.jit.trace(module, torch.rand(4, 3 if module._modules else 2))
        held = [value for value in scripted_values(traced).values() if isinstance(value, Tensor)]
        assert any(torch.equal(value, shift) for value in held if value.shape == shift.shape)


def test_caches_of_convolutions_are_emptied_and_off() -> None:
    scripted = torch.jit.script(GCNConv(3, 2, cached=True))
    scripted(X, EDGES)
    assert scripted_values(scripted)["_cached_edge_index"] is not None
    stop_scripted_caching(scripted)
    turned = EDGES.flip(0)
    assert not torch.equal(scripted(X, EDGES), scripted(X, turned))
    assert scripted_values(scripted)["_cached_edge_index"] is None


@pytest.mark.parametrize("module", [nn.Linear(3, 2), torch.jit.script(nn.Linear(3, 2))])
def test_modules_without_caches_stay_as_they_are(module: nn.Module) -> None:
    expected = module(X)
    stop_scripted_caching(module)
    assert torch.equal(module(X), expected)
