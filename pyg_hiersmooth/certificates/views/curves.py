r"""Certified accuracy as curves over the adversary's budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.views.largest_budgets import largest_distance
from pyg_hiersmooth.chart import Chart, Curve, Panel
from pyg_hiersmooth.noise import Axis

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate

CHANGED = (1, 2, 3)
r"""Numbers :math:`r` of changed entities that get a separate curve."""

MAX_COUNT = 256
r"""Largest number of changes on an axis."""


def chart(certificate: Certificate, y: ArrayLike) -> Chart:
    r"""The curves of a certificate: exact steps, up to where they fall to 0 or :obj:`MAX_COUNT`.

    Args:
        certificate (Certificate): The certificate.
        y (array_like): Labels of its objects, integers ``[M]``.
    """
    return Chart(
        certificate.smoothing,
        certificate.threat,
        certificate.clean_accuracy(y),
        tuple(_panels(certificate, y)),
    )


def _panels(certificate: Certificate, y: ArrayLike) -> Iterator[Panel]:
    noise = certificate.noise
    axes = noise.axes
    changed: tuple[int | None, ...] = (None,) if noise.budget_is_r else CHANGED
    for axis in axes:
        curves = (_over_axis(certificate, y, axis, r) for r in changed)
        yield Panel(axis.label, axis.whole, tuple(curves))
    if not axes:
        curve = _over_count(lambda r: certificate.certified_accuracy(y, r))
        yield Panel(f"Changed {certificate.counted} $r$", True, (curve,))


def _over_axis(certificate: Certificate, y: ArrayLike, axis: Axis, r: int | None) -> Curve:
    if not axis.whole and r is not None:
        return _over_distance(certificate, y, r)
    return _over_count(lambda n: certificate.certified_accuracy(y, r, **{axis.name: n}), r)


def _over_count(accuracy: Callable[[int], float], r: int | None = None) -> Curve:
    accuracies = [accuracy(0)]
    while accuracies[-1] > 0.0 and len(accuracies) <= MAX_COUNT:
        accuracies.append(accuracy(len(accuracies)))
    return Curve(np.arange(len(accuracies)), np.array(accuracies), r)


def _over_distance(certificate: Certificate, y: ArrayLike, r: int) -> Curve:
    clean = certificate.clean_accuracy(y)
    radius = np.sort(largest_distance(certificate, r)[certificate.correct(y)])
    x = np.concatenate([[0.0], radius])
    return Curve(x, np.linspace(clean, 0.0, len(x)), r)
