from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GATConv, GCNConv, SAGEConv, global_add_pool

from pyg_hiersmooth.transforms.structure_ablation import (
    ablated,
    with_closing_graph,
    without_messages,
    without_nodes,
)

LAYOUTS = ["edge_index", "EdgeIndex", "by row", "by col", "coo", "csr", "csc", "SparseTensor"]


@st.composite
def graphs(draw: Any, least: int = 1) -> tuple[Data, Tensor]:
    """A graph with self-loops and repeated edges, and an indicator."""
    num_nodes = draw(st.integers(least, 6))
    ends = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(ends, ends), max_size=12))
    index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t().contiguous()
    num_edges = index.size(1)
    graph = Data(
        x=torch.arange(2.0 * num_nodes).view(-1, 2),
        edge_index=index,
        edge_weight=torch.arange(1.0, 1.0 + num_edges),
        edge_attr=torch.arange(3.0 * num_edges).view(-1, 3),
        edge_type=torch.arange(num_edges) % 3,
        y=torch.tensor([1]),
    )
    selected = draw(st.lists(st.booleans(), min_size=num_nodes, max_size=num_nodes))
    return graph, torch.tensor(selected, dtype=torch.bool)


def in_layout(graph: Data, layout: str) -> Data:
    """The same edges, as far as the layout can hold them: matrices hold an edge once."""
    size = (graph.num_nodes, graph.num_nodes)
    index, weight = graph.edge_index, graph.edge_weight
    out = copy.copy(graph)
    if layout == "edge_index":
        return out
    if layout == "EdgeIndex":
        out.edge_index = EdgeIndex(index, sparse_size=size)
    elif layout in ("by row", "by col"):
        row = layout == "by row"
        order = index[0 if row else 1].argsort(stable=True)
        out.edge_index = EdgeIndex(
            index[:, order], sparse_size=size, sort_order="row" if row else "col"
        )
        out.edge_weight, out.edge_attr = weight[order], graph.edge_attr[order]
        out.edge_type = graph.edge_type[order]
    else:
        for name in ("edge_index", "edge_weight", "edge_attr", "edge_type"):
            del out[name]
        out.num_nodes = graph.num_nodes
        matrix = torch.sparse_coo_tensor(index.flip(0), weight, size)
        if layout == "SparseTensor":
            sparse = pytest.importorskip("torch_sparse").SparseTensor
            out.adj_t = sparse(row=index[1], col=index[0], value=weight, sparse_sizes=size)
        elif layout == "coo":
            out.adj_t = matrix  # with repeated entries
        else:
            kind = torch.sparse_csr if layout == "csr" else torch.sparse_csc
            out.adj_t = matrix.coalesce().to_sparse(layout=kind)
    return out


def edges_of(graph: Data) -> list[tuple[float, ...]]:
    """All edges as (source, target, weight, type, attributes...), in order."""
    if "adj_t" not in graph:
        index = graph.edge_index
        index = index.as_tensor() if isinstance(index, EdgeIndex) else index
        columns = [*index, graph.edge_weight, graph.edge_type]
        rows = torch.stack([column.double() for column in columns], 1)
        return [tuple(r) for r in torch.cat([rows, graph.edge_attr.double()], 1).tolist()]
    matrix = graph.adj_t
    if isinstance(matrix, Tensor):
        matrix = matrix if matrix.layout == torch.sparse_coo else matrix.to_sparse_coo()
        (target, source), value = matrix._indices(), matrix._values()
    else:
        target, source, value = matrix.coo()
    return list(zip(source.tolist(), target.tolist(), value.tolist(), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25, deadline=None)
@given(case=graphs())
def test_messages_are_kept_as_a_plain_loop_keeps_them(
    layout: str, case: tuple[Data, Tensor]
) -> None:
    graph, selected = in_layout(case[0], layout), case[1]
    edges = edges_of(graph)
    out = without_messages(graph, selected)
    assert edges_of(out) == [edge for edge in edges if not selected[int(edge[0])]]
    assert edges_of(graph) == edges
    assert torch.equal(out.x, graph.x) and out.num_nodes == graph.num_nodes
    assert_same_form(out, graph, graph.num_nodes)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25, deadline=None)
@given(case=graphs())
def test_nodes_are_removed_as_a_plain_loop_removes_them(
    layout: str, case: tuple[Data, Tensor]
) -> None:
    graph, selected = in_layout(case[0], layout), case[1]
    edges, stay = edges_of(graph), (~selected).nonzero().flatten().tolist()
    out = without_nodes(graph, selected)
    expected = [
        (stay.index(int(edge[0])), stay.index(int(edge[1])), *edge[2:])
        for edge in edges
        if int(edge[0]) in stay and int(edge[1]) in stay
    ]
    assert edges_of(out) == expected
    assert edges_of(graph) == edges
    assert torch.equal(out.x, graph.x[stay])
    assert out.num_nodes == len(stay) and torch.equal(out.y, graph.y)
    assert_same_form(out, graph, len(stay))


def assert_same_form(out: Data, graph: Data, num_nodes: int) -> None:
    if "adj_t" in graph:
        assert type(out.adj_t) is type(graph.adj_t)
        assert (out.adj_t.size(0), out.adj_t.size(1)) == (num_nodes, num_nodes)
        if isinstance(graph.adj_t, Tensor):
            assert out.adj_t.layout == graph.adj_t.layout
            if graph.adj_t.layout == torch.sparse_coo:
                assert out.adj_t.is_coalesced() == graph.adj_t.is_coalesced()
            if graph.adj_t.layout == torch.sparse_csr:  # a product reads all of it
                dense = out.adj_t.to_dense()
                eye = torch.eye(num_nodes)
                assert torch.equal(out.adj_t @ eye, dense)
    elif isinstance(graph.edge_index, EdgeIndex):
        assert isinstance(out.edge_index, EdgeIndex)
        assert out.edge_index.sort_order == graph.edge_index.sort_order
        assert out.edge_index.sparse_size() == (num_nodes, num_nodes)
        out.edge_index.validate()
    else:
        assert type(out.edge_index) is Tensor


@pytest.mark.parametrize("remove", [without_messages, without_nodes])
@pytest.mark.parametrize("layout", ["edge_index", "by col", "csr", "coo", "SparseTensor"])
@settings(max_examples=20, deadline=None)
@given(cases=st.lists(graphs(least=2), min_size=1, max_size=4))
def test_a_batch_is_ablated_as_its_graphs_are(
    remove: Any, layout: str, cases: list[tuple[Data, Tensor]]
) -> None:
    given = [in_layout(graph, layout) for graph, _ in cases]
    alone = [remove(graph, selected) for graph, (_, selected) in zip(given, cases, strict=True)]
    for some in (given, alone):  # PyG cannot batch an EdgeIndex of one edge
        assume(layout != "by col" or sum(graph.num_edges for graph in some) != 1)
    batch = Batch.from_data_list(given)
    out = remove(batch, torch.cat([selected for _, selected in cases]))
    together = Batch.from_data_list(alone)
    assert out.num_graphs == len(cases)
    assert torch.equal(out.ptr, together.ptr) and torch.equal(out.batch, together.batch)
    assert edges_of(out) == edges_of(together)
    if layout in ("coo", "csr"):
        return  # PyG cannot take such batches apart
    for part, graph in zip(out.to_data_list(), alone, strict=True):
        assert sorted(part.keys()) == sorted(graph.keys())
        assert edges_of(part) == edges_of(graph)
        assert torch.equal(part.x, graph.x) and torch.equal(part.y, graph.y)
        assert part.num_nodes == graph.num_nodes
    whole = Batch.from_data_list(given)
    for part, graph in zip(batch.to_data_list(), whole.to_data_list(), strict=True):
        assert edges_of(part) == edges_of(graph)  # the input is what it was


def test_a_graph_that_loses_all_its_nodes_stays_in_its_batch() -> None:
    edge = torch.tensor([[0, 1], [1, 0]])
    graph = Data(x=torch.ones(2, 1), edge_index=edge, y=torch.tensor([3]))
    batch = Batch.from_data_list([graph, graph, graph])
    out = without_nodes(batch, torch.tensor([0, 0, 0, 0, 1, 1], dtype=torch.bool))
    assert out.num_graphs == 3 and out.ptr.tolist() == [0, 2, 4, 4]
    assert out.y.tolist() == [3, 3, 3] and out[2].num_nodes == 0 and out[2].y.tolist() == [3]


@pytest.mark.parametrize("layout", ["edge_index", "row", "csr"])
def test_a_closing_graph_makes_models_count_all_graphs(layout: str) -> None:
    edge = torch.tensor([[0, 1], [1, 0]])
    graph = Data(x=torch.ones(2, 1), edge_index=edge, edge_attr=torch.ones(2), y=torch.tensor([3]))
    if layout == "row":
        graph.edge_index = EdgeIndex(edge, sparse_size=(2, 2), sort_order="row")
    batch = Batch.from_data_list([graph, graph, graph])
    if layout == "csr":
        ones = torch.ones(batch.num_edges)
        batch.adj_t = torch.sparse_coo_tensor(batch.edge_index, ones, (6, 6)).to_sparse_csr()
        del batch.edge_index
    for kept in (2, 0):
        out = without_nodes(batch, torch.arange(6) >= kept)
        closed = with_closing_graph(out)
        pooled = global_add_pool(closed.x, closed.batch)
        assert pooled.flatten().tolist() == [kept, 0, 0, 0]
        assert closed.batch.tolist() == [0] * kept + [3]
        assert closed.ptr.tolist() == [0, kept, kept, kept, kept + 1]
        convolved = GCNConv(1, 1)(closed.x, closed.adj_t if layout == "csr" else closed.edge_index)
        assert convolved.shape == (kept + 1, 1)
        assert closed.y.tolist() == [3, 3, 3] and closed.num_nodes == kept + 1
        assert out.x.shape == (kept, 1) and out.batch.tolist() == [0] * kept


def test_graphs_of_one_node_keep_their_labels() -> None:
    graph = Data(x=torch.ones(1, 1), edge_index=torch.empty(2, 0, dtype=torch.long))
    graph.y = torch.tensor([3])
    assert without_nodes(graph, torch.tensor([True])).y.tolist() == [3]
    out = without_nodes(Batch.from_data_list([graph, graph]), torch.tensor([True, False]))
    assert out.y.tolist() == [3, 3] and out.x.shape == (1, 1)


def test_masks_and_labels_of_nodes_go_with_their_rows() -> None:
    data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0], [1]]), y=torch.arange(3))
    data.train_mask = torch.tensor([True, False, True])
    out = without_nodes(data, torch.tensor([True, False, False]))
    assert out.y.tolist() == [1, 2] and out.train_mask.tolist() == [False, True]
    assert without_messages(data, torch.tensor([True, False, False])).y.tolist() == [0, 1, 2]


def test_labels_of_links_are_no_messages() -> None:
    data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
    data.edge_label_index = torch.tensor([[0, 0], [1, 1]])
    data.edge_label = torch.tensor([1, 0])
    out = without_messages(data, torch.tensor([True, False]))
    assert out.edge_index.tolist() == [[1], [0]]
    assert out.edge_label_index is data.edge_label_index and out.edge_label is data.edge_label


def test_both_forms_at_once() -> None:
    index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    data = Data(x=torch.ones(3, 1), edge_index=index)
    data.adj_t = torch.sparse_coo_tensor(index.flip(0), torch.ones(3), (3, 3)).to_sparse_csr()
    out = without_messages(data, torch.tensor([False, True, False]))
    assert out.edge_index.tolist() == [[0, 2], [1, 0]]
    assert out.adj_t.to_dense().nonzero().tolist() == [[0, 2], [1, 0]]


def hetero() -> HeteroData:
    data = HeteroData()
    data["paper"].x, data["author"].x = torch.rand(4, 2), torch.rand(3, 5)
    data["venue"].x = torch.rand(2, 1)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 2, 2], [0, 1, 2, 3]])
    data["author", "writes", "paper"].edge_attr = torch.arange(4.0)
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
    data["paper", "in", "venue"].adj_t = torch.sparse_coo_tensor(
        torch.tensor([[0, 1, 1], [0, 1, 3]]), torch.ones(3), (2, 4)
    ).to_sparse_csr()
    return data


def test_edges_that_leave_the_noisy_type() -> None:
    data = hetero()
    selected = {"paper": torch.tensor([False, True, False, True])}
    out = without_messages(data, selected)
    writes, cites = ("author", "writes", "paper"), ("paper", "cites", "paper")
    assert out[writes].edge_index is data[writes].edge_index
    assert out[cites].edge_index.tolist() == [[0, 2], [1, 3]]
    assert out["paper", "in", "venue"].adj_t.to_dense().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert data[cites].edge_index.size(1) == 3

    out = without_nodes(data, selected)
    assert torch.equal(out["paper"].x, data["paper"].x[[0, 2]])
    assert out[writes].edge_index.tolist() == [[0, 2], [0, 1]]
    assert out[writes].edge_attr.tolist() == [0.0, 2.0]
    assert out[cites].edge_index.numel() == 0
    assert out["paper", "in", "venue"].adj_t.to_dense().tolist() == [[1, 0], [0, 0]]
    assert out["author"].x is data["author"].x


@pytest.mark.parametrize("remove", [without_messages, without_nodes])
def test_batches_of_heterogeneous_graphs(remove: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    given = [hetero(), hetero(), hetero()]
    for graph in given:  # PyG cannot take batches of torch.sparse matrices apart
        del graph["paper", "in", "venue"]
    taus = [torch.rand(4, generator=generator) < 0.5 for _ in given]
    out = remove(Batch.from_data_list(given), {"paper": torch.cat(taus)})
    for part, graph, tau in zip(out.to_data_list(), given, taus, strict=True):
        alone = remove(graph, {"paper": tau})
        for edge_type in alone.edge_types:
            for name, value in alone[edge_type].items():
                assert torch.equal(part[edge_type][name], value)
        assert torch.equal(part["paper"].x, alone["paper"].x)


@pytest.mark.parametrize("kind", [GCNConv, GATConv, SAGEConv])
@settings(max_examples=15, deadline=None)
@given(case=graphs(least=2), data=st.data())
def test_selected_nodes_reach_nobody_else(kind: Any, case: Any, data: st.DataObject) -> None:
    """Other features of selected nodes, other edges at them, and a node more: all the same."""
    graph, selected = case
    torch.manual_seed(0)
    layers = [kind(3, 4), kind(4, 2)]

    def logits(graph: Data, selected: Tensor) -> Tensor:
        left = without_messages(graph, selected)
        x = torch.cat([left.x, selected.float().view(-1, 1)], dim=1)
        return layers[1](layers[0](x, left.edge_index).relu(), left.edge_index)

    taken = torch.cat([selected, torch.tensor([True])])
    nodes = st.integers(0, graph.num_nodes)
    pairs = data.draw(st.lists(st.tuples(nodes, nodes), max_size=10))
    attached = [pair for pair in pairs if taken[pair[0]] or taken[pair[1]]]
    kept = ~(selected[graph.edge_index].any(0) & (torch.rand(graph.num_edges) < 0.5))
    added = torch.tensor(attached, dtype=torch.long).reshape(-1, 2).t()
    attacked = Data(edge_index=torch.cat([graph.edge_index[:, kept], added], 1))
    attacked.x = torch.cat([graph.x, torch.full((1, 2), 50.0)])
    attacked.x[taken] += 7.0
    before, after = logits(graph, selected), logits(attacked, taken)
    torch.testing.assert_close(after[:-1][~selected], before[~selected])

    left, same = without_nodes(graph, selected), without_nodes(attacked, taken)
    assert torch.equal(left.x, same.x) and torch.equal(left.edge_index, same.edge_index)


def test_what_is_ablated_decides() -> None:
    data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
    selected = torch.tensor([True, False])
    assert ablated(data, selected, "features") is data
    assert ablated(data, selected, "messages").edge_index.tolist() == [[1], [0]]
    assert ablated(data, selected, "nodes").num_nodes == 1


def test_edges_in_no_form_that_is_known() -> None:
    selected = torch.tensor([True, False])
    with pytest.raises(ValueError, match="ablated messages need edges in 'edge_index' or 'adj_t'"):
        without_messages(Data(x=torch.ones(2, 1)), selected)
    assert without_nodes(Data(x=torch.ones(2, 1)), selected).num_nodes == 1
    for remove in (without_messages, without_nodes):
        with pytest.raises(ValueError, match=r"\(got a graph with an 'adj'\)"):
            remove(Data(x=torch.ones(2, 1), adj=torch.ones(2, 2)), selected)
        with pytest.raises(ValueError, match=r"got a torch.strided tensor"):
            remove(Data(x=torch.ones(2, 1), adj_t=torch.ones(2, 2)), selected)
