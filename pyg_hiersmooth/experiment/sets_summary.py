r"""The prediction sets of an experiment, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate, PredictionSets
from pyg_hiersmooth.noise import Noise

CHANGED_FOR_SETS = tuple(range(11))
r"""Numbers of changed entities for which there are prediction sets."""
REPORTED_FOR_SETS = (0, 1, 2, 3, 5)
r"""Those of them that a table shows."""
ONE_BUDGET = ["value"]
r"""The only column of a table whose budgets say how many entities change."""


@dataclass(frozen=True)
class SizeOfSets:
    r"""Prediction sets of the certified objects against one adversary.

    Attributes:
        r (int): Most entities that the adversary changes.
        budget (dict): By how much in all.
        size (float): Average number of classes in a set.
        singletons (float): Share of sets of a single class.
        coverage (float): Share of sets that contain the label, without an attack.
        uninformative (bool): Whether classes are in every set whatever the votes.
        changes (str): The budget in words.
    """

    r: int
    budget: dict[str, Any]
    size: float
    singletons: float
    coverage: float
    uninformative: bool
    changes: str


@dataclass(frozen=True)
class SetsSummary:
    r"""Prediction sets of the certified objects.

    Attributes:
        nominal (float): The least probability that a set contains the right class.
        approve (float or None): The probability from which on a sample approves a class.
        num_calibration (int): Number of calibration objects.
        num_classes (int): Number of classes.
        statement (str): What is guaranteed where one entity is changed.
        sizes (list of SizeOfSets): Budget after budget, over the numbers of changed entities.
    """

    nominal: float
    approve: float | None
    num_calibration: int
    num_classes: int
    statement: str
    sizes: list[SizeOfSets]

    @classmethod
    def of(cls, sets: PredictionSets, certificate: Certificate, y: ArrayLike) -> SetsSummary:
        r"""Sums up prediction sets, given the votes on objects and their labels."""
        noise = certificate.noise
        budgets = [
            each for each in noise.reported_budgets() if not noise.changes_nothing(1, **each)
        ]
        sizes = [
            SizeOfSets(budget=budget, changes=noise.describe(**budget), **row)
            for budget in budgets
            for row in sets.rows(certificate, y, _changed(noise, **budget), **budget)
        ]
        statement = sets.statement(None if noise.budget_is_r else 1, **budgets[0])
        known = sets.nominal, sets.approve, len(sets.index), sets.num_classes
        return cls(*known, statement, sizes)

    @property
    def reported(self) -> SetsSummary:
        r"""The part of it that a table shows."""
        if self.heads == ONE_BUDGET:
            return self
        return replace(self, sizes=[cell for cell in self.sizes if cell.r in REPORTED_FOR_SETS])

    @property
    def changed(self) -> list[int]:
        r"""The numbers of changed entities."""
        return sorted({cell.r for cell in self.sizes})

    @property
    def heads(self) -> list[str]:
        r"""The heads of a table's columns: one per number of changed entities, unless budgets say
        how many change.
        """
        if all(len(cells) == 1 for cells in self.by_changes.values()):
            return ONE_BUDGET
        return [f"r = {r}" for r in self.changed]

    @property
    def by_changes(self) -> dict[str, list[SizeOfSets]]:
        r"""The sizes for each budget in words, over :attr:`changed`, or for the number of changed
        entities that the budget names.
        """
        rows: dict[str, list[SizeOfSets]] = {}
        for cell in self.sizes:
            rows.setdefault(cell.changes, []).append(cell)
        return rows

    @property
    def curves(self) -> dict[str, list[SizeOfSets]]:
        r"""Those of them that have more than one point."""
        return {} if self.heads == ONE_BUDGET else self.by_changes


def _changed(noise: Noise, **budget: Any) -> Sequence[int]:
    return noise.reported_changes(**budget) if noise.budget_is_r else CHANGED_FOR_SETS
