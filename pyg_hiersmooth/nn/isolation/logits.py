r"""Whether two ways to call a model cast the same votes: the one comparison of logits."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDING = 20.0
r"""Most that sums in another order may differ by, in units of the last place of logits."""

GAP_SHARE = 1e-4
r"""Most of a typical gap between the two largest logits that counts as rounding, where precision
is low: so many votes in one may then differ, and the audit of counted votes sees the rest."""

EXACT_SHARE = 1e-9
r"""Most of that gap that two orders of the same computation in double precision may differ by."""


def logits_match(some: Tensor, others: Tensor, among: Tensor | None = None) -> bool:
    r"""Whether logits cast the same votes, but for the order of sums.

    Differences count against the gaps between the two largest logits, which decide votes, and not
    only against the size of the logits. A difference that all classes share counts as well: behind
    it rounding is another.

    Args:
        some (torch.Tensor): Logits ``[M, C]``.
        others (torch.Tensor): Other logits of that shape.
        among (torch.Tensor, optional): Logits ``[K, C]`` of the same call, which tell how large
            logits and gaps get. (default: :obj:`others`)
    """
    if some.shape != others.shape or others.numel() == 0:
        return some.shape == others.shape
    if not others.is_floating_point():
        return torch.equal(some, others)
    gap = _typical_gap(others if among is None else among)
    allowed = _rounding(others, among).clamp(max=GAP_SHARE * gap) + EXACT_SHARE * gap
    return bool(((some.double() - others.double()).abs() <= allowed).all())


def equal_but_for_rounding(some: Tensor, others: Tensor) -> bool:
    r"""As :func:`logits_match`, however small gaps are: for ways that were found to match before,
    in double precision on a part of the objects.
    """
    if some.shape != others.shape or not others.is_floating_point():
        return logits_match(some, others)
    return bool(((some.double() - others.double()).abs() <= _rounding(others)).all())


def _rounding(logits: Tensor, among: Tensor | None = None) -> Tensor:
    r"""Most that rounding moves the logits of each row by, float64 ``[M, 1]``."""
    epsilon, logits = torch.finfo(logits.dtype).eps, logits.double()
    among = logits if among is None else among.double()
    # A row of small logits may be what large ones cancel to, but not larger ones than others have.
    scale = logits.abs().amax(-1, keepdim=True) + among.abs().max().clamp(max=1.0)
    return ROUNDING * epsilon * scale


def _typical_gap(logits: Tensor) -> float:
    r"""The median gap between the two largest logits of a row, of those that are not level."""
    if logits.size(-1) < 2:
        return float(logits.abs().max())
    largest = logits.double().topk(2, dim=-1).values
    gaps = largest[..., 0] - largest[..., 1]
    gaps = gaps[(gaps > 0) & gaps.isfinite()]
    return float(gaps.median()) if gaps.numel() > 0 else 0.0
