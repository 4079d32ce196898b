r"""Checks of the arguments of certificates."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike


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
