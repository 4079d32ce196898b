r"""From the scores of calibration objects to the threshold of prediction sets."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np

ETA = 0.01
r"""The probability that bounds on sampled votes may fail, unless another is asked for."""


def as_share(name: str, value: float | Fraction) -> Fraction:
    r"""A number strictly between 0 and 1 as the decimal it is written as: 0.9 is nine tenths,
    which no float is.

    Raises:
        ValueError: If it is not such a number.
    """
    try:
        share = Fraction(str(value))
    except ValueError:
        share = Fraction(0)
    if not 0 < share < 1:
        raise ValueError(f"'{name}' must be a number between 0 and 1, both excluded (got {value})")
    return share


def allowed_error(
    coverage: float | Fraction, eta: float | Fraction, exact: bool
) -> tuple[Fraction, Fraction]:
    r"""The share :math:`\alpha` of objects that a threshold may miss, and the probability that
    bounds on votes may fail, which is taken off :math:`\alpha`; exact votes have none.

    Raises:
        ValueError: If one is out of range, or nothing is left to miss.
    """
    share = as_share("coverage", coverage)
    failing = Fraction(0) if exact else as_share("eta", eta)
    if share + failing >= 1:
        raise ValueError(
            f"'eta' must be less than 1 - coverage, which is {float(1 - share):g} (got {eta})"
        )
    return 1 - share - failing, failing


def calibration_rank(num_objects: int, error: Fraction) -> int:
    r"""Which of :math:`n` calibration scores, in ascending order from 1, is the threshold:
    :math:`k = \lfloor \alpha (n + 1) \rfloor`.

    The score of one more exchangeable object is below the :math:`k`-th smallest only if it is among
    the :math:`k` smallest of all :math:`n + 1`, which has probability :math:`k / (n + 1) \le
    \alpha` at most (Vovk, Gammerman & Shafer 2005). Counted with fractions: in floats,
    ``floor((1 - 0.9) * 10)`` is 0.

    Args:
        num_objects (int): Number :math:`n` of calibration objects.
        error (Fraction): :math:`\alpha`, in :math:`(0, 1)`.
    """
    return floor(error * (num_objects + 1))


def num_needed(error: Fraction) -> int:
    r"""The fewest calibration objects whose :func:`calibration_rank` is not 0."""
    return ceil(1 / error) - 1


def check_enough(num_objects: int, error: Fraction, whose: str = "") -> int:
    r"""The :func:`calibration_rank`, if there is one.

    Raises:
        ValueError: If there are too few objects, with the number needed.
    """
    rank = calibration_rank(num_objects, error)
    if rank < 1:
        raise ValueError(
            f"calibration needs at least {num_needed(error)} objects{whose} for this coverage "
            f"(got {num_objects})"
        )
    return rank


def calibrated_threshold(scores: np.ndarray, error: Fraction, whose: str = "") -> np.ndarray:
    r"""The threshold that the score of one more exchangeable object is below with probability
    :math:`\alpha` at most.

    Args:
        scores (numpy.ndarray): Scores of the right class of the calibration objects, ``[n]``.
        error (Fraction): :math:`\alpha`, in :math:`(0, 1)`.
        whose (str): Which objects these are, for the error. (default: :obj:`""`)

    Returns:
        numpy.ndarray: A scalar of the dtype of the scores.

    Raises:
        ValueError: If there are too few scores.
    """
    return np.sort(scores)[check_enough(len(scores), error, whose) - 1]


def calibrated_thresholds(
    scores: np.ndarray, labels: np.ndarray, error: Fraction, num_classes: int | None = None
) -> np.ndarray:
    r"""The :func:`calibrated_threshold` of all objects, ``[1]``, or of those of each class alone,
    ``[C]``.

    Args:
        scores (numpy.ndarray): As there, ``[n]``.
        labels (numpy.ndarray): Their classes, int64 ``[n]``.
        error (Fraction): As there.
        num_classes (int, optional): Number :math:`C` of classes with separate thresholds.
            (default: they share one)

    Raises:
        ValueError: If there are too few scores, of a class where each has its own threshold.
    """
    if num_classes is None:
        return np.array([calibrated_threshold(scores, error)])
    classes = range(num_classes)
    return np.array(
        [calibrated_threshold(scores[labels == c], error, f" of class {c}") for c in classes]
    )
