r"""How a PyG model is called on copies of graphs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

ModelCall = Callable[[torch.nn.Module, Tensor, Data], Any]
r"""Calls a model on features ``[N, D]`` and a graph without features, and returns logits."""

OPTIONAL_ARGUMENTS = ("edge_weight", "edge_attr", "batch", "batch_size")


def call_model(model: torch.nn.Module, x: Tensor, data: Data) -> Any:
    r"""Calls ``model(x, edge_index, ...)`` as PyG models are called.

    ``adj_t`` takes the place of ``edge_index`` where the graph has one; ``edge_weight``,
    ``edge_attr`` and ``batch`` are passed on where the graph has them and the model's ``forward``
    names them.
    """
    adjacency = data.adj_t if "adj_t" in data else data.edge_index
    named = inspect.signature(model.forward).parameters
    optional = {name: data[name] for name in OPTIONAL_ARGUMENTS if name in named and name in data}
    return model(x, adjacency, **optional)


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
        self._copies = {1: _without_features(graph)}

    @property
    def graph(self) -> Data:
        r"""The graph without features."""
        return self._copies[1]

    def __call__(self, x: Tensor, copies: int) -> Any:
        if copies not in self._copies:
            graphs = [self.graph]
            if isinstance(self.graph, Batch):
                graphs = self.graph.to_data_list()
            self._copies[copies] = Batch.from_data_list(graphs * copies)
        return self.call(self.model, x, self._copies[copies])

    def tensors(self) -> list[Tensor]:
        r"""All tensors of the graph, in a fixed order."""
        found: list[Tensor] = []
        for _, value in sorted(self.graph.to_dict().items()):
            if isinstance(value, Tensor):
                found.append(value)
            elif hasattr(value, "coo"):
                found.extend(part for part in value.coo() if part is not None)
        return found


def _without_features(graph: Data) -> Data:
    num_nodes = graph.num_nodes
    graph = copy.copy(graph)
    del graph.x
    graph.num_nodes = num_nodes
    return graph
