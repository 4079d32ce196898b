from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.hidden_model import behind_first_maps, known_draw
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.sampling.linear_input import NotLinearError

N, D, C = 9, 4, 3
GRAPH = Data(edge_index=torch.randint(N, (2, 20)), num_nodes=N)
X = torch.randn(N, D)


def prepared(model: nn.Module) -> IsolatedModel:
    return IsolatedModel(model, GraphForward(None, [GRAPH], node_level=True), torch.rand(N, D))


@torch.no_grad()
@pytest.mark.parametrize("kind", [GCN, GAT])
def test_products_answer_as_features_do(kind: type[nn.Module]) -> None:
    isolated = prepared(kind(D, 8, 2, C))
    found = behind_first_maps(isolated, X)
    assert found is not None
    hidden, products = found
    assert torch.allclose(hidden.answer(products), isolated.answer(X), atol=1e-5)
    rows = torch.arange(N).flip(0)
    assert torch.allclose(hidden.answer_probe(products[rows]), isolated.answer(X[rows]), atol=1e-5)


class First(nn.Module):
    """Reads features through one map, where the first product says so."""

    def __init__(self, other: str) -> None:
        super().__init__()
        self.other, self.map = other, nn.Linear(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.map(x)
        if self.other == "look":
            return hidden + x.amax(0, keepdim=True)[:, :C]
        if self.other == "wide" and bool(hidden.abs().max() > 1e6):
            return hidden + x.sum()
        if self.other == "told":
            return hidden if type(x) is Tensor else 2 * hidden
        return hidden


@torch.no_grad()
def test_what_reads_features_in_other_ways_is_left_alone() -> None:
    assert behind_first_maps(prepared(First("look")), X) is None
    assert behind_first_maps(prepared(First("told")), X) is None, "answers differently"
    assert behind_first_maps(prepared(First("none")), X.long()) is None
    found = behind_first_maps(prepared(First("wide")), X)
    assert found is not None
    with pytest.raises(NotLinearError):
        found[0].answer(found[1] * 1e9)


@torch.no_grad()
def test_of_a_known_draw_no_more_than_the_products_are_needed() -> None:
    isolated = prepared(GCN(D, 8, 2, C))
    found = behind_first_maps(isolated, X)
    assert found is not None
    seen = found[1], found[0].maps.matrix
    known = behind_first_maps(isolated, known_draw(*seen))
    assert known is not None and torch.equal(known[1], found[1])
    assert torch.equal(known[0].answer(known[1]), found[0].answer(found[1]))
    with pytest.raises(NotLinearError):
        isolated.answer(known_draw(*seen))
    assert behind_first_maps(prepared(First("look")), known_draw(*seen)) is None
    unknown = found[0].maps.stand_in(found[1])
    assert behind_first_maps(isolated, unknown) is None, "nobody has seen that it answers alike"


class InTurn(nn.Module):
    """Two maps, in one order or the other."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.order = nn.ModuleList(nn.Linear(D, C) for _ in range(2)), (0, 1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = {i: self.maps[i](x) for i in self.order}
        return hidden[0] + 2.0 * hidden[1]


@torch.no_grad()
def test_products_are_not_known_of_maps_in_another_order() -> None:
    isolated = prepared(InTurn())
    found = behind_first_maps(isolated, X)
    assert found is not None
    seen = known_draw(found[1], found[0].maps.matrix)
    assert behind_first_maps(isolated, seen) is not None
    isolated.model.order = (1, 0)
    assert behind_first_maps(isolated, seen) is None
