r"""Asks a pristine copy of a model again about counted samples, without any shortcut.

Whoever changes what is here keeps this: a vote that was counted equals the vote of a copy of the
model that was never called before, on features that are written out, on the graph as given, one
copy at a time. It may differ only where rounding decides between two classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.errors import AuditError
from pyg_hiersmooth.nn.calls.structure import graph_in_dtype
from pyg_hiersmooth.nn.isolation.isolated_model import IsolatedModel
from pyg_hiersmooth.nn.isolation.precision import cast

ROUNDING_FACTOR = 4.0
r"""How much larger than the rounding error of a row the gap of a tie to rounding may be."""

ULPS = 8.0
r"""The rounding error of a row, in units of its last place, where no higher precision tells."""


def check_votes(
    predictions: Tensor,
    targets: Tensor,
    plain: IsolatedModel,
    precision: torch.dtype | None,
    features: Tensor,
    seed: int,
    sample: int,
    shortcuts: Sequence[str],
    graph: Any = None,
) -> None:
    r"""Checks the votes of one sample against those of a pristine copy of the model.

    Args:
        predictions (torch.Tensor): The votes that were counted, int64 ``[M]``.
        targets (torch.Tensor): The outputs that they are about, int64 ``[M]``.
        plain (IsolatedModel): A copy that was never called, on the objects as given.
        precision (torch.dtype, optional): A higher precision that the model takes, in which ties
            are told from other differences.
        features (torch.Tensor): The noisy features of the sample, written out.
        seed (int): The seed that the sample gives the global generators.
        sample (int): The number of the sample.
        shortcuts (list of str): The shortcuts that sampling took, with how to go on without each.
        graph (Data, optional): The noisy structure of the sample, where that gets noise.

    Raises:
        AuditError: If a vote is another one.
    """
    logits = plain.answer(features, seed=seed, graph=graph)[targets]
    expected = logits.argmax(-1)
    wrong = (predictions != expected).nonzero().view(-1)
    if wrong.numel() == 0:
        return
    logits, exact = logits[wrong], None
    if precision is not None:
        precise = plain.in_dtype(precision)
        graph = None if graph is None else graph_in_dtype(graph, precision)
        answer = precise.answer(cast(features, precision), seed=seed, graph=graph)
        exact = answer[targets][wrong].double()
    if bool(_is_tie(logits, exact, expected[wrong], predictions[wrong]).all()):
        return
    ways = " or ".join(shortcuts) or "what it keeps from call to call"
    raise AuditError(
        f"in sample {sample}, {wrong.numel()} of {predictions.numel()} votes are not those of a "
        f"fresh copy of '{type(plain.model).__name__}' called the plain way: the model answers "
        f"differently with {ways}"
    )


def _is_tie(logits: Tensor, exact: Tensor | None, expected: Tensor, predictions: Tensor) -> Tensor:
    r"""Whether no more than rounding decides between two classes, bool ``[K]``."""
    epsilon = torch.finfo(logits.dtype).eps if logits.is_floating_point() else 0.0
    logits = logits.double()
    if exact is None:
        exact, rounding = logits, ULPS * epsilon * logits.abs().amax(-1)
    else:
        error = logits - exact
        rounding = ROUNDING_FACTOR * (error - error.mean(-1, keepdim=True)).abs().amax(-1)
    pair = torch.stack([expected, predictions], dim=1)
    first, second = exact.gather(1, pair).unbind(1)
    return (first - second).abs() <= rounding
