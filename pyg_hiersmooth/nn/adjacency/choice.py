r"""Chooses the form of the graph that a model is called on in sampling."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyg_hiersmooth.nn.adjacency.elements_written import ElementsWritten
from pyg_hiersmooth.nn.calls.adjacency_matrix import LAYOUTS
from pyg_hiersmooth.nn.calls.forward import Forward, OneByOne
from pyg_hiersmooth.nn.calls.graph_forward import GraphForward
from pyg_hiersmooth.nn.calls.hetero_forward import HeteroForward
from pyg_hiersmooth.nn.calls.not_taken import NotTaken
from pyg_hiersmooth.nn.isolation.adjacency_cache import has_kept
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.private_copy import is_compiled
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed

NUM_REAL = 2
r"""Draws of features that a form must take; what comes after them are probes."""

MAX_MATRIX_COST = 0.9
r"""Most of the plain way's cost that a matrix may have to be taken."""


class Adjacency(NamedTuple):
    r"""How a model is called on the graph, and why."""

    form: str
    r"""What holds the edges: votes depend on it by the rounding of sums."""
    normalized_once: bool
    r"""Whether convolutions keep the normalized adjacency."""
    why: str | None = None
    r"""Why it is no other form."""
    as_given: bool = True
    r"""Whether this is the graph as given, with the caches that the user switched on."""

    @property
    def name(self) -> str:
        r"""All but the reason."""
        return f"{self.form}, normalized once" if self.normalized_once else self.form

    def __str__(self) -> str:
        return self.name if self.why is None else f"{self.name} ({self.why})"


def adjacency_as_given(prepared: IsolatedModel, why: str | None = None) -> Adjacency | None:
    r"""The form that a model is called on if nothing is changed; :obj:`None` without a graph."""
    forward = prepared.forward
    if isinstance(forward, OneByOne):
        forward, why = forward.unit(0), "one graph at a time"
    if not isinstance(forward, GraphForward | HeteroForward):
        return None
    return Adjacency(forward.form, has_kept(prepared.model), why)


def choose_adjacency(
    prepared: IsolatedModel, draws: Sequence[Tensor], dtype: torch.dtype
) -> tuple[Adjacency, GraphForward]:
    r"""Finds the cheapest form of the graph that gives the same logits as the graph as given: an
    adjacency matrix, where less is written then and the logits match on all draws.

    Args:
        prepared (IsolatedModel): The model on the graph as given.
        draws (list of torch.Tensor): Two draws of features ``[N, D]``, and perhaps probes.
        dtype (torch.dtype): That of the features.

    Returns:
        The form, and how the model is called on it.

    Raises:
        NotTaken: If the graph is best as it is given.
    """
    forward = prepared.forward
    if is_compiled(prepared.model):
        raise NotTaken("the model is compiled")
    if not isinstance(forward, GraphForward):
        raise NotTaken("the graph is heterogeneous")
    forward.check_matrix(prepared.model)
    trial, reason = _Trial(prepared, draws), NotTaken()
    for layout in LAYOUTS:
        matrix = forward.with_matrix(prepared.model, layout, dtype)
        try:
            trial.check(matrix)
            return Adjacency(layout, has_kept(prepared.model), as_given=False), matrix
        except NotCheaper:  # nor is what comes after it
            raise
        except NotTaken as why:
            reason = why
    raise reason


class NotCheaper(NotTaken):
    r"""A form costs about as much as the plain way."""


class _Trial:
    r"""Compares forms of a graph with the one that was given."""

    def __init__(self, prepared: IsolatedModel, draws: Sequence[Tensor]) -> None:
        self.prepared, self.draws = prepared, draws
        self._plain: list[tuple[Tensor, int] | None] = []

    def check(self, forward: Forward) -> None:
        r"""Raises :class:`NotTaken` if there is a reason against a form."""
        tried = self.prepared.sharing(forward)
        try:
            with warnings.catch_warnings(), not_swallowed():
                warnings.simplefilter("ignore")
                for number, draw in enumerate(self.draws):
                    expected = self._expected(number)
                    if expected is None:
                        continue
                    logits, cost = _answer(tried, draw)
                    # From the second draw on convolutions have kept what they normalized.
                    if number > 0 and cost > MAX_MATRIX_COST * expected[1]:
                        raise NotCheaper("an adjacency matrix is no cheaper")
                    if not logits_match(logits, expected[0]):
                        raise NotTaken("the model's logits differ on an adjacency matrix")
        except NotTaken:
            raise
        except (
            Exception,
            NotLinearError,
        ) as error:  # a model says in any way what it does not take
            raise NotTaken("the model takes no adjacency matrix") from error

    def _expected(self, number: int) -> tuple[Tensor, int] | None:
        r"""Logits of the plain way and their cost; :obj:`None` for probes that it does not take."""
        while len(self._plain) <= number:
            try:
                self._plain.append(_answer(self.prepared, self.draws[len(self._plain)]))
            except (MemoryError, torch.cuda.OutOfMemoryError):  # says nothing about the probe
                raise
            except Exception:  # a user's model says in any way that it does not take these
                if len(self._plain) < NUM_REAL:
                    raise
                self._plain.append(None)
        return self._plain[number]


def _answer(prepared: IsolatedModel, draw: Tensor) -> tuple[Tensor, int]:
    features = prepared.own(draw)
    with ElementsWritten() as written:
        logits = prepared(features, seed=6)
    return logits.clone(), written.count
