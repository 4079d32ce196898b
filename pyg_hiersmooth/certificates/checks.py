r"""Checks of the arguments of certificates."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pyg_hiersmooth.errors import NotCertifiableError
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection

ReceptiveField: TypeAlias = ArrayLike | sparse.sparray | sparse.spmatrix
r"""Which entities can reach which target, bool ``[M, N]``."""


def check_count(name: str, value: float, least: int = 0) -> int:
    r"""A whole number of at least :obj:`least` as an int."""
    if not isinstance(value, Real) or not (value >= least and value % 1 == 0):
        raise ValueError(f"'{name}' must be an integer of at least {least} (got {value})")
    return int(value)


def changed_within(noise: Noise, budget: Mapping[str, Any]) -> int:
    r"""The most entities that a budget allows to change.

    Raises:
        TypeError: If it bounds no number of them, does not belong to the noise, or is missing.
    """
    reach = np.inf if noise.norm is not None else noise.reach(**noise.check_budget(**budget))
    if np.isinf(reach):
        raise TypeError(
            f"'r' is needed: a budget for {noise} does not say how many entities change"
        )
    return int(reach)


def check_integers(
    name: str, values: ArrayLike, size: int | None = None, least: int | None = None
) -> np.ndarray:
    r"""Whole numbers ``[M]`` or ``[M, 1]``, of the given size and least value, as int64 ``[M]``."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:  # as OGB gives labels
        array = array[:, 0]
    if array.ndim != 1 or (size is not None and array.shape[0] != size):
        expected = "[M]" if size is None else f"[{size}], one for each certified object,"
        raise ValueError(f"'{name}' must have the shape {expected} (got {list(array.shape)})")
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        raise ValueError(f"'{name}' must hold integers (got {array.dtype} with other values)")
    if least is not None and (whole < least).any():
        raise ValueError(f"'{name}' must be at least {least} (got {whole.min()})")
    return whole


def check_probabilities(name: str, values: ArrayLike, size: int) -> np.ndarray:
    r"""A vector of probabilities of the given size as float64 ``[M]``."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"'{name}' must have the shape [{size}] (got {list(array.shape)})")
    if not ((array >= 0.0) & (array <= 1.0)).all():
        raise ValueError(f"'{name}' must lie in [0, 1]")
    return array.copy()


def check_matrix(name: str, values: ArrayLike, size: int, columns: int | None = None) -> np.ndarray:
    r"""A matrix of non-negative integers of the given size, unchanged."""
    array = np.asarray(values)
    if array.ndim != 2 or len(array) != size or columns not in (None, array.shape[1]):
        expected = f"[{size}, {'C' if columns is None else columns}]"
        raise ValueError(f"'{name}' must have the shape {expected} (got {list(array.shape)})")
    if array.dtype.kind not in "iu" or (array < 0).any():
        raise ValueError(f"'{name}' must hold non-negative integers (got {array.dtype})")
    return array.copy()


def check_ballots(
    size: int,
    num_outcomes: int | None,
    *,
    num_samples: ArrayLike | None,
    votes: ArrayLike | None,
    approvals: ArrayLike | None,
    approve: float | None,
    mask_predictions: ArrayLike | None,
) -> dict[str, Any]:
    r"""What a certificate keeps of the votes that it was made of, as
    :meth:`~pyg_hiersmooth.certificates.Certificate.from_bounds` takes it.

    Args:
        size (int): Number :math:`M` of objects.
        num_outcomes (int, optional): Outcomes of the smoothing; :obj:`None` if it is not exact.
        num_samples, votes, approvals, approve, mask_predictions: As there.

    Raises:
        ValueError: If a shape is wrong, they contradict each other, or one lacks the other.
    """
    kept: dict[str, Any] = {"approve": approve}
    if votes is not None:
        kept["votes"] = check_matrix("votes", votes, size).astype(np.int64)
        num_samples = kept["votes"].sum(1) if num_samples is None else num_samples
    if num_samples is not None:
        kept["num_samples"] = check_integers("num_samples", num_samples, size, least=1)
        if votes is not None and not np.array_equal(kept["votes"].sum(1), kept["num_samples"]):
            raise ValueError("'votes' must sum to 'num_samples' for each object (got other sums)")
    if (approve is None) != (approvals is None) or not 0.0 <= (approve or 0.0) <= 1.0:
        raise ValueError(
            "'approve' must be the probability in [0, 1] that 'approvals' were counted from, and "
            f"only with them (got {approve})"
        )
    if approvals is not None:
        columns = None if votes is None else kept["votes"].shape[1]
        kept["approvals"] = check_matrix("approvals", approvals, size, columns).astype(np.int64)
        if num_samples is None or (kept["approvals"] > kept["num_samples"][:, None]).any():
            raise ValueError("'approvals' must not exceed the number of samples of an object")
    if mask_predictions is not None:
        if num_outcomes is None:
            raise ValueError("'mask_predictions' belong to exact certificates (got a sampled one)")
        masks = check_matrix("mask_predictions", mask_predictions, size, num_outcomes)
        classes = range(int(masks.max(initial=0)) + 1 if votes is None else kept["votes"].shape[1])
        counts = np.stack([(masks == c).sum(1) for c in classes], axis=1)
        if not np.array_equal(counts, kept.setdefault("votes", counts)):
            raise ValueError("'mask_predictions' must be the outcomes' 'votes' (got other counts)")
        kept["mask_predictions"] = masks
    return kept


def check_listed(
    selection: Selection, noise: Noise, num_entities: int | np.ndarray | None = None
) -> int:
    r"""The number of outcomes of a smoothing that draws nothing."""
    outcomes = selection.num_outcomes(num_entities)
    if outcomes is None or not noise.deterministic or noise.axes:
        raise NotCertifiableError(
            "an exact certificate needs a selection that lists its outcomes and a noise that draws "
            f"nothing, such as PartitionSelection and AblationNoise (got {selection} and {noise})"
        )
    return outcomes


def as_matrix(values: ReceptiveField) -> Any:
    r"""What is sparse as it is, anything else as an array."""
    return values if sparse.issparse(values) else np.asarray(values)


def check_extends(selection: Selection, noise: Noise) -> None:
    r"""Refuses selections that do not bear the nodes which an adversary may add."""
    if not noise.fixes_graph and not selection.extends:
        raise NotCertifiableError(
            f"an adversary against {noise} may add nodes, which needs a selection that leaves all "
            "other nodes as they were: one probability for all, or a PartitionSelection that deals "
            f"in blocks (got {selection})"
        )


def check_receptive_field(
    receptive_field: ReceptiveField,
    num_targets: int,
    num_entities: int | None = None,
    index: np.ndarray | None = None,
) -> sparse.csr_array:
    r"""Which entities can reach which target, as a canonical bool CSR array ``[M, N]``.

    With the :obj:`index` of the targets, int64 ``[M]``, it must be about them, in that order: it
    names its targets (:class:`~pyg_hiersmooth.certificates.reach.Reach`), or every target lies in
    its own field.
    """
    given = as_matrix(receptive_field)
    shape = given.shape
    fits = len(shape) == 2 and shape[0] == num_targets and num_entities in (None, shape[1])
    if not fits:
        columns = "N" if num_entities is None else num_entities
        raise ValueError(
            f"'receptive_field' must have the shape [{num_targets}, {columns}], targets by "
            f"entities (got {list(shape)})"
        )
    if given.dtype.kind not in "biu":
        raise ValueError(f"'receptive_field' must be bool (got {given.dtype})")
    field = sparse.csr_array(given.astype(bool))
    field.eliminate_zeros()
    field.sum_duplicates()
    if index is not None:
        _check_targets(getattr(receptive_field, "targets", None), field, index)
    return field


def _check_targets(known: np.ndarray | None, field: sparse.csr_array, index: np.ndarray) -> None:
    row = np.repeat(np.arange(len(index)), np.diff(field.indptr))
    in_own_field = np.bincount(row[field.indices == index[row]], minlength=len(index)) > 0
    if known is not None and not np.array_equal(known, index):
        raise ValueError(
            "'receptive_field' must be of the certificate's targets, in their order (got one of "
            "other targets, or in another order)"
        )
    if known is None and not in_own_field.all():
        raise ValueError(
            "'receptive_field' must hold each target in its own row, where it does not say which "
            f"targets it is about (row {int(in_own_field.argmin())} lacks node "
            f"{int(index[in_own_field.argmin()])}; rows in another order?)"
        )
