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
    epsilon = torch.finfo(others.dtype).eps
    some, others = some.double(), others.double()
    among = others if among is None else among.double()
    # A row of small logits may be what large ones cancel to, but not larger ones than others have.
    scale = others.abs().amax(-1, keepdim=True) + among.abs().max().clamp(max=1.0)
    gap = _typical_gap(among)
    allowed = (ROUNDING * epsilon * scale).clamp(max=GAP_SHARE * gap) + EXACT_SHARE * gap
    return bool(((some - others).abs() <= allowed).all())


def _typical_gap(logits: Tensor) -> float:
    r"""The median gap between the two largest logits of a row, of those that are not level."""
    if logits.size(-1) < 2:
        return float(logits.abs().max())
    largest = logits.topk(2, dim=-1).values
    gaps = largest[..., 0] - largest[..., 1]
    gaps = gaps[(gaps > 0) & gaps.isfinite()]
    return float(gaps.median()) if gaps.numel() > 0 else 0.0
