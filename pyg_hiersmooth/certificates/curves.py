r"""Certified accuracy as curves over the adversary's budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.chart import Chart, Curve, Panel
from pyg_hiersmooth.noise import AdditiveNoise

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate

CHANGED = (1, 2, 3)
r"""Numbers :math:`r` of changed entities that have a curve of their own."""

MAX_COUNT = 256
r"""Largest number of changes on an axis."""


def chart(certificate: Certificate, y: ArrayLike) -> Chart:
    r"""The curves of a certificate: exact steps, up to where they fall to 0 or :obj:`MAX_COUNT`.

    Args:
        certificate (Certificate): The certificate.
        y (array_like): Labels of its objects, integers ``[M]``.
    """
    return Chart(
        f"{certificate.selection}, {certificate.noise}",
        certificate.clean_accuracy(y),
        tuple(_panels(certificate, y)),
    )


def _panels(certificate: Certificate, y: ArrayLike) -> list[Panel]:
    noise = certificate.noise
    if isinstance(noise, AdditiveNoise):
        label = {"l1": r"$\ell_1$ distance $\epsilon$", "l2": r"$\ell_2$ distance $\epsilon$"}
        curves = tuple(_over_distance(certificate, y, r) for r in CHANGED)
        return [Panel(label[noise.norm], False, curves)]
    if not noise.budget:
        curve = _over_count(lambda r: certificate.certified_accuracy(y, r))
        return [Panel("Changed entities $r$", True, (curve,))]
    if noise.budget != ("additions", "deletions"):
        raise TypeError(f"there are no curves over the budget of {noise}")
    return [
        Panel("Deletions (no additions)", True, _over_flips(certificate, y, "deletions")),
        Panel("Additions (no deletions)", True, _over_flips(certificate, y, "additions")),
    ]


def _over_flips(certificate: Certificate, y: ArrayLike, name: str) -> tuple[Curve, ...]:
    def accuracy(r: int, count: int) -> float:
        return certificate.certified_accuracy(y, r, **{name: count})

    return tuple(_over_count(partial(accuracy, r), r) for r in CHANGED)


def _over_count(accuracy: Callable[[int], float], r: int | None = None) -> Curve:
    accuracies = [accuracy(0)]
    while accuracies[-1] > 0.0 and len(accuracies) <= MAX_COUNT:
        accuracies.append(accuracy(len(accuracies)))
    return Curve(np.arange(len(accuracies)), np.array(accuracies), r)


def _over_distance(certificate: Certificate, y: ArrayLike, r: int) -> Curve:
    clean = certificate.clean_accuracy(y)
    correct = (certificate.prediction == np.asarray(y)) & ~certificate.abstained
    radius = np.sort(certificate.radius(r)[correct])
    x = np.concatenate([[0.0], radius])
    return Curve(x, np.linspace(clean, 0.0, len(x)), r)
