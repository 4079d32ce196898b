r"""What the answers to single masks say beyond their counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pyg_hiersmooth.certificates.checks import ReceptiveField, check_receptive_field


def largest_certified_r(
    answers: ArrayLike, groups: ArrayLike, receptive_field: ReceptiveField | None = None
) -> np.ndarray:
    r"""The most changed entities that never change the majority of all masks, from the answer to
    each of them.

    A mask exposes one group of one partition. A changed entity alters only the masks that expose
    it, only for targets whose receptive field it is in, and no mask more than once. To bring class
    :math:`c` level with the majority class, a mask that answers the majority class is worth 2 to
    the adversary, one that answers another class 1, one that answers :math:`c` already nothing.
    What :math:`r` entities are worth is at most

    * the sum of the :math:`r` entities worth most, each with the masks that expose it;
    * in each partition, the sum of the :math:`r` groups worth most.

    The majority stays while its lead over each class exceeds the lesser of the two. The
    first is exact for :math:`r = 1`. Never less than what counts alone certify, a lead of more
    than :math:`2 r K`.

    Args:
        answers (array_like): The class that each mask answers for each target, integers
            ``[K * T, M]``, in the order of
            :class:`~pyg_hiersmooth.selection.PartitionSelection`'s masks.
        groups (array_like): The group of each entity in each partition, integers ``[K, N]`` in
            ``[0, T)``.
        receptive_field (scipy.sparse or array_like, optional): Which entities can reach which
            target, bool ``[M, N]``; :obj:`None` means all. (default: :obj:`None`)

    Returns:
        numpy.ndarray: int64 ``[M]``; -1 where there is no majority, :math:`N` where nothing
        that the adversary may do changes it.

    Raises:
        ValueError: If shapes disagree or a group is out of range.
    """
    answers, groups = np.asarray(answers), np.asarray(groups)
    if groups.ndim != 2 or not np.issubdtype(groups.dtype, np.integer) or len(groups) == 0:
        raise ValueError(f"'groups' must be integers [K, N] (got shape {list(groups.shape)})")
    num_partitions, num_entities = groups.shape
    if (
        answers.ndim != 2
        or not np.issubdtype(answers.dtype, np.integer)
        or len(answers) == 0
        or len(answers) % num_partitions
    ):
        raise ValueError(
            f"'answers' must be integers [K * T, M] with the K={num_partitions} partitions of "
            f"'groups' (got shape {list(answers.shape)})"
        )
    answers = answers.reshape(num_partitions, -1, answers.shape[1])
    if groups.size and not (groups.min() >= 0 and groups.max() < answers.shape[1]):
        raise ValueError(
            f"'groups' must lie in [0, {answers.shape[1]}) (got {groups.min()} to {groups.max()})"
        )
    field: sparse.csr_array | None = None
    if receptive_field is not None:
        field = check_receptive_field(receptive_field, answers.shape[2], num_entities)
    largest = np.empty(answers.shape[2], dtype=np.int64)
    for target in range(len(largest)):
        nodes = slice(None)
        if field is not None:
            nodes = field.indices[field.indptr[target] : field.indptr[target + 1]]
        largest[target] = _largest_r(answers[:, :, target], groups[:, nodes], num_entities)
    return largest


def _largest_r(answers: np.ndarray, groups: np.ndarray, unlimited: int) -> int:
    classes, counts = np.unique(answers, return_counts=True)
    majority = classes[counts.argmax()]
    if (counts == counts.max()).sum() > 1:
        return -1
    rivals = classes[classes != majority]
    if rivals.size == 0:
        rivals = np.array([majority + 1])  # any class without votes
    worth = (answers == majority).astype(np.int64) + (answers != rivals[:, None, None])
    lead = worth.sum((1, 2)) - answers.size  # votes of the majority less those of the rival
    partition = np.arange(len(groups))[:, None]
    reached = np.zeros(answers.shape, dtype=bool)
    reached[partition, groups] = True
    of_entities = worth[:, partition, groups].sum(1)
    of_groups = np.sort(worth * reached, axis=2)[:, :, ::-1].sum(1)
    by_entities = _before_lead_is_lost(lead, -np.sort(-of_entities, axis=1), unlimited)
    by_groups = _before_lead_is_lost(lead, of_groups, unlimited)
    return int(np.maximum(by_entities, by_groups).min())


def _before_lead_is_lost(lead: np.ndarray, losses: np.ndarray, unlimited: int) -> np.ndarray:
    r"""How many of the losses ``[num_rivals, L]``, largest first, leave a lead."""
    kept = (losses.cumsum(1) < lead[:, None]).sum(1)
    return np.where(kept == losses.shape[1], unlimited, np.minimum(kept, unlimited))
