r"""What is to be certified, from how many samples, and how sure it is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyg_hiersmooth.certificates import (
    Certificate,
    StoppingRule,
    certify_anytime,
    certify_counts,
    certify_votes,
    check_questions,
)
from pyg_hiersmooth.certificates.certificate import Smoothing
from pyg_hiersmooth.certificates.checks import check_count
from pyg_hiersmooth.certificates.stopping import Question
from pyg_hiersmooth.certificates.vote_bounds import check_kind, vote_bounds
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.sampling import audited_samples
from pyg_hiersmooth.sampling.outcomes import draws_nothing
from pyg_hiersmooth.sampling.rounds import Decided
from pyg_hiersmooth.sampling.tally import Counts

Until = Question | Sequence[Question] | None

NUM_PRE_VOTES = 1_000
NUM_VOTES = 10_000
ALPHA = 0.01


@dataclass(frozen=True)
class CertificatePlan:
    r"""The statistics of a certificate.

    Attributes:
        transform (Smoothing): The selection and the noise.
        num_classes (int): Number of classes :math:`C`.
        kind (str): ``"multiclass"`` or ``"binary"``.
        n0, n (int): Samples that choose a class and that bound it; 0 and the number of outcomes
            where these are listed.
        alpha (float): Error probability; 0 where outcomes are listed.
        simultaneous (bool): Whether all certificates hold at once.
        until (dict, list of dict, optional): The questions that sampling answers.
    """

    transform: Smoothing
    num_classes: int
    kind: Kind
    n0: int
    n: int
    alpha: float
    simultaneous: bool
    until: Until

    @classmethod
    def of(
        cls,
        transform: Smoothing,
        num_classes: int,
        kind: Kind,
        *,
        n0: int | None,
        n: int | None,
        alpha: float | None,
        simultaneous: bool | None,
        until: Until,
    ) -> CertificatePlan:
        r"""That of what a user gave, with defaults for what is :obj:`None`.

        Raises:
            ValueError: If something is out of its range, or does nothing here.
        """
        check_kind(kind)
        if draws_nothing(transform):
            given = {"n0": n0, "n": n, "alpha": alpha, "simultaneous": simultaneous, "until": until}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f"'{name}' belongs to sampling, but {transform.selection} with "
                        f"{transform.noise} is certified exactly: leave it out (got {value})"
                    )
            num_outcomes = transform.selection.num_outcomes() or 0
            return cls(transform, num_classes, kind, 0, num_outcomes, 0.0, True, None)
        if until is not None:
            check_questions(transform.noise, until)
            if n0 is not None:
                raise ValueError(
                    "'n0' does nothing with 'until', where the votes that bound a class choose it "
                    f"as well: leave it out (got {n0})"
                )
        n0 = check_count("n0", NUM_PRE_VOTES if n0 is None else n0, 1)
        n = check_count("n", NUM_VOTES if n is None else n, 1)
        alpha = ALPHA if alpha is None else alpha
        one = torch.eye(1, num_classes, dtype=torch.long)
        vote_bounds(one, one, alpha, kind)  # says what is wrong with alpha
        return cls(transform, num_classes, kind, n0, n, alpha, bool(simultaneous), until)

    @classmethod
    def default(cls, transform: Smoothing, num_classes: int) -> CertificatePlan:
        r"""That of :meth:`certify` without more arguments."""
        unsaid = dict.fromkeys(("n0", "n", "alpha", "simultaneous", "until"))
        return cls.of(transform, num_classes, "multiclass", **unsaid)

    @property
    def exact(self) -> bool:
        r"""Whether outcomes are listed instead of drawn."""
        return draws_nothing(self.transform)

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        r"""First sample and number of samples of each part of the votes, by name."""
        if self.exact or self.until is not None:
            return {"votes": (0, self.n)}
        return {"pre_votes": (0, self.n0), "votes": (self.n0, self.n)}

    @property
    def settings(self) -> dict[str, Any]:
        r"""What ranks must agree on."""
        names = ("n0", "n", "alpha", "simultaneous", "kind")
        return {name: getattr(self, name) for name in names} | {"until": str(self.until)}

    def audited(self, seed: int, part: str, share: float | None) -> frozenset[int]:
        r"""The samples of a part that are audited; arguments as of
        :func:`~pyg_hiersmooth.sampling.audited_samples`.
        """
        start, count = self.parts[part]
        samples = range(start, start + count)
        if self.exact:
            return audited_samples(seed, samples, share or min(1.0, max(0.1, 8 / count)))
        least = 1 if part == "pre_votes" else 8  # a wrong choice of the class claims nothing wrong
        return audited_samples(seed, samples, share, least)

    def hints(self) -> list[str]:
        r"""What would make sampling cheaper, besides fewer samples."""
        if self.exact:
            return []
        asks = self.until is not None
        hints = [] if asks else ["'until', where one question is to be answered"]
        if not self.transform.noise.axes:
            hints.append("PartitionSelection, which is exact in 100 passes")
        return hints

    def fixes_number_of(self, part: str) -> bool:
        r"""Whether the votes of a part bound a class, and only at the number that was asked for."""
        return part == "votes" and not self.exact and self.until is None

    def decided(self, num_targets: int, objects: dict[str, Any]) -> Decided | None:
        r"""Tells from their votes which targets the questions are answered for; :obj:`None` where
        there is no question. Says what a certificate would fail on after sampling.
        """
        self._warn_if_all_abstain(num_targets, objects)
        if self.until is None:
            return None
        rule = StoppingRule(
            self.transform,
            self.until,
            num_targets,
            self.num_classes,
            self.alpha,
            self.kind,
            simultaneous=self.simultaneous,
            num_entities=objects["num_entities"],
            num_features=objects["num_features"],
        )

        def answered(votes: Tensor, targets: Tensor) -> Tensor:
            return torch.from_numpy(rule.answered(votes.numpy(), targets.numpy()))

        return answered

    def _warn_if_all_abstain(self, num_targets: int, objects: dict[str, Any]) -> None:
        r"""Says so where even unanimous votes are too few, and how many would do."""

        def abstains(n: int) -> bool:
            unanimous = torch.zeros(num_targets, self.num_classes, dtype=torch.long)
            unanimous[:, 0] = n
            certificate = self.certificate([unanimous] * len(self.parts), **objects)
            return bool((certificate.prediction == -1).all())

        if not abstains(self.n) or self.exact:
            return
        too_few, enough = self.n, 2 * self.n
        while abstains(enough):
            too_few, enough = enough, 2 * enough
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            too_few, enough = (middle, enough) if abstains(middle) else (too_few, middle)
        warnings.warn(
            f"'n' must be at least {enough} for alpha={self.alpha:g}: with fewer samples every "
            f"target abstains, even if all of its votes agree (got {self.n})",
            stacklevel=2,
        )

    def certificate(
        self,
        votes: Sequence[Tensor],
        counts: Counts | None = None,
        approve: float | None = None,
        **objects: Any,
    ) -> Certificate:
        r"""The certificate from the votes of all :attr:`parts`.

        Args:
            votes (list): The votes, int64 ``[M, C]``, or of each target until it was decided.
            counts (Counts, optional): All that was counted of the last part.
            approve (float, optional): The level of its approvals.
            **objects: What a certificate keeps of the objects.
        """
        if counts is not None and approve is not None:
            objects |= {"approvals": counts.approvals[0], "approve": approve}
        if self.exact:
            outcomes = None if counts is None else counts.outcomes
            return certify_counts(
                self.transform, votes[0], self.kind, mask_predictions=outcomes, **objects
            )
        sure: dict[str, Any] = {"simultaneous": self.simultaneous, **objects}
        if self.until is not None:
            return certify_anytime(self.transform, votes[0], self.alpha, self.kind, **sure)
        pre_votes, fresh = votes
        return certify_votes(self.transform, pre_votes, fresh, self.alpha, self.kind, **sure)
