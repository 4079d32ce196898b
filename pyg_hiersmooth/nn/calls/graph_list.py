r"""Graphs to be classified, as the user holds them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.nn.calls.dataset_items import all_items


def as_graphs(data: Any) -> list[Data]:
    r"""All graphs of a :class:`~torch_geometric.data.Data`, a batch, a list, a dataset, or the
    dataset behind a loader.

    Raises:
        TypeError: If it holds anything but homogeneous graphs.
        ValueError: If there are none, the loader leaves some out, or the graphs do not have
            features of one size.
    """
    graphs = _listed(data)
    if not graphs:
        raise ValueError("'data' must hold at least one graph (got none)")
    for i, graph in enumerate(graphs):
        if not isinstance(graph, Data):
            raise TypeError(f"'data' must hold Data objects (graph {i} is {_name(graph)})")
        _check_graph(i, graph, graphs[0])
    return graphs


def stacked_features(graphs: list[Data]) -> Tensor:
    r"""The features of all graphs below each other, dense ``[sum of nodes, D]``."""
    return torch.cat([graph.x.to_dense() for graph in graphs])


def _listed(data: Any) -> list[Any]:
    if isinstance(data, Batch):
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


def _check_graph(i: int, graph: Data, first: Data) -> None:
    x = graph.get("x")
    if x is None:
        raise ValueError(f"graph {i} has no node features 'x'")
    if not isinstance(x, Tensor) or x.dim() != 2:
        shape = list(x.shape) if isinstance(x, Tensor) else _name(x)
        raise ValueError(f"features 'x' must be a matrix [num_nodes, D] (graph {i} has {shape})")
    if x.size(0) == 0:
        raise ValueError(f"graph {i} has no nodes")
    if x.size(1) != first.x.size(1) or x.dtype != first.x.dtype:
        raise ValueError(
            "all graphs must have features of one size and dtype (graph 0 has "
            f"{first.x.size(1)} of {first.x.dtype}, graph {i} has {x.size(1)} of {x.dtype})"
        )


def _name(value: Any) -> str:
    return type(value).__name__
