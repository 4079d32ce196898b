"""Certificates as data frames."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import BernoulliSelection

GAUSSIAN, ABLATION = (
    Certificate.from_bounds(
        SimpleNamespace(selection=BernoulliSelection(0.95), noise=noise),
        [0, 2, 1, 1],
        [0.999, 0.6, 0.5, 0.97],
        [0.001, 0.3, 0.5, 0.03],
        index=[4, 5, 9, 7],
    )
    for noise in (GaussianNoise(0.25), AblationNoise())
)
Y = [0, 0, 1, 1]


def test_largest_budgets_for_each_r() -> None:
    pytest.importorskip("pandas")
    frame = GAUSSIAN.to_frame()
    bounds = ["index", "prediction", "abstained", "p_lower", "p_upper"]
    assert list(frame) == [*bounds, "eps_r1", "eps_r2", "eps_r3"]
    np.testing.assert_array_equal(frame["eps_r2"], GAUSSIAN.radius(2))
    assert frame["index"].tolist() == [4, 5, 9, 7]
    assert frame["prediction"].tolist() == [0, 2, -1, 1]


def test_labels_say_what_is_correct() -> None:
    pytest.importorskip("pandas")
    labeled = GAUSSIAN.to_frame(Y)
    assert labeled["y"].tolist() == Y
    assert labeled["correct"].tolist() == [True, False, False, True]


def test_the_most_entities_that_may_change_at_will() -> None:
    pytest.importorskip("pandas")
    frame = ABLATION.to_frame()
    assert list(frame)[-1] == "largest_r"
    for largest, i in zip(frame["largest_r"], range(4), strict=True):
        robust = [bool(ABLATION.is_robust(r)[i]) for r in range(40)]
        assert largest == (sum(robust) - 1 if robust[0] else -1)
