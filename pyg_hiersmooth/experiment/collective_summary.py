r"""The results of an experiment under a single attack on all objects, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from pyg_hiersmooth.certificates import CollectiveCertificate
from pyg_hiersmooth.choices import AttackMethod
from pyg_hiersmooth.experiment.accuracy import CollectiveAccuracy

CHANGED_IN_ALL = tuple(range(1, 21))
r"""Numbers of changed entities that are certified where one attack is on all objects."""
REPORTED_IN_ALL = (1, 2, 3, 5, 10, 20)
r"""Those of them that a table shows."""


@dataclass(frozen=True)
class CollectiveSummary:
    r"""Certified accuracies under a single attack on all objects.

    The numbers of changed entities between those that a table shows are certified by the linear
    relaxation, whatever the method: a valid bound that takes a second instead of minutes.

    Attributes:
        method (str): As in :class:`~pyg_hiersmooth.certificates.CollectiveCertificate`.
        time_limit (float): As there.
        certified (list of CollectiveAccuracy): Certified accuracies, budget after budget.
    """

    method: AttackMethod
    time_limit: float
    certified: list[CollectiveAccuracy]

    @classmethod
    def of(
        cls,
        certificate: CollectiveCertificate,
        y: ArrayLike,
        method: AttackMethod,
        time_limit: float,
        progress: bool = False,
    ) -> CollectiveSummary:
        r"""Sums up a collective certificate, given the labels of its objects."""
        noise = certificate.certificate.noise
        certified = []
        for budget in noise.reported_budgets():
            if noise.reach(**budget) == 0:
                continue
            changes = noise.describe(**budget)
            bar = partial(tqdm, desc=f"One attack ({changes})", disable=not progress)
            together = _one_attack(certificate, y, method, time_limit, bar, **budget)
            alone = certificate.one_by_one(y, CHANGED_IN_ALL, **budget)
            certified += [
                CollectiveAccuracy(r, budget, float(share), changes, float(own))
                for r, share, own in zip(CHANGED_IN_ALL, together, alone, strict=True)
            ]
        return cls(method, time_limit, certified)

    def only(self, changed: Sequence[int]) -> CollectiveSummary:
        r"""The part of it about some numbers of changed entities."""
        return replace(self, certified=[cell for cell in self.certified if cell.r in changed])

    @property
    def changed(self) -> list[int]:
        r"""The numbers of changed entities."""
        return sorted({cell.r for cell in self.certified})

    @property
    def by_changes(self) -> dict[str, tuple[list[float], list[float]]]:
        r"""For each budget in words, the accuracies for one attack on all objects and for one on
        each, over :attr:`changed`.
        """
        rows: dict[str, tuple[list[float], list[float]]] = {}
        for cell in self.certified:
            together, alone = rows.setdefault(cell.changes, ([], []))
            together.append(cell.accuracy)
            alone.append(cell.one_by_one)
        return rows


def _one_attack(
    certificate: CollectiveCertificate,
    y: ArrayLike,
    method: AttackMethod,
    time_limit: float,
    progress: Callable[[list[int]], Iterable[int]],
    **budget: Any,
) -> np.ndarray:
    r"""Certified accuracies over :obj:`CHANGED_IN_ALL`, float64 ``[20]``. Each is the best of what
    is proved for as many changed entities or more.
    """
    proved = certificate.curve(y, CHANGED_IN_ALL, method="lp", **budget)
    how: dict[str, Any] = {"method": method, "time_limit": time_limit}
    reported = certificate.curve(y, REPORTED_IN_ALL, progress, **how, **budget)
    at = np.array(REPORTED_IN_ALL) - CHANGED_IN_ALL[0]
    proved[at] = np.maximum(proved[at], reported)
    return np.maximum.accumulate(proved[::-1])[::-1]
