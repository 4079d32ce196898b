r"""Asks a pristine copy of a model again about counted samples, without any shortcut.

Keep this invariant: a vote that was counted equals the vote of a copy of the model that was never
called before, on features that are written out, on the graph as given, one copy at a time. It may
differ only where rounding decides between two classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_hiersmooth.errors import AuditError
from pyg_hiersmooth.nn.calls.structure import graph_in_dtype
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.sampling.tally import Ballots, Tally

ROUNDING_FACTOR = 4.0
r"""How much larger than the rounding error of a row the gap of a tie to rounding may be."""

ULPS = 8.0
r"""The rounding error of a row, in units of its last place, where no higher precision tells."""


class Sample(NamedTuple):
    r"""A counted sample, as a model is asked about it the plain way."""

    number: int
    r"""Its number."""
    seed: int
    r"""The seed that it gives the global generators."""
    features: Tensor
    r"""Its noisy features, written out."""
    graph: Any = None
    r"""Its noisy structure, where that gets noise."""

    def answer(self, model: IsolatedModel) -> Tensor:
        r"""Logits of a model for it, in the precision of the model."""
        graph = self.graph
        if model.precision is not None and graph is not None:
            graph = graph_in_dtype(graph, model.precision)
        logits: Tensor = model.answer(self.features, seed=self.seed, graph=graph)
        return logits


def check_ballots(
    ballots: Ballots,
    tally: Tally,
    targets: Tensor,
    sample: Sample,
    plain: IsolatedModel,
    precision: torch.dtype | None,
    shortcuts: Sequence[str],
) -> None:
    r"""Checks the ballots of one sample against those of a fresh copy of the model.

    Args:
        ballots (Ballots): What was counted of the sample.
        tally (Tally): How ballots are read from logits.
        targets (torch.Tensor): The outputs that they are about, int64 ``[M]``.
        sample (Sample): The sample.
        plain (IsolatedModel): A copy that was never called, on the objects as given.
        precision (torch.dtype, optional): A higher precision that the model takes, in which ties
            are told from other differences.
        shortcuts (list of str): The shortcuts that sampling took, with how to do without each.

    Raises:
        AuditError: If a vote is another one.
    """
    logits = sample.answer(plain)[targets]
    expected = tally.ballots(logits.unsqueeze(0))
    differs = (ballots.classes != expected.classes)[0]
    if ballots.approved is not None and expected.approved is not None:
        differs |= (ballots.approved != expected.approved)[0].flatten(1).any(1)
    wrong = differs.nonzero().view(-1)
    if wrong.numel() == 0:
        return
    exact = None
    if precision is not None:
        exact = sample.answer(plain.in_dtype(precision))[targets][wrong]
    rounding = _rounding(logits[wrong], exact)
    truth = logits[wrong].double() if exact is None else exact.double()
    was, ought = ballots.on(wrong), expected.on(wrong)
    tied = _is_tie(truth, rounding, was.classes[0], ought.classes[0])
    if was.approved is not None and ought.approved is not None:
        near = _is_near(truth, rounding, tally.levels)
        tied &= (near | (was.approved == ought.approved)[0]).flatten(1).all(1)
    if bool(tied.all()):
        return
    ways = " or ".join(shortcuts) or "what it keeps from call to call"
    raise AuditError(
        f"in sample {sample.number}, {wrong.numel()} of {len(targets)} votes are not those of a "
        f"fresh copy of '{type(plain.model).__name__}' called the plain way: the model answers "
        f"differently with {ways}"
    )


def _rounding(logits: Tensor, exact: Tensor | None) -> Tensor:
    r"""How far rounding may move the logits of a row against each other, float64 ``[K]``."""
    if exact is None:
        epsilon = torch.finfo(logits.dtype).eps if logits.is_floating_point() else 0.0
        return ULPS * epsilon * logits.double().abs().amax(-1)
    error = logits.double() - exact.double()
    return ROUNDING_FACTOR * (error - error.mean(-1, keepdim=True)).abs().amax(-1)


def _is_tie(truth: Tensor, rounding: Tensor, some: Tensor, others: Tensor) -> Tensor:
    r"""Whether no more than rounding decides between two classes, bool ``[K]``."""
    first, second = truth.gather(1, torch.stack([some, others], dim=1)).unbind(1)
    return (first - second).abs() <= rounding


def _is_near(truth: Tensor, rounding: Tensor, levels: Sequence[float]) -> Tensor:
    r"""Whether no more than rounding decides on an approval, bool ``[K, L, C]``; a softmax moves by
    at most half of what its logits do.
    """
    shares = truth.softmax(-1).unsqueeze(1)
    return (shares - shares.new_tensor(levels).view(-1, 1)).abs() <= rounding.view(-1, 1, 1)
