r"""From votes to a certificate, by way of the bounds that they allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.certificate import Certificate, Known, Smoothing, check_known
from pyg_hiersmooth.certificates.confidence_sequences import anytime_bounds
from pyg_hiersmooth.certificates.vote_bounds import check_kind, check_votes, vote_bounds
from pyg_hiersmooth.choices import Kind

if TYPE_CHECKING:
    from typing_extensions import Unpack


def certify_votes(
    transform: Smoothing,
    pre_votes: ArrayLike,
    votes: ArrayLike,
    alpha: float = 0.01,
    kind: Kind = "multiclass",
    *,
    simultaneous: bool = False,
    **known: Unpack[Known],
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
        **known: :obj:`index`, :obj:`num_entities` and :obj:`num_features` as in
            :meth:`~pyg_hiersmooth.certificates.Certificate.from_bounds`, and :obj:`approvals` of
            the samples of :obj:`votes`, with their level :obj:`approve`.

    Raises:
        TypeError: If a keyword is none of these.
        ValueError: If the votes are not counts of one shape, or an argument is out of range.
    """
    return _certified(
        known,
        transform,
        vote_bounds(pre_votes, votes, alpha, check_kind(kind), simultaneous),
        kind,
        simultaneous=simultaneous,
        votes=check_votes("votes", votes),
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
    **known: Unpack[Known],
) -> Certificate:
    r"""A certificate from votes whose number may have been chosen after looking at them: the same
    votes choose the class and bound it, at all numbers of votes at once
    (:func:`~pyg_hiersmooth.certificates.anytime_bounds`).

    Args:
        transform (HierarchicalNodeFeatureNoise): The smoothing that the votes were sampled with.
        votes (array_like): *All* votes so far, integers ``[M, C]``; their number may differ from
            object to object. Which ones are counted must not depend on how they came out.
        alpha, kind, simultaneous: As in :func:`certify_votes`.
        **known: As there.

    Raises:
        TypeError: If a keyword is none of these.
        ValueError: If the votes are not counts, or an argument is out of range.
    """
    return _certified(
        known,
        transform,
        anytime_bounds(votes, alpha, check_kind(kind), simultaneous),
        kind,
        simultaneous=simultaneous,
        votes=check_votes("votes", votes),
        alpha=alpha,
    )


def _certified(
    known: Known, transform: Smoothing, bounds: tuple[np.ndarray, ...], kind: Kind, **sampled: Any
) -> Certificate:
    check_known(known)
    prediction, p_lower, p_upper = bounds
    upper = None if kind == "binary" else p_upper
    return Certificate.from_bounds(transform, prediction, p_lower, upper, kind, **sampled, **known)
