r"""What a certificate says about many budgets at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import robustness
from pyg_hiersmooth.certificates.checks import check_count

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate


def grid(
    certificate: Certificate, max_r: int, max_additions: int = 0, max_deletions: int = 0
) -> np.ndarray:
    r"""As :meth:`Certificate.grid`."""
    sizes = _check_cells(certificate, max_r, max_additions, max_deletions)
    if not certificate.noise.budget:
        return np.stack([certificate.is_robust(r) for r in range(sizes[0])], axis=1)
    cells = np.empty((len(certificate), *sizes), dtype=bool)
    for additions, frontier in enumerate(_frontiers(certificate, *sizes)):
        cells[:, :, additions] = frontier.T[..., None] >= np.arange(sizes[2])
    return cells


def certified_accuracy_grid(
    certificate: Certificate,
    y: ArrayLike,
    max_r: int,
    max_additions: int = 0,
    max_deletions: int = 0,
) -> np.ndarray:
    r"""As :meth:`Certificate.certified_accuracy_grid`."""
    sizes = _check_cells(certificate, max_r, max_additions, max_deletions)
    if not certificate.noise.budget:
        return np.array([certificate.certified_accuracy(y, r) for r in range(sizes[0])])
    correct = certificate.correct(y)
    surface = np.zeros(sizes)
    for additions, frontier in enumerate(_frontiers(certificate, *sizes)):
        for r, deepest in enumerate(frontier):
            counts = np.bincount(deepest[correct] + 1, minlength=sizes[2] + 1)
            surface[r, additions] = counts[::-1].cumsum()[::-1][1:]
    return surface / max(len(certificate), 1)


def _check_cells(certificate: Certificate, *largest: int) -> tuple[int, int, int]:
    noise = certificate.noise
    if not noise.counts_flips and (noise.budget or any(largest[1:])):
        raise TypeError(f"'grid' over additions and deletions needs SparseFlipNoise (got {noise})")
    names = ("max_r", "max_additions", "max_deletions")
    r, additions, deletions = map(check_count, names, largest)
    return r + 1, additions + 1, deletions + 1


def _frontiers(
    certificate: Certificate, num_r: int, num_additions: int, num_deletions: int
) -> Iterator[np.ndarray]:
    r"""For each number of additions the most deletions that are certified, int64 ``[num_r, M]``."""
    each = (certificate.prob_all_selected(r) for r in range(num_r))
    q = np.array([np.broadcast_to(value, len(certificate)) for value in each])
    bounds = certificate.p_lower, certificate.p_upper
    a, d = num_additions - 1, num_deletions - 1
    for frontier in robustness.frontiers(certificate.noise, *bounds, q, a, d):
        frontier[0] = d  # no row may change: whatever the budget, nothing does
        yield np.where(certificate.abstained, -1, frontier)
