r"""From vote counts to bounds on vote probabilities that hold at all numbers of votes at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize.elementwise import find_root
from scipy.special import betaincc, betaln

from pyg_hiersmooth.certificates.vote_bounds import (
    VoteBounds,
    check_alpha,
    check_counts,
    check_kind,
    check_votes,
)
from pyg_hiersmooth.choices import Kind

ROUNDING = 1e-10
r"""By how much bounds are rounded outwards, far above what the root finder leaves open."""

MOST_ALPHA = float(np.exp(-1.0))
r"""Error probability beyond which bounds get no tighter; below, they are unique."""


def anytime_lower(successes: ArrayLike, trials: ArrayLike, alpha: float) -> np.ndarray:
    r"""One-sided lower confidence sequence of a binomial proportion: with probability
    :math:`1 - \alpha`, it lies below the proportion after *every* trial, so that trials may end
    whenever one likes.

    If the proportion is :math:`p`, the likelihood ratio of any :math:`q > p` is a martingale in
    the number :math:`n` of trials with mean 1, and so is its mean over :math:`q` uniform between
    :math:`p` and 1, where :math:`k` trials of :math:`n` succeeded:

    .. math::
        M_n(p) = \frac{1}{1 - p} \int_p^1 \frac{q^k (1 - q)^{n - k}}{p^k (1 - p)^{n - k}} \, dq

    It ever reaches :math:`1 / \alpha` with probability :math:`\alpha` at most (Ville 1939), and the
    bound is the :math:`p` where it does (Robbins 1970; Howard et al. 2021, with a mixture on one
    side alone). There is one such :math:`p`: as

    .. math::
        \frac{d \log M_n}{dp} = \frac{1 - 1 / M_n}{1 - p} - \frac{k - n p}{p (1 - p)},

    :math:`M_n` falls wherever :math:`k - n p > p`, and elsewhere it is below :math:`e`, because
    :math:`\log M_n \le n \, \mathrm{KL}(k / n, p) \le (k - n p)^2 / (n p (1 - p)) \le 1`.

    Args:
        successes (array_like): Successes, integers in ``[0, trials]``.
        trials (array_like): Trials so far, positive integers.
        alpha (float): Probability in :math:`(0, 1)` that the bound ever fails; from
            :math:`1 / e` on, what is taken is :math:`1 / e`.

    Returns:
        numpy.ndarray: float64 in :math:`[0, 1)`, of the broadcast shape, rounded down.

    Raises:
        ValueError: If an argument is out of range.
    """
    successes, trials = check_counts(successes, trials, alpha)
    pairs = np.stack(np.broadcast_arrays(successes, trials)).astype(np.float64)
    (k, n), place = np.unique(pairs.reshape(2, -1), axis=1, return_inverse=True)
    bound = np.zeros(k.shape)
    some = k > 0
    if some.any():
        # Between "nearly never" and the share that was seen, where the mean is at most 1.
        highest = np.minimum(k[some] / n[some], 1.0 - 1e-12)
        bracket = np.full(highest.shape, np.finfo(np.float64).tiny), highest
        threshold = -np.log(min(alpha, MOST_ALPHA))
        root = find_root(
            lambda p, k, n: _log_mean_ratio(p, k, n) - threshold,
            bracket,
            args=(k[some], n[some]),
            tolerances={"xatol": 1e-14, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
        )
        bound[some] = np.maximum(root.bracket[0] - ROUNDING, 0.0)
    return bound[place.reshape(-1)].reshape(pairs.shape[1:])


def anytime_upper(successes: ArrayLike, trials: ArrayLike, alpha: float) -> np.ndarray:
    r"""One-sided upper confidence sequence of a binomial proportion.

    Takes, returns and raises what :func:`anytime_lower` does, with a bound in :math:`(0, 1]`,
    rounded up.
    """
    successes, trials = check_counts(successes, trials, alpha)
    return 1.0 - anytime_lower(trials - successes, trials, alpha)


def anytime_bounds(
    votes: ArrayLike,
    alpha: float = 0.01,
    kind: Kind = "multiclass",
    simultaneous: bool = False,
) -> VoteBounds:
    r"""Bounds on vote probabilities that hold together, for each object, at all numbers of votes
    at once, with probability :math:`1 - \alpha`.

    The bounds of all classes hold together (Bonferroni), so the same votes choose the class: the
    one that is ahead. ``binary`` takes a lower bound of each of the :math:`C` classes, at
    :math:`\alpha / C`; ``multiclass`` an upper bound of each as well, at :math:`\alpha / 2C`. Of
    two classes, a lower bound of one is an upper bound of the other.

    Args:
        votes (array_like): All votes so far, integers ``[M, C]``; each object may have a number of
            its own.
        alpha (float): Error probability in :math:`(0, 1)`. (default: :obj:`0.01`)
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        simultaneous (bool): Whether the bounds hold for all :math:`M` objects at once
            (Bonferroni over objects) instead of for each. (default: :obj:`False`)

    Raises:
        ValueError: If the votes are not counts, or an argument is out of range.
    """
    counts = check_votes("votes", votes)
    level = level_of_each(alpha, kind, counts.shape[1], len(counts) if simultaneous else 1)
    return bounds_at(counts, level, kind)


def bounds_at(votes: ArrayLike, level: float, kind: Kind) -> VoteBounds:
    r"""The bounds of :func:`anytime_bounds`, each of which fails with probability :obj:`level`.

    Args:
        votes (array_like): All votes so far, integers ``[M, C]``.
        level (float): Error probability of each bound, as :func:`level_of_each` splits it.
        kind (str): ``"multiclass"`` or ``"binary"``.
    """
    counts, trials, top, next_best = _leaders(votes)
    p_lower = anytime_lower(top, trials, level)
    p_upper = 1.0 - p_lower if kind == "binary" else anytime_upper(next_best, trials, level)
    return VoteBounds(counts.argmax(1), p_lower, p_upper)


def most_favorable(votes: ArrayLike, level: float, kind: Kind) -> VoteBounds:
    r"""The values within the bounds under which the class that is ahead would be certified most:
    its upper bound, and the lower bound of the best other class.

    No class can be certified under other values within the bounds if it cannot be under these:
    the class that is ahead has the highest upper bound, and the others' best lower bound is the
    smallest without it. Probabilities sum to 1, so the best of :math:`C - 1` others has at least
    an equal share of what is left.

    Args:
        votes, level, kind: As in :func:`bounds_at`.
    """
    counts, trials, top, next_best = _leaders(votes)
    best = anytime_upper(top, trials, level)
    if kind == "binary":
        return VoteBounds(counts.argmax(1), best, 1.0 - best)
    equal_share = (1.0 - best) / (counts.shape[1] - 1)
    rival = np.maximum(anytime_lower(next_best, trials, level), equal_share)
    return VoteBounds(counts.argmax(1), best, rival)


def level_of_each(alpha: float, kind: Kind, num_classes: int, num_objects: int = 1) -> float:
    r"""The error probability of each one-sided bound, so that those of all classes of an object,
    or of several objects, hold together with probability :math:`1 - \alpha`.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_kind(kind)
    check_alpha(alpha)
    one_sided = kind == "binary" or num_classes == 2
    level = alpha / (num_classes if one_sided else 2 * num_classes) / max(num_objects, 1)
    check_alpha(level)
    return level


def _leaders(votes: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""The votes ``[M, C]``, and of each object their number, the most and the next most."""
    counts = check_votes("votes", votes)
    ordered = np.sort(counts, axis=1)
    return counts, counts.sum(1), ordered[:, -1], ordered[:, -2]


def _log_mean_ratio(p: np.ndarray, k: np.ndarray, n: np.ndarray) -> np.ndarray:
    r""":math:`\log M_n(p)` of :func:`anytime_lower`, for :math:`p \le k / n`."""
    above = betaln(k + 1.0, n - k + 1.0) + np.log(betaincc(k + 1.0, n - k + 1.0, p))
    return above - k * np.log(p) - (n - k + 1.0) * np.log1p(-p)
