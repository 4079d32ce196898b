"""One graph in one form; what users hand over in other forms is in ``tests/seam``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.nn.calls.inputs.graph import as_graph

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


def graph(**attributes: Any) -> Data:
    return Data(**{"x": torch.rand(3, 2), "edge_index": EDGES, **attributes})


def test_the_graph_is_left_alone() -> None:
    given = graph(edge_index=EDGES.int(), edge_weight=torch.ones(3).double())
    made = as_graph(given)
    assert made.edge_index.dtype == torch.int64 and made.edge_weight.dtype == torch.float32
    assert given.edge_index.dtype == torch.int32 and given.edge_weight.dtype == torch.float64
    assert made.x is given.x


def test_double_features_keep_double_weights() -> None:
    made = as_graph(graph(x=torch.rand(3, 2).double(), edge_weight=torch.ones(3).double()))
    assert made.edge_weight.dtype == torch.float64
    integers = graph(x=torch.ones(3, 2).long(), edge_weight=torch.ones(3).double())
    assert as_graph(integers).edge_weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (graph(edge_index=EDGES + 1), "counts nodes from 1 on, pass edge_index - 1"),
        (graph(edge_index=EDGES + 2), r"target nodes|source nodes between 0 and 2 \(got 2 to 4"),
        (graph(edge_index=EDGES.t().contiguous()[:, :2]), r"source|target|integers"),
        (graph(edge_index=torch.zeros(5, 2).long()), r"pass edge_index.t\(\)"),
        (graph(edge_weight=torch.ones(4)), "an entry for each of 3 edges"),
        (graph(edge_type=[0, 1, 0]), "'edge_type' must be a tensor"),
        (graph(node_type=torch.zeros(2)), "'node_type' must have an entry for each of 3 nodes"),
        (graph(num_nodes=5), "'num_nodes' must be the 3 rows of 'x'"),
        (Data(x=torch.rand(3, 2), adj_t=torch.eye(4).to_sparse_csr()), "'adj_t' .* shape"),
        (Data(edge_index=EDGES), "has no node features 'x'"),
    ],
)
def test_what_does_not_fit_is_named(given: Data, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_graph(given)


def test_anything_else_is_no_graph() -> None:
    with pytest.raises(TypeError, match=r"must be a Data or HeteroData \(got list\)"):
        as_graph([graph()])  # type: ignore[type-var]


def hetero(edges: torch.Tensor) -> HeteroData:
    data = HeteroData()
    data["a"].x, data["b"].x = torch.rand(3, 2), torch.rand(2, 1)
    data["a", "to", "b"].edge_index = edges
    return data


def test_types_have_numbers_of_nodes_of_their_own() -> None:
    made = as_graph(hetero(torch.tensor([[0, 2], [1, 0]], dtype=torch.int32)))
    assert made["a", "to", "b"].edge_index.dtype == torch.int64
    with pytest.raises(ValueError, match=r"target nodes between 0 and 1 \(got 1 to 2 .*'to'"):
        as_graph(hetero(torch.tensor([[0, 2], [1, 2]])))
    without = hetero(torch.tensor([[0, 2], [1, 9]]))
    del without["b"].x
    assert as_graph(without)["a", "to", "b"].edge_index.max() == 9  # of as many as there may be
