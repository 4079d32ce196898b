from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.nn.calls.structure import check_keep, left_out, structure_of


def make_data() -> Data:
    edges = torch.tensor([[0, 1], [1, 2]])
    return Data(x=torch.rand(3, 2), edge_index=edges, pos=torch.rand(3, 2), y=torch.zeros(3))


def test_only_structure_and_what_is_kept_is_left_in_tensors_of_its_own() -> None:
    data = make_data()
    structure = structure_of(data, ("pos",))
    assert set(structure.keys()) == {"edge_index", "pos", "num_nodes"}
    assert structure.num_nodes == 3
    assert torch.equal(structure.edge_index, data.edge_index)
    assert structure.edge_index.data_ptr() != data.edge_index.data_ptr()
    assert left_out(data, structure) == ["y"]
    assert set(data.keys()) == {"x", "edge_index", "pos", "y"}


def test_of_heterogeneous_graphs_the_other_types_keep_their_features() -> None:
    data = HeteroData()
    data["a"].x, data["b"].x, data["b"].y = torch.rand(3, 2), torch.rand(2, 4), torch.zeros(2)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 2], [1, 0]])
    structure = structure_of(data, (), noised="a")
    assert "x" not in structure["a"] and structure["a"].num_nodes == 3
    assert torch.equal(structure["b"].x, data["b"].x) and "y" not in structure["b"]
    assert left_out(data, structure) == ["y"]


def test_keep_is_names_besides_the_features() -> None:
    assert check_keep(["pos"]) == ("pos",)
    with pytest.raises(TypeError, match="tuple of names"):
        check_keep("pos")
    with pytest.raises(ValueError, match="got 'x' itself"):
        check_keep(("x",))
