r"""Tries whether a silenced node reaches others: what message ablation assumes of a model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch_geometric import nn as gnn
from torch_geometric.data import Data

from pyg_hiersmooth.errors import ImpureModelError
from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.isolation.changed_graphs import (
    ABOVE,
    edge_values,
    has_edges,
    kinds,
    node_values,
    with_edges,
    without_edges_into,
)
from pyg_hiersmooth.nn.isolation.hidden_model import HiddenModel
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.probes import (
    enormous_probe,
    infinite_probe,
    mixed_probe,
    shuffled_probe,
    stretched_probe,
)
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed
from pyg_hiersmooth.transforms.edge_forms import (
    edge_ends,
)
from pyg_hiersmooth.transforms.structure_ablation import without_messages

SILENCE = 2**21
r"""Tells the streams of these trials from others."""


PART_SIZE = 128
r"""Nodes of a part of a large graph that a model is tried on."""

THOROUGH = 4
r"""The first choices of taken-over nodes, on which everything is tried; features and in-edges at
once on the others."""


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


Mark = Callable[[Tensor, Tensor], Tensor]
r"""Marks silent nodes, bool ``[N]``, in features ``[N, D (+ 1)]`` that mark none or others."""


def with_indicator(x: Tensor, silent: Tensor) -> Tensor:
    r"""Features whose last column is the indicator."""
    return torch.cat([x[:, :-1], silent.view(-1, 1).to(x)], dim=1)


def without_indicator(x: Tensor, silent: Tensor) -> Tensor:
    r"""Features that say nothing of silent nodes."""
    return x


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


def try_case(
    prepared: IsolatedModel | HiddenModel,
    draw: Tensor,
    mark: Mark,
    case: Case,
    graph: Any,
    others: Tensor | slice,
    attacks: Iterator[Attack],
) -> None:
    r"""Compares the logits of some nodes with those after each attack.

    Args:
        prepared (IsolatedModel or HiddenModel): As of :func:`check_silence`.
        draw (torch.Tensor): What it takes.
        mark (Callable): Marks silent nodes there.
        case (Case): Which nodes change.
        graph (Data or HeteroData): The graph without the messages of silent nodes.
        others (torch.Tensor or slice): The outputs that must stay.
        attacks (iterator of Attack): What the adversary does.

    Raises:
        ImpureModelError: If they move.
    """
    # A model may refuse probes, but not real rows in other places.
    rows = case.changed.view(-1, 1)
    shuffled = torch.where(rows, shuffled_probe(draw, case.number), draw)
    try:
        given = (mark(x, case.silent) for x in (draw, shuffled))
        logits, moved = (prepared.answer(x, graph=graph)[others] for x in given)
    except (MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception:
        if has_edges(graph):
            raise
        return  # a model may refuse to be without edges
    _compare(prepared, moved, logits, "by its features")
    for what, x, attacked, is_real in attacks:
        silent = pad(case.silent, (0, len(x) - len(draw)), value=True)
        try:
            moved = prepared.answer(mark(x, silent), graph=attacked)
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:
            if not is_real:  # a model says in any way that it takes no such features
                continue
            where = "an added node" if len(x) > len(draw) else "other edges"
            raise ImpureModelError(
                f"'{type(prepared.model).__name__}' fails on a graph with {where}, so that "
                f"message ablation cannot be tried on it: {one_line(error)}"
            ) from error
        _compare(prepared, moved[others], logits, what)


class Case(NamedTuple):
    r"""A choice of nodes that change."""

    number: int
    r"""The number of the choice."""
    changed: Tensor
    r"""The nodes that change, bool ``[N]``."""
    silent: Tensor
    r"""The nodes that are silent, some others among them, bool ``[N]``."""
    is_empty: bool
    r"""Whether no edges are left: a model may do something else then."""
    is_thorough: bool
    r"""Whether one thing is tried at a time, or much at once."""

    @property
    def stream(self) -> RandomStream:
        r"""What attacks are drawn from."""
        return RandomStream(self.number, SILENCE, device=self.changed.device)


def cases(draw: Tensor, quick: bool = False) -> Iterator[Case]:
    r"""What is tried on a draw of features ``[N, D (+ 1)]``."""
    choices = itertools.islice(_taken_over(draw.size(0)), 1 if quick else None)
    for number, changed in enumerate(choices):
        changed = changed.to(draw.device)
        stream = RandomStream(number, SILENCE, 0, device=draw.device)
        silent = changed if number % 2 else changed | stream.bernoulli(0.5, len(changed))
        first = number < THOROUGH
        yield Case(number, changed, silent, False, first and not quick)
        if first:
            yield Case(number, changed, silent, True, False)


def _compare(
    prepared: IsolatedModel | HiddenModel, moved: Tensor, logits: Tensor, what: str
) -> None:
    r"""Refuses a model whose logits moved by what silent nodes did, in words."""
    if not logits_match(moved, logits):
        raise ImpureModelError(
            f"'{type(prepared.model).__name__}' lets a node that sends no messages reach others "
            f"({what}){_cause(prepared.model)}: message ablation proves nothing of it"
        )


def _taken_over(num_nodes: int) -> Iterator[Tensor]:
    r"""Choices of nodes, bool ``[N]``, about half of them each: of any two nodes, some choice has
    the first and not the second (Sperner 1928: sets of equal size, none within another).
    """
    count = next(m for m in itertools.count(1) if math.comb(m, m // 2) >= num_nodes)
    sets = itertools.islice(itertools.combinations(range(count), count // 2), num_nodes)
    members = torch.tensor(list(sets)).view(num_nodes, -1)
    for choice in range(count):
        yield (members == choice).any(1)


class Attack(NamedTuple):
    r"""What an adversary may do with the changed nodes."""

    what: str
    r"""In words."""
    x: Tensor
    r"""Features, of added nodes as well."""
    graph: Data
    is_real: bool
    r"""Whether a model must take it: it holds nothing but what the graph holds elsewhere."""


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


OVER_ALL_NODES = (
    *(gnn.GraphNorm, gnn.PairNorm, gnn.InstanceNorm, gnn.GraphSizeNorm, gnn.MeanSubtractionNorm),
    *(gnn.DiffGroupNorm, gnn.GPSConv, gnn.HANConv),
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
