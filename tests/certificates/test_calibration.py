from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from pyg_hiersmooth.certificates.calibration import (
    as_share,
    calibrated_threshold,
    calibrated_thresholds,
    calibration_rank,
    num_needed,
)


def test_decimals_are_read_as_they_are_written() -> None:
    assert as_share("coverage", 0.9) == Fraction(9, 10)
    assert as_share("coverage", np.float32(0.9)) == Fraction(9, 10)  # type: ignore[arg-type]
    assert as_share("coverage", 1e-3) == Fraction(1, 1000)
    assert as_share("coverage", Fraction(2, 3)) == Fraction(2, 3)


@pytest.mark.parametrize(
    "value", [0, 1, 0.0, 1.0, -0.1, 1.1, float("nan"), float("inf"), True, "x"]
)
def test_shares_lie_between_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match=r"'coverage' must be a number between 0 and 1.*got"):
        as_share("coverage", value)


def test_floats_do_not_lose_a_rank() -> None:
    assert int((1 - 0.9) * 10) == 0  # what floats say
    assert calibration_rank(9, 1 - as_share("coverage", 0.9)) == 1
    for percent in range(1, 100):
        for num in range(1, 300):
            error = 1 - as_share("coverage", percent / 100)
            assert calibration_rank(num, error) == (100 - percent) * (num + 1) // 100


def test_the_number_needed_is_the_first_that_will_do() -> None:
    for percent in range(1, 100):
        error = Fraction(percent, 100)
        needed = num_needed(error)
        assert calibration_rank(needed, error) >= 1
        assert needed == 0 or calibration_rank(needed - 1, error) == 0


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("tied", [False, True])
def test_the_threshold_covers_one_more_of_any_order(num: int, tied: bool) -> None:
    scores = np.arange(num + 1) // (2 if tied else 1)
    orders = [np.array(order) for order in permutations(scores)]
    for tenths in range(1, 10):
        error = Fraction(tenths, 10)
        if calibration_rank(num, error) == 0:
            continue
        covered = sum(order[-1] >= calibrated_threshold(order[:-1], error) for order in orders)
        assert Fraction(int(covered), len(orders)) >= 1 - error
        if not tied:  # and attains what its rank promises: no larger threshold would do
            promised = 1 - Fraction(calibration_rank(num, error), num + 1)
            assert Fraction(int(covered), len(orders)) == promised


def test_too_few_are_told_how_many_it_takes() -> None:
    with pytest.raises(ValueError, match=r"at least 9 objects of class 3 for this .*got 8\)"):
        calibrated_threshold(np.arange(8), Fraction(1, 10), " of class 3")
    assert calibrated_threshold(np.arange(9), Fraction(1, 10)) == 0


def test_one_threshold_for_all_or_one_for_each_class() -> None:
    scores, labels = np.arange(40.0), np.arange(40) % 2
    tenth = Fraction(1, 10)
    assert calibrated_thresholds(scores, labels, tenth).tolist() == [3.0]
    assert calibrated_thresholds(scores, labels, tenth, 2).tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match="at least 9 objects of class 2 for this coverage"):
        calibrated_thresholds(scores, labels, tenth, 3)
