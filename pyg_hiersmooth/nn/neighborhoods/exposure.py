r"""Through how much of a selection nodes reach targets, where selected nodes are silent."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from torch import Tensor

from pyg_hiersmooth.certificates.reach import Reach
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection


def exposure(
    edge_index: np.ndarray,
    selection: Selection,
    targets: np.ndarray,
    num_nodes: int,
    num_hops: int | None,
) -> Reach:
    r"""The outcomes of a selection in which a path of unselected nodes leads from each node to each
    target in at most so many steps (:class:`~pyg_hiersmooth.selection.PartitionSelection`), or an
    upper bound of the probability that one does
    (:class:`~pyg_hiersmooth.selection.BernoulliSelection`).

    All nodes of a path send but the target, which need not. A target always reaches itself.

    Args:
        edge_index (numpy.ndarray): The edges that the model sees, from row 0 to row 1, integers
            ``[2, E]``.
        selection (Selection): Which nodes are selected.
        targets (numpy.ndarray): Targets, integers ``[M]``.
        num_nodes (int): Number :math:`N` of nodes.
        num_hops (int, optional): Message passing steps, at least 0; :obj:`None` means any number
            along any edges, so that every sending node reaches every node.

    Returns:
        Reach: ``[M, N]``, int32 or float64.

    Raises:
        ValueError: If nodes are selected neither independently nor by listed outcomes.
    """
    shape = (num_nodes, num_nodes)
    source, target = np.asarray(edge_index)
    step = sparse.csr_array((np.ones(len(source), dtype=bool), (target, source)), shape=shape)
    targets = np.asarray(targets, dtype=np.int64)
    if isinstance(selection, PartitionSelection):
        always = selection.num_masks
        reach = _outcomes(step, selection, targets, num_hops)
    elif isinstance(selection, BernoulliSelection):
        always = 1
        reach = _probabilities(step, selection, targets, num_hops)
    else:
        raise ValueError(
            "an exposure needs a PartitionSelection, or nodes that are selected independently "
            f"(got {selection})"
        )
    row = np.repeat(np.arange(len(targets)), np.diff(reach.indptr))
    reach.data[reach.indices == targets[row]] = 0
    reach.eliminate_zeros()
    places = np.arange(len(targets)), targets
    own = sparse.csr_array((np.full(len(targets), always, reach.dtype), places), reach.shape)
    return Reach.of_targets(reach + own, targets)


def _outcomes(
    step: sparse.csr_array, selection: PartitionSelection, targets: np.ndarray, num_hops: int | None
) -> sparse.csr_array:
    r"""The number of outcomes, int32 ``[M, N]``. An outcome exposes one group of one partition, so
    in each partition there is at most one for each node: that in which its own group sends.
    """
    first = step[targets]
    total = sparse.csr_array(first.shape, dtype=np.int32)
    if num_hops is None:
        return sparse.csr_array(np.full(first.shape, selection.num_partitions, dtype=np.int32))
    edges = step.tocoo()
    for group in selection.groups(step.shape[0]).numpy() if num_hops > 0 else ():
        together = group[edges.row] == group[edges.col]
        within = sparse.csr_array(
            (edges.data[together], (edges.row[together], edges.col[together])), shape=step.shape
        )
        reach = first
        for _ in range(num_hops - 1):
            wider = first + reach @ within
            if wider.nnz == reach.nnz:
                break
            reach = wider
        total = total + reach.astype(np.int32)
    return sparse.csr_array(total)


def _probabilities(
    step: sparse.csr_array, selection: BernoulliSelection, targets: np.ndarray, num_hops: int | None
) -> sparse.csr_array:
    r"""Upper bounds of probabilities, float64 ``[M, N]``, and the probabilities themselves up to
    two hops. A node reaches a target if it sends and has an edge to the target, or to a node from
    which (without the first one) the target is reached. That others reach it is the likelier the
    more nodes send, so none of several does with at least the product of the probabilities that
    each does not (Harris 1960).
    """
    p = selection.p.numpy() if isinstance(selection.p, Tensor) else selection.p
    sends = np.broadcast_to(1.0 - np.asarray(p), step.shape[0])
    if num_hops is None:
        return sparse.csr_array(np.tile(sends, (len(targets), 1)))
    direct = step[targets].astype(np.float64)
    direct.data = sends[direct.indices]
    reach = direct if num_hops > 0 else 0.0 * direct
    ones = step.astype(np.float64)
    for _ in range(max(num_hops, 1) - 1):
        hidden = reach.copy()
        row = np.repeat(np.arange(len(targets)), np.diff(hidden.indptr))
        hidden.data[hidden.indices == targets[row]] = 0.0  # whoever reaches it has an edge to it
        hidden.data = -np.log1p(-hidden.data)
        through = sparse.csr_array(hidden @ ones)
        through.data = -np.expm1(-through.data) * sends[through.indices] * (1.0 + 1e-12)
        reach = sparse.csr_array(direct.maximum(through))
    return reach
