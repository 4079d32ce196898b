"""A model that looks further than its hops is found, even if few nodes do or features are whole
numbers.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_adj

from pyg_hiersmooth.nn import SmoothedNodeClassifier

from .small import ABLATION, C, D, N, make_graph, seeded
from .verdict import refused


def unweighted(num_nodes: int = N, seed: int = 0) -> Data:
    data = make_graph(num_nodes, seed)
    return Data(x=data.x, edge_index=data.edge_index)


class ColdStart(nn.Module):
    """Gives nodes without neighbors the mean of all others: one hop, but for those."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cold = gnn.SAGEConv(D + 1, C), nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        alone = torch.bincount(edge_index[1], minlength=x.size(0)) == 0
        return torch.where(alone.view(-1, 1), self.cold(x.mean(0)), self.conv(x, edge_index))


class MaximumOfAll(nn.Module):
    """One hop, and the largest numbers of all nodes; takes whole numbers or known words only."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(2, D)
        self.conv, self.context = gnn.SAGEConv(D, C), nn.Linear(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        features = x[:, :-1].float()
        hidden = features + self.token(x[:, -1].long())
        return self.conv(hidden, edge_index) + self.context(features.amax(0))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_features_that_are_no_floats_are_tried_as_well(dtype: torch.dtype) -> None:
    class OneHop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = gnn.SAGEConv(D + 1, C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x.float(), edge_index)

    data = unweighted(40)
    data.x = (data.x > 0).to(dtype)
    smoothed = SmoothedNodeClassifier(seeded(OneHop), ABLATION, C, num_hops=1)
    assert smoothed.receptive_field(data).shape == (40, 40)
    smoothed.model = seeded(MaximumOfAll)
    refused(lambda: smoothed.receptive_field(data), "features further away")


@pytest.mark.parametrize("build", [ColdStart, MaximumOfAll])
@pytest.mark.parametrize("asked", ["receptive_field", "sample_votes"])
def test_what_few_nodes_see_of_nodes_far_away_is_found(build: Any, asked: str) -> None:
    data = unweighted(40)
    data.x = (torch.cat([data.x, data.x[:4]]) > 0).float()
    smoothed = SmoothedNodeClassifier(seeded(build), ABLATION, C, num_hops=1)
    arguments: dict[str, Any] = {}
    if asked == "sample_votes":
        arguments = {"num_samples": 10, "progress": False, "num_workers": 0}
    refused(lambda: getattr(smoothed, asked)(data, **arguments), "features further away")


class Dense(nn.Module):
    """One hop, by a matrix that holds zeros: an infinite number gets past them."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return to_dense_adj(edge_index, max_num_nodes=x.size(0))[0].t().to(x) @ self.lin(x)


def test_features_that_overflow_reach_all_through_a_dense_matrix() -> None:
    smoothed = SmoothedNodeClassifier(seeded(Dense), ABLATION, C, num_hops=1)
    refused(lambda: smoothed.receptive_field(unweighted()), "features further away")
