r"""From vote counts to bounds on vote probabilities."""

from __future__ import annotations

from typing import NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from pyg_hiersmooth.choices import Kind, check_choice

KINDS: tuple[Kind, ...] = get_args(Kind)

LEAST_ALPHA = 1e-100
r"""Error probability of one bound, below which SciPy's inverse of the beta distribution is not
relied on."""


class VoteBounds(NamedTuple):
    r"""The predicted class of each object and the bounds on its vote probabilities."""

    prediction: np.ndarray
    r"""int64 ``[M]``: the class with the most votes among the selecting votes."""
    p_lower: np.ndarray
    r"""float64 ``[M]``: lower bound of the predicted class."""
    p_upper: np.ndarray
    r"""float64 ``[M]``: upper bound of every other class."""


def clopper_pearson_lower(successes: ArrayLike, trials: ArrayLike, alpha: float) -> np.ndarray:
    r"""One-sided lower confidence bound of a binomial proportion (Clopper & Pearson 1934).

    Args:
        successes (array_like): Successes, integers in ``[0, trials]``.
        trials (array_like): Trials, positive integers.
        alpha (float): Probability in :math:`(0, 1)` that the bound fails.

    Returns:
        numpy.ndarray: float64 in :math:`[0, 1)`, of the broadcast shape.

    Raises:
        ValueError: If an argument is out of range.
    """
    successes, trials = check_counts(successes, trials, alpha)
    some = np.maximum(successes, 1)
    return np.where(successes > 0, betaincinv(some, trials - some + 1, alpha), 0.0)


def clopper_pearson_upper(successes: ArrayLike, trials: ArrayLike, alpha: float) -> np.ndarray:
    r"""One-sided upper confidence bound of a binomial proportion (Clopper & Pearson 1934).

    Takes, returns and raises what :func:`clopper_pearson_lower` does, with a bound in
    :math:`(0, 1]`.
    """
    successes, trials = check_counts(successes, trials, alpha)
    return 1.0 - clopper_pearson_lower(trials - successes, trials, alpha)


def vote_bounds(
    pre_votes: ArrayLike,
    votes: ArrayLike,
    alpha: float = 0.01,
    kind: Kind = "multiclass",
    simultaneous: bool = False,
) -> VoteBounds:
    r"""Bounds on vote probabilities that hold together, for each object, with probability
    :math:`1 - \alpha`.

    The class with the most :obj:`pre_votes` is bounded by independent :obj:`votes`. ``binary``
    bounds it from below and gives all the rest to the others; ``multiclass`` splits
    :obj:`alpha` evenly over the :math:`C` classes (Bonferroni) and bounds *every* other class
    from above, whichever came second.

    Args:
        pre_votes (array_like): Votes that select the class, integers ``[M, C]``.
        votes (array_like): Fresh votes that bound it, integers ``[M, C]``.
        alpha (float): Error probability in :math:`(0, 1)`. (default: :obj:`0.01`)
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        simultaneous (bool): Whether the bounds hold for all :math:`M` objects at once
            (Bonferroni over objects) instead of for each. (default: :obj:`False`)

    Raises:
        ValueError: If the votes are not counts of one shape, or an argument is out of range.
    """
    pre_votes, votes = check_votes("pre_votes", pre_votes), check_votes("votes", votes)
    check_kind(kind)
    check_alpha(alpha)
    if pre_votes.shape != votes.shape:
        raise ValueError(
            f"'pre_votes' and 'votes' must have one shape (got {list(pre_votes.shape)} and "
            f"{list(votes.shape)})"
        )
    num_objects, num_classes = votes.shape
    if simultaneous:
        alpha = alpha / max(num_objects, 1)
    trials = votes.sum(1)
    prediction = pre_votes.argmax(1)
    top = np.take_along_axis(votes, prediction[:, None], axis=1)[:, 0]
    if kind == "binary":
        p_lower = clopper_pearson_lower(top, trials, alpha)
        return VoteBounds(prediction, p_lower, 1.0 - p_lower)
    others = votes.copy()
    np.put_along_axis(others, prediction[:, None], -1, axis=1)
    return VoteBounds(
        prediction,
        clopper_pearson_lower(top, trials, alpha / num_classes),
        clopper_pearson_upper(others.max(1), trials, alpha / num_classes),
    )


def check_votes(name: str, votes: ArrayLike) -> np.ndarray:
    r"""Votes as an int64 array ``[M, C]``.

    Raises:
        ValueError: If they are not a matrix of counts with at least two classes and at least one
            vote for each object.
    """
    counts = np.asarray(votes)
    if counts.ndim != 2 or counts.shape[1] < 2:
        raise ValueError(
            f"'{name}' must have the shape [num_objects, num_classes] with at least two classes "
            f"(got {list(counts.shape)})"
        )
    if not (np.issubdtype(counts.dtype, np.number) and np.isrealobj(counts)):
        raise ValueError(f"'{name}' must be counts (got {counts.dtype})")
    with np.errstate(invalid="ignore"):
        whole = counts.astype(np.int64)
    if (whole != counts).any() or (whole < 0).any():
        raise ValueError(f"'{name}' must be non-negative whole numbers")
    if (whole.sum(1) < 1).any():
        raise ValueError(f"'{name}' must hold at least one vote for each object")
    return whole


def check_kind(kind: str) -> Kind:
    r"""A kind of certificate; raises a :class:`ValueError` if :obj:`kind` is none."""
    check_choice("kind", kind, KINDS)
    return cast(Kind, kind)


def check_alpha(alpha: float) -> None:
    r"""Raises a :class:`ValueError` if :obj:`alpha` is no probability for which bounds are right in
    double precision: the inverse of the beta distribution is wrong far below :obj:`LEAST_ALPHA`.
    """
    if not LEAST_ALPHA <= alpha < 1.0:
        raise ValueError(
            f"'alpha' must be a probability in (0, 1), and at least {LEAST_ALPHA} where it is "
            f"split over classes and objects (got {alpha})"
        )


def check_counts(
    successes: ArrayLike, trials: ArrayLike, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Successes and trials as arrays.

    Raises:
        ValueError: If they are not counts, or :obj:`alpha` is no probability.
    """
    check_alpha(alpha)
    successes, trials = np.asarray(successes), np.asarray(trials)
    if not ((trials >= 1) & (trials % 1 == 0)).all():
        raise ValueError("'trials' must be whole numbers of at least 1")
    if not ((successes >= 0) & (successes <= trials) & (successes % 1 == 0)).all():
        raise ValueError("'successes' must be whole numbers between 0 and 'trials'")
    return successes, trials
