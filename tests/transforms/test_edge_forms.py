from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.transforms.edge_forms import (
    edge_attributes,
    edge_ends,
    edge_index_like,
    entries,
    keep_edges,
    matrix_like,
    num_before,
    plain,
    shallow_copy,
    sizes,
)

INDEX = torch.tensor([[0, 2, 1], [1, 0, 2]])
VALUE = torch.tensor([5.0, 0.0, 7.0])  # a stored zero is an edge


def matrix(layout: str) -> Any:
    """From sources, the columns, to targets, the rows; 3 rows and 4 columns."""
    target = INDEX.flip(0)
    if layout == "SparseTensor":
        kind = pytest.importorskip("torch_sparse").SparseTensor
        return kind(row=target[0], col=target[1], value=VALUE, sparse_sizes=(3, 4))
    kinds = {"coo": torch.sparse_coo, "csr": torch.sparse_csr, "csc": torch.sparse_csc}
    coo = torch.sparse_coo_tensor(target, VALUE, (3, 4))
    return coo if layout == "coo" else coo.coalesce().to_sparse(layout=kinds[layout])


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "SparseTensor"])
def test_matrices_are_taken_apart_and_put_together(layout: str) -> None:
    old = matrix(layout)
    row, col, value = entries(old)
    assert value is not None and sizes(old) == (3, 4)
    found = sorted(zip(row.tolist(), col.tolist(), value.tolist(), strict=True))
    assert found == [(0, 2, 0.0), (1, 0, 5.0), (2, 1, 7.0)]
    new = matrix_like(old, row, col, value, sizes(old))
    assert type(new) is type(old) and torch.equal(new.to_dense(), old.to_dense())
    again = zip(*(part.tolist() for part in entries(new)), strict=True)  # type: ignore[union-attr]
    assert sorted(again) == found
    wider = matrix_like(old, row, col, 2 * value, (5, 6))
    assert sizes(wider) == (5, 6) and float(wider.to_dense()[2, 1]) == 14.0
    data = Data(x=torch.rand(4, 1), adj_t=old)
    ((source, target),) = edge_ends(data._store).values()
    ends = sorted(zip(source.tolist(), target.tolist(), strict=True))
    assert ends == sorted(map(tuple, INDEX.t().tolist()))


def test_an_edge_index_keeps_its_class_and_forgets_its_symmetry() -> None:
    old = EdgeIndex([[0, 1], [1, 0]], sparse_size=(2, 2), sort_order="row", is_undirected=True)
    new = edge_index_like(old, plain(old)[:, :1])
    assert isinstance(new, EdgeIndex) and not new.is_undirected
    assert new.sparse_size() == (2, 2) and new.sort_order == old.sort_order
    assert edge_index_like(old, plain(old), (5, None)).sparse_size() == (5, None)  # type: ignore[attr-defined]
    assert type(plain(old)) is torch.Tensor and plain(INDEX) is INDEX
    assert edge_index_like(INDEX, INDEX[:, :1]).tolist() == [[0], [1]]


def test_what_belongs_to_edges() -> None:
    data = Data(x=torch.rand(4, 2), edge_index=INDEX, edge_attr=torch.rand(3, 1))
    data.weight, data.y, data.edge_label = torch.rand(3), torch.rand(3), torch.rand(3)
    assert sorted(edge_attributes(data._store)) == ["edge_attr", "weight"]


def test_books_of_a_batch_are_its_own() -> None:
    data = Data(x=torch.rand(4, 2), edge_index=INDEX, edge_attr=torch.arange(3.0))
    batch = Batch.from_data_list([data, data])
    out = shallow_copy(batch)
    kept = torch.tensor([True, False, False, False, True, True])
    keep_edges(out, out._store, {"edge_index": kept})
    assert [part.edge_attr.tolist() for part in out.to_data_list()] == [[0.0], [1.0, 2.0]]
    assert [part.edge_attr.tolist() for part in batch.to_data_list()] == [[0.0, 1.0, 2.0]] * 2
    assert out[1].edge_index.tolist() == [[2, 1], [0, 2]]
    assert out.x is batch.x and shallow_copy(data).edge_index is data.edge_index


def test_num_before() -> None:
    assert num_before(torch.tensor([True, False, True])).tolist() == [0, 1, 1, 2]


def test_other_forms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(got a graph with an 'adj'\)"):
        edge_ends(Data(x=torch.rand(2, 1), adj=torch.ones(2, 2))._store)
    with pytest.raises(ValueError, match="'adj_t' must be a SparseTensor, or a sparse COO, CSR"):
        edge_ends(Data(x=torch.rand(2, 1), adj_t=torch.ones(2, 2))._store)
    assert edge_ends(Data(x=torch.rand(2, 1))._store) == {}
