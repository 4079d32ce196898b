from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import EdgePooling, GraphNorm

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.determinism import check_deterministic, is_batch_invariant
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel, isolate

X = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
DRAWS = [X, X.flip(0)]
EDGES = torch.tensor([[0, 1], [1, 2]])


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(3, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x)


class Normed(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.norm = GraphNorm(3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(self.norm(x))


class Random(Linear):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(F.dropout(x, 0.5))


class Remembers(Linear):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.memory = x
        return self.lin(x)


class Structural(Linear):
    """Keeps what the graph alone determines."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if not hasattr(self, "degree"):
            self.degree = edge_index[1].bincount(minlength=x.size(0)).float()
        return self.lin(x) * (1 + self.degree.view(-1, 1))


def prepared(model: nn.Module) -> IsolatedModel:
    data = Data(x=torch.rand(4, 3), edge_index=EDGES)
    return isolate(model, GraphForward(None, [data], node_level=True), data.x)


@pytest.mark.parametrize("model", [Linear, Normed, Random, Structural])
def test_pure_models_pass(model: type[nn.Module]) -> None:
    check_deterministic(prepared(model()), DRAWS)


def test_impure_ones_are_named() -> None:
    with pytest.raises(ValueError, match=r"'model\.memory' changes from call to call"):
        check_deterministic(prepared(Remembers()), DRAWS)
    with pytest.raises(ValueError, match="'Random' draws random numbers"):
        check_deterministic(prepared(Random()), DRAWS, deterministic=True)
    silent = Linear()
    nn.init.zeros_(silent.lin.weight)
    with pytest.raises(ValueError, match="'Linear' does not depend on the noisy features"):
        check_deterministic(prepared(silent), DRAWS)


@pytest.mark.parametrize(("model", "apart"), [(Linear, True), (Normed, False), (Random, False)])
def test_blocks(model: type[nn.Module], apart: bool) -> None:
    for copies in (2, 8):
        assert is_batch_invariant(prepared(model()), X.repeat(copies, 1), copies) is apart
    assert is_batch_invariant(prepared(model()), X, 1)  # one graph is one unit


def test_modules_that_break_ties_by_place_never_share_a_block() -> None:
    class Pooled(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.pool = EdgePooling(3)

    assert not is_batch_invariant(prepared(Pooled()), X.repeat(2, 1), 2)
