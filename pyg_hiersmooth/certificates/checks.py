r"""Checks of the arguments of certificates."""

from __future__ import annotations

from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection

ReceptiveField: TypeAlias = ArrayLike | sparse.sparray | sparse.spmatrix
r"""Which entities can reach which target, bool ``[M, N]``."""


def check_count(name: str, value: float, least: int = 0) -> int:
    r"""A whole number of at least :obj:`least` as an int."""
    if not isinstance(value, Real) or not (value >= least and value % 1 == 0):
        raise ValueError(f"'{name}' must be an integer of at least {least} (got {value})")
    return int(value)


def check_integers(
    name: str, values: ArrayLike, size: int | None = None, least: int | None = None
) -> np.ndarray:
    r"""A vector of whole numbers, of the given size and least value, as int64 ``[M]``."""
    array = np.asarray(values)
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


def check_listed(
    selection: Selection, noise: Noise, num_entities: int | np.ndarray | None = None
) -> int:
    r"""The number of outcomes of a smoothing that draws nothing."""
    outcomes = selection.num_outcomes(num_entities)
    if outcomes is None or not noise.deterministic or noise.axes:
        raise ValueError(
            "an exact certificate needs a selection that lists its outcomes and a noise that draws "
            f"nothing, such as PartitionSelection and AblationNoise (got {selection} and {noise})"
        )
    return outcomes


def check_receptive_field(
    receptive_field: ReceptiveField, num_targets: int, num_entities: int | None = None
) -> sparse.csr_array:
    r"""Which entities can reach which target, as a canonical bool CSR array ``[M, N]``."""
    given: Any = (
        receptive_field if sparse.issparse(receptive_field) else np.asarray(receptive_field)
    )
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
    return field
