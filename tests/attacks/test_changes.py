from __future__ import annotations

import torch
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import Changes


def test_nodes_and_edges_come_and_go() -> None:
    graph = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]))
    changes = Changes.of(
        graph,
        torch.tensor([1, 3]),
        torch.full((2, 3), 7.0),
        torch.tensor([0]),
        torch.tensor([[3], [1]]),
    )
    attacked = changes.applied(graph)
    assert attacked.x.tolist() == [[1, 0, 0], [7, 7, 7], [0, 0, 1], [7, 7, 7]]
    assert attacked.edge_index.tolist() == [[1, 2, 3], [2, 0, 1]]
    assert torch.equal(graph.x, torch.eye(3)) and graph.num_edges == 3


def test_no_changes() -> None:
    graph = Data(x=torch.eye(2), edge_index=torch.tensor([[0], [1]]))
    same = Changes.of(graph).applied(graph)
    assert torch.equal(same.x, graph.x) and torch.equal(same.edge_index, graph.edge_index)
