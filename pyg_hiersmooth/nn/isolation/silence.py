r"""Tries whether a silenced node reaches others: what message ablation assumes of a model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.changed_graphs import (
    ABOVE,
    edge_values,
    kinds,
    node_values,
    with_edges,
    without_edges_into,
)
from pyg_hiersmooth.nn.isolation.hidden_model import HiddenModel
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.probes import (
    enormous_probe,
    infinite_probe,
    mixed_probe,
    stretched_probe,
)
from pyg_hiersmooth.nn.isolation.silence_trial import (
    Attack,
    Case,
    Mark,
    cases,
    try_case,
    with_indicator,
    without_indicator,
)
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed
from pyg_hiersmooth.transforms.edge_forms import (
    edge_ends,
)
from pyg_hiersmooth.transforms.structure_ablation import without_messages

PART_SIZE = 128
r"""Nodes of a part of a large graph that a model is tried on."""


def check_silence(
    prepared: IsolatedModel, draw: Tensor, has_indicator: bool, products: Tensor | None = None
) -> None:
    r"""Checks that nodes which send no messages do not move the logits of others.

    Some of the selected nodes get other features, other in-edges from all kinds of sending nodes,
    and a new silent node beside them; the logits of all other nodes must stay. Each node changes
    at least once while any given other one is looked at. The proof needs no more: logits of a node
    depend on the nodes from which a path of remaining edges leads to it, on their features, and on
    these edges.

    Args:
        prepared (IsolatedModel): The model on one graph whose nodes are classified, in the highest
            precision that it takes.
        draw (torch.Tensor): A draw of features ``[N, D (+ 1)]``.
        has_indicator (bool): Whether the last column is the indicator, which no one changes.
        products (torch.Tensor, optional): The products of the draw with the first linear maps,
            where the model was seen to answer for them as for the draw.

    Raises:
        ImpureModelError: If they do, with the cause where it can be told.
    """
    if not isinstance(prepared.forward, GraphForward):
        return
    mark = with_indicator if has_indicator else without_indicator
    nodes = _part(prepared.forward.graph, draw.size(0))
    if nodes is not None:
        part = prepared.forward.graph.subgraph(nodes.to(draw.device))
        forward = GraphForward(prepared.forward.call, [part], prepared.forward.keep, True)
        try:
            rows = prepared.own(draw[nodes.to(draw.device)])
            _check(prepared.fresh(forward), rows, mark)
            _check_quickly(prepared, draw, has_indicator, products)
            return
        except ImpureModelError:
            raise
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception:  # a model may take the whole graph alone
            pass
    _check(prepared, prepared.own(draw), mark)


def _part(graph: Data, num_nodes: int) -> Tensor | None:
    r"""Nodes around a few of a large graph, int64 ``[K]``, ascending; what a model lets silent
    nodes do shows on these, at a small part of the cost.
    """
    if num_nodes <= PART_SIZE or ("edge_index" in graph) == ("adj_t" in graph):
        return None
    ((source, target),) = edge_ends(graph._store).values()
    found = torch.zeros(num_nodes, dtype=torch.bool, device=source.device)
    found[torch.linspace(0, num_nodes - 1, PART_SIZE // 8).long()] = True
    while int(found.sum()) < PART_SIZE:
        wider = found.clone()
        wider[source[found[target]]] = True
        if torch.equal(wider, found):
            wider[: int(found.sum()) + PART_SIZE // 8] = True
        found = wider
    nodes = found.nonzero().view(-1)
    return nodes[torch.linspace(0, len(nodes) - 1, PART_SIZE).long().unique()].cpu()


def _check_quickly(
    prepared: IsolatedModel, draw: Tensor, has_indicator: bool, products: Tensor | None
) -> None:
    r"""As :func:`check_silence`, in few calls, behind the first linear maps where that can be."""
    mark = with_indicator if has_indicator else without_indicator
    try:
        if products is not None:
            hidden = HiddenModel.of(prepared, draw)
            row = hidden.maps.matrix[-1:]  # what the indicator adds

            def add(x: Tensor, silent: Tensor) -> Tensor:
                return x + silent.view(-1, 1).to(x) * row

            if has_indicator:
                mark, products = add, add(products, -draw[:, -1])
            with not_swallowed():
                _check(hidden, products, mark, quick=True)
            return
    except NotLinearError:  # it takes its features in other ways now and then
        pass
    _check(prepared, prepared.own(draw), mark, quick=True)


def _check(
    prepared: IsolatedModel | HiddenModel, draw: Tensor, mark: Mark, quick: bool = False
) -> None:
    r"""As :func:`check_silence`; in few calls, if it was done on a part of the graph."""
    graph_of = prepared.forward
    if not isinstance(graph_of, GraphForward):
        return
    for case in cases(draw, quick):
        graph = without_messages(graph_of.graph, case.silent)
        if case.is_empty:
            graph = without_edges_into(graph, torch.ones_like(case.changed))
        attacks = _attacks if case.is_thorough else _quick_attacks
        others = (~case.changed).nonzero().view(-1)
        try_case(prepared, draw, mark, case, graph, others, attacks(draw, graph, case))


def _attacks(draw: Tensor, graph: Data, case: Case) -> Iterator[Attack]:
    r"""What an adversary may do, one thing at a time."""
    selected, changed = case.silent, case.changed
    rows = changed.view(-1, 1)
    for probe in (mixed_probe(draw, 0), stretched_probe(draw), enormous_probe(draw, 0)):
        yield Attack("by its features", torch.where(rows, probe, draw), graph, False)
    infinite = torch.where(rows, infinite_probe(draw), draw)
    yield Attack("by features so large that they overflow", infinite, graph, False)
    edges = _in_edges(selected, changed, case.stream)
    for carried in kinds(edge_values(graph._store)):
        attacked = with_edges(graph, edges, carried=carried)
        yield Attack("by its in-edges", draw, attacked, carried.is_real)
    yield Attack("by its in-edges", draw, without_edges_into(graph, changed), True)
    new, ends = draw.size(0), (~selected).nonzero().view(-1)[:3]
    edges = torch.stack([ends, torch.full_like(ends, new)])
    for num_added in (1, 3 * new):
        x = torch.cat([draw, draw[:1].expand(num_added, -1)])
        yield Attack("as an added node", x, with_edges(graph, edges, num_added), True)
    x = torch.cat([draw, stretched_probe(draw[:1])])
    for carried in kinds(node_values(graph)):
        yield Attack("as an added node", x, with_edges(graph, edges, 1, carried), False)


def _quick_attacks(draw: Tensor, graph: Data, case: Case) -> Iterator[Attack]:
    r"""Much of it at once."""
    selected, changed = case.silent, case.changed
    x = torch.where(changed.view(-1, 1), mixed_probe(draw, 0), draw)
    edges = _in_edges(selected, changed, case.stream)
    yield Attack("by its features or in-edges", x, with_edges(graph, edges, carried=ABOVE), False)


def _in_edges(selected: Tensor, changed: Tensor, stream: RandomStream) -> Tensor:
    r"""Edges ``[2, K]`` from sending nodes to the changed ones, of which one gets the largest
    in-degree of all.
    """
    nodes, sending = changed.nonzero().view(-1), (~selected).nonzero().view(-1)
    if len(sending) == 0 or len(nodes) == 0:
        return torch.empty(2, 0, dtype=torch.long, device=changed.device)
    first = nodes[:1].expand(len(sending))
    picked = sending[(stream.uniform(2 * len(nodes)) * len(sending)).long()]
    return torch.stack([torch.cat([sending, picked]), torch.cat([first, nodes, nodes.flip(0)])])
