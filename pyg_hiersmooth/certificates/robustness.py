r"""The theorem: whether bounds on vote probabilities withstand an adversary, and how far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize.elementwise import find_root

from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.noise.axes import Norm

MARGIN = 1e-10
r"""Probability by which a bound must win, far above any rounding error."""


def is_robust(
    noise: Noise, p_lower: np.ndarray, p_upper: np.ndarray, q: np.ndarray, **budget: Any
) -> np.ndarray:
    r"""Whether the predicted class beats every other class in the whole ball.

    With probability :math:`1 - q` some changed entity is not selected, and all that mass may be
    lost; the lower level bounds the rest (Scholten et al. 2023, Theorem 2 and Proposition 1). So an
    event of clean probability :math:`p` keeps at least

    .. math::
        q \cdot L\left(\frac{p - (1 - q)}{q}\right).

    An upper bound on a rival is one minus this bound on "not the rival", so the certificate asks
    that the worst cases of "this class" and of "not the rival" sum to more than 1. With
    ``p_upper = 1 - p_lower`` that is the binary certificate, more than 1/2.

    Args:
        noise (Noise): The lower level.
        p_lower (numpy.ndarray): Lower bound of the predicted class, float64 ``[M]``.
        p_upper (numpy.ndarray): Upper bound of every other class, float64 ``[M]``.
        q (numpy.ndarray): Probability that every changed entity is selected, broadcastable.
        **budget: The adversary's (checked) strength.

    Returns:
        numpy.ndarray: bool ``[M]``.
    """
    surplus = _surplus(
        noise, _given_selected(1.0 - p_lower, q), _given_selected(p_upper, q), q, **budget
    )
    return surplus > 2.0 * MARGIN


def worst_case(noise: Noise, p: np.ndarray, q: np.ndarray, **budget: Any) -> np.ndarray:
    r"""What an event of clean probability :math:`p` keeps at least in the whole ball, the bound of
    :func:`is_robust`, rounded down by :obj:`MARGIN`.

    Args:
        noise (Noise): The lower level.
        p (numpy.ndarray): Clean probability, float64 in :math:`[0, 1]`.
        q (numpy.ndarray): Probability that every changed entity is selected, broadcastable.
        **budget: The adversary's (checked) strength.

    Returns:
        numpy.ndarray: float64 in :math:`[0, 1]`, of the broadcast shape.
    """
    lost = _given_selected(1.0 - p, q)
    kept = q * noise.worst_case_probability(1.0 - lost, lost, **budget)
    return np.clip(kept - MARGIN, 0.0, 1.0)


def radius(noise: Noise, p_lower: np.ndarray, p_upper: np.ndarray, q: np.ndarray) -> np.ndarray:
    r"""The largest distance at which :func:`is_robust` holds, 0 where there is none.

    With one mass lost to all others (binary) it has a closed form; else it is the root of a
    decreasing function, bracketed by the closed forms of its two terms.

    Returns:
        numpy.ndarray: float64 ``[M]``.
    """
    q = np.broadcast_to(np.maximum(q, 1e-300), p_lower.shape)
    lost, rival = _given_selected(1.0 - p_lower, q), _given_selected(p_upper, q)
    margin = MARGIN + 1e-14  # a little wider, so that rounding cannot part the two functions
    target = (0.5 + margin) / q
    possible = (target < 1.0) & (lost + rival < 2.0 - 2.0 * target)
    result = np.zeros(p_lower.shape)
    if not possible.any():
        return result
    lost, rival, target, q = lost[possible], rival[possible], target[possible], q[possible]

    # Both terms are above the target below `near`, and both below it beyond `far`.
    near = np.maximum(noise.radius(np.maximum(lost, rival), target), 0.0)
    far = noise.radius(np.minimum(lost, rival), target)
    found = near.copy()
    between = far > near
    if between.any():

        def excess(eps: np.ndarray, *masses: np.ndarray) -> np.ndarray:
            return _surplus(noise, *masses, eps=eps) - 2.0 * margin

        args = lost[between], rival[between], q[between]
        tolerances = {"xatol": 0, "xrtol": 1e-14}
        root = find_root(excess, (near[between], far[between]), args=args, tolerances=tolerances)
        found[between] = root.x
    near, found = near * (1.0 - 1e-13), found * (1.0 - 1e-13)
    held = _surplus(noise, lost, rival, q, eps=found) > 2.0 * MARGIN
    result[possible] = np.where(held, found, near)
    return result


def native_distance(own: Norm, norm: str | None, coordinates: np.ndarray) -> np.ndarray:
    r"""The largest distance in a noise's own norm of a shift of length 1 in another norm,
    :math:`d^{1/p - 1/q}` over :math:`d` coordinates where that exceeds 1.

    Args:
        own (str): The noise's own norm :math:`\ell_p`, ``"l1"`` or ``"l2"``.
        norm (str, optional): ``"l1"``, ``"l2"`` or ``"linf"``: the adversary's norm
            :math:`\ell_q`; :obj:`None` means the noise's own.
        coordinates (numpy.ndarray): Number :math:`d` of coordinates that may change.

    Raises:
        ValueError: If :obj:`norm` is not one of these.
    """
    inverse = {"l1": 1.0, "l2": 0.5, "linf": 0.0}
    norm = own if norm is None else norm
    if norm not in inverse:
        raise ValueError(f"'norm' must be one of {list(inverse)} (got {norm!r})")
    return np.asarray(coordinates, dtype=np.float64) ** max(inverse[own] - inverse[norm], 0)


def distance_scale(
    own: Norm, norm: str | None, changed: int | np.ndarray, num_features: int | None
) -> np.ndarray:
    r"""By what a budget in another norm is multiplied to be one in a noise's own.

    Args:
        own (str): The noise's own norm.
        norm (str, optional): The adversary's norm, as in :func:`native_distance`.
        changed (int or numpy.ndarray): Number of entities that may change.
        num_features (int, optional): Features of an entity, where they are known.

    Raises:
        ValueError: If the number of features is needed and not known, or :obj:`norm` is none.
    """
    coordinates = np.maximum(changed, 1) * (num_features or np.nan)
    scale = native_distance(own, norm, coordinates)  # nan**0 is 1: needed or not
    if np.isnan(scale).any():
        raise ValueError(
            f"a budget in '{norm}' needs the number of features of an entity: "
            "make the certificate with 'num_features'"
        )
    return scale


def frontiers(
    noise: Noise,
    p_lower: np.ndarray,
    p_upper: np.ndarray,
    q: np.ndarray,
    max_additions: int,
    max_deletions: int,
) -> Iterator[np.ndarray]:
    r"""For each number of additions in turn, the most deletions that are certified.

    Certificates are monotone, so the frontier only ever moves down: each object is evaluated
    about ``max_additions + max_deletions`` times instead of once a cell.

    Args:
        noise (Noise): The lower level, which counts additions and deletions.
        p_lower (numpy.ndarray): float64 ``[M]``.
        p_upper (numpy.ndarray): float64 ``[M]``.
        q (numpy.ndarray): :math:`q(r)` for ``r = 0, ..., max_r``, float64 ``[max_r + 1, M]``.
        max_additions (int): Largest number of additions.
        max_deletions (int): Largest number of deletions.

    Yields:
        numpy.ndarray: int32 ``[max_r + 1, M]``; -1 where not even 0 deletions are certified.
    """
    shape = q.shape
    row = np.repeat(np.arange(shape[0]), shape[1])
    p_lower, p_upper = np.tile(p_lower, shape[0]), np.tile(p_upper, shape[0])
    column = np.tile(np.arange(shape[1]), shape[0])
    frontier = np.full(row.shape, max_deletions, dtype=np.int32)
    for additions in range(max_additions + 1):
        for deletions in range(max_deletions, -1, -1):
            here = np.flatnonzero(frontier == deletions)
            if here.size == 0:
                continue
            reach = noise.reach(additions=additions, deletions=deletions)
            reached = np.minimum(row[here], reach).astype(np.intp)
            robust = (reached == 0) | is_robust(
                noise,
                p_lower[here],
                p_upper[here],
                q[reached, column[here]],
                additions=additions,
                deletions=deletions,
            )
            frontier[here[~robust]] -= 1
        yield frontier.reshape(shape).copy()


def _given_selected(mass: np.ndarray, q: np.ndarray) -> np.ndarray:
    # A few ulps up, and never 0 (no radius is infinite): the larger, the less is claimed.
    return np.clip(mass * (1.0 + 1e-15) / np.maximum(q, 1e-300), 1e-300, 1.0)


def _surplus(
    noise: Noise, lost: np.ndarray, rival: np.ndarray, q: np.ndarray, **budget: Any
) -> np.ndarray:
    ours = noise.worst_case_probability(1.0 - lost, lost, **budget)
    not_theirs = noise.worst_case_probability(1.0 - rival, rival, **budget)
    return q * (ours + not_theirs) - 1.0
