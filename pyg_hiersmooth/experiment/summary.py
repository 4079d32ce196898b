r"""The results of an experiment, in numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, PredictionSets
from pyg_hiersmooth.choices import AttackMethod

CHANGED_IN_ALL = tuple(range(1, 21))
r"""Numbers of changed entities that are certified where one attack is on all objects."""
REPORTED_IN_ALL = (1, 2, 3, 5, 10, 20)
r"""Those of them that a table shows."""
CHANGED_FOR_SETS = tuple(range(11))
r"""Numbers of changed entities for which there are prediction sets."""
REPORTED_FOR_SETS = (0, 1, 2, 3, 5)
r"""Those of them that a table shows."""


@dataclass(frozen=True)
class CertifiedAccuracy:
    r"""Certified accuracy against one adversary.

    Attributes:
        r (int): Most entities that the adversary changes.
        budget (dict): By how much in total.
        accuracy (float): Share of objects that are correct and robust.
        changes (str): The budget in words.
    """

    r: int
    budget: dict[str, Any]
    accuracy: float
    changes: str


@dataclass(frozen=True)
class CollectiveAccuracy(CertifiedAccuracy):
    r"""Certified accuracy under a single attack on all objects.

    Attributes:
        one_by_one (float): The share under a separate attack on each object.
    """

    one_by_one: float


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
        sizes (list of SizeOfSets): Budget after budget, over :obj:`CHANGED_FOR_SETS`.
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
            for row in sets.rows(certificate, y, CHANGED_FOR_SETS, **budget)
        ]
        statement = sets.statement(1, **budgets[0])
        known = sets.nominal, sets.approve, len(sets.index), sets.num_classes
        return cls(*known, statement, sizes)

    @property
    def reported(self) -> SetsSummary:
        r"""The part of it that a table shows."""
        return replace(self, sizes=[cell for cell in self.sizes if cell.r in REPORTED_FOR_SETS])

    @property
    def changed(self) -> list[int]:
        r"""The numbers of changed entities."""
        return sorted({cell.r for cell in self.sizes})

    @property
    def by_changes(self) -> dict[str, list[SizeOfSets]]:
        r"""The sizes for each budget in words, over :attr:`changed`."""
        rows: dict[str, list[SizeOfSets]] = {}
        for cell in self.sizes:
            rows.setdefault(cell.changes, []).append(cell)
        return rows


@dataclass(frozen=True)
class Summary:
    r"""Accuracies of the certified objects.

    Attributes:
        smoothing (str): The selection and the noise, and whether certificates are exact.
        num_nodes (int): Number of certified objects, nodes or graphs.
        accuracy (float): Accuracy of the smoothed classifier without an adversary; abstentions
            count as wrong.
        abstained (float): Share of objects where it abstains.
        certified (list of CertifiedAccuracy): Certified accuracies.
        feature_path (str): How the features entered the model.
        seconds_per_sample (float or None): Time per sample, or per enumerated outcome;
            :obj:`None` if none was voted on.
        exact (bool): Whether certificates are exact.
        collective (CollectiveSummary or None): Accuracies under one attack on all objects;
            :obj:`None` if they were not computed.
        asked (list of CertifiedAccuracy): Answers to the questions that objects were sampled for.
        mean_samples, median_samples (float or None): Samples that an object took; :obj:`None`
            where their number was fixed.
        majority (float or None): Share of the most frequent label: what a constant prediction would
            get.
        ablated (str): What is ablated of selected nodes, if anything: it determines the adversary.
        alpha (float or None): Error probability of certificates; :obj:`None` where they are exact,
            and of runs before it was kept.
        sets (SetsSummary or None): Prediction sets; :obj:`None` if they were not made.
        threat (str): Whom certificates hold against, in a sentence; empty without any.
    """

    smoothing: str
    num_nodes: int
    accuracy: float
    abstained: float
    certified: list[CertifiedAccuracy]
    feature_path: str | None
    seconds_per_sample: float | None
    exact: bool = False
    collective: CollectiveSummary | None = None
    asked: list[CertifiedAccuracy] = field(default_factory=list)
    mean_samples: float | None = None
    median_samples: float | None = None
    majority: float | None = None
    ablated: str = "features"
    alpha: float | None = None
    sets: SetsSummary | None = None
    threat: str = ""

    @classmethod
    def of(
        cls,
        certificate: Certificate,
        y: ArrayLike,
        feature_path: str | None,
        seconds_per_sample: float | None,
        until: Sequence[Mapping[str, Any]] = (),
    ) -> Summary:
        r"""Sums up a certificate, given the labels of its objects, and the questions that they
        were sampled for.
        """
        noise = certificate.noise
        certified = [
            CertifiedAccuracy(
                r, budget, certificate.certified_accuracy(y, r, **budget), noise.describe(**budget)
            )
            for budget in noise.reported_budgets()
            for r in noise.reported_changes(**budget)
        ]
        return cls(
            certificate.smoothing,
            len(certificate),
            certificate.clean_accuracy(y),
            float(certificate.abstained.mean()),
            certified,
            feature_path,
            seconds_per_sample,
            certificate.exact,
            asked=[_answer(certificate, y, **question) for question in until],
            mean_samples=_of_samples(np.mean, certificate) if until else None,
            median_samples=_of_samples(np.median, certificate) if until else None,
            majority=_majority(y),
            ablated=getattr(noise, "of", "features"),
            alpha=certificate.alpha,
            threat=noise.threat("nodes"),
        )

    def in_words(self, noun: str = "nodes") -> str:
        r"""The result in sentences; :obj:`noun` says what was certified."""
        told = f"Of {self.num_nodes:,} {noun}, {self.accuracy:.1%} are predicted correctly"
        cells = [cell for cell in self.certified if cell.changes != "nothing"]
        if not cells:
            return f"{told}; nothing is certified without noise."
        first = next((cell for cell in cells if cell.r == 1 and _changes(cell)), cells[0])
        told += (
            f", and {first.accuracy:.1%} provably stay correct under "
            f"{_attack(first, 'one node', self.ablated)}"
        )
        if self.collective is not None:
            most = max((cell for cell in self.collective.certified if cell.r <= 10), key=_r)
            whom = f"any {most.r} nodes"
            told += f"; {most.accuracy:.1%} under {_attack(most, whom, self.ablated)} at once"
        if self.exact:
            return f"{told}. This is deterministic, not statistical."
        if self.alpha is None:
            return f"{told}. Each certificate holds with probability 1 - alpha."
        return f"{told}. Each certificate holds with {100 * (1 - self.alpha):.10g}% confidence."

    def aloud(self, noun: str = "nodes") -> str:
        r"""The old name of :meth:`in_words`, for one more minor version."""
        warnings.warn(
            "'aloud' of Summary is called 'in_words' now: rename it",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.in_words(noun)

    def table(self) -> tuple[list[str], dict[str, list[float]]]:
        r"""The certified accuracies as a table: heads of its columns, and rows by the budget in
        words.
        """
        rows: dict[str, list[float]] = {}
        for cell in self.certified:
            rows.setdefault(cell.changes, []).append(cell.accuracy)
        if all(len(row) == 1 for row in rows.values()):  # budgets that say how many change
            return ["certified"], rows
        return [f"r = {r}" for r in sorted({cell.r for cell in self.certified})], rows

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Summary:
        r"""The summary that :func:`dataclasses.asdict` took apart."""
        certified = [CertifiedAccuracy(**cell) for cell in content["certified"]]
        asked = [CertifiedAccuracy(**cell) for cell in content.get("asked", [])]
        collective = content.get("collective")
        if collective is not None:
            cells = [CollectiveAccuracy(**cell) for cell in collective["certified"]]
            collective = CollectiveSummary(**{**collective, "certified": cells})
        sets = content.get("sets")
        if sets is not None:
            sizes = [SizeOfSets(**cell) for cell in sets["sizes"]]
            sets = SetsSummary(**{**sets, "sizes": sizes})
        read = {"certified": certified, "collective": collective, "asked": asked, "sets": sets}
        return cls(**{**content, **read})

    @classmethod
    def unprotected(cls, prediction: np.ndarray, y: np.ndarray) -> Summary:
        r"""Sums up predictions without noise, of which nothing is certified."""
        accuracy = float((prediction == y).mean())
        return cls("no smoothing", len(y), accuracy, 0.0, [], None, None, majority=_majority(y))


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


def _attack(cell: CertifiedAccuracy, where: str, ablated: str = "features") -> str:
    if ablated == "edges":
        one = "one pair of nodes"
        return f"any change of the edges of {one}" if cell.changes == "r edges" else cell.changes
    if ablated == "nodes and edges":
        return f"any change of {where} and of edges (r = {cell.r}, {cell.changes})"
    if ablated != "features":
        where = where.replace("one ", "one other ") if ablated == "messages" else where
        return f"any change of the features and edges of {where}"
    if cell.changes == "anything":
        return f"any change of the features of {where}"
    changes = f"change by {cell.changes}" if "=" in cell.changes else cell.changes
    return f"any {changes} in the features of {where}"


def _changes(cell: CertifiedAccuracy) -> bool:
    r"""Whether an adversary changes more than a number of nodes, where there is more."""
    return not cell.budget or any(cell.budget.values())


def _r(cell: CertifiedAccuracy) -> int:
    return cell.r


def _answer(certificate: Certificate, y: ArrayLike, r: int, **budget: Any) -> CertifiedAccuracy:
    if "only" in budget:
        changes = "new nodes"
    else:
        noise = certificate.noise
        changes = noise.describe(**noise.check_budget(**_without_norm(budget)))
    return CertifiedAccuracy(r, budget, certificate.certified_accuracy(y, r, **budget), changes)


def _without_norm(budget: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in budget.items() if name != "norm"}


def _majority(y: ArrayLike) -> float:
    labels = np.asarray(y)
    return float(np.bincount(labels).max() / len(labels)) if len(labels) else 0.0


def _of_samples(function: Callable[[Any], Any], certificate: Certificate) -> float:
    return float(function(certificate.num_samples))
