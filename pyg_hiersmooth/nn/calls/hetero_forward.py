r"""Calls models on copies of a heterogeneous graph."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.calls.graph_forward import hint
from pyg_hiersmooth.nn.calls.model_call import ModelCall, adjacency, names_taken
from pyg_hiersmooth.nn.calls.structure import (
    graph_in_dtype,
    graph_tensors,
    left_out,
    structure_of,
)
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


def check_hetero_call(
    model: torch.nn.Module, graph: HeteroData, keep: Collection[str] = (), forward: Any = None
) -> None:
    r"""As :func:`~pyg_hiersmooth.nn.calls.model_call.check_call`, for
    ``model(x_dict, edge_index_dict, ...)``.

    Raises:
        ValueError: If the model cannot be called so, or what its ``forward`` names is withheld.
    """
    if forward is not None:
        return
    structure, taken = structure_of(graph, keep), names_taken(model)
    given = _named(model, structure)
    missing = left_out(graph, structure)
    for name, default in taken.items():
        base = name.removesuffix("_dict")
        if base in missing:
            raise ValueError(
                f"'{type(model).__name__}.forward' takes '{name}', which the graph has as "
                f"'{base}', but which may depend on the features: pass keep=('{base}',) if it does "
                "not, or forward=lambda model, x, data: ... to leave it out"
            )
        if name not in given and default is inspect.Parameter.empty:
            raise ValueError(
                f"'{type(model).__name__}.forward' needs '{name}', which the graph does not have: "
                f"give it '{base}', or pass forward=lambda model, x, data: ..."
            )


def _named(model: torch.nn.Module, graph: HeteroData) -> dict[str, Any]:
    r"""What a model is called with besides features and edges: dictionaries by type, of what its
    ``forward`` names, with or without the ending ``_dict``.
    """
    found = {
        name: graph.collect(name.removesuffix("_dict"), allow_empty=True)
        for name in names_taken(model)
    }
    return {name: values for name, values in found.items() if values}


class HeteroForward:
    r"""Calls a model on copies of a heterogeneous graph, side by side in one batch.

    Args:
        call (Callable, optional): ``call(model, x, data)``, where :obj:`x` are the features of
            the noised type, which :obj:`data` lacks; by default the model is called as
            ``model(x_dict, edge_index_dict)``.
        graph (HeteroData): The graph.
        noised (str): The node type whose features are given in each call.
        target (str): The node type that is classified.
        keep (tuple of str): Attributes besides the structure that the model gets.
    """

    def __init__(
        self,
        call: ModelCall | None,
        graph: HeteroData,
        noised: str,
        target: str,
        keep: Collection[str] = (),
    ) -> None:
        if target not in graph.node_types:
            raise ValueError(
                f"'node_type' must be a node type of the graph, {graph.node_types} (got '{target}')"
            )
        self.graph = structure_of(graph, keep, noised)
        self.call, self.noised, self.target = call, noised, target
        self.rows = [int(graph[noised].num_nodes or 0)]
        self.outputs = [int(graph[target].num_nodes or 0)]
        self._copies: dict[int, HeteroData] = {1: self.graph}
        self._left_out = left_out(graph, self.graph)

    def copies_of(self, copies: int) -> HeteroData:
        if copies not in self._copies:
            self._copies[copies] = Batch.from_data_list([self.graph] * copies)
        return self._copies[copies]

    def __call__(
        self,
        model: torch.nn.Module,
        x: Tensor,
        copies: int,
        seed: int,
        graph: HeteroData | None = None,
    ) -> Any:
        graph = copy.copy(self.copies_of(copies) if graph is None else graph)
        if self.call is not None:
            logits = self.call(model, x, graph)
        else:
            edges = {edge_type: adjacency(graph[edge_type]) for edge_type in graph.edge_types}
            clean = graph.collect("x", allow_empty=True)
            logits = model({**clean, self.noised: x}, edges, **_named(model, graph))
        return logits[self.target] if isinstance(logits, dict) else logits

    @property
    def form(self) -> str:
        r"""The form of the edges, as given."""
        given = [name for name in ("edge_index", "adj_t") if self.graph.collect(name, True)]
        return " and ".join(given)

    def unit(self, index: int) -> Forward:
        return self

    def some(self, indices: list[int]) -> Forward:
        return self

    def in_dtype(self, dtype: torch.dtype) -> HeteroForward:
        cast = copy.copy(self)
        cast.graph = graph_in_dtype(self.graph, dtype)
        cast._copies = {1: cast.graph}
        return cast

    def is_own(self, value: Any) -> bool:
        return any(
            value is own
            for graph in self._copies.values()
            for store in graph.stores
            for own in store.values()
        )

    def tensors(self) -> list[Tensor]:
        return graph_tensors(self.graph.to_dict())

    def watched(self) -> dict[str, Any]:
        graphs = [graph.to_dict() for graph in self._copies.values()]
        return {"forward": self.call, "graph": graphs[0], "copies": graphs[1:]}

    def describe(self, x: Tensor) -> str:
        return f"features of shape {list(x.shape)}"

    def hint(self) -> str:
        return hint(self._left_out) if self.call is not None else ""
