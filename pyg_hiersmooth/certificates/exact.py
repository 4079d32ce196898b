r"""From the votes of all outcomes to an exact certificate: whole numbers decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates.certificate import Certificate, Known, Smoothing, check_known
from pyg_hiersmooth.certificates.checks import check_integers, check_listed
from pyg_hiersmooth.certificates.vote_bounds import check_kind, check_votes
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.selection import Selection

if TYPE_CHECKING:
    from typing_extensions import Unpack


def certify_counts(
    transform: Smoothing,
    votes: ArrayLike,
    kind: Kind = "multiclass",
    *,
    largest_r: ArrayLike | None = None,
    **known: Unpack[Known],
) -> Certificate:
    r"""An exact certificate from the votes of *all* outcomes of a smoothing that draws nothing.

    Of the :math:`n` outcomes, :math:`h(r)` at most expose one of :math:`r` changed entities, and
    answer what the adversary likes; all others are what they were. With :math:`v_A` votes for the
    class that is ahead and :math:`v_B` for the next, it stays ahead of every other class if
    :math:`v_A - v_B > 2 h(r)` (``multiclass``), and keeps more than half of all votes if
    :math:`2 (v_A - h(r)) > n` (``binary``). For
    :class:`~pyg_hiersmooth.selection.PartitionSelection` with :math:`K` partitions into :math:`T`
    groups, :math:`n = K T` and :math:`h(r) = K r` (Levine & Feizi 2020, *(De)Randomized
    Smoothing*, Theorem 1). A tie abstains. Nothing is random, so all statements hold at once and
    with certainty.

    Args:
        transform (HierarchicalNodeFeatureNoise): The smoothing, of a selection that lists its
            outcomes and a noise that draws nothing.
        votes (array_like): The votes of all outcomes, integers ``[M, C]``.
        kind (str): ``"multiclass"`` or ``"binary"``. (default: :obj:`"multiclass"`)
        largest_r (array_like, optional): What is known beyond the counts, for ``multiclass``: the
            result of :func:`~pyg_hiersmooth.certificates.largest_certified_r`, integers ``[M]``.
            (default: :obj:`None`)
        **known: :obj:`index`, :obj:`num_entities`, :obj:`num_features`, :obj:`approvals`,
            :obj:`approve` and :obj:`mask_predictions` as in
            :meth:`~pyg_hiersmooth.certificates.Certificate.from_bounds`.

    Raises:
        TypeError: If a keyword is none of these.
        ValueError: If the smoothing draws, the votes of an object are not one for each outcome, or
            :obj:`largest_r` is given for ``binary``.
    """
    check_known(known)
    check_kind(kind)
    counts = check_votes("votes", votes)
    size = len(counts)
    entities = known.get("num_entities")
    if entities is not None:
        entities = check_integers("num_entities", np.broadcast_to(entities, size), size, 1)
        known["num_entities"] = entities
    outcomes = check_listed(transform.selection, transform.noise, entities)
    if (counts.sum(1) != outcomes).any():
        raise ValueError(
            f"'votes' must hold one vote for each of the {outcomes} outcomes "
            f"(got {counts.sum(1)[counts.sum(1) != outcomes][0]} for an object)"
        )
    ordered = np.sort(counts, axis=1)
    top, next_best = ordered[:, -1], ordered[:, -2]
    rivals = next_best if kind == "multiclass" else outcomes - top
    present = entities if transform.noise.fixes_graph else None  # else, nodes may be added
    largest = _largest_r(transform.selection, top - rivals, outcomes, present)
    if largest_r is not None:
        if kind == "binary":
            raise ValueError("'largest_r' is about kind='multiclass' (got kind='binary')")
        if not transform.noise.fixes_graph:
            raise ValueError(f"'largest_r' is about a fixed graph (got {transform.noise})")
        largest = np.maximum(largest, check_integers("largest_r", largest_r, size, least=-1))
    return Certificate.from_bounds(
        transform,
        counts.argmax(1),
        top / outcomes,
        rivals / outcomes,
        kind,
        largest_r=largest,
        votes=counts,
        **known,
    )


def _largest_r(
    selection: Selection, lead: np.ndarray, outcomes: int, num_entities: np.ndarray | None
) -> np.ndarray:
    r"""The largest ``r`` that leaves a lead, int64 ``[M]``; -1 where there is none."""
    largest = np.where(lead > 0, 0, -1)
    limit = np.inf if num_entities is None else num_entities
    for r in range(1, outcomes + 1):
        holds = (lead > 2 * selection.num_exposing(r, num_entities)) & (r <= limit)
        if not holds.any():
            break
        largest[holds] = r
    return largest
