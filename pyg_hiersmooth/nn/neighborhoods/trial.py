r"""Tests a model on neighborhoods before sampling: are its logits those on the whole graph?

Outside of neighborhoods, features are the graph's own, multiplied by a thousand, and zeros, so that
every statistic over all nodes changes. A model that reaches further than it claims gives other
logits.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.nn.calls.forward import Forward
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.model_call import ModelCall
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.precision import cast
from pyg_hiersmooth.nn.isolation.probes import shuffled_probe, stretched_probe, unrelated_probe
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, Boundary, Field, Neighborhood
from pyg_hiersmooth.nn.neighborhoods.receptive_field import check_num_hops
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.random import RandomStream

MAX_WHOLE = 2**21
r"""Most nodes and edges of a graph that is tried as a whole."""

TARGETS_TO_TRY = 4
r"""Targets, far apart in their order, that are tried where not all of them are."""

CANDIDATES = 32
r"""Targets among which those are looked for whose neighborhoods are the smallest that grow."""

STRANGERS = 4
r"""Nodes of small neighborhoods, far apart in their order, that are there beside what is tried: a
model that looks at all nodes shows on them where nothing else lies beyond a target."""

HOPS_BEYOND, MAX_TWO_BEYOND = 2, 2**16
r"""How much further than the model a part of the graph reaches that is tried instead of all; only
one hop, where that has more than so many nodes and edges."""

MAX_KEPT = 2**24
r"""Most nodes and edges of the larger graphs that are kept for further audits, together."""

RESAMPLED = 2**20 + 1
r"""Separates the streams of resampled probes from others."""


@dataclass(frozen=True)
class Cut:
    r"""A graph that neighborhoods are cut out of, and how models are called on them."""

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
        self,
        targets: np.ndarray,
        boundary: Boundary = "edges",
        hops: int | None = None,
        beside: Field | None = None,
    ) -> Neighborhood:
        r"""The neighborhood of targets, int64 ``[K]``, perhaps with others beside it."""
        hops = self.num_hops if hops is None else hops
        kinds = boundary, self.keep, self.dtype
        return Neighborhood(self.graph, self.edges, targets, hops, *kinds, beside=beside)

    def remaining(self, targets: np.ndarray, selected: Tensor) -> Neighborhood:
        r"""What is left around targets, int64 ``[K]``, where selected nodes, bool ``[N]``, send no
        messages.
        """
        sends, hops = ~selected.cpu().numpy(), self.num_hops + 1
        return Neighborhood(
            self.graph, self.edges, targets, hops, "none", self.keep, self.dtype, sends
        )

    def forward_on(self, graph: Data) -> GraphForward:
        r"""Calls a model on the graph, or on a part of it."""
        graph = copy.copy(graph).to(self.device)
        return GraphForward(self.call, [graph], self.keep, node_level=True)


class Case(NamedTuple):
    r"""What a model must answer on a neighborhood."""

    features: Tensor
    r"""Rows of the neighborhood's nodes."""
    asked: list[int]
    r"""Which of its targets are asked about."""
    logits: Tensor
    r"""Their logits in a larger graph."""


class Larger(NamedTuple):
    r"""A larger graph around some targets."""

    forward: GraphForward
    r"""Calls a model on it, as given."""
    nodes: Tensor
    r"""Its nodes, int64 ``[K]``, ascending."""
    draw: Callable[[int], Tensor]
    r"""Draws features of its nodes, and of ghosts after them, by a number."""
    size: int
    r"""Its nodes and edges, in number."""


class Trial(ABC):
    r"""Answers of a model on a larger graph, which those on neighborhoods must agree with.

    Args:
        cut (Cut): The graph.
        prepared (IsolatedModel): The model, in the highest precision that it takes.
        targets (numpy.ndarray): All targets, int64 ``[M]``, ascending.
        draw_rows (Callable): Draws features of some nodes, int64 ``[K]``, by a number:
            ``[K, D (+ 1)]``.
    """

    def __init__(
        self,
        cut: Cut,
        prepared: IsolatedModel,
        targets: np.ndarray,
        draw_rows: Callable[[Tensor, int], Tensor],
    ) -> None:
        self.cut, self.prepared, self.targets = cut, prepared, targets
        self.draw_rows = draw_rows

    @abstractmethod
    def cases(self, neighborhood: Neighborhood, targets: np.ndarray) -> Iterator[Case]:
        r"""What the model must answer on a neighborhood of targets, int64 ``[K]``."""

    @abstractmethod
    def check_hops(self) -> None:
        r"""Raises a :class:`ValueError` with the number of hops that would do, if the model looks
        further than it says.
        """

    def passes(self, voter: ForwardVoter, neighborhood: Neighborhood, targets: np.ndarray) -> bool:
        r"""Whether samples on a neighborhood, in blocks, get the logits of the larger graph."""
        cases, copies = list(self.cases(neighborhood, targets)), voter.block_size
        alone = self.on(neighborhood.graph, voter.model.prepared.forward)
        asked = voter.targets
        for first in range(0, len(cases), copies):
            block = [cases[(first + i) % len(cases)] for i in range(copies)]
            features = [
                neighborhood.extended(case.features, resampled_probe(case.features, 1, i))
                for i, case in enumerate(block)
            ]
            logits = alone.answer(torch.cat(features), copies)
            answers = logits.view(copies, -1, logits.size(-1)).index_select(1, asked)
            for answer, case in zip(answers, block, strict=True):
                if not logits_match(answer[case.asked], case.logits):
                    return False
        return True

    @abstractmethod
    def larger(self, targets: np.ndarray) -> Larger:
        r"""The larger graph that samples of targets, int64 ``[K]``, are audited on."""

    def on(self, graph: Data, form: Forward | None = None) -> IsolatedModel:
        r"""The model on a graph in the highest precision that it takes, in the form of edges of
        another one or as given.
        """
        forward = self.cut.forward_on(graph)
        if isinstance(form, GraphForward):
            forward = forward.in_form_of(form, self.cut.dtype)
        if self.prepared.precision is not None:
            forward = forward.in_dtype(self.prepared.precision)
        return self.prepared.sharing(forward)

    def draw(self, nodes: Tensor, number: int) -> Tensor:
        r"""A draw of the features of some nodes, int64 ``[K]``: ``[K, D (+ 1)]``."""
        rows = self.draw_rows(nodes, number)
        precision = self.prepared.precision
        return rows if precision is None else cast(rows, precision)


class WholeTrial(Trial):
    r"""Compares with the whole graph, whose logits are computed once per draw; arguments as of
    :class:`Trial`.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        cut = self.cut
        self.whole = self.on(cut.graph)
        everything = torch.arange(cut.edges.num_nodes)
        draws = [self.draw(everything, number) for number in range(2)]
        inside = np.zeros(len(everything), dtype=bool)
        inside[cut.edges.field(self.targets, cut.num_hops).nodes] = True
        self._real = draws[0]
        self._kept: list[tuple[Tensor, Tensor]] = []
        asked = torch.from_numpy(self.targets).to(cut.device)
        for features, is_real in _variants(draws, torch.from_numpy(inside).to(cut.device)):
            logits = _answer(self.whole, features, is_real)
            if logits is not None:
                self._kept.append((features, logits[asked]))

    def cases(self, neighborhood: Neighborhood, targets: np.ndarray) -> Iterator[Case]:
        asked = torch.from_numpy(np.searchsorted(self.targets, targets))
        for features, logits in self._kept:
            own = features.index_select(0, neighborhood.nodes.to(features.device))
            yield Case(own, list(range(len(targets))), logits[asked.to(logits.device)])

    @cached_property
    def _whole(self) -> Larger:
        everything = torch.arange(self.cut.edges.num_nodes)
        forward = self.cut.forward_on(self.cut.graph)
        draw = partial(self.draw_rows, everything)
        return Larger(forward, everything, draw, self.cut.edges.size)

    def larger(self, targets: np.ndarray) -> Larger:
        return self._whole

    def check_hops(self) -> None:
        targets, graph = torch.from_numpy(self.targets), self.cut.graph
        check_num_hops(self.whole, self._real, graph, targets, self.cut.num_hops, quick=True)


class WideTrial(Trial):
    r"""Compares with neighborhoods that reach one or two hops further and hold a few other nodes,
    of those targets whose are the smallest of all that grow: for graphs that are too large to be
    tried; arguments as of :class:`Trial`.

    A model that looks further without a look at what is so near passes.

    Raises:
        ValueError: If no target has so few nodes around it that it can be tried.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        cut = self.cut
        self.tried: list[tuple[int, int, Neighborhood]] = []
        self._kept: dict[bytes, Larger] = {}
        candidates = {}
        for target in map(int, spread(self.targets, CANDIDATES)):
            size, further = (
                cut.edges.field_size(np.array([target]), cut.num_hops + more) for more in (0, 1)
            )
            candidates[target] = size == further, further  # where nothing lies, nothing shows
        for target in sorted(candidates, key=lambda each: candidates[each])[:TARGETS_TO_TRY]:
            _, size = candidates[target]
            if size <= MAX_WHOLE:
                further = HOPS_BEYOND if size <= MAX_TWO_BEYOND else 1
                wide = self._wide(np.array([target]), further)
                self.tried.append((target, further, wide))
        if not self.tried:
            raise ValueError("every neighborhood is too large to be tried on a wider one")

    def cases(self, neighborhood: Neighborhood, targets: np.ndarray) -> Iterator[Case]:
        full = self.cut.neighborhood(targets)
        larger = [(full, full.targets, list(range(len(targets))))]
        for target, _, wide in self.tried:
            if target in targets:
                at = torch.from_numpy(np.searchsorted(wide.nodes.numpy(), [target]))
                larger.append((wide, at, [int(np.searchsorted(targets, target))]))
        for other, asked_there, asked in larger:
            alone = self.on(other.graph)
            own = neighborhood.nodes
            common, here, there = np.intersect1d(
                own, other.nodes, assume_unique=True, return_indices=True
            )
            inside = np.zeros(len(other.nodes), dtype=bool)
            inside[there] = True
            draws = [self.draw(other.nodes, number) for number in range(2)]
            for features, is_real in _variants(draws, torch.from_numpy(inside)):
                rows = features[torch.from_numpy(there)]
                if len(common) < len(own):  # what the wider one lacks does not matter to it
                    rows = resampled_probe(rows, len(own), 0).index_copy_(
                        0, torch.from_numpy(here), rows
                    )
                extended = other.extended(features, resampled_probe(features, 1, 0))
                logits = _answer(alone, extended, is_real)
                if logits is not None:
                    yield Case(rows, asked, logits[asked_there.to(logits.device)])

    def _wide(
        self, targets: np.ndarray, further: int, boundary: Boundary = "edges"
    ) -> Neighborhood:
        r"""The nodes within so many more hops of targets, int64 ``[K]``, and those of strangers."""
        hops = self.cut.num_hops + further
        return self.cut.neighborhood(targets, boundary, hops, beside=self._strangers)

    @cached_property
    def _strangers(self) -> Field:
        edges, hops = self.cut.edges, self.cut.num_hops
        return edges.field(strangers(edges, hops), hops)

    def larger(self, targets: np.ndarray) -> Larger:
        found = self._kept.get(targets.tobytes())
        if found is None:
            found = self._made(targets)
            if sum(each.size for each in self._kept.values()) + found.size <= MAX_KEPT:
                self._kept[targets.tobytes()] = found
        return found

    def _made(self, targets: np.ndarray) -> Larger:
        # Most edges of a wide neighborhood end at its boundary, and only tell degrees there.
        edges, further = self.cut.edges, self.cut.num_hops + 1
        is_large = edges.field_size(targets, further) > MAX_WHOLE
        wide = self._wide(targets, 1, "none" if is_large else "edges")

        def draw(number: int) -> Tensor:
            rows = self.draw_rows(wide.nodes, number)
            return wide.extended(rows, resampled_probe(rows, 1, 0))

        return Larger(self.cut.forward_on(wide.graph), wide.nodes, draw, wide.size)

    def check_hops(self) -> None:
        for target, further, _ in self.tried:
            wide = self._wide(np.array([target]), further, "none")
            draw = self.draw(wide.nodes, 0)
            features = wide.extended(draw, draw[:1])
            at = torch.from_numpy(np.searchsorted(wide.nodes.numpy(), [target]))
            hops = self.cut.num_hops
            check_num_hops(self.on(wide.graph), features, wide.graph, at, hops, quick=True)


def _variants(draws: list[Tensor], inside: Tensor) -> Iterator[tuple[Tensor, bool]]:
    r"""Features of a larger graph, and whether a model must take them: draws, the first of them
    with other features outside of neighborhoods, and probes.
    """
    rows = inside.to(draws[0].device).view(-1, 1)
    yield from ((draw, True) for draw in draws)
    if not bool(inside.all()):
        yield torch.where(rows, draws[0], stretched_probe(draws[1])), False
        yield torch.where(rows, draws[0], torch.zeros_like(draws[0])), False
    yield unrelated_probe(draws[0], 0), False
    yield shuffled_probe(draws[1], 0), False


def spread(targets: np.ndarray, count: int) -> np.ndarray:
    r"""So many of the targets, or all, far apart in their order."""
    return targets[np.unique(np.linspace(0, len(targets) - 1, count).astype(np.int64))]


def strangers(edges: CSC, hops: int) -> np.ndarray:
    r"""Nodes far apart in their order, with few nodes within so many hops, int64."""
    nodes = spread(np.arange(edges.num_nodes), CANDIDATES)
    sizes = [edges.field_size(node, hops) for node in nodes[:, None]]
    return nodes[np.argsort(sizes, kind="stable")[:STRANGERS]]


def resampled_probe(draw: Tensor, num_rows: int, number: int) -> Tensor:
    r"""Rows of a draw in a random order, as many as are asked for."""
    stream = RandomStream(number, RESAMPLED, device=draw.device)
    return draw[(stream.uniform(num_rows) * draw.size(0)).long()]


def _answer(prepared: IsolatedModel, features: Tensor, must: bool) -> Tensor | None:
    r"""Logits, if the model takes the features, as it must where they are real."""
    logits = prepared.answer(features) if must else prepared.answer_probe(features)
    return logits if logits is not None and bool(torch.isfinite(logits).all()) else None
