r"""What ablation leaves of a graph: no messages of selected nodes, or no selected nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.utils import select

from pyg_hiersmooth.transforms.edge_forms import (
    Graph,
    book,
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

Selected = Tensor | Mapping[str, Tensor]
r"""Indicator, bool ``[N]``; for a ``HeteroData`` one for each noisy node type, by its name."""


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
    out = shallow_copy(data)
    for store in out.edge_stores:
        source, _ = _of_ends(store, selected)
        if source is not None and not _keep_between(out, store, source, None):
            raise ValueError(
                "ablated messages need edges in 'edge_index' or 'adj_t' (got a graph with neither)"
            )
    return out


def without_nodes(data: Graph, selected: Selected) -> Graph:
    r"""A copy of a graph without its selected nodes: without their rows, and without all edges at
    them. The remaining nodes are renumbered, in their order.

    A graph of a batch that loses all its nodes stays in the batch. Where every graph has one node,
    ``y`` is taken for labels of graphs, and stays. Numbers of nodes in other attributes than
    ``edge_index``, ``adj_t``, ``batch`` and ``ptr`` are left as they are.

    Args:
        data (Data, Batch or HeteroData): The graph.
        selected (torch.Tensor or dict): The indicator.

    Raises:
        ValueError: If the graph has an ``adj``.
    """
    out = shallow_copy(data)
    for store in out.edge_stores:
        source, target = _of_ends(store, selected)
        ablates = source is not None or target is not None
        if ablates and _keep_between(out, store, source, target):
            _number_anew(out, store, source, target)
    for store in out.node_stores:
        rows = selected if isinstance(selected, Tensor) else selected.get(store._key)
        if rows is not None:
            _keep_rows(out, store, ~rows)
    return out


def with_closing_graph(data: Data) -> Data:
    r"""A copy of a batch with one graph more at its end: one node without edges, all of whose
    attributes are 0.

    Models that pool count graphs by the last node, so that graphs at the end of a batch that lost
    all of their nodes would get no answer. Behind the closing graph they do, the one of all graphs
    without nodes; its own answer, the last one, is to be left out.
    """
    out, store = shallow_copy(data), data._store
    for name in store.keys():  # noqa: SIM118
        if _is_row_attribute(store, name) and isinstance(store[name], Tensor):
            dim = data.__cat_dim__(name, store[name], store)
            shape = list(store[name].shape)
            shape[dim] = 1
            out[name] = torch.cat([store[name], store[name].new_zeros(shape)], dim)
    num_nodes, num_graphs = int(data.ptr[-1]), data.ptr.numel() - 1
    out.batch = torch.cat([data.batch, data.batch.new_tensor([num_graphs])])
    out.ptr = torch.cat([data.ptr, data.ptr[-1:] + 1])
    if "num_nodes" in data:
        out.num_nodes = num_nodes + 1
    square = num_nodes + 1, num_nodes + 1
    if "edge_index" in data:
        out.edge_index = edge_index_like(data.edge_index, plain(data.edge_index), square)
    if "adj_t" in data:
        out.adj_t = matrix_like(data.adj_t, *entries(data.adj_t), square)
    return out


def _of_ends(store: Any, selected: Selected) -> tuple[Tensor | None, Tensor | None]:
    r"""The indicators of the types of nodes at both ends of a store's edges."""
    if isinstance(selected, Tensor):
        return selected, selected
    source, _, target = store._key
    return selected.get(source), selected.get(target)


def _keep_between(
    data: Data | HeteroData, store: Any, source: Tensor | None, target: Tensor | None
) -> bool:
    r"""Keeps the edges that begin and end in unselected nodes, and says whether there are any in a
    form that is known.
    """
    kept = {}
    for form, (i, j) in edge_ends(store).items():
        kept[form] = torch.ones_like(i, dtype=torch.bool) if source is None else ~source[i]
        if target is not None:
            kept[form] &= ~target[j]
    if kept:
        keep_edges(data, store, kept)
    return bool(kept)


def _number_anew(
    data: Data | HeteroData, store: Any, source: Tensor | None, target: Tensor | None
) -> None:
    r"""Gives the unselected nodes at the ends of a store's edges their new numbers."""
    slices, incs = book(data, "_slice_dict", store), book(data, "_inc_dict", store)
    if "edge_index" in store:
        i, j = plain(store.edge_index)
        index = torch.stack([_renumbered(source, i), _renumbered(target, j)])
        shape = getattr(store.edge_index, "sparse_size", lambda: (None, None))()
        shape = _size(source, shape[0]), _size(target, shape[1])
        store.edge_index = edge_index_like(store.edge_index, index, shape)
        if "edge_index" in incs:
            inc = incs["edge_index"]
            if inc.dim() > 1:  # [B, 2, 1], where the ends may be of two types
                both = [_renumbered(end, inc[:, k]) for k, end in enumerate((source, target))]
                incs["edge_index"] = torch.stack(both, dim=1)
            else:
                incs["edge_index"] = _renumbered(source, inc)
    if "adj_t" in store:
        j, i, value = entries(store.adj_t)
        num_rows, num_columns = sizes(store.adj_t)
        shape = _size(target, num_rows), _size(source, num_columns)
        row, col = _renumbered(target, j), _renumbered(source, i)
        store.adj_t = matrix_like(store.adj_t, row, col, value, shape)
        if "adj_t" in slices:
            starts = slices["adj_t"]
            both = [_renumbered(end, starts[:, k]) for k, end in enumerate((target, source))]
            slices["adj_t"] = torch.stack(both, dim=1)


def _keep_rows(data: Data | HeteroData, store: Any, kept: Tensor) -> None:
    slices, before = book(data, "_slice_dict", store), num_before(kept)
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
    before = num_before(~selected).to(index.device)
    return before[index.long()].to(index.dtype)


def _size(selected: Tensor | None, size: int | None) -> int | None:
    return size if selected is None or size is None else int((~selected).sum())
