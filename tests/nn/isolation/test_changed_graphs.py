"""Graphs with other edges and more nodes, in every form in which PyG keeps edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.typing import SparseTensor

from pyg_hiersmooth.nn.isolation.changed_graphs import (
    ABOVE,
    has_edges,
    kinds,
    with_edges,
    without_edges_into,
)
from pyg_hiersmooth.transforms.edge_forms import edge_ends


@pytest.mark.parametrize("form", ["edge_index", "SparseTensor", "CSR"])
def test_edges_are_added_in_every_form(form: str) -> None:
    data = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    data.edge_weight, data.pos = torch.tensor([2.0, 3.0]), torch.rand(3, 2)
    if form != "edge_index":
        adj_t: Any = SparseTensor(row=data.edge_index[1], col=data.edge_index[0], value=None)
        adj_t = SparseTensor.from_edge_index(
            data.edge_index.flip(0), data.edge_weight, sparse_sizes=(3, 3)
        )
        data.adj_t = adj_t if form == "SparseTensor" else adj_t.to_torch_sparse_csr_tensor()
        del data.edge_index, data.edge_weight
    larger = with_edges(data, torch.tensor([[0, 2], [2, 3]]), num_added=1)
    assert larger.num_nodes == 4 and larger.pos.shape == (4, 2)
    ((source, target),) = edge_ends(larger._store).values()
    assert sorted(zip(source.tolist(), target.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 3),
    ]
    if form == "edge_index":
        assert larger.edge_weight.tolist() == [2.0, 3.0, 2.0, 2.0]
        assert data.edge_index.shape == (2, 2)


def test_sorted_edges_stay_sorted() -> None:
    data = Data(edge_index=torch.tensor([[2, 0, 1, 0], [0, 1, 1, 3]]), num_nodes=4)
    larger = with_edges(data, torch.tensor([[0, 2], [2, 3]]))
    assert larger.edge_index[1].tolist() == [0, 1, 1, 2, 3, 3]


def test_what_added_edges_and_nodes_carry() -> None:
    data = Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2)
    data.edge_weight, data.year = torch.tensor([-3.0]), torch.tensor([1990, 2000])
    larger = with_edges(data, torch.tensor([[1], [2]]), num_added=1, carried=ABOVE)
    assert larger.edge_weight.tolist() == [-3.0, 4_000.0]
    assert larger.year.tolist() == [1990, 2000, 1990]
    years = [
        with_edges(data, torch.empty(2, 0).long(), 1, kind).year[2] for kind in kinds([data.year])
    ]
    assert {1989, 2001} < set(map(int, years))
    assert len(kinds([])) == 1 < len(kinds([data.edge_weight])) and data.num_nodes == 2


def test_edges_into_nodes_are_removed() -> None:
    data = Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]), num_nodes=3)
    fewer = without_edges_into(data, torch.tensor([True, True, False]))
    assert fewer.edge_index.tolist() == [[1], [2]] and data.edge_index.shape == (2, 3)
    assert has_edges(fewer)
    assert not has_edges(without_edges_into(data, torch.ones(3, dtype=torch.bool)))
