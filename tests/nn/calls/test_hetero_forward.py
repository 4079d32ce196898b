from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData

from pyg_hiersmooth.nn.calls.hetero_forward import HeteroForward, noised_type
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


def graph() -> HeteroData:
    data = HeteroData()
    data["a"].x, data["b"].x = torch.rand(3, 2), torch.rand(2, 4)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 1]])
    return data


class Sums(nn.Module):
    def forward(self, x_dict: Any, edge_index_dict: Any) -> Any:
        source, destination = edge_index_dict["a", "to", "b"]
        sums = x_dict["b"][:, :2].index_add(0, destination, x_dict["a"][source])
        return {"b": sums}


def test_the_noised_features_take_their_place() -> None:
    data = graph()
    forward = HeteroForward(None, data, "a", "b")
    assert forward.rows == [3] and forward.outputs == [2]
    x = torch.rand(6, 2)
    both = forward(Sums(), x, 2, 0)
    each = [Sums()({"a": part, "b": data["b"].x}, data.edge_index_dict)["b"] for part in x.split(3)]
    torch.testing.assert_close(both, torch.cat(each))
    assert "x" not in forward.graph["a"] and "x" in data["a"]


def test_one_type_is_noised_and_one_there_is_is_classified() -> None:
    data = graph()
    assert noised_type(HierarchicalNodeFeatureNoise({"a": 0.5}, AblationNoise()), data) == "a"
    with pytest.raises(ValueError, match="cover the noise of one node type"):
        noised_type(HierarchicalNodeFeatureNoise(0.5, AblationNoise()), data)
    with pytest.raises(ValueError, match="'node_type' must be a node type of the graph"):
        HeteroForward(None, data, "a", "c")
