r"""Adversaries who add nodes and change nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyg_hiersmooth.certificates import robustness
from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate


def check_only(noise: Noise, only: str) -> str:
    r"""Checks that certificates for a noise can be about this part of its adversaries alone.

    Raises:
        TypeError: If neither messages nor nodes are ablated.
        ValueError: If there is no such part.
    """
    if only != "new_nodes":
        raise ValueError(f"'only' must be 'new_nodes' (got {only!r})")
    if noise.of not in ("messages", "nodes"):
        raise TypeError(
            "'only' is for AblationNoise(of='messages') or of='nodes', whose adversary may add "
            f"nodes (got {noise})"
        )
    return only


def robust_to_new_nodes(certificate: Certificate, r: int) -> np.ndarray:
    r"""Whether no :obj:`r` nodes change the prediction that are appended with all their edges, in
    either direction, to old nodes or each other, bool ``[M]``.

    While all new nodes are selected, none of them sends anything, and the vote is the one
    without them. Whether they are is independent of all that this vote depends on. So a class of
    vote probability :math:`p` keeps at least :math:`q p`, instead of :math:`p - (1 - q)`, and
    another one gets at most :math:`1 - q` more than that: certified where
    :math:`q (p_A - p_B) > 1 - q`, with :math:`q = p^r`. That is false of edges added between *old*
    nodes: one that is not selected decides about other messages as well.

    Where outcomes are listed, those in which a new node is not selected are known, since appended
    nodes have known groups. They may vote as they like, and all others vote as before: certified
    where the lead among the others exceeds their number.

    Args:
        certificate (Certificate): Of ablated messages or nodes; if exact, with
            :attr:`~pyg_hiersmooth.certificates.Certificate.mask_predictions` and
            :attr:`~pyg_hiersmooth.certificates.Certificate.num_entities`.
        r (int): Most nodes that are added.

    Raises:
        TypeError: If neither messages nor nodes are ablated.
        ValueError: If the certificate does not hold what is needed.
    """
    check_only(certificate.noise, "new_nodes")
    if certificate.exact:
        return _by_masks(certificate, r) & ~certificate.abstained
    check_independent(certificate.selection)
    q = certificate.prob_all_selected(r)
    lead = certificate.p_lower - certificate.p_upper
    return (q * lead - (1.0 - q) > 2.0 * robustness.MARGIN) & ~certificate.abstained


def check_independent(selection: Selection) -> None:
    r"""Refuses a selection that lets new nodes depend on old ones.

    Raises:
        ValueError: If it is no :class:`~pyg_hiersmooth.selection.BernoulliSelection`.
    """
    if not isinstance(selection, BernoulliSelection):
        raise NotCertifiableError(
            "'only' needs nodes that are selected independently, or an exact certificate (got "
            f"{selection})"
        )


def _by_masks(certificate: Certificate, r: int) -> np.ndarray:
    selection, masks = certificate.selection, certificate.mask_predictions
    sizes = certificate.num_entities
    if masks is None or sizes is None or not isinstance(selection, PartitionSelection):
        raise ValueError(
            "'only' needs the votes of single masks of a PartitionSelection: make the certificate "
            "with 'mask_predictions' and 'num_entities'"
        )
    robust = np.empty(len(masks), dtype=bool)
    for size in np.unique(sizes):
        groups = selection.groups(int(size) + r)[:, int(size) :].numpy()
        touched = np.zeros((selection.num_partitions, selection.num_groups), dtype=bool)
        touched[np.arange(len(groups))[:, None], groups] = True
        rows = sizes == size
        robust[rows] = _outvotes(
            masks[rows][:, ~touched.ravel()],
            certificate.prediction[rows],
            int(touched.sum()),
            certificate.kind == "binary",
        )
    return robust


def _outvotes(
    untouched: np.ndarray, prediction: np.ndarray, num_touched: int, binary: bool
) -> np.ndarray:
    r"""Whether a class stays ahead of every other (or, ``binary``, of all others together) if all
    touched outcomes turn against it.
    """
    own = (untouched == prediction[:, None]).sum(1)
    if binary:
        rival = untouched.shape[1] - own
    else:
        classes = range(int(untouched.max(initial=0)) + 1)
        votes = np.stack([(untouched == c).sum(1) * (prediction != c) for c in classes], axis=1)
        rival = votes.max(1)
    return own - rival > num_touched
