from __future__ import annotations

import numpy as np

from pyg_hiersmooth.certificates.shares import share


def test_of_some_and_of_none() -> None:
    assert share(np.array([True, False, True, True])) == 0.75
    assert share(np.zeros(0, dtype=bool)) == 0.0
