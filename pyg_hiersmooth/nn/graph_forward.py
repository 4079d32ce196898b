r"""How a PyG model is called on copies of graphs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import cumsum

ModelCall = Callable[[torch.nn.Module, Tensor, Any], Any]
r"""Calls a model on features ``[N, D]`` and a graph without features, and returns logits."""

OPTIONAL_ARGUMENTS = ("edge_weight", "edge_attr", "batch", "batch_size")


def call_model(model: torch.nn.Module, x: Tensor, data: Data) -> Any:
    r"""Calls ``model(x, edge_index, ...)`` as PyG models are called.

    ``adj_t`` takes the place of ``edge_index`` where the graph has one; ``edge_weight``,
    ``edge_attr`` and ``batch`` are passed on where the graph has them and the model's ``forward``
    names them.

    Raises:
        ValueError: If the graph has no sparse adjacency.
    """
    named = inspect.signature(model.forward).parameters
    optional = {name: data[name] for name in OPTIONAL_ARGUMENTS if name in named and name in data}
    return model(x, adjacency(data), **optional)


def adjacency(store: Any) -> Any:
    r"""``adj_t`` or ``edge_index`` of a graph, or of one edge type.

    Raises:
        ValueError: If there is neither, or it is dense.
    """
    takes = "the graph must have 'edge_index' [2, num_edges] or a sparse 'adj_t'"
    for name in ("adj_t", "edge_index"):
        if name not in store:
            continue
        value = store[name]
        if isinstance(value, Tensor) and value.layout == torch.strided:
            is_index = not value.is_floating_point() and value.dim() == 2 and value.size(0) == 2
            if name == "adj_t" or not is_index:
                raise ValueError(f"{takes} (got a dense '{name}' of shape {list(value.shape)})")
        return value
    raise ValueError(f"{takes} (got {'a dense adj' if 'adj' in store else 'neither'})")


class GraphForward:
    r"""Calls a model on copies of a graph, side by side in one batch.

    Args:
        model (torch.nn.Module): The model.
        call (Callable): How it is called.
        graph (Data): The graph, or batch of graphs; its features are left out.
        num_outputs (int): Rows of logits that the model returns for it.
    """

    def __init__(
        self, model: torch.nn.Module, call: ModelCall, graph: Data, num_outputs: int
    ) -> None:
        self.model, self.call, self.num_outputs = model, call, num_outputs
        self._copies = {1: without_features(graph)}

    @property
    def graph(self) -> Data:
        r"""The graph without features."""
        return self._copies[1]

    def __call__(self, x: Tensor, copies: int) -> Any:
        if copies not in self._copies:
            self._copies[copies] = side_by_side(self.graph, copies)
        return self.call(self.model, x, self._copies[copies])

    def tensors(self) -> list[Tensor]:
        r"""All tensors of the graph, in a fixed order."""
        return graph_tensors(self.graph.to_dict())


class GraphByGraph:
    r"""Calls a model on one graph at a time, for a model that mixes the graphs of a batch.

    Args:
        model (torch.nn.Module): The model.
        call (Callable): How it is called.
        graphs (list of Data): The graphs; their features are left out.
    """

    def __init__(self, model: torch.nn.Module, call: ModelCall, graphs: list[Data]) -> None:
        self.model, self.call, self.num_outputs = model, call, len(graphs)
        self.graphs = [without_features(Batch.from_data_list([graph])) for graph in graphs]
        self._sizes = [graph.num_nodes for graph in self.graphs]

    def __call__(self, x: Tensor, copies: int) -> Tensor:
        parts = zip(x.split(self._sizes * copies), self.graphs * copies, strict=True)
        return torch.cat([self.call(self.model, part, graph) for part, graph in parts])

    def tensors(self) -> list[Tensor]:
        r"""All tensors of the graphs, in a fixed order."""
        return [tensor for graph in self.graphs for tensor in graph_tensors(graph.to_dict())]


def side_by_side(graph: Data, copies: int) -> Data:
    r"""Copies of a graph, or of a batch of graphs, in one batch."""
    batch = Batch.from_data_list([graph] * copies)
    if isinstance(graph, Batch) and "ptr" in graph:
        # Batches count their graphs on, but for what PyG leaves out.
        batch.ptr = cumsum(graph.ptr.diff().repeat(copies))
        batch._num_graphs = graph.num_graphs * copies
    return batch


def without_features(graph: Data) -> Data:
    r"""A shallow copy of a graph without ``x``, of as many nodes."""
    num_nodes = graph.num_nodes
    graph = copy.copy(graph)
    if "x" in graph:
        del graph.x
    graph.num_nodes = num_nodes
    return graph


def graph_tensors(attributes: dict[str, Any]) -> list[Tensor]:
    r"""All tensors among the attributes of a graph, sorted by their names."""
    found: list[Tensor] = []
    for _, value in sorted(attributes.items(), key=lambda item: str(item[0])):
        if isinstance(value, dict):
            found.extend(graph_tensors(value))
        elif isinstance(value, Tensor):
            found.append(value.as_subclass(Tensor))
        elif hasattr(value, "coo"):
            found.extend(part for part in value.coo() if part is not None)
    return found
