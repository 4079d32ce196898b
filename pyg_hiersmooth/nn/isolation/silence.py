r"""Tries whether a silenced node reaches others: what message ablation assumes of a model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn as gnn
from torch_geometric.data import Data

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.probes import enormous_probe, mixed_probe, stretched_probe
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms.edge_forms import entries, matrix_like, plain
from pyg_hiersmooth.transforms.structure_ablation import without_messages

SILENCE = 2**21
r"""Tells the streams of these trials from others."""


def check_silence(prepared: IsolatedModel, draws: list[Tensor], trials: int = 2) -> None:
    r"""Checks that nodes which send no messages do not move the logits of others.

    Some of the selected nodes get other features, in-edges from all kinds of sending nodes, and a
    new silent node beside them; the logits of all other nodes must stay. The proof needs no more:
    logits of a node depend on the nodes from which a path of remaining edges leads to it, on their
    features, and on these edges.

    Args:
        prepared (IsolatedModel): The model on one graph whose nodes are classified, in the highest
            precision that it takes.
        draws (list of torch.Tensor): Draws of features with the indicator ``[N, D (+ 1)]`` in that
            precision.
        trials (int): Choices of selected nodes.

    Raises:
        ImpureModelError: If they do, with the cause where it can be told.
    """
    forward = prepared.forward
    if not isinstance(forward, GraphForward):
        return
    for number in range(trials):
        draw = draws[number % len(draws)]
        stream = RandomStream(number, SILENCE, device=draw.device)
        selected = stream.bernoulli(0.5, draw.size(0))
        changed = selected & stream.bernoulli(0.5, draw.size(0))
        if not bool(changed.any()) or bool(changed.all()):
            changed = torch.zeros_like(selected)
            changed[number % draw.size(0)] = True
            selected = selected | changed
        others = (~changed).nonzero().view(-1)
        graph = without_messages(forward.graph, selected)
        logits = prepared.answer(draw, graph=graph)[others]
        for what, x, attacked in _attacks(draw, graph, selected, changed, stream):
            try:
                moved = prepared.answer(x, graph=attacked)
            except (MemoryError, torch.cuda.OutOfMemoryError):
                raise
            except Exception as error:
                if attacked is graph:  # a model says in any way that it takes no such features
                    continue
                where = "an added node" if len(x) > len(draw) else "more edges"
                raise ImpureModelError(
                    f"'{type(prepared.model).__name__}' fails on a graph with {where}, so that "
                    f"message ablation cannot be tried on it: {one_line(error)}"
                ) from error
            if not logits_match(moved[: len(draw)][others], logits):
                raise ImpureModelError(
                    f"'{type(prepared.model).__name__}' lets a node that sends no messages reach "
                    f"others ({what}){_cause(prepared.model)}: message ablation proves nothing of "
                    "it"
                )


def _attacks(
    draw: Tensor, graph: Data, selected: Tensor, changed: Tensor, stream: RandomStream
) -> Iterator[tuple[str, Tensor, Data]]:
    r"""What an adversary may do with the changed nodes: in words, features and graph."""
    rows = changed.view(-1, 1)
    for probe in (mixed_probe(draw, 0), stretched_probe(draw), enormous_probe(draw, 0)):
        yield "by its features", torch.where(rows, probe, draw), graph
    nodes, sending = changed.nonzero().view(-1), (~selected).nonzero().view(-1)
    if len(sending) > 0:
        first = nodes[:1].expand(len(sending))  # the largest in-degree of all
        picked = sending[(stream.uniform(2 * len(nodes)) * len(sending)).long()]
        edges = torch.stack(
            [torch.cat([sending, picked]), torch.cat([first, nodes, nodes.flip(0)])]
        )
        yield "by its in-edges", draw, with_edges(graph, edges)
    new = draw.size(0)
    ends = sending[:3] if len(sending) > 0 else nodes[:0]
    edges = torch.stack([ends, torch.full_like(ends, new)])
    larger = with_edges(graph, edges, num_added=1)
    yield "as an added node", torch.cat([draw, draw[nodes[:1]]]), larger


def with_edges(graph: Data, edges: Tensor, num_added: int = 0) -> Data:
    r"""A graph with more edges, from row 0 to row 1 of ``[2, K]``, and perhaps with nodes added at
    the end; these carry what the first edge and the first node do.
    """
    size = int(graph.num_nodes or 0) + num_added
    larger = copy.copy(graph)
    order = _order(graph, edges)
    for name in list(graph.keys()):
        value = graph[name]
        if name == "adj_t":
            larger.adj_t = _with_entries(value, edges, size)
        elif name == "edge_index":
            larger.edge_index = torch.cat([plain(value), edges.to(value.dtype)], dim=1)[:, order]
        elif name != "num_nodes" and isinstance(value, Tensor) and graph.is_edge_attr(name):
            carried = value[:1] if len(value) else value.new_ones(1, *value.shape[1:])
            more = carried.expand(edges.size(1), *value.shape[1:])
            larger[name] = torch.cat([value, more])[order]
        elif name != "num_nodes" and isinstance(value, Tensor) and graph.is_node_attr(name):
            larger[name] = torch.cat([value, value[:1].expand(num_added, *value.shape[1:])])
    larger.num_nodes = size
    return larger


def _order(graph: Data, edges: Tensor) -> Tensor:
    r"""Where edges go that are added: to the end, or in between where the others are sorted by
    their targets, which some aggregations need.
    """
    if "edge_index" not in graph:
        return torch.arange(edges.size(1))
    target = plain(graph.edge_index)[1]
    together = torch.cat([target, edges[1]])
    is_sorted = bool((target.diff() >= 0).all())
    return together.argsort(stable=True) if is_sorted else torch.arange(len(together))


def _with_entries(adj_t: Any, edges: Tensor, size: int) -> Any:
    row, col, value = entries(adj_t)
    row, col = torch.cat([row, edges[1]]), torch.cat([col, edges[0]])
    order = (row * size + col).argsort()
    if value is not None:
        value = torch.cat([value, value.new_ones(edges.size(1))])[order]
    return matrix_like(adj_t, row[order], col[order], value, (size, size))


OVER_ALL_NODES = (
    *(gnn.GraphNorm, gnn.PairNorm, gnn.InstanceNorm, gnn.GraphSizeNorm, gnn.MeanSubtractionNorm),
    *(gnn.DiffGroupNorm, gnn.GPSConv),
)


def _cause(model: torch.nn.Module) -> str:
    r"""What lets it, where that can be told from the kinds of modules."""
    for name, module in model.named_modules():
        batch_norm = isinstance(module, gnn.BatchNorm | torch.nn.BatchNorm1d)
        inner = getattr(module, "module", module)
        if (
            isinstance(module, OVER_ALL_NODES)
            or (isinstance(module, gnn.LayerNorm) and module.mode == "graph")
            or (batch_norm and inner.running_mean is None)
        ):
            return f": '{name}' computes something over all nodes"
        if isinstance(module, gnn.MessagePassing) and module.flow == "target_to_source":
            return f": '{name}' passes messages from target to source"
        if isinstance(module, gnn.DirGNNConv | gnn.HypergraphConv):
            return f": '{name}' passes messages against the direction of edges"
        if isinstance(module, gnn.ChebConv) and len(module.lins) > 2:
            return f": '{name}' divides by out-degrees"
        if isinstance(module, gnn.aggr.LSTMAggregation | gnn.aggr.GRUAggregation):
            return f": '{name}' pads to the largest in-degree of all nodes"
    return ""
