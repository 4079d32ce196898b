r"""Which entities can reach which targets, as a matrix that knows its targets."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class Reach(sparse.csr_array):
    r"""A sparse matrix ``[M, N]`` of targets by entities, as any other of SciPy's, that knows which
    targets its rows are about. What is computed from it does not.
    """

    targets: np.ndarray | None = None
    r"""int64 ``[M]``, or :obj:`None` where it is not known."""

    @classmethod
    def of_targets(cls, reach: sparse.sparray | np.ndarray, targets: np.ndarray) -> Reach:
        r"""The same matrix, about the given targets."""
        known = cls(reach)
        known.targets = np.asarray(targets, dtype=np.int64)
        return known
