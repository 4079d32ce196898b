r"""Chooses the softmax level at which a sample approves a class, on separate objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.ballots import Ballots
from pyg_hiersmooth.certificates.calibration import ETA, allowed_error, calibrated_thresholds
from pyg_hiersmooth.certificates.certificate import Certificate
from pyg_hiersmooth.certificates.prediction_sets import PredictionSets

RESAMPLES = 500
r"""Times that the objects are drawn anew, with replacement."""


@dataclass(frozen=True, eq=False)
class ApprovalChoice:
    r"""What :func:`choose_approval` chose, and on which objects: calibration and sets refuse them.

    Attributes:
        approve (float or None): The softmax probability from which on a sample approves a class;
            :obj:`None` for votes.
        index (numpy.ndarray): The objects that it was chosen on, int64 ``[K]``.
        sizes (tuple): Each candidate, and the average size of its sets on these objects.
    """

    approve: float | None
    index: np.ndarray
    sizes: tuple[tuple[float | None, float], ...]


def choose_approval(
    certificates: Sequence[Certificate],
    y: ArrayLike,
    coverage: float | Fraction = 0.9,
    r: int = 0,
    *,
    eta: float | Fraction = ETA,
    class_conditional: bool = False,
    **budget: Any,
) -> ApprovalChoice:
    r"""The way to count ballots whose prediction sets are smallest, on average over some objects.

    Larger probabilities make smaller sets up to a cliff, behind which nearly all classes are in
    them; where it is depends on the calibration objects. So the average is as well over 500
    calibrations, on as many objects drawn with replacement (the bootstrap: Efron 1979): a candidate
    that some of them push over the cliff pays for it.

    Coverage holds for ballots that were chosen without a look at the calibration and the test
    objects. These are used up by the choice: validation nodes will do, as they need not be
    exchangeable with any others.

    Args:
        certificates (sequence of Certificate): The same objects, counted with each ``approve`` that
            comes into question (without approvals: votes).
        y (array_like): Their labels, integers ``[K]`` in ``[0, C)``.
        coverage (float): As in :meth:`PredictionSets.calibrate`. (default: :obj:`0.9`)
        r (int): Most entities that the adversary changes. (default: :obj:`0`)
        eta (float): As in :meth:`PredictionSets.calibrate`. (default: :obj:`0.01`)
        class_conditional (bool): As there. (default: :obj:`False`)
        **budget: As in :meth:`PredictionSets.sets`.

    Returns:
        ApprovalChoice: Of equally small sets, those of the candidate that comes first.

    Raises:
        ValueError: If there are no candidates, or they are about different objects.
        TypeError, ValueError: As :meth:`PredictionSets.calibrate` and :meth:`PredictionSets.sets`.
    """
    certificates = list(certificates)
    if not certificates:
        raise ValueError("'certificates' must hold at least one way to count ballots (got none)")
    index = certificates[0].index
    if not all(np.array_equal(each.index, index) for each in certificates):
        raise ValueError("'certificates' must be about the same objects in the same order")
    sizes = []
    for each in certificates:
        sets = PredictionSets.calibrate(
            each, y, coverage, eta=eta, class_conditional=class_conditional
        )
        sizes.append((each.approve, _average_size(sets, each, np.asarray(y), coverage, r, budget)))
    approve, _ = min(sizes, key=lambda candidate: candidate[1])
    return ApprovalChoice(approve, index.copy(), tuple(sizes))


def _average_size(
    sets: PredictionSets,
    certificate: Certificate,
    y: np.ndarray,
    coverage: float | Fraction,
    r: int,
    budget: Mapping[str, Any],
) -> float:
    r"""The average size of sets over calibrations on objects drawn with replacement, the same
    for all candidates.
    """
    labels = y.reshape(-1).astype(np.int64)
    scores = Ballots.of(certificate).of_class(labels).lower(sets.eta / 2.0)[:, 0]
    own = sets.num_classes if sets.class_conditional else None
    error, _ = allowed_error(coverage, sets.eta, sets.exact)
    thresholds = [
        calibrated_thresholds(scores[drawn], labels[drawn], error, own)
        for drawn in _resampled(labels if sets.class_conditional else np.zeros_like(labels))
    ]
    found, times = np.unique(np.stack(thresholds), axis=0, return_counts=True)
    average = [
        replace(sets, clean_threshold=each).calibration_size(certificate, r, **budget)
        for each in found
    ]
    return float(times @ average / RESAMPLES)


def _resampled(strata: np.ndarray) -> Iterator[np.ndarray]:
    r"""Objects drawn with replacement, as many of each stratum as there are: int64 ``[K]``."""
    generator = np.random.default_rng(0)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for _ in range(RESAMPLES):
        yield np.concatenate([generator.choice(group, len(group)) for group in groups])
