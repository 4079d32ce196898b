r"""The largest budgets that objects withstand, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_hiersmooth.noise import Axis

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate

MOST_R, MOST_COUNT = 64, 1_024
r"""Changed entities, and strengths that are counted, up to which is looked."""


HALVINGS = 40
r"""Steps in the search for a distance, each half of the one before."""


def largest_budgets(certificate: Certificate, r: int | None) -> dict[str, np.ndarray]:
    r"""For each axis of the noise's budget, the largest strength, the others being 0, that each
    object withstands at :obj:`r` changed entities.

    Args:
        certificate (Certificate): The certificate of :math:`M` objects.
        r (int, optional): Most entities that the adversary changes, at least 1; :obj:`None` means
            as many as a budget of additions and deletions allows.

    Returns:
        dict: For each axis, int64 or float64 ``[M]``: -1 or nan where an object abstains. Counts
        beyond 1,024 are not looked for.
    """
    return {axis.name: _largest_strength(certificate, r, axis) for axis in certificate.noise.axes}


def largest_r(certificate: Certificate) -> np.ndarray:
    r"""The most changed entities that each object withstands where they are changed at will, int64
    ``[M]``; -1 where it abstains. More than 64 are not looked for.

    Raises:
        TypeError: If the noise takes a budget.
    """
    if certificate.noise.axes:
        raise TypeError(f"'largest_r' is for noises without a budget (got {certificate.noise})")
    if certificate.largest_r is not None:
        return certificate.largest_r
    return _count(certificate, MOST_R, certificate.is_robust)


def _largest_strength(certificate: Certificate, r: int | None, axis: Axis) -> np.ndarray:
    if not axis.whole and r is not None:
        return largest_distance(certificate, r)
    budget: dict[str, Any] = {other.name: 0 for other in certificate.noise.axes}
    return _count(
        certificate,
        MOST_COUNT,
        lambda strength: certificate.is_robust(r, **{**budget, axis.name: strength}),
    )


def largest_distance(certificate: Certificate, r: int) -> np.ndarray:
    r"""The largest ``eps`` that each object withstands at :obj:`r` changed nodes, and nothing else
    changed, float64 ``[M]``; nan where it abstains. Beside other budgets it is found by halving,
    and distances beyond 64 units of the noise are not looked for.
    """
    if certificate.noise.norm is not None:
        return certificate.radius(r)
    low = np.zeros(len(certificate))
    step = 32.0 * certificate.noise.unit
    for _ in range(HALVINGS):
        for eps in np.unique(low + step):
            here = low + step == eps
            low[here & certificate.is_robust(r, eps=eps)] += step
        step /= 2.0
    return np.where(certificate.abstained, np.nan, low)


def _count(
    certificate: Certificate, most: int, is_robust: Callable[[int], np.ndarray]
) -> np.ndarray:
    r"""Counts up until no object is robust."""
    largest = np.where(certificate.abstained, -1, 0)
    for strength in range(1, most + 1):
        robust = is_robust(strength)
        if not robust.any():
            break
        largest[robust] = strength
    return largest
