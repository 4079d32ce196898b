from __future__ import annotations

import numpy as np
import pytest

from pyg_hiersmooth.noise import L1_DISTANCE, L2_DISTANCE, Axis

CHANGES = Axis("changes", "Changes", "Total changed entries")


def test_counts() -> None:
    assert CHANGES.whole
    for value in (0, 3, 3.0, np.int64(3)):
        count = CHANGES.check(value)
        assert count == value and type(count) is int
    for value in (-1, 0.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"'changes' must be a non-negative integer \(got "):
            CHANGES.check(value)
    assert [CHANGES.describe(n) for n in (0, 1, 2)] == ["0 changes", "1 change", "2 changes"]


def test_distances() -> None:
    for axis, norm in ((L1_DISTANCE, "l1"), (L2_DISTANCE, "l2")):
        assert axis.name == "eps" and axis.norm == norm and not axis.whole
        assert rf"$\ell_{norm[1]}$" in axis.label
        assert type(axis.check(1)) is float
        for value in (-0.1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match=r"'eps' must be a finite number of at least 0"):
                axis.check(value)
        assert axis.describe(0.25) == "eps = 0.25"
    assert L1_DISTANCE != L2_DISTANCE


def test_what_is_kept_of_distances_holds_what_is_reported() -> None:
    kept = L2_DISTANCE.kept
    assert kept[0] == 0.0 and kept[-1] == 4.0 and len(kept) == 41
    assert np.all(np.diff(kept) > 0) and {0.5, 1.0, 1.5, 2.0} <= set(kept)
