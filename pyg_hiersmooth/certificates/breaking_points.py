r"""What an attack must at least reach to change a prediction."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyg_hiersmooth.certificates.certificate import Certificate

POWER = {"l1": 1, "l2": 2}
r"""The power of a distance that adds up over entities."""


class BreakingPoints(NamedTuple):
    r"""The minimal attacks that a certificate does not rule out."""

    target: np.ndarray
    r"""int64 ``[P]``: whose prediction; a target without points keeps its own."""
    needs: np.ndarray
    r"""float64 ``[P, 1 + B]``: changed entities, and how much of each of the noise's ``B`` budgets;
    a distance as a share of ``eps``, to the power that adds up over entities."""


def breaking_points(certificate: Certificate, r: int, **budget: Any) -> BreakingPoints:
    r"""The minimal points outside the certified region of each target, within a budget.

    Whatever changes a prediction reaches one of its points in every coordinate, since certificates
    are monotone. Abstentions have none.

    Args:
        certificate (Certificate): The certificates one by one.
        r (int): Most entities that the adversary changes.
        **budget: The adversary's (checked) strength.
    """
    if certificate.noise.norm is not None:
        found = _of_radii(certificate, r, budget["eps"])
    else:
        found = _of_cells(certificate.grid(r, *budget.values()))
    falls = ~certificate.is_robust(r, **budget) & ~certificate.abstained
    kept = falls[found.target]
    return BreakingPoints(found.target[kept], found.needs[kept])


def _of_cells(robust: np.ndarray) -> BreakingPoints:
    r"""Cells ``[M, r + 1, ...]`` that are lost while all their predecessors hold."""
    minimal = ~robust
    for axis in range(1, robust.ndim):
        after = (slice(None),) * axis + (slice(1, None),)
        before = (slice(None),) * axis + (slice(None, -1),)
        minimal[after] &= robust[before]
    cells = np.argwhere(minimal)
    return BreakingPoints(cells[:, 0], cells[:, 1:].astype(np.float64))


def _of_radii(certificate: Certificate, r: int, eps: float) -> BreakingPoints:
    r"""Numbers of entities at which the radius becomes smaller."""
    radii = np.array([certificate.radius(changed) for changed in range(r + 1)])
    radii = np.minimum.accumulate(radii) * (1.0 - 1e-12)
    changed, target = np.nonzero((radii[1:] < radii[:-1]) & (radii[1:] < eps))
    distance = (radii[changed + 1, target] / eps) ** POWER[str(certificate.noise.norm)]
    return BreakingPoints(target, np.column_stack([changed + 1.0, distance]))
