r"""Graphs with other edges and more nodes, as an adversary may leave them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.transforms.edge_forms import (
    edge_attributes,
    edge_ends,
    edge_index_like,
    entries,
    keep_edges,
    matrix_like,
    plain,
    shallow_copy,
)


def has_edges(graph: Any) -> bool:
    r"""Whether a graph, of one type of nodes or several, has any edges."""
    ends = (end for store in graph.edge_stores for end in edge_ends(store).values())
    return any(len(source) > 0 for source, _ in ends)


def without_edges_into(graph: Data, nodes: Tensor) -> Data:
    r"""A graph without the edges into some of its nodes, bool ``[N]``."""
    fewer = shallow_copy(graph)
    for store in fewer.edge_stores:
        kept = {form: ~nodes[target] for form, (_, target) in edge_ends(store).items()}
        keep_edges(fewer, store, kept)
    return fewer


class Carried(NamedTuple):
    r"""What edges and nodes that are added carry, made of what the others do, ``[K, ...]``."""

    floats: Callable[[Tensor], Tensor]
    integers: Callable[[Tensor], Tensor]
    is_real: bool
    r"""Whether a model must take it."""


def _first(values: Tensor) -> Tensor:
    return values[:1]


def _large(values: Tensor) -> Tensor:
    return 1_000 * (values.abs().amax(0, keepdim=True) + 1)


FIRST = Carried(_first, _first, True)
ABOVE = Carried(_large, _first, True)
FLOATS = (
    ABOVE,
    Carried(lambda values: 0 * values[:1], _first, True),
    Carried(lambda values: -_large(values), _first, False),
)
INTEGERS = (
    Carried(_first, lambda values: values.amax(0, keepdim=True) + 1, False),
    Carried(_first, lambda values: values.amin(0, keepdim=True) - 1, False),
    Carried(_first, _large, False),
)


def kinds(values: list[Tensor]) -> list[Carried]:
    r"""What may be carried where others carry such values."""
    kinds = [FIRST]
    if any(value.is_floating_point() for value in values):
        kinds += FLOATS
    if any(_is_integer(value) for value in values):
        kinds += INTEGERS
    return kinds


def _is_integer(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


def edge_values(store: Any) -> list[Tensor]:
    r"""What edges carry."""
    values = [store[name] for name in edge_attributes(store)]
    if "adj_t" in store:
        values.append(entries(store.adj_t)[2])
    return [value for value in values if isinstance(value, Tensor)]


def node_values(graph: Data) -> list[Tensor]:
    r"""What nodes carry besides their features."""
    names = [name for name in graph.keys() if name != "num_nodes" and graph.is_node_attr(name)]  # noqa: SIM118
    return [graph[name] for name in names if isinstance(graph[name], Tensor)]


def with_edges(graph: Data, edges: Tensor, num_added: int = 0, carried: Carried = FIRST) -> Data:
    r"""A graph with more edges, from row 0 to row 1 of ``[2, K]``, and perhaps with nodes added at
    the end.
    """
    size = int(graph.num_nodes or 0) + num_added
    larger = copy.copy(graph)
    order = order_with(graph, edges)
    for name in list(graph.keys()):
        value = graph[name]
        if name == "adj_t":
            larger.adj_t = with_entries(value, edges, (size, size), carried)
        elif name == "edge_index":
            index = torch.cat([plain(value), edges.to(value.dtype)], dim=1)[:, order]
            larger.edge_index = edge_index_like(value, index, (size, size))
        elif name != "num_nodes" and isinstance(value, Tensor) and graph.is_edge_attr(name):
            larger[name] = with_more(value, edges.size(1), carried)[order]
        elif name != "num_nodes" and isinstance(value, Tensor) and graph.is_node_attr(name):
            larger[name] = with_more(value, num_added, carried)
    larger.num_nodes = size
    return larger


def with_more(values: Tensor, count: int, carried: Carried) -> Tensor:
    r"""Values ``[K, ...]``, and more of them at the end."""
    some = values if len(values) else values.new_ones(1, *values.shape[1:])
    own = carried.floats if values.is_floating_point() else carried.integers
    more = own(some) if values.is_floating_point() or _is_integer(values) else some[:1]
    return torch.cat([values, more.expand(count, *values.shape[1:])])


def order_with(graph: Any, edges: Tensor) -> Tensor | slice:
    r"""Where edges go that are added: to the end, or in between where the others are sorted by
    their targets or sources, which some aggregations need.
    """
    if "edge_index" not in graph:
        return slice(None)
    before = plain(graph.edge_index)
    for end in (1, 0):
        if bool((before[end].diff() >= 0).all()):
            return torch.cat([before[end], edges[end]]).argsort(stable=True)
    return slice(None)


def with_entries(adj_t: Any, edges: Tensor, sizes: tuple[int, int], carried: Carried) -> Any:
    r"""A sparse matrix of given sizes with more entries, in column row 0 and row row 1 of
    ``[2, K]``.
    """
    row, col, value = entries(adj_t)
    row, col = torch.cat([row, edges[1]]), torch.cat([col, edges[0]])
    order = (row * sizes[1] + col).argsort()
    if value is not None:
        value = with_more(value, edges.size(1), carried)[order]
    return matrix_like(adj_t, row[order], col[order], value, sizes)
