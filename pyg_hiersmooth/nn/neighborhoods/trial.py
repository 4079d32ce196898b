r"""Tries a model on neighbourhoods before sampling: are its logits those on the whole graph?

Outside of neighbourhoods, features are made up, and never read: the whole graph is tried on rows
of the neighbourhoods in a random order there, other ones in each draw. A model that looks further
than it says answers otherwise.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.model_call import ModelCall
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.purity import logits_match, shuffled, unrelated
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, Boundary, Neighborhood
from pyg_hiersmooth.nn.neighborhoods.receptive_field import check_num_hops
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.random import RandomStream

MAX_WHOLE = 2**21
r"""Most nodes and edges of a graph that is tried as a whole."""

TARGETS_TO_TRY = 4
r"""Targets, far apart in their order, that are tried where not all of them are."""

CANDIDATES = 32
r"""Targets among which those are looked for that have the smallest neighbourhoods."""

HOPS_BEYOND, FEW = 2, 2**16
r"""How much further than the model a part of the graph reaches that is tried instead of all; only
one hop, where that has more than so many nodes and edges."""

MADE_UP = 2**20 + 1
r"""Tells the streams of made-up features from others."""


@dataclass(frozen=True)
class Cut:
    r"""A graph that neighbourhoods are cut out of, and how models are called on them."""

    graph: Data
    r"""The graph, without its features."""
    edges: CSC
    call: ModelCall | None
    keep: Collection[str]
    num_hops: int
    device: torch.device
    dtype: torch.dtype
    r"""Of features, as a model takes them."""

    def neighborhood(
        self, targets: np.ndarray, rim: Boundary = "edges", hops: int | None = None
    ) -> Neighborhood:
        r"""The neighbourhood of targets, int64 ``[K]``."""
        hops = self.num_hops if hops is None else hops
        return Neighborhood(self.graph, self.edges, targets, hops, rim, self.keep, self.dtype)

    def forward_on(self, graph: Data) -> GraphForward:
        r"""Calls a model on the graph, or on a part of it."""
        graph = copy.copy(graph).to(self.device)
        return GraphForward(self.call, [graph], self.keep, node_level=True)


class Case(NamedTuple):
    r"""What a model must answer on a neighbourhood."""

    features: Tensor
    r"""Rows of the neighbourhood's nodes."""
    asked: list[int]
    r"""Which of its targets are asked about."""
    logits: Tensor
    r"""Their logits in a larger graph."""


class Trial(ABC):
    r"""Answers of a model on a larger graph, which those on neighbourhoods must agree with."""

    @abstractmethod
    def cases(self, neighborhood: Neighborhood, targets: np.ndarray) -> Iterator[Case]:
        r"""What the model must answer on a neighbourhood of targets, int64 ``[K]``."""

    @abstractmethod
    def refuse(self) -> None:
        r"""Raises a :class:`ValueError` with the number of hops that would do, if the model looks
        further than it says.
        """

    def passes(self, voter: ForwardVoter, neighborhood: Neighborhood, targets: np.ndarray) -> bool:
        r"""Whether samples on a neighbourhood, in blocks, get the logits of the larger graph."""
        cases, copies = list(self.cases(neighborhood, targets)), voter.block_size
        for first in range(0, len(cases), copies):
            block = [cases[(first + i) % len(cases)] for i in range(copies)]
            features = [
                neighborhood.extended(case.features, made_up(case.features, 1, i))
                for i, case in enumerate(block)
            ]
            answers = voter.answer(torch.cat(features), copies)
            for answer, case in zip(answers, block, strict=True):
                if not logits_match(answer[case.asked], case.logits):
                    return False
        return True


class WholeTrial(Trial):
    r"""Compares with the whole graph, whose logits are computed once a draw.

    Args:
        cut (Cut): The graph.
        prepared (IsolatedModel): The model.
        targets (numpy.ndarray): All targets, int64 ``[M]``, ascending.
        rows (numpy.ndarray): The nodes of all neighbourhoods, int64 ``[K]``, ascending.
        draws (list of torch.Tensor): Draws of their features ``[K, D (+ 1)]``.
    """

    def __init__(
        self,
        cut: Cut,
        prepared: IsolatedModel,
        targets: np.ndarray,
        rows: np.ndarray,
        draws: list[Tensor],
    ) -> None:
        self.cut, self.targets, self.rows = cut, targets, rows
        self.prepared = prepared.sharing(cut.forward_on(cut.graph), False)
        here = torch.from_numpy(rows).to(cut.device)
        asked = torch.from_numpy(targets).to(cut.device)
        self._kept: list[tuple[Tensor, Tensor]] = []
        for number, draw in enumerate([*draws, *_strange(draws)]):
            features = made_up(draw, cut.edges.num_nodes, number).index_copy_(0, here, draw)
            logits = _answer(self.prepared, features, number < len(draws))
            if logits is not None:
                self._kept.append((draw, logits[asked]))
            if number == 0:
                self._features = features

    def cases(self, neighborhood: Neighborhood, targets: np.ndarray) -> Iterator[Case]:
        place = torch.from_numpy(np.searchsorted(self.rows, neighborhood.nodes.numpy()))
        asked = torch.from_numpy(np.searchsorted(self.targets, targets))
        for draw, logits in self._kept:
            own = draw.index_select(0, place.to(draw.device))
            yield Case(own, list(range(len(targets))), logits[asked.to(logits.device)])

    def refuse(self) -> None:
        targets = torch.from_numpy(self.targets)
        check_num_hops(self.prepared, self._features, self.cut.graph, targets, self.cut.num_hops)


class WideTrial(Trial):
    r"""Compares with neighbourhoods that reach one or two hops further, of those targets whose are
    smallest: for graphs that are too large to be tried.

    A model that looks further without a look at what is so near passes.

    Args:
        cut (Cut): The graph.
        prepared (IsolatedModel): The model.
        targets (numpy.ndarray): All targets, int64 ``[M]``, ascending.
        draw_rows (Callable): Draws features of some nodes, int64 ``[K]``, by a number:
            ``[K, D (+ 1)]``.

    Raises:
        ValueError: If no target has so few nodes around it that it can be tried.
    """

    def __init__(
        self,
        cut: Cut,
        prepared: IsolatedModel,
        targets: np.ndarray,
        draw_rows: Callable[[Tensor, int], Tensor],
    ) -> None:
        self.cut, self.prepared, self._draw_rows = cut, prepared, draw_rows
        self.tried: list[tuple[int, Neighborhood]] = []
        candidates = {
            int(target): cut.edges.field_size(np.array([target]), cut.num_hops + 1)
            for target in spread(targets, CANDIDATES)
        }
        for target in sorted(candidates, key=lambda each: candidates[each])[:TARGETS_TO_TRY]:
            if candidates[target] <= MAX_WHOLE:
                hops = cut.num_hops + (HOPS_BEYOND if candidates[target] <= FEW else 1)
                self.tried.append((target, cut.neighborhood(np.array([target]), hops=hops)))
        if not self.tried:
            raise ValueError("every neighbourhood is too large to be tried on a wider one")

    def cases(self, neighborhood: Neighborhood, targets: np.ndarray) -> Iterator[Case]:
        draws = [self._draw_rows(neighborhood.nodes, number) for number in range(2)]
        full = self.cut.neighborhood(targets)
        larger = [(full, full.targets, list(range(len(targets))))]
        for target, wide in self.tried:
            if target in targets:
                at = torch.from_numpy(np.searchsorted(wide.nodes.numpy(), [target]))
                larger.append((wide, at, [int(np.searchsorted(targets, target))]))
        for other, asked_there, asked in larger:
            alone = self.prepared.sharing(self.cut.forward_on(other.graph), False)
            _, here, there = np.intersect1d(
                neighborhood.nodes, other.nodes, assume_unique=True, return_indices=True
            )
            for number, draw in enumerate([*draws, *_strange(draws)]):
                rows = made_up(draw, len(other.nodes), number)
                rows[torch.from_numpy(there)] = draw[torch.from_numpy(here)]
                features = other.extended(rows, made_up(draw, 1, number))
                logits = _answer(alone, features, number < len(draws))
                if logits is not None:
                    yield Case(draw, asked, logits[asked_there.to(logits.device)])

    def refuse(self) -> None:
        for target, wide in self.tried:
            draw = self._draw_rows(wide.nodes, 0)
            features = wide.extended(draw, draw[:1])
            at = torch.from_numpy(np.searchsorted(wide.nodes.numpy(), [target]))
            prepared = self.prepared.sharing(self.cut.forward_on(wide.graph), False)
            check_num_hops(prepared, features, wide.graph, at, self.cut.num_hops)


def check_some_targets(cut: Cut, voter: ForwardVoter) -> None:
    r"""Checks the number of hops of a model that votes on the whole graph, on few targets.

    Args:
        cut (Cut): The graph.
        voter (ForwardVoter): What votes.

    Raises:
        ValueError: If it looks further, with the number of hops that would do.
    """
    model, prepared = voter.model, voter.model.prepared
    if not model.dense_fits:
        return
    draws = [model.trial_draw(0), model.trial_draw(1)]
    if prepared.draws_random_numbers(draws[0]):
        return
    logits = [prepared.answer(draw) for draw in draws]
    for target in spread(voter.targets.unique().cpu().numpy(), TARGETS_TO_TRY):
        part = cut.neighborhood(np.array([target]))
        alone = prepared.sharing(cut.forward_on(part.graph), False)
        for number, draw in enumerate(draws):
            features = part.extended(draw[part.nodes.to(draw.device)], made_up(draw, 1, number))
            try:
                agrees = logits_match(
                    alone.answer(features)[part.targets], logits[number][[target]]
                )
            except Exception:  # a model may fail on a part of the graph and look no further
                agrees = False
            if not agrees:
                for asked in (torch.tensor([target]), voter.targets):
                    check_num_hops(prepared, draw, cut.graph, asked, cut.num_hops)
                return


def spread(targets: np.ndarray, count: int) -> np.ndarray:
    r"""So many of the targets, or all, far apart in their order."""
    return targets[np.unique(np.linspace(0, len(targets) - 1, count).astype(np.int64))]


def made_up(draw: Tensor, num_rows: int, number: int) -> Tensor:
    r"""Rows of a draw in a random order, as many as are asked for."""
    stream = RandomStream(number, MADE_UP, device=draw.device)
    return draw[(stream.uniform(num_rows) * draw.size(0)).long()]


def _strange(draws: list[Tensor]) -> list[Tensor]:
    return [unrelated(draws[0], 0), shuffled(draws[-1], 0)]


def _answer(prepared: IsolatedModel, features: Tensor, must: bool) -> Tensor | None:
    r"""Logits, if the model takes the features, as it must where they are real."""
    logits = prepared.answer(features) if must else prepared.answer_made_up(features)
    return logits if logits is not None and bool(torch.isfinite(logits).all()) else None
