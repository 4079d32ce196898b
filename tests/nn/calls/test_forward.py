from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.forward import OneByOne
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward


class SumOfAll(nn.Module):
    """Mixes all nodes that it is given, and draws a number."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return x.sum().expand(int(batch.max()) + 1, 1) + torch.rand(1)


def graphs() -> list[Data]:
    edges = torch.zeros(2, 0, dtype=torch.long)
    return [Data(x=torch.full((size, 1), 1.0), edge_index=edges) for size in (1, 2, 4)]


def test_units_do_not_see_each_other_and_draw_the_same_numbers() -> None:
    forward = GraphForward(None, graphs())
    x = torch.ones(14, 1)
    together = forward(SumOfAll(), x, 2, 0)
    assert together.shape == (6, 1) and together.unique().numel() == 1
    apart = OneByOne(forward)
    assert apart.rows == [1, 2, 4] and apart.outputs == [1, 1, 1]
    logits = apart(SumOfAll(), x, 2, 5).view(-1)
    number = torch.rand(1, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(logits, torch.tensor([1.0, 2, 4, 1, 2, 4]) + number)


def test_one_by_one_holds_what_its_units_hold() -> None:
    forward = GraphForward(None, graphs())
    apart = OneByOne(forward)
    assert len(apart.tensors()) >= 3
    assert set(apart.watched()) == set(forward.watched())
    assert apart.describe(torch.ones(7, 1)) == "features of shape [7, 1]"
    assert apart.unit(2).rows == [4] and apart.hint() == ""
