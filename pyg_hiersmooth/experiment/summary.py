r"""What came out of an experiment, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate

CHANGED = (1, 2, 3)
r"""Numbers of changed entities that are reported, and more of them where changes are at will."""
CHANGED_AT_WILL = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class CertifiedAccuracy:
    r"""Certified accuracy against one adversary.

    Attributes:
        r (int): Most entities that the adversary changes.
        budget (dict): By how much in all.
        accuracy (float): Share of objects that are right and robust.
        changes (str): The budget in words.
    """

    r: int
    budget: dict[str, Any]
    accuracy: float
    changes: str


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
        noise = certificate.noise
        certified = [
            CertifiedAccuracy(
                r, budget, certificate.certified_accuracy(y, r, **budget), noise.describe(**budget)
            )
            for budget in noise.reported_budgets()
            for r in (CHANGED if noise.axes else CHANGED_AT_WILL)
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
