r"""The ballots that prediction sets are made of, and bounds on their shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.confidence_sequences import anytime_lower, anytime_upper
from pyg_hiersmooth.certificates.vote_bounds import clopper_pearson_lower, clopper_pearson_upper


@dataclass(frozen=True, eq=False)
class Ballots:
    r"""In how many samples each class was voted for, or approved.

    Attributes:
        counts (numpy.ndarray): int64 ``[M, C]``.
        trials (numpy.ndarray): Samples of each object, int64 ``[M]``.
        exact (bool): Whether the samples are all outcomes of the smoothing.
        anytime (bool): Whether their number may have been chosen after looking at them.
    """

    counts: np.ndarray
    trials: np.ndarray
    exact: bool
    anytime: bool

    @classmethod
    def of(cls, certificate: Certificate) -> Ballots:
        r"""Approvals where a certificate has them, else votes.

        A number of samples that is not known to have been fixed in advance (there are no
        :attr:`n0` votes besides) is taken as one that was chosen.

        Raises:
            ValueError: If the certificate kept neither.
        """
        counts = certificate.votes if certificate.approvals is None else certificate.approvals
        trials = certificate.num_samples
        if counts is None or trials is None:
            raise ValueError(
                "'certificate' must hold the votes that it was made of (got one of bounds alone): "
                "make it with 'certify', 'certify_votes' or 'certify_counts'"
            )
        exact = certificate.exact
        return cls(counts, trials, exact, anytime=not exact and certificate.n0 is None)

    @property
    def num_classes(self) -> int:
        r"""Number :math:`C` of classes."""
        return self.counts.shape[1]

    def of_class(self, y: np.ndarray) -> Ballots:
        r"""Those for one class of each object, ``[M, 1]``."""
        own = np.take_along_axis(self.counts, y[:, None], axis=1)
        return Ballots(own, self.trials, self.exact, self.anytime)

    def none(self) -> Ballots:
        r"""As many samples, and no ballot for any class."""
        return Ballots(np.zeros_like(self.counts), self.trials, self.exact, self.anytime)

    def lower(self, alpha: float) -> np.ndarray:
        r"""Lower bounds of the probabilities, each of which fails with probability :obj:`alpha`:
        float64 ``[M, C]``; of exact ballots the counts themselves, int64.
        """
        if self.exact:
            return self.counts
        bound = anytime_lower if self.anytime else clopper_pearson_lower
        return bound(self.counts, self.trials[:, None], alpha)

    def upper(self, alpha: float) -> np.ndarray:
        r"""Upper bounds, as :meth:`lower`."""
        if self.exact:
            return self.counts
        bound = anytime_upper if self.anytime else clopper_pearson_upper
        return bound(self.counts, self.trials[:, None], alpha)
