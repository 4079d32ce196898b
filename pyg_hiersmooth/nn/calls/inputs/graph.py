r"""One graph, as the user holds it: checked and brought into the form that models are called on."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from pyg_hiersmooth.transforms.noise_mark import is_noisy

Graph = TypeVar("Graph", Data, HeteroData)

EDGE_ATTRIBUTES = ("edge_weight", "edge_attr", "edge_type")

ALREADY_NOISY = (
    "already carries the noise of a smoothing, which is drawn again for every sample: pass the "
    "clean data, and the noise as 'transform' alone"
)


def check_clean(graph: Data | HeteroData, where: str) -> None:
    r"""Checks that a graph is not one that a smoothing made.

    Raises:
        ValueError: If it is.
    """
    if is_noisy(graph):
        raise ValueError(f"{where} {ALREADY_NOISY}")


def as_graph(graph: Graph, where: str = "data") -> Graph:
    r"""A shallow copy of a graph in one form: edges int64 ``[2, num_edges]``, weights of edges of
    the dtype of the features, and features apart from any graph of gradients.

    Args:
        graph (Data or HeteroData): The graph, which is left alone.
        where (str): What errors call it.

    Raises:
        TypeError: If it is no graph.
        ValueError: If it carries noise already, has no features, or its parts do not fit each
            other.
    """
    if not isinstance(graph, Data | HeteroData):
        raise TypeError(f"'data' must be a Data or HeteroData (got {type(graph).__name__})")
    check_clean(graph, where)
    graph = copy.copy(graph)
    if isinstance(graph, HeteroData):
        for store in graph.node_stores:
            _check_nodes(store, f"{where} for {store._key!r}", needs_features=False)
        for store in graph.edge_stores:
            source, _, target = store._key
            sizes = tuple(_num_nodes(graph[end]) for end in (source, target))
            dtype = _dtype(graph[source])
            _check_edges(store, (sizes[0], sizes[1]), dtype, f"{where} for {store._key}")
    else:
        _check_nodes(graph, where, needs_features=True)
        num_nodes = graph.x.size(0)
        _check_edges(graph, (num_nodes, num_nodes), _dtype(graph), where)
    return graph


def _check_nodes(store: Any, where: str, needs_features: bool) -> None:
    x = store.get("x")
    if x is None:
        if needs_features:
            raise ValueError(f"{where} has no node features 'x'")
        return
    if not isinstance(x, Tensor) or x.dim() != 2:
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"features 'x' must be a matrix [num_nodes, D] (got {shape} in {where})")
    counted = store.get("num_nodes")
    if counted not in (None, x.size(0)):
        raise ValueError(
            f"'num_nodes' must be the {x.size(0)} rows of 'x' (got {counted} in {where})"
        )
    node_type = store.get("node_type")
    if isinstance(node_type, Tensor) and node_type.size(0) != x.size(0):
        raise ValueError(
            f"'node_type' must have an entry for each of {x.size(0)} nodes (got "
            f"{node_type.size(0)} in {where})"
        )
    if x.requires_grad:
        store.x = x.detach()


def _check_edges(
    store: Any, sizes: tuple[int | None, int | None], dtype: torch.dtype | None, where: str
) -> None:
    if "adj_t" in store:
        _check_matrix(store.adj_t, sizes, where)
    if "edge_index" not in store:
        return
    store.edge_index = edge_index = _edge_index(store.edge_index, sizes, where)
    for name in EDGE_ATTRIBUTES:
        if name not in store or edge_index.layout != torch.strided:
            continue
        value, num_edges = store[name], edge_index.size(1)
        if not isinstance(value, Tensor):
            raise ValueError(f"'{name}' must be a tensor (got {type(value).__name__} in {where})")
        if value.dim() == 0 or value.size(0) != num_edges:
            raise ValueError(
                f"'{name}' must have an entry for each of {num_edges} edges (got shape "
                f"{list(value.shape)} in {where})"
            )
        value = value.detach()
        both_float = dtype is not None and value.is_floating_point()
        store[name] = value.to(dtype) if name == "edge_weight" and both_float else value


def _edge_index(edge_index: Any, sizes: tuple[int | None, int | None], where: str) -> Tensor:
    takes = "'edge_index' must be integers [2, num_edges]"
    if not isinstance(edge_index, Tensor):
        raise ValueError(f"{takes} (got {type(edge_index).__name__} in {where})")
    if edge_index.layout != torch.strided:  # a sparse matrix
        return edge_index
    if edge_index.numel() == 0 and edge_index.dim() <= 2:  # torch.tensor([[], []]) is float
        return edge_index.new_empty((2, 0), dtype=torch.long)
    got = f"(got {edge_index.dtype} of shape {list(edge_index.shape)} in {where})"
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        turned = edge_index.dim() == 2 and edge_index.size(1) == 2
        remedy = "pass edge_index.t().contiguous()" if turned else "a sparse matrix goes in 'adj_t'"
        raise ValueError(f"{takes} {got}: {remedy}")
    if edge_index.dtype == torch.bool or edge_index.is_floating_point() or edge_index.is_complex():
        raise ValueError(f"{takes} {got}: pass edge_index.long()")
    if edge_index.dtype != torch.long:
        edge_index = edge_index.long()
    for row, name, size in zip(edge_index, ("source", "target"), sizes, strict=True):
        low, high = int(row.min()), int(row.max())
        if low >= 0 and (size is None or high < size):
            continue
        from_one = int(edge_index.min()) >= 1 and high == size
        remedy = ": it counts nodes from 1 on, pass edge_index - 1" if from_one else ""
        raise ValueError(
            f"'edge_index' must hold {name} nodes between 0 and "
            f"{'num_nodes - 1' if size is None else size - 1} (got {low} to {high} in {where})"
            f"{remedy}"
        )
    return edge_index


def _check_matrix(adj_t: Any, sizes: tuple[int | None, int | None], where: str) -> None:
    if isinstance(adj_t, Tensor) and adj_t.layout == torch.strided:
        return  # refused where the model is called
    shape = tuple(adj_t.shape) if isinstance(adj_t, Tensor) else tuple(adj_t.sparse_sizes())
    if any(size not in (None, got) for size, got in zip(sizes[::-1], shape, strict=True)):
        raise ValueError(
            f"'adj_t' must have the shape {list(sizes[::-1])}, a row for each target node (got "
            f"{list(shape)} in {where})"
        )


def _num_nodes(store: Any) -> int | None:
    x = store.get("x")
    return x.size(0) if isinstance(x, Tensor) else store.get("num_nodes")


def _dtype(store: Any) -> torch.dtype | None:
    x = store.get("x")
    return x.dtype if isinstance(x, Tensor) and x.is_floating_point() else None
