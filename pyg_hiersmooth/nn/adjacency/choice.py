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
from pyg_hiersmooth.nn.isolation.adjacency_cache import has_kept
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.nn.isolation.private_copy import is_compiled
from pyg_hiersmooth.sampling.linear_input import NotLinearError, not_swallowed

NUM_REAL = 2
r"""Draws of features that a form must take; what comes after them are probes."""

MAX_MATRIX_COST = 0.9
r"""Most of the plain way's cost that a matrix may have to be taken."""

NO_MATRIX = "the model takes no adjacency matrix"
LOGITS_DIFFER = "the model's logits differ on an adjacency matrix"
NOT_CHEAPER = "an adjacency matrix is no cheaper"


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
) -> tuple[Adjacency | None, Forward]:
    r"""Finds the cheapest form of the graph on which a model answers as on the graph as given: an
    adjacency matrix, where less is written then and the logits match on all draws.

    Args:
        prepared (IsolatedModel): The model on the graph as given.
        draws (list of torch.Tensor): Two draws of features ``[N, D]``, and perhaps probes.
        dtype (torch.dtype): That of the features.

    Returns:
        The form, :obj:`None` where there is no graph; and how the model is called on it.
    """
    forward = prepared.forward
    if not isinstance(forward, GraphForward | HeteroForward):
        return adjacency_as_given(prepared), forward
    if is_compiled(prepared.model):
        return adjacency_as_given(prepared, "the model is compiled"), forward
    why = forward.why_no_matrix(prepared.model)
    if why is None and isinstance(forward, GraphForward):
        trial = _Trial(prepared, draws)
        for layout in LAYOUTS:
            matrix = forward.with_matrix(prepared.model, layout, dtype)
            objection = trial.objection(matrix)
            if objection is None:
                chosen = Adjacency(layout, has_kept(prepared.model), as_given=False)
                return chosen, matrix
            why = objection if why in (None, NO_MATRIX) else why
            if objection == NOT_CHEAPER:
                break  # nor is what comes after it
    return adjacency_as_given(prepared, why), forward


class _Trial:
    r"""Compares forms of a graph with the one that was given."""

    def __init__(self, prepared: IsolatedModel, draws: Sequence[Tensor]) -> None:
        self.prepared, self.draws = prepared, draws
        self._plain: list[tuple[Tensor, int] | None] = []

    def objection(self, forward: Forward) -> str | None:
        r"""Why a form is not taken, if there is a reason."""
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
                        return NOT_CHEAPER
                    if not logits_match(logits, expected[0]):
                        return LOGITS_DIFFER
        except (Exception, NotLinearError):  # whatever a model says of what it does not take
            return NO_MATRIX
        return None

    def _expected(self, number: int) -> tuple[Tensor, int] | None:
        r"""Logits of the plain way and their cost; :obj:`None` for probes that it does not take."""
        while len(self._plain) <= number:
            try:
                self._plain.append(_answer(self.prepared, self.draws[len(self._plain)]))
            except Exception:  # a user's model says in any way that it does not take these
                if len(self._plain) < NUM_REAL:
                    raise
                self._plain.append(None)
        return self._plain[number]


def _answer(prepared: IsolatedModel, draw: Tensor) -> tuple[Tensor, int]:
    draw = draw.clone() if type(draw) is Tensor else draw
    with ElementsWritten() as written:
        logits = prepared(draw, seed=6)
    return logits.clone(), written.count
