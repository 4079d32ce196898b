from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.adjacency_matrix import (
    LAYOUTS,
    check_matrix,
    has_repeated_edges,
    with_adjacency_matrix,
)
from pyg_hiersmooth.nn.calls.not_taken import NotTaken

EDGES = torch.tensor([[0, 2, 1, 2], [1, 1, 2, 2]])


def graph(edge_index: torch.Tensor = EDGES) -> Data:
    return Data(edge_index=edge_index, num_nodes=4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_matrix_holds_each_edge_at_its_destination(layout, weighted: bool) -> None:
    weight = torch.tensor([0.5, 2.0, 3.0, 4.0], dtype=torch.float64) if weighted else None
    given = graph()
    given.edge_weight = weight
    adj_t = with_adjacency_matrix(given, layout, weight, torch.float64).adj_t
    dense = torch.zeros(4, 4, dtype=torch.float64)
    values = torch.ones(4, dtype=torch.float64) if weight is None else weight
    dense[EDGES[1], EDGES[0]] = values
    assert torch.equal(adj_t.to_dense().to(torch.float64), dense)


def test_the_graph_is_left_alone() -> None:
    given = graph()
    given.edge_weight = torch.ones(4)
    made = with_adjacency_matrix(given, LAYOUTS[0], given.edge_weight, torch.float32)
    assert "edge_index" not in made and "edge_weight" not in made and made.num_nodes == 4
    assert torch.equal(given.edge_index, EDGES) and "adj_t" not in given


@pytest.mark.parametrize(
    ("edge_index", "why"),
    [
        (torch.empty(2, 0, dtype=torch.long), "no edges"),
        (torch.tensor([[0, 4], [1, 1]]), "out of the graph"),
    ],
)
def test_edges_that_no_matrix_can_hold(edge_index: torch.Tensor, why: str) -> None:
    with pytest.raises(NotTaken, match=why):
        check_matrix(graph(edge_index))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_edges_that_occur_more_than_once_add_their_weights(layout, weighted: bool) -> None:
    edges = torch.tensor([[0, 2, 0, 1, 0], [1, 1, 1, 2, 1]])
    weight = torch.tensor([0.5, 2.0, 3.0, 4.0, 5.0]) if weighted else None
    adj_t = with_adjacency_matrix(graph(edges), layout, weight, torch.float32).adj_t
    expected = torch.zeros(4, 4)
    values = torch.ones(5) if weight is None else weight
    expected.index_put_((edges[1], edges[0]), values, accumulate=True)
    assert torch.equal(adj_t.to_dense(), expected)
    assert has_repeated_edges(graph(edges)) and not has_repeated_edges(graph(EDGES))


def test_edges_of_both_directions_are_two() -> None:
    check_matrix(graph(torch.tensor([[0, 1], [1, 0]])))
