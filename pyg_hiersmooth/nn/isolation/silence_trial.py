r"""What is tried on silent nodes of a model, and what it must not do."""

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
from pyg_hiersmooth.nn.isolation.changed_graphs import (
    has_edges,
)
from pyg_hiersmooth.nn.isolation.hidden_model import HiddenModel
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.probes import (
    shuffled_probe,
)
from pyg_hiersmooth.random import RandomStream

SILENCE = 2**21
r"""Tells the streams of these trials from others."""

THOROUGH = 4
r"""The first choices of taken-over nodes, on which everything is tried; features and in-edges at
once on the others."""


Mark = Callable[[Tensor, Tensor], Tensor]
r"""Marks silent nodes, bool ``[N]``, in features ``[N, D (+ 1)]`` that mark none or others."""


def with_indicator(x: Tensor, silent: Tensor) -> Tensor:
    r"""Features whose last column is the indicator."""
    return torch.cat([x[:, :-1], silent.view(-1, 1).to(x)], dim=1)


def without_indicator(x: Tensor, silent: Tensor) -> Tensor:
    r"""Features that say nothing of silent nodes."""
    return x


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


class Attack(NamedTuple):
    r"""What an adversary may do with the changed nodes."""

    what: str
    r"""In words."""
    x: Tensor
    r"""Features, of added nodes as well."""
    graph: Data
    is_real: bool
    r"""Whether a model must take it: it holds nothing but what the graph holds elsewhere."""


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
    except Exception:  # a model may refuse to be without edges
        if has_edges(graph):
            raise
        return
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
