r"""How a PyG model is called on copies of a heterogeneous graph."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from pyg_hiersmooth.nn.graph_forward import ModelCall, adjacency, graph_tensors
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


def noised_type(transform: HierarchicalNodeFeatureNoise, data: HeteroData) -> str:
    r"""The one node type whose features receive noise.

    Raises:
        ValueError: If there are several: no budget would cover the features of all of them.
    """
    noised, *others = transform.node_types(data)
    if others:
        raise ValueError(
            "votes and certificates cover the noise of one node type, p={node_type: ...} (got "
            f"{[noised, *others]})"
        )
    return noised


class HeteroForward:
    r"""Calls a model on copies of a heterogeneous graph, side by side in one batch.

    Args:
        model (torch.nn.Module): The model, called as ``model(x_dict, edge_index_dict)``.
        call (Callable, optional): ``call(model, x, data)``, where :obj:`x` are the features of
            the noised type, which :obj:`data` lacks.
        graph (HeteroData): The graph.
        noised (str): The node type whose features are given in each call.
        target (str): The node type that is classified.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        call: ModelCall | None,
        graph: HeteroData,
        noised: str,
        target: str,
    ) -> None:
        if target not in graph.node_types:
            raise ValueError(
                f"'node_type' must be a node type of the graph, {graph.node_types} (got '{target}')"
            )
        graph = copy.copy(graph)
        num_nodes = graph[noised].num_nodes
        del graph[noised].x
        graph[noised].num_nodes = num_nodes
        self.model, self.call, self.noised, self.target = model, call, noised, target
        self.num_outputs = int(graph[target].num_nodes or 0)
        self._copies: dict[int, HeteroData] = {1: graph}

    @property
    def graph(self) -> HeteroData:
        r"""The graph without the noised features."""
        return self._copies[1]

    def __call__(self, x: Tensor, copies: int) -> Any:
        if copies not in self._copies:
            self._copies[copies] = Batch.from_data_list([self.graph] * copies)
        graph = self._copies[copies]
        if self.call is not None:
            logits = self.call(self.model, x, graph)
        else:
            edges = {edge_type: adjacency(graph[edge_type]) for edge_type in graph.edge_types}
            clean = graph.collect("x", allow_empty=True)
            logits = self.model({**clean, self.noised: x}, edges)
        return logits[self.target] if isinstance(logits, dict) else logits

    def tensors(self) -> list[Tensor]:
        r"""All tensors of the graph, in a fixed order."""
        return graph_tensors(self.graph.to_dict())
