r"""Graphs to be classified, as the user holds them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.nn.calls.inputs.graph import as_graph, check_clean
from pyg_hiersmooth.nn.calls.inputs.items import all_items
from pyg_hiersmooth.nn.calls.structure import STRUCTURE


def as_graphs(data: Any) -> list[Data]:
    r"""All graphs of a :class:`~torch_geometric.data.Data`, a batch, a list, a dataset, or the
    dataset behind a loader, each as :func:`~pyg_hiersmooth.nn.calls.inputs.graph.as_graph` has it.

    Raises:
        TypeError: If it holds anything but homogeneous graphs.
        ValueError: If there are none, the loader leaves some out, the dataset gives other ones
            when it is read a second time, one is not in order, or some have what others lack.
    """
    graphs = _listed(data)
    if not graphs:
        raise ValueError("'data' must hold at least one graph (got none)")
    for i, graph in enumerate(graphs):
        if not isinstance(graph, Data):
            raise TypeError(f"'data' must hold Data objects (graph {i} is {_name(graph)})")
        graphs[i] = as_graph(graph, f"graph {i}")
        _check_alike(i, graphs[i], graphs[0])
    return graphs


def stacked_features(graphs: list[Data]) -> Tensor:
    r"""The features of all graphs below each other, dense ``[sum of nodes, D]``."""
    return torch.cat([graph.x.to_dense() for graph in graphs])


def _listed(data: Any) -> list[Any]:
    if isinstance(data, Batch):
        check_clean(data, "data")
        return data.to_data_list()
    if isinstance(data, Data):
        return [data]
    items = all_items(data, "data")
    if items is not None:
        return items
    raise TypeError(
        "'data' must be a Data, a list of Data, a Dataset or a DataLoader of homogeneous graphs "
        f"(got {_name(data)})"
    )


def _check_alike(i: int, graph: Data, first: Data) -> None:
    x = graph.x
    if x.size(0) == 0:
        raise ValueError(f"graph {i} has no nodes")
    if x.size(1) != first.x.size(1) or x.dtype != first.x.dtype:
        raise ValueError(
            "all graphs must have features of one size and dtype (graph 0 has "
            f"{first.x.size(1)} of {first.x.dtype}, graph {i} has {x.size(1)} of {x.dtype})"
        )
    for name in sorted(STRUCTURE - {"batch", "ptr", "num_nodes"}):
        if (name in graph) != (name in first):
            has, lacks = (0, i) if name in first else (i, 0)
            raise ValueError(
                f"all graphs must have the same attributes (graph {lacks} lacks '{name}', which "
                f"graph {has} has): give it one, of shape [0, ...] where it has no edges"
            )


def _name(value: Any) -> str:
    return type(value).__name__
