from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward, hint, side_by_side


def graph() -> Data:
    edges = torch.tensor([[0, 1], [1, 2]])
    return Data(x=torch.rand(3, 2), edge_index=edges, pos=torch.rand(3, 1), y=torch.arange(3))


class Edges(nn.Module):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return x.index_add(0, edge_index[1], x[edge_index[0]])


def test_copies_of_a_graph_are_apart() -> None:
    forward = GraphForward(None, [graph()], node_level=True)
    assert forward.rows == forward.outputs == [3]
    x = torch.rand(6, 2)
    both = forward(Edges(), x, 2, 0)
    each = [forward(Edges(), part, 1, 0) for part in x.split(3)]
    torch.testing.assert_close(both, torch.cat(each))


def test_each_call_gets_a_graph_to_do_as_it_likes_with() -> None:
    seen = []

    def call(model: nn.Module, x: Tensor, data: Any) -> Tensor:
        seen.append(sorted(data.keys()))
        data.x, data.extra = x, 1
        return x

    forward = GraphForward(call, [graph()], ("pos",), node_level=True)
    forward(nn.Identity(), torch.rand(3, 2), 1, 0)
    forward(nn.Identity(), torch.rand(3, 2), 1, 0)
    assert seen == [["edge_index", "num_nodes", "pos"]] * 2


def test_batches_of_batches_count_on() -> None:
    batch = Batch.from_data_list([graph(), graph()])
    del batch.x, batch.pos, batch.y
    doubled = side_by_side([batch] * 2)
    assert doubled.ptr.tolist() == [0, 3, 6, 9, 12]
    assert doubled.batch.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert doubled.num_graphs == 4 and int(doubled.edge_index.max()) == 11


def test_a_failure_hints_at_what_was_left_out_of_a_users_own_call() -> None:
    assert GraphForward(None, [graph()], node_level=True).hint() == ""
    own = GraphForward(lambda model, x, data: x, [graph()], node_level=True)
    assert "not 'pos', 'y'" in own.hint() and "keep=('pos',)" in own.hint()
    assert hint([]) == ""
    two = GraphForward(lambda model, x, data: x, [graph(), graph()])
    of_part = two.unit(1).hint(), two.some([1]).hint(), two.in_dtype(torch.float64).hint()
    assert of_part == (own.hint(),) * 3, "also of some of the graphs"


def test_units_are_single_graphs() -> None:
    forward = GraphForward(None, [graph(), graph()])
    assert forward.rows == [3, 3] and forward.outputs == [1, 1]
    unit = forward.unit(1)
    assert unit.rows == [3] and unit.outputs == [1] and unit.unit(0) is unit


def test_repeated_edges_are_merged_only_where_that_was_tried() -> None:
    twice = graph()
    twice.edge_index = twice.edge_index.repeat(1, 2)
    once, repeated = (GraphForward(None, [each], node_level=True) for each in (graph(), twice))
    for tried, forms in ((once, ("adj_t", "edge_index")), (repeated, ("adj_t", "adj_t"))):
        matrix = tried.with_matrix(Edges(), "torch.sparse CSR", torch.float32)
        taken = [each.in_form_of(matrix, torch.float32) for each in (once, repeated)]
        assert (
            tuple("adj_t" if "adj_t" in each.copies_of(1) else "edge_index" for each in taken)
            == forms
        )
