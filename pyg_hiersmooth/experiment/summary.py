r"""The results of an experiment, in numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy, CollectiveAccuracy
from pyg_hiersmooth.experiment.collective_summary import CollectiveSummary
from pyg_hiersmooth.experiment.sets_summary import SetsSummary, SizeOfSets


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
            f"{first.attack('one node', self.ablated)}"
        )
        if self.collective is not None:
            most = max((cell for cell in self.collective.certified if cell.r <= 10), key=_r)
            whom = f"any {most.r} nodes"
            told += f"; {most.accuracy:.1%} under {most.attack(whom, self.ablated)} at once"
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
