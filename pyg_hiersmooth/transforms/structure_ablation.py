r"""What ablation leaves of a graph: no messages of selected nodes, or no selected nodes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import cumsum, select

Graph = TypeVar("Graph", Data, HeteroData)
Selected = Tensor | Mapping[str, Tensor]
r"""Indicator, bool ``[N]``; for a ``HeteroData`` one for each noisy node type, by its name."""

Keep = Callable[[Tensor, Tensor], Tensor]

LABELS = frozenset({"y", "edge_label", "edge_label_index"})
r"""Attributes that carry no message, even if there are as many of them as edges."""


def ablated(data: Graph, selected: Selected, of: str) -> Graph:
    r"""What :class:`~pyg_hiersmooth.noise.AblationNoise` leaves of a graph's structure, given what
    it ablates: ``"features"`` (everything stays), ``"messages"`` (:func:`without_messages`) or
    ``"nodes"`` (:func:`without_nodes`).
    """
    if of == "messages":
        return without_messages(data, selected)
    if of == "nodes":
        return without_nodes(data, selected)
    return data


def without_messages(data: Graph, selected: Selected) -> Graph:
    r"""A copy of a graph without the edges that leave a selected node.

    Edges are removed, with their weights and attributes, and never weighted with 0. Self-loops of
    selected nodes are among them. Nodes, their features, and the order of what stays are kept.

    Args:
        data (Data, Batch or HeteroData): The graph, with ``edge_index`` (from row 0 to row 1) or
            ``adj_t`` (a ``SparseTensor``, or a ``torch.sparse`` COO, CSR or CSC matrix).
        selected (torch.Tensor or dict): The indicator.

    Raises:
        ValueError: If the graph has no edges in one of these forms, or an ``adj`` besides.
    """
    out = _shallow_copy(data)
    for store in out.edge_stores:
        source, _ = _of_ends(store, selected)
        if source is not None and not _keep_edges(out, store, _between(source, None)):
            raise ValueError(
                "ablated messages need edges in 'edge_index' or 'adj_t' (got a graph with neither)"
            )
    return out


def without_nodes(data: Graph, selected: Selected) -> Graph:
    r"""A copy of a graph without its selected nodes: without their rows, and without all edges at
    them. The nodes that stay are numbered anew, in their order.

    A graph of a batch that loses all its nodes stays in the batch. Where every graph has one node,
    ``y`` is taken for labels of graphs, and stays. Numbers of nodes in other attributes than
    ``edge_index``, ``adj_t``, ``batch`` and ``ptr`` are left as they are.

    Args:
        data (Data, Batch or HeteroData): The graph.
        selected (torch.Tensor or dict): The indicator.

    Raises:
        ValueError: If the graph has an ``adj``.
    """
    out = _shallow_copy(data)
    for store in out.edge_stores:
        source, target = _of_ends(store, selected)
        if source is not None or target is not None:
            _keep_edges_between(out, store, source, target)
    for store in out.node_stores:
        rows = selected if isinstance(selected, Tensor) else selected.get(store._key)
        if rows is not None:
            _keep_rows(out, store, ~rows)
    return out


def _shallow_copy(data: Graph) -> Graph:
    r"""A copy whose tensors are shared, and whose books about the graphs of a batch are not."""
    out = copy.copy(data)
    for name in ("_slice_dict", "_inc_dict"):
        if book := _books(data).get(name):
            _books(out)[name] = {k: dict(v) if isinstance(v, dict) else v for k, v in book.items()}
    return out


def _books(data: Data | HeteroData) -> dict[str, Any]:
    r"""Where a batch keeps its books."""
    return vars(data._global_store if isinstance(data, HeteroData) else data._store)


def _book(data: Data | HeteroData, name: str, store: Any) -> dict[str, Any]:
    r"""Where the graphs of a batch begin in each attribute of a store, ``"_slice_dict"``, or what
    was added to their entries, ``"_inc_dict"``; empty for a single graph.
    """
    book = _books(data).get(name) or {}
    return book if store._key is None else book.get(store._key, {})


def _of_ends(store: Any, selected: Selected) -> tuple[Tensor | None, Tensor | None]:
    r"""The indicators of the types of nodes at both ends of a store's edges."""
    if isinstance(selected, Tensor):
        return selected, selected
    source, _, target = store._key
    return selected.get(source), selected.get(target)


def _between(source: Tensor | None, target: Tensor | None) -> Keep:
    r"""Which edges begin and end in unselected nodes, as a function of their ends."""

    def keep(i: Tensor, j: Tensor) -> Tensor:
        kept = torch.ones_like(i, dtype=torch.bool) if source is None else ~source[i]
        return kept if target is None else kept & ~target[j]

    return keep


def _keep_edges(data: Data | HeteroData, store: Any, keep: Keep) -> bool:
    r"""Keeps the edges of a store that a function of sources and targets says, and says whether
    there were any to keep: edges in a form that is known.
    """
    if "adj" in store:
        raise ValueError("edges are ablated in 'edge_index' or 'adj_t' (got a graph with an 'adj')")
    kept: Tensor | None = None
    attributes = [name for name in store.keys() if _is_edge_attribute(store, name)]  # noqa: SIM118
    if "adj_t" in store:
        target, source, value = _entries(store.adj_t)
        kept = keep(source, target)
        parts = target[kept], source[kept], None if value is None else value[kept]
        store.adj_t = _adjacency(store.adj_t, *parts, _sizes(store.adj_t))
    if "edge_index" in store:
        index = _plain(store.edge_index)
        kept = keep(*index)
        store.edge_index = _edge_index(store.edge_index, index[:, kept])
    if kept is None:
        return False
    slices, before = _book(data, "_slice_dict", store), _before(kept)
    for name in attributes:
        if name != "edge_index":
            store[name] = select(store[name], kept, data.__cat_dim__(name, store[name], store))
        if name in slices:
            slices[name] = before[slices[name].to(before.device)].to(slices[name].device)
    return True


def _keep_edges_between(
    data: Data | HeteroData, store: Any, source: Tensor | None, target: Tensor | None
) -> None:
    r"""Keeps the edges of a store between unselected nodes, and numbers those anew."""
    if not _keep_edges(data, store, _between(source, target)):
        return
    slices, incs = _book(data, "_slice_dict", store), _book(data, "_inc_dict", store)
    if "edge_index" in store:
        i, j = _plain(store.edge_index)
        index = torch.stack([_renumbered(source, i), _renumbered(target, j)])
        sizes = getattr(store.edge_index, "sparse_size", lambda: (None, None))()
        store.edge_index = _edge_index(
            store.edge_index, index, (_size(source, sizes[0]), _size(target, sizes[1]))
        )
        if "edge_index" in incs:
            inc = incs["edge_index"]
            if inc.dim() > 1:  # [B, 2, 1], where the ends may be of two types
                both = [_renumbered(end, inc[:, k]) for k, end in enumerate((source, target))]
                incs["edge_index"] = torch.stack(both, dim=1)
            else:
                incs["edge_index"] = _renumbered(source, inc)
    if "adj_t" in store:
        j, i, value = _entries(store.adj_t)
        num_rows, num_columns = _sizes(store.adj_t)
        sizes = _size(target, num_rows), _size(source, num_columns)
        parts = _renumbered(target, j), _renumbered(source, i), value
        store.adj_t = _adjacency(store.adj_t, *parts, sizes)
        if "adj_t" in slices:
            starts = slices["adj_t"]
            both = [_renumbered(end, starts[:, k]) for k, end in enumerate((target, source))]
            slices["adj_t"] = torch.stack(both, dim=1)


def _keep_rows(data: Data | HeteroData, store: Any, kept: Tensor) -> None:
    slices, before = _book(data, "_slice_dict", store), _before(kept)
    ptr = store.ptr if "ptr" in store else None
    attributes = [name for name in store.keys() if _is_row_attribute(store, name)]  # noqa: SIM118
    for name in attributes:
        dim = data.__cat_dim__(name, store[name], store)
        store[name] = select(store[name], kept.to(_device(store[name], kept)), dim)
        if name in slices:
            slices[name] = before[slices[name].to(before.device)].to(slices[name].device)
    if ptr is not None:
        store.ptr = before[ptr]
    if "num_nodes" in store:
        store.num_nodes = int(before[-1])
        if ptr is not None and "_num_nodes" in store.__dict__:
            store._num_nodes = store.ptr.diff().tolist()


def _is_edge_attribute(store: Any, name: str) -> bool:
    if name in LABELS or name in ("adj_t", "num_nodes", "ptr", "batch"):
        return False
    return bool(store.is_edge_attr(name))


def _is_row_attribute(store: Any, name: str) -> bool:
    if name in ("ptr", "num_nodes", "edge_index", "adj_t"):
        return False
    num_graphs = store.ptr.numel() - 1 if "ptr" in store else 1
    if name == "y" and store.num_nodes == num_graphs:
        return False
    return bool(store.is_node_attr(name))


def _device(value: Any, otherwise: Tensor) -> torch.device:
    return value.device if isinstance(value, Tensor) else otherwise.device


def _renumbered(selected: Tensor | None, index: Tensor) -> Tensor:
    r"""How many unselected nodes stand before each of some nodes: the new numbers of those that
    stay.
    """
    if selected is None:
        return index
    before = _before(~selected).to(index.device)
    return before[index.long()].to(index.dtype)


def _before(kept: Tensor) -> Tensor:
    r"""How many are kept before each, and in all, int64 ``[N + 1]``."""
    return cumsum(kept.long())


def _size(selected: Tensor | None, size: int | None) -> int | None:
    return size if selected is None or size is None else int((~selected).sum())


def _plain(edge_index: Tensor) -> Tensor:
    return edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index


def _edge_index(
    old: Tensor, index: Tensor, sizes: tuple[int | None, int | None] | None = None
) -> Tensor:
    r"""Fewer edges in the class of the old ones; what it knows of their order still holds, and
    what it knows of their symmetry does not.
    """
    if not isinstance(old, EdgeIndex):
        return index
    sizes = old.sparse_size() if sizes is None else sizes
    return EdgeIndex(index, sparse_size=sizes, sort_order=old.sort_order)


def _sizes(adjacency: Any) -> tuple[int, int]:
    r"""Numbers of rows and columns of a sparse matrix."""
    num_rows, num_columns = adjacency.size(0), adjacency.size(1)
    return num_rows, num_columns


def _entries(adjacency: Any) -> tuple[Tensor, Tensor, Tensor | None]:
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


def _adjacency(old: Any, row: Tensor, col: Tensor, value: Any, sizes: tuple[Any, ...]) -> Any:
    r"""A sparse matrix of given entries, in the form and the order of the old one."""
    if not isinstance(old, Tensor):
        return type(old)(row=row, col=col, value=value, sparse_sizes=sizes, is_sorted=True)
    shape = (*sizes, *old.shape[2:])
    if old.layout == torch.sparse_coo:
        index = torch.stack([row, col])
        return torch.sparse_coo_tensor(index, value, shape, is_coalesced=old.is_coalesced())
    if old.layout == torch.sparse_csr:
        return torch.sparse_csr_tensor(_starts(row, sizes[0]), col, value, shape)
    return torch.sparse_csc_tensor(_starts(col, sizes[1]), row, value, shape)


def _spread(starts: Tensor) -> Tensor:
    r"""The row of each entry, from where rows start."""
    return torch.arange(starts.numel() - 1, device=starts.device).repeat_interleave(starts.diff())


def _starts(rows: Tensor, num_rows: int) -> Tensor:
    return cumsum(torch.bincount(rows, minlength=num_rows))
