r"""From votes to a certificate, by way of the bounds that they allow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.certificate import Certificate, Smoothing
from pyg_hiersmooth.certificates.confidence_sequences import anytime_bounds
from pyg_hiersmooth.certificates.vote_bounds import check_kind, check_votes, vote_bounds
from pyg_hiersmooth.choices import Kind


def certify_votes(
    transform: Smoothing,
    pre_votes: ArrayLike,
    votes: ArrayLike,
    alpha: float = 0.01,
    kind: Kind = "multiclass",
    *,
    simultaneous: bool = False,
    index: ArrayLike | None = None,
    num_entities: ArrayLike | None = None,
    num_features: int | None = None,
    approvals: ArrayLike | None = None,
    approve: float | None = None,
) -> Certificate:
    r"""A certificate from votes: :obj:`pre_votes` choose the class, fresh :obj:`votes` bound it.

    Args:
        transform (HierarchicalNodeFeatureNoise): The smoothing that the votes were sampled with.
        pre_votes (array_like): Votes that select the class, integers ``[M, C]``.
        votes (array_like): Votes of *other* samples that bound it, integers ``[M, C]``.
        alpha (float): Error probability in :math:`(0, 1)`. (default: :obj:`0.01`)
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        simultaneous (bool): Whether the statements hold for all objects at once.
            (default: :obj:`False`)
        index (array_like, optional): As in
            :meth:`~pyg_hiersmooth.certificates.Certificate.from_bounds`. (default: :obj:`None`)
        num_entities (array_like, optional): As there. (default: :obj:`None`)
        num_features (int, optional): As there. (default: :obj:`None`)
        approvals (array_like, optional): In how many of the samples of :obj:`votes` each class was
            approved, integers ``[M, C]``. (default: :obj:`None`)
        approve (float, optional): As there. (default: :obj:`None`)

    Raises:
        ValueError: If the votes are not counts of one shape, or an argument is out of range.
    """
    return _certified(
        transform,
        vote_bounds(pre_votes, votes, alpha, check_kind(kind), simultaneous),
        kind,
        index=index,
        num_entities=num_entities,
        num_features=num_features,
        simultaneous=simultaneous,
        votes=check_votes("votes", votes),
        approvals=approvals,
        approve=approve,
        alpha=alpha,
        n0=int(np.asarray(pre_votes).sum(1).max(initial=0)),
    )


def certify_anytime(
    transform: Smoothing,
    votes: ArrayLike,
    alpha: float = 0.01,
    kind: Kind = "multiclass",
    *,
    simultaneous: bool = False,
    index: ArrayLike | None = None,
    num_entities: ArrayLike | None = None,
    num_features: int | None = None,
    approvals: ArrayLike | None = None,
    approve: float | None = None,
) -> Certificate:
    r"""A certificate from votes whose number may have been chosen after looking at them: the same
    votes choose the class and bound it, at all numbers of votes at once
    (:func:`~pyg_hiersmooth.certificates.anytime_bounds`).

    Args:
        transform (HierarchicalNodeFeatureNoise): The smoothing that the votes were sampled with.
        votes (array_like): *All* votes so far, integers ``[M, C]``; each object may have a number
            of its own. Which ones are counted must not depend on how they came out.
        alpha, kind, simultaneous, index, num_entities, num_features, approvals, approve: As in
            :func:`certify_votes`.

    Raises:
        ValueError: If the votes are not counts, or an argument is out of range.
    """
    return _certified(
        transform,
        anytime_bounds(votes, alpha, check_kind(kind), simultaneous),
        kind,
        index=index,
        num_entities=num_entities,
        num_features=num_features,
        simultaneous=simultaneous,
        votes=check_votes("votes", votes),
        approvals=approvals,
        approve=approve,
        alpha=alpha,
    )


def _certified(
    transform: Smoothing, bounds: tuple[np.ndarray, ...], kind: Kind, **known: Any
) -> Certificate:
    prediction, p_lower, p_upper = bounds
    upper = None if kind == "binary" else p_upper
    return Certificate.from_bounds(transform, prediction, p_lower, upper, kind, **known)
