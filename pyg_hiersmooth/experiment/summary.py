r"""What came out of an experiment, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import GaussianNoise, LaplaceNoise, SparseFlipNoise, UniformNoise

DELETIONS = (0, 5, 10, 20)
ADDITIONS = (1, 2, 5)
EPS_PER_SCALE = (0.25, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class CertifiedAccuracy:
    r"""Certified accuracy against one adversary."""

    r: int
    budget: dict[str, Any]
    accuracy: float


@dataclass(frozen=True)
class Summary:
    r"""Accuracies of the certified objects.

    Attributes:
        smoothing (str): The selection and the noise.
        num_nodes (int): Number of certified objects, nodes or graphs.
        accuracy (float): Accuracy of the smoothed classifier without an adversary; abstentions
            count as wrong.
        abstained (float): Share of objects where it abstains.
        certified (list of CertifiedAccuracy): Certified accuracies.
        feature_path (str): Which way the features took into the model.
        seconds_per_sample (float or None): Time a sample; :obj:`None` if none was drawn.
    """

    smoothing: str
    num_nodes: int
    accuracy: float
    abstained: float
    certified: list[CertifiedAccuracy]
    feature_path: str | None
    seconds_per_sample: float | None

    @classmethod
    def of(
        cls,
        certificate: Certificate,
        y: ArrayLike,
        feature_path: str | None,
        seconds_per_sample: float | None,
    ) -> Summary:
        r"""Sums up a certificate, given the labels of its objects."""
        certified = [
            CertifiedAccuracy(r, budget, certificate.certified_accuracy(y, r, **budget))
            for budget in _budgets(certificate)
            for r in _changed(certificate)
        ]
        return cls(
            f"{certificate.selection}, {certificate.noise}",
            len(certificate),
            certificate.clean_accuracy(y),
            float(certificate.abstained.mean()),
            certified,
            feature_path,
            seconds_per_sample,
        )

    @classmethod
    def unprotected(cls, prediction: np.ndarray, y: np.ndarray) -> Summary:
        r"""Sums up predictions without noise, of which nothing is certified."""
        return cls("no smoothing", len(y), float((prediction == y).mean()), 0.0, [], None, None)


def _changed(certificate: Certificate) -> range:
    return range(1, 4) if certificate.noise.budget else range(1, 6)


def _budgets(certificate: Certificate) -> list[dict[str, Any]]:
    noise = certificate.noise
    if isinstance(noise, SparseFlipNoise):
        deletions = [{"additions": 0, "deletions": deletions} for deletions in DELETIONS]
        additions = [{"additions": additions, "deletions": 0} for additions in ADDITIONS]
        return deletions + additions
    if isinstance(noise, GaussianNoise):
        return [{"eps": noise.std * multiple} for multiple in EPS_PER_SCALE]
    if isinstance(noise, LaplaceNoise | UniformNoise):
        return [{"eps": noise.scale * multiple} for multiple in EPS_PER_SCALE]
    return [{}]
