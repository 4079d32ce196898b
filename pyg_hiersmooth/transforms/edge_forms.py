r"""The edges of a graph in every form that PyG has for them, and how some of them are kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import cumsum, select

Graph = TypeVar("Graph", Data, HeteroData)

LABELS = frozenset({"y", "edge_label", "edge_label_index"})
r"""Attributes that carry no message, even if there are as many of them as edges."""


def shallow_copy(data: Graph) -> Graph:
    r"""A shallow copy: tensors are shared, the bookkeeping of the graphs of a batch is its own."""
    out = copy.copy(data)
    for name in ("_slice_dict", "_inc_dict"):
        if own := _books(data).get(name):
            _books(out)[name] = {k: dict(v) if isinstance(v, dict) else v for k, v in own.items()}
    return out


def book(data: Data | HeteroData, name: str, store: Any) -> dict[str, Any]:
    r"""Where the graphs of a batch begin in each attribute of a store, ``"_slice_dict"``, or what
    was added to their entries, ``"_inc_dict"``; empty for a single graph.
    """
    own = _books(data).get(name) or {}
    return own if store._key is None else own.get(store._key, {})


def _books(data: Data | HeteroData) -> dict[str, Any]:
    return vars(data._global_store if isinstance(data, HeteroData) else data._store)


def edge_ends(store: Any) -> dict[str, tuple[Tensor, Tensor]]:
    r"""Sources and targets of the edges of a store, ``[E]`` each, in every form in which it has
    them: ``edge_index``, ``adj_t``, or both.

    Raises:
        ValueError: If it has an ``adj``, or an ``adj_t`` that is not sparse.
    """
    if "adj" in store:
        raise ValueError("edges are ablated in 'edge_index' or 'adj_t' (got a graph with an 'adj')")
    ends: dict[str, tuple[Tensor, Tensor]] = {}
    if "adj_t" in store:
        target, source, _ = entries(store.adj_t)
        ends["adj_t"] = source, target
    if "edge_index" in store:
        source, target = plain(store.edge_index)
        ends["edge_index"] = source, target
    return ends


def edge_attributes(store: Any) -> list[str]:
    r"""Names of what a store has for every edge, besides the edges themselves."""
    others = LABELS.union(("edge_index", "adj_t", "num_nodes", "ptr", "batch"))
    names = [name for name in store.keys() if name not in others]  # noqa: SIM118
    return [name for name in names if store.is_edge_attr(name)]


def keep_edges(data: Graph, store: Any, kept: Mapping[str, Tensor]) -> None:
    r"""Keeps some edges of a store, with their attributes and the bookkeeping of a batch.

    Args:
        data (Data, Batch or HeteroData): The graph: a :func:`shallow_copy`.
        store (BaseStorage): A store of its edges, which is changed.
        kept (dict): Which edges, bool ``[E]``, for every form of :func:`edge_ends`.
    """
    attributes: list[str] = edge_attributes(store)
    slices = book(data, "_slice_dict", store)
    if (mask := kept.get("adj_t")) is not None:
        row, col, value = entries(store.adj_t)
        value = None if value is None else value[mask]
        store.adj_t = matrix_like(store.adj_t, row[mask], col[mask], value, sizes(store.adj_t))
    if "edge_index" in kept:
        mask = kept["edge_index"]
        store.edge_index = edge_index_like(store.edge_index, plain(store.edge_index)[:, mask])
    if mask is None:
        return
    for name in attributes:
        store[name] = select(store[name], mask, data.__cat_dim__(name, store[name], store))
    if slices:
        before = num_before(mask)
        for name in (*attributes, "edge_index"):
            if name in slices:
                slices[name] = before[slices[name].to(before.device)].to(slices[name].device)


def num_before(kept: Tensor) -> Tensor:
    r"""How many are kept before each, and in total: int64 ``[N + 1]``."""
    return cumsum(kept.long())


def plain(edge_index: Tensor) -> Tensor:
    r"""Edges as a plain tensor ``[2, E]``."""
    return edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index


def edge_index_like(
    old: Tensor, index: Tensor, sizes: tuple[int | None, int | None] | None = None
) -> Tensor:
    r"""Edges in the class of others, in the same order; what those know of their symmetry need not
    hold.
    """
    if not isinstance(old, EdgeIndex):
        return index
    sizes = old.sparse_size() if sizes is None else sizes
    return EdgeIndex(index, sparse_size=sizes, sort_order=old.sort_order)


def sizes(adjacency: Any) -> tuple[int, int]:
    r"""Numbers of rows and columns of a sparse matrix."""
    num_rows, num_columns = adjacency.size(0), adjacency.size(1)
    return num_rows, num_columns


def entries(adjacency: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    r"""Rows, columns and values of a sparse matrix, in the order in which it holds them."""
    if not isinstance(adjacency, Tensor):  # a SparseTensor
        row, col, value = adjacency.coo()
        return row, col, value
    if adjacency.layout == torch.sparse_coo:
        row, col = adjacency._indices()
        return row, col, adjacency._values()
    if adjacency.layout == torch.sparse_csr:
        return _spread(adjacency.crow_indices()), adjacency.col_indices(), adjacency.values()
    if adjacency.layout == torch.sparse_csc:
        return adjacency.row_indices(), _spread(adjacency.ccol_indices()), adjacency.values()
    raise ValueError(
        f"'adj_t' must be a SparseTensor, or a sparse COO, CSR or CSC matrix (got a "
        f"{adjacency.layout} tensor)"
    )


def matrix_like(
    old: Any, row: Tensor, col: Tensor, value: Any, sizes: tuple[int | None, int | None]
) -> Any:
    r"""A sparse matrix of given entries, in the form and the order of another one."""
    if not isinstance(old, Tensor):
        return type(old)(row=row, col=col, value=value, sparse_sizes=sizes, is_sorted=True)
    num_rows, num_columns = sizes
    shape: Any = (num_rows, num_columns, *old.shape[2:])
    if old.layout == torch.sparse_coo:
        index = torch.stack([row, col])
        return torch.sparse_coo_tensor(index, value, shape, is_coalesced=old.is_coalesced())
    if old.layout == torch.sparse_csr:
        return torch.sparse_csr_tensor(_starts(row, num_rows), col, value, shape)
    return torch.sparse_csc_tensor(_starts(col, num_columns), row, value, shape)


def _spread(starts: Tensor) -> Tensor:
    r"""The row of each entry, from where rows start."""
    return torch.arange(starts.numel() - 1, device=starts.device).repeat_interleave(starts.diff())


def _starts(rows: Tensor, num_rows: int | None) -> Tensor:
    return cumsum(torch.bincount(rows, minlength=num_rows or 0))
