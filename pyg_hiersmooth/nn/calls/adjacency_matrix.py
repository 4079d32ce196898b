r"""The edges of a graph as one sparse matrix, which PyG's convolutions take as ``adj_t``."""

from __future__ import annotations

import copy
import warnings
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

from pyg_hiersmooth.nn.calls.not_taken import NotTaken

Layout = Literal["torch.sparse CSR", "SparseTensor"]

LAYOUTS: tuple[Layout, ...] = (
    ("torch.sparse CSR", "SparseTensor") if WITH_TORCH_SPARSE else ("torch.sparse CSR",)
)
r"""What a matrix can be held in, fastest first: both leave the products of most convolutions to
the same routine of PyTorch, which a :class:`SparseTensor` is first converted for."""


def check_matrix(graph: Data) -> None:
    r"""Raises :class:`NotTaken` if the edges of a graph cannot be one matrix."""
    edge_index = graph.edge_index.as_subclass(Tensor)
    if edge_index.numel() == 0:
        raise NotTaken("there are no edges")
    if int(edge_index.min()) < 0 or int(edge_index.max()) >= _num_nodes(graph):
        raise NotTaken("some edges lead out of the graph")


def has_repeated_edges(graph: Data) -> bool:
    r"""Whether some edges occur more than once."""
    source, destination = graph.edge_index.as_subclass(Tensor)
    place = (destination * _num_nodes(graph) + source).sort().values
    return bool((place[1:] == place[:-1]).any())


def with_adjacency_matrix(
    graph: Data, layout: Layout, weight: Tensor | None, dtype: torch.dtype
) -> Data:
    r"""A graph with ``adj_t``, the transposed adjacency matrix, in place of ``edge_index`` and
    ``edge_weight``. Edges that occur more than once become one with the sum of their weights, each
    1 where there are none: the same to models that add messages up.

    Args:
        graph (Data): The graph, with edges that :func:`check_matrix` passes.
        layout (str): What the matrix is held in.
        weight (torch.Tensor, optional): Weights of the edges ``[num_edges]``.
        dtype (torch.dtype): That of the ones that stand for edges without weights.
    """
    num_nodes = _num_nodes(graph)
    source, destination = graph.edge_index.as_subclass(Tensor)
    order = (destination * num_nodes + source).argsort()
    source, destination = source[order], destination[order]
    value = None if weight is None else weight[order]
    is_first = torch.ones_like(source, dtype=torch.bool)
    is_first[1:] = (source.diff() != 0) | (destination.diff() != 0)
    if not bool(is_first.all()):
        value = torch.ones_like(source, dtype=dtype) if value is None else value
        merged = value.new_zeros(int(is_first.sum()))
        value = merged.index_add(0, is_first.cumsum(0) - 1, value)
        source, destination = source[is_first], destination[is_first]
    adj_t: Any
    if layout == "SparseTensor":
        adj_t = SparseTensor(
            row=destination,
            col=source,
            value=value,
            sparse_sizes=(num_nodes, num_nodes),
            is_sorted=True,
            trust_data=True,
        )
    else:
        count = destination.bincount(minlength=num_nodes)
        start = torch.cat([count.new_zeros(1), count.cumsum(0)])
        value = torch.ones_like(source, dtype=dtype) if value is None else value
        with warnings.catch_warnings():  # PyTorch calls the layout a beta version
            warnings.simplefilter("ignore")
            adj_t = torch.sparse_csr_tensor(start, source, value, (num_nodes, num_nodes))
    graph = copy.copy(graph)
    for name in ("edge_index", "edge_weight"):
        if name in graph:
            del graph[name]
    graph.adj_t = adj_t
    graph.num_nodes = num_nodes
    return graph


def _num_nodes(graph: Data) -> int:
    return int(graph.num_nodes or 0)
