from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates.checks import check_count, check_integers, check_probabilities


def test_counts() -> None:
    for value in (3, 3.0, np.int64(3), np.float32(3)):
        count = check_count("n", value)
        assert count == 3 and type(count) is int
    assert check_count("n", 0) == 0
    values: list[Any] = [0, -1, 1.5, float("inf"), float("nan"), "2", None]
    for value in values:
        with pytest.raises(ValueError, match=r"'n' must be an integer of at least 1 \(got "):
            check_count("n", value, least=1)


def test_integers() -> None:
    assert check_integers("y", [[2], [3]], 2).tolist() == [2, 3]  # as OGB gives labels
    whole = check_integers("y", [2.0, -1.0], 2)
    assert whole.dtype == np.int64 and whole.tolist() == [2, -1]
    with pytest.raises(ValueError, match=r"'y' must have the shape \[3\], one for each"):
        check_integers("y", [1, 2], 3)
    with pytest.raises(ValueError, match=r"'y' must have the shape \[M\] \(got \[1, 2\]\)"):
        check_integers("y", [[1, 2]])
    for values in ([0.5], [np.nan], [np.inf]):
        with pytest.raises(ValueError, match="'y' must hold integers"):
            check_integers("y", values)
    with pytest.raises(ValueError, match=r"'y' must be at least 1 \(got 0\)"):
        check_integers("y", [3, 0], least=1)


def test_probabilities() -> None:
    given = np.array([0.0, 1.0])
    checked = check_probabilities("p", given, 2)
    given[0] = 0.5
    assert checked.dtype == np.float64 and checked.tolist() == [0.0, 1.0]
    for values in ([1.0, 1.0 + 1e-9], [-1e-9, 0.0], [np.nan, 0.0]):
        with pytest.raises(ValueError, match=r"'p' must lie in \[0, 1\]"):
            check_probabilities("p", values, 2)
    with pytest.raises(ValueError, match=r"'p' must have the shape \[2\] \(got \[1\]\)"):
        check_probabilities("p", [0.5], 2)
