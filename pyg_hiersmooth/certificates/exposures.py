r"""Adversaries who change features of a fixed graph, where messages are ablated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyg_hiersmooth.certificates import robustness
from pyg_hiersmooth.certificates.checks import ReceptiveField, as_matrix
from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.selection import BernoulliSelection

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate


def robust_to_features(certificate: Certificate, r: int, exposure: ReceptiveField) -> np.ndarray:
    r"""Whether no change of the features of :obj:`r` *other* nodes, the graph fixed, changes the
    prediction, bool ``[M]``.

    A node alters the vote of a target only where a path of sending nodes leads from it to the
    target. With :math:`W_{vj}` for the number of outcomes in which one does, :obj:`r` nodes alter
    at most as many votes as the :obj:`r` largest :math:`W_{vj}` sum to, all of which may be lost
    and go to a rival. Where nodes are selected independently, let :math:`\Delta_{vj}` be the
    probability of such a path. Paths are the likelier the more nodes send, so none leads from any
    of :obj:`r` nodes with a probability of at least :math:`q_v = \prod_j (1 - \Delta_{vj})` over
    the :obj:`r` largest (Harris 1960; for interception, Scholten et al. 2022), which takes the
    place of :math:`p^r`.

    Args:
        certificate (Certificate): Of ablated messages.
        r (int): Most nodes whose features change.
        exposure (scipy.sparse): As :func:`check_exposure` takes it.

    Raises:
        TypeError, ValueError: As :func:`check_exposure`.
    """
    others = _without_own(certificate, check_exposure(certificate, exposure))
    if certificate.exact:
        holds = lead_in_votes(certificate) > 2.0 * _largest_sum(others, r)
    else:
        q = np.exp(-_largest_sum(_additive(others), r)) * (1.0 - 1e-12)
        bounds = certificate.p_lower, certificate.p_upper
        holds = robustness.is_robust(certificate.noise, *bounds, q) | (r == 0)
    return holds & ~certificate.abstained


def exposed_needs(
    certificate: Certificate, exposure: ReceptiveField, smallest: float
) -> tuple[np.ndarray, sparse.csr_array]:
    r"""How much has to reach each target before its prediction may change, and how much of that
    each node stands for: :math:`\lceil \textrm{lead} / 2 \rceil` votes (a tie counts as changed)
    and the outcomes through which a node reaches; or, of probabilities, 1 and
    :math:`\log(1 - \Delta_{vj}) / \log(1 - (p_A - p_B) / 2)`. A target itself stands for all.

    Args:
        certificate (Certificate): Of ablated messages.
        exposure (scipy.sparse): As :func:`check_exposure` takes it.
        smallest (float): The least share that is not 0, to which smaller ones are rounded up.

    Returns:
        tuple: float64 ``[M]``, and float64 ``[M, N]``.

    Raises:
        TypeError, ValueError: As :func:`check_exposure`.
    """
    reach = _without_own(certificate, check_exposure(certificate, exposure)).astype(np.float64)
    if certificate.exact:
        needs = np.maximum(-(-lead_in_votes(certificate) // 2), 1).astype(np.float64)
        reach.data = np.minimum(reach.data, _of_entries(reach, needs))
    else:
        needs = np.ones(len(certificate))
        lost = (certificate.p_lower - certificate.p_upper) / 2.0 - 2.0 * robustness.MARGIN
        limits = np.maximum(-np.log1p(-np.clip(lost, 0.0, 0.5)), 1e-290)
        reach, limits = _additive(reach), _of_entries(reach, limits)
        reach.data = np.clip(np.minimum(reach.data, limits) / limits, smallest, 1.0)
    return needs, with_own(certificate, reach, needs)


def check_exposure(certificate: Certificate, exposure: ReceptiveField) -> sparse.csr_array:
    r"""Through how many outcomes each node reaches each target, integers ``[M, N]``, if the
    certificate is exact; else with which probability, floats ``[M, N]``. Only the target itself
    always reaches a target, so an exposure of other targets, or in another order, is detected.

    Raises:
        TypeError: If the noise does not ablate messages.
        ValueError: If it does not fit the certificate, or selection is not independent.
    """
    if not certificate.noise.bears_exposures:
        raise TypeError(
            "'exposure' is for AblationNoise(of='messages') of a homogeneous graph (got "
            f"{certificate.noise})"
        )
    given = as_matrix(exposure)
    sizes, shape = certificate.num_entities, tuple(given.shape)
    columns = shape[-1] if sizes is None or len(sizes) == 0 else int(sizes[0])
    if shape != (len(certificate), columns):
        raise ValueError(
            f"'exposure' must have the shape [{len(certificate)}, {columns}], targets by nodes "
            f"(got {list(shape)})"
        )
    if certificate.exact:
        kinds, always, said = "iu", certificate.selection.num_outcomes() or 0, "numbers of outcomes"
    else:
        kinds, always, said = "f", 1, "probabilities"
        if not isinstance(certificate.selection, BernoulliSelection):
            raise NotCertifiableError(
                "'exposure' needs nodes that are selected independently, or an exact certificate "
                f"(got {certificate.selection})"
            )
    reach = sparse.csr_array(given)
    reach.sum_duplicates()
    if given.dtype.kind not in kinds or not ((reach.data >= 0) & (reach.data <= always)).all():
        raise ValueError(f"'exposure' must hold {said}, at most {always} (got {given.dtype})")
    full = reach.data == always
    row = _of_entries(reach, np.arange(len(certificate)))[full]
    if not (
        np.array_equal(row, np.arange(len(certificate)))
        and np.array_equal(reach.indices[full], certificate.index)
    ):
        raise ValueError(
            f"'exposure' must be {always} for each target itself, in the order of the "
            "certificate's targets, and less for all others (got another)"
        )
    return reach


def lead_in_votes(certificate: Certificate) -> np.ndarray:
    r"""By how many votes the first class is ahead of the next (or, ``binary``, of all others),
    int64 ``[M]``.
    """
    if certificate.votes is None:
        raise ValueError("'exposure' needs the votes: make the certificate with 'votes'")
    ordered = np.sort(certificate.votes, axis=1)
    rivals = ordered[:, :-1].sum(1) if certificate.kind == "binary" else ordered[:, -2]
    return ordered[:, -1] - rivals


def with_own(
    certificate: Certificate, reach: sparse.csr_array, needs: np.ndarray
) -> sparse.csr_array:
    r"""The same where a target that is itself changed stands for all that it needs."""
    own = np.flatnonzero((certificate.index >= 0) & (certificate.index < reach.shape[1]))
    places = own, certificate.index[own]
    alone = sparse.csr_array((needs[own], places), shape=reach.shape, dtype=np.float64)
    return sparse.csr_array(_without_own(certificate, reach) + alone)


def _without_own(certificate: Certificate, reach: sparse.csr_array) -> sparse.csr_array:
    others = reach.copy()
    others.data[others.indices == _of_entries(others, certificate.index)] = 0
    others.eliminate_zeros()
    return others


def _of_entries(matrix: sparse.csr_array, of_rows: np.ndarray) -> np.ndarray:
    return np.repeat(of_rows, np.diff(matrix.indptr))


def _additive(probabilities: sparse.csr_array) -> sparse.csr_array:
    r""":math:`-\log(1 - \Delta)`, rounded up: what adds up where probabilities multiply."""
    out = probabilities.astype(np.float64)
    with np.errstate(divide="ignore"):
        out.data = -np.log1p(-np.minimum(out.data * (1.0 + 1e-12), 1.0)) * (1.0 + 1e-12)
    return out


def _largest_sum(matrix: sparse.csr_array, r: int) -> np.ndarray:
    r"""The sum of the :obj:`r` largest entries of each row, float64 ``[M]``."""
    row = _of_entries(matrix, np.arange(matrix.shape[0]))
    order = np.lexsort((-matrix.data.astype(np.float64), row))
    rank = np.arange(len(order)) - matrix.indptr[row[order]]
    kept = order[rank < r]
    return np.bincount(row[kept], matrix.data[kept], minlength=matrix.shape[0])
