r"""Calls models on copies of a graph, or of a batch of graphs."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import cumsum

from pyg_hiersmooth.nn.calls.adjacency_matrix import (
    Layout,
    check_matrix,
    has_repeated_edges,
    with_adjacency_matrix,
)
from pyg_hiersmooth.nn.calls.forward import Forward, no_logits
from pyg_hiersmooth.nn.calls.model_call import ModelCall, call_model, extra_arguments
from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.calls.structure import (
    graph_in_dtype,
    graph_tensors,
    left_out,
    structure_of,
)

IN_ANY_ORDER = ("edge_weight", "node_type", "batch", "ptr", "num_nodes")
r"""What a model may take besides a matrix, which orders edges differently."""


class _Matrix(NamedTuple):
    r"""How the edges are held in a matrix."""

    layout: Layout
    is_weighted: bool
    dtype: torch.dtype
    merges: bool
    r"""Whether repeated edges may be merged, as in the graph that it was tried on."""


class GraphForward:
    r"""Calls a model on copies of a graph, side by side in one batch.

    Args:
        call (Callable): How it is called; it gets a graph without features, to do as it likes with.
        graphs (list of Data): Graphs that are classified, or the one whose nodes are.
        keep (tuple of str): Attributes besides the structure that the model gets.
        node_level (bool): Whether the nodes are classified.
        num_classes (int, optional): Number of classes, for batches of which noise leaves nothing.
    """

    def __init__(
        self,
        call: ModelCall | None,
        graphs: Sequence[Data],
        keep: Collection[str] = (),
        node_level: bool = False,
        num_classes: int | None = None,
    ) -> None:
        self.num_classes = num_classes
        self.call, self.keep, self.node_level = call or call_model, keep, node_level
        self.rows = [int(graph.num_nodes or 0) for graph in graphs]
        self.outputs = self.rows if node_level else [1] * len(graphs)
        self._graphs = structures = [structure_of(graph, keep) for graph in graphs]
        self.graph = structures[0] if node_level else Batch.from_data_list(structures)
        self._copies = {1: self.graph}
        self._matrix: _Matrix | None = None
        self._left_out = left_out(graphs[0], structures[0])

    def __call__(
        self,
        model: torch.nn.Module,
        x: Tensor,
        copies: int,
        seed: int,
        graph: Data | None = None,
    ) -> Any:
        if graph is not None and not self.node_level:
            return self._without_empty_graphs(model, x, graph)
        return self.call(model, x, copy.copy(self.copies_of(copies) if graph is None else graph))

    def _without_empty_graphs(self, model: torch.nn.Module, x: Tensor, graph: Data) -> Any:
        r"""Logits of graphs of a noisy batch, of which some may have no nodes left: zeros."""
        if "ptr" not in graph:  # of a batch taken apart
            graph = Batch.from_data_list([graph])
        present = graph.ptr.diff() > 0
        if bool(present.all()):
            return self.call(model, x, copy.copy(graph))
        if not bool(present.any()):
            return no_logits(len(present), self.num_classes, x)
        found = self.call(model, x, present_graphs(graph, present))
        if not isinstance(found, Tensor) or len(found) != int(present.sum()):
            return found
        logits = found.new_zeros(len(present), found.size(-1))
        logits[present] = found
        return logits

    def copies_of(self, copies: int) -> Data:
        if copies not in self._copies:
            self._copies[copies] = side_by_side([self._copies[1]] * copies)
        return self._copies[copies]

    @property
    def form(self) -> str:
        r"""The form of the edges, as given."""
        return "adj_t" if "adj_t" in self.graph else "edge_index"

    def check_matrix(self, model: torch.nn.Module) -> None:
        r"""Raises :class:`NotTaken` if a model cannot be called on an adjacency matrix."""
        if self.call is not call_model:
            raise NotTaken("'forward' is given the graph as it is")
        if "adj_t" in self.graph:
            raise NotTaken("as given")
        for name in self.graph.keys():  # noqa: SIM118
            if name not in IN_ANY_ORDER and self._is_taken(name, model):
                raise NotTaken(f"the model takes '{name}'")
        if self._is_taken("edge_weight", model) and self.graph.edge_weight.dim() != 1:
            raise NotTaken("edges have several weights")
        check_matrix(self.graph)

    def with_matrix(
        self, model: torch.nn.Module, layout: Layout, dtype: torch.dtype
    ) -> GraphForward:
        r"""Calls a model on the transposed adjacency matrix, as PyG's convolutions take it, with
        the weights of edges in it where the model takes them.
        """
        is_weighted, merges = self._is_taken("edge_weight", model), has_repeated_edges(self.graph)
        return self._in_form(_Matrix(layout, is_weighted, dtype, merges))

    def _in_form(self, matrix: _Matrix | None) -> GraphForward:
        if matrix is None:
            return self
        weight = self.graph.edge_weight if matrix.is_weighted else None
        other = copy.copy(self)
        other._matrix = matrix
        graph = with_adjacency_matrix(self.graph, matrix.layout, weight, matrix.dtype)
        other._copies = {1: graph}
        return other

    def in_form_of(self, other: GraphForward, dtype: torch.dtype) -> GraphForward:
        r"""Calls a model on the form of edges that another graph has, where there is one.

        Args:
            other (GraphForward): Calls models on that form.
            dtype (torch.dtype): Of features.
        """
        if other._matrix is None:
            return self
        try:
            check_matrix(self.graph)
        except NotTaken:
            return self
        if has_repeated_edges(self.graph) and not other._matrix.merges:
            return self
        return self._in_form(other._matrix._replace(dtype=dtype))

    def in_dtype(self, dtype: torch.dtype) -> GraphForward:
        cast = copy.copy(self)
        cast._graphs = [graph_in_dtype(graph, dtype) for graph in self._graphs]
        cast.graph = graph_in_dtype(self.graph, dtype)
        cast._copies = {1: cast.graph}
        return cast._in_form(None if self._matrix is None else self._matrix._replace(dtype=dtype))

    def is_own(self, value: Any) -> bool:
        return any(
            value is own for graph in self._copies.values() for own in graph.to_dict().values()
        )

    def _is_taken(self, name: str, model: torch.nn.Module) -> bool:
        if name not in self.graph:
            return False
        positional, named = extra_arguments(model, self.graph)
        taken = self.graph[name]
        return name in named or any(value is taken for value in positional)

    def unit(self, index: int) -> Forward:
        if len(self.rows) == 1:
            return self
        return self._on([self._graphs[index]])

    def some(self, indices: list[int]) -> Forward:
        return self._on([self._graphs[i] for i in indices])._in_form(self._matrix)

    def _on(self, graphs: Sequence[Data]) -> GraphForward:
        some = GraphForward(self.call, graphs, self.keep, num_classes=self.num_classes)
        some._left_out = self._left_out
        return some

    def tensors(self) -> list[Tensor]:
        return graph_tensors(self.graph.to_dict())

    def watched(self) -> dict[str, Any]:
        graphs = [graph.to_dict() for graph in self._copies.values()]
        return {"forward": self.call, "graph": graphs[0], "copies": graphs[1:]}

    def describe(self, x: Tensor) -> str:
        return f"features of shape {list(x.shape)}"

    def hint(self) -> str:
        return hint(self._left_out) if self.call is not call_model else ""


def side_by_side(graphs: Sequence[Data]) -> Data:
    r"""Graphs, or batches of graphs, in one batch."""
    batch = Batch.from_data_list(list(graphs))
    if isinstance(graphs[0], Batch) and "ptr" in graphs[0]:
        # Batches count their graphs on, but for what PyG leaves out.
        batch.ptr = cumsum(torch.cat([graph.ptr.diff() for graph in graphs]))
        batch._num_graphs = sum(graph.num_graphs for graph in graphs)
    return batch


def present_graphs(batch: Data, present: Tensor) -> Data:
    r"""A batch without its graphs that have no nodes.

    Args:
        batch (Batch): The batch.
        present (torch.Tensor): Whether each of its graphs has nodes, bool ``[B]``.
    """
    left = copy.copy(batch)
    for name in list(batch.keys()):
        value = batch[name]
        of_graphs = isinstance(value, Tensor) and value.dim() > 0 and len(value) == len(present)
        if of_graphs and not batch.is_node_attr(name) and not batch.is_edge_attr(name):
            left[name] = value[present]
    left.batch = (present.cumsum(0) - 1)[batch.batch]
    left.ptr = cumsum(batch.ptr.diff()[present])
    left._num_graphs = int(present.sum())
    return left


def hint(left_out: list[str]) -> str:
    r"""What to say of attributes that a model was not given."""
    if not left_out:
        return ""
    names = ", ".join(f"'{name}'" for name in left_out)
    return (
        f"; of the graph it gets the structure, not {names}: name what it needs and does not "
        f"depend on the features, as in keep=('{left_out[0]}',)"
    )
