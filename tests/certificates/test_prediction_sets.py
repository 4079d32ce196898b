from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from pyg_hiersmooth.certificates import PredictionSets
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    Noise,
)
from pyg_hiersmooth.selection import (
    BernoulliSelection,
)

from .counted import BUDGETS, FLIPS, N_SAMPLES, C, ballots, calibrated, exact, found, sampled


def test_exact_sets_by_hand() -> None:
    y = np.zeros(19, dtype=int)
    cal = exact(np.stack([np.arange(80, 99), np.zeros(19)], axis=1).astype(int))
    sets = PredictionSets.calibrate(cal, y, coverage=0.9)
    assert sets.clean_threshold.tolist() == [81]  # the second smallest of 19
    test = exact([[81, 80], [80, 100], [71, 70], [70, 71], [0, 0]], start=100)
    assert sets.sets(test).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]
    assert sets.sets(test, r=1).tolist() == [[1, 1], [1, 1], [1, 0], [0, 1], [0, 0]]
    assert sets.threshold() == 0.81 and sets.threshold(r=3) == pytest.approx(0.51)
    assert sets.coverage(test, [0, 0, 0, 1, 1]) == 0.2
    assert sets.coverage(test, [0, 0, 0, 1, 1], r=1) == 0.8
    assert sets.size(test, r=1) == 6 / 5 and sets.singletons(test, r=1) == 2 / 5
    assert sets.exact and sets.eta == 0.0 and sets.nominal == 0.9


def test_nine_objects_will_do_for_nine_tenths() -> None:
    y = np.zeros(9, dtype=int)
    counts = np.stack([np.arange(90, 99), np.zeros(9)], axis=1).astype(int)
    assert PredictionSets.calibrate(exact(counts), y, 0.9).threshold() == 0.9
    with pytest.raises(ValueError, match=r"needs at least 9 objects .*got 8"):
        PredictionSets.calibrate(exact(counts[:8]), y[:8], 0.9)
    smoothing = BernoulliSelection(0.9), AblationNoise()
    with pytest.raises(ValueError, match=r"needs at least 11 objects .*got 9"):  # less eta: 0.09
        PredictionSets.calibrate(sampled(counts, *smoothing, n=100), y, 0.9)


def test_plain_votes_where_there_are_no_approvals() -> None:
    counts = np.stack([np.arange(80, 99), 20 - np.arange(19)], axis=1)
    kept: dict[str, Any] = {"approvals": None, "approve": None}
    sets = PredictionSets.calibrate(exact(counts, votes=counts, **kept), np.zeros(19, dtype=int))
    votes = np.array([[81, 19], [19, 81]])
    assert sets.sets(exact(votes, 100, votes=votes, **kept)).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"with approve=None \(got approve=0.1\)"):
        sets.sets(exact(votes, 100, votes=votes))


@pytest.mark.parametrize(("noise", "budget"), BUDGETS, ids=str)
def test_without_an_attack_they_are_plain_conformal_sets(
    noise: Noise, budget: dict[str, float]
) -> None:
    counts, y = ballots(200, N_SAMPLES)
    test, _ = ballots(60, N_SAMPLES, 1)
    own = counts[np.arange(200), y]
    lower = beta.ppf(0.005, own, N_SAMPLES - own + 1)
    upper = beta.ppf(0.995, test + 1, N_SAMPLES - test)
    plain = np.where(test == N_SAMPLES, 1.0, upper) >= np.sort(lower)[18 - 1] - 1e-9  # 0.09 * 201
    sets = calibrated(noise)
    assert np.array_equal(sets.sets(found(noise)), plain)
    assert np.array_equal(sets.sets(found(noise), r=0, **budget), plain)
    nothing = dict.fromkeys(budget, 0)
    assert not budget or np.array_equal(sets.sets(found(noise), r=3, **nothing), plain)
    assert 0.5 < plain.sum() / 60 < 2.0


def test_class_conditional_thresholds_are_those_of_each_class_alone() -> None:
    counts, y = ballots(200, 100)
    counts[y == 2] //= 2
    sets = PredictionSets.calibrate(exact(counts), y, 0.9, class_conditional=True)
    for c in range(C):
        rows = y == c
        alone = PredictionSets.calibrate(exact(counts[rows]), y[rows], 0.9)
        assert sets.threshold()[c] == alone.threshold()  # type: ignore[index]
        test = exact(ballots(60, 100, 1)[0], 1_000)
        assert np.array_equal(sets.sets(test, 2)[:, c], alone.sets(test, 2)[:, c])
    assert sets.class_conditional and not alone.class_conditional
    with pytest.raises(ValueError, match=r"at least 9 objects of class 0 .*got 8"):
        few = np.r_[np.flatnonzero(y == 0)[:8], np.flatnonzero(y > 0)]
        PredictionSets.calibrate(exact(counts[few]), y[few], 0.9, class_conditional=True)


def test_classes_in_every_set_are_told() -> None:
    counts, y = ballots(200, 100)
    test = exact(ballots(60, 100, 1)[0], 1_000)
    sets = PredictionSets.calibrate(exact(counts), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sets.sets(test, r=2)
    for ask in (sets.sets, sets.size, sets.singletons):
        with pytest.warns(UserWarning, match=r"at r=10 every class must be in a set whatever"):
            ask(test, 10)
    noise = GaussianNoise(0.5)
    with pytest.warns(UserWarning, match=r"at r=1, eps=9.0 every class"):
        assert calibrated(noise).sets(found(noise), 1, eps=9.0).all()
    counts[y == 1] = 0
    by_class = PredictionSets.calibrate(exact(counts), y, class_conditional=True)
    with pytest.warns(UserWarning, match=r"at r=0 the classes \[1\] must be in a set"):
        by_class.sets(test)


def test_a_bound_that_no_votes_cannot_miss_says_nothing() -> None:
    counts, y = np.full((200, 2), 8), np.zeros(200, dtype=int)
    smoothing = BernoulliSelection(0.9), AblationNoise()
    sets = PredictionSets.calibrate(sampled(counts, *smoothing, n=10), y)
    none = sampled(np.zeros((1, 2), dtype=int), *smoothing, n=10, start=500)
    assert sets.threshold() > 0.0
    with pytest.warns(UserWarning, match="every class"):
        assert sets.sets(none).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_bad_coverage(coverage: float) -> None:
    counts, y = ballots(200, 100)
    with pytest.raises(ValueError, match=r"'coverage' must be a number between 0 and 1"):
        PredictionSets.calibrate(exact(counts), y, coverage)


def test_bad_arguments() -> None:
    counts, y = ballots(200, N_SAMPLES)
    cal = sampled(counts, BernoulliSelection(0.9), FLIPS, N_SAMPLES)
    for eta in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="'eta' must be a number between"):
            PredictionSets.calibrate(cal, y, eta=eta)
    for eta in (0.1, 0.5):
        with pytest.raises(ValueError, match=r"'eta' must be less than 1 - coverage, .* 0.1 .got"):
            PredictionSets.calibrate(cal, y, eta=eta)
    for label in (-1, C):
        with pytest.raises(ValueError, match=rf"'y' must hold classes in \[0, 4\) \(got {label}"):
            PredictionSets.calibrate(cal, np.r_[y[:-1], label])
    with pytest.raises(ValueError, match=r"'y' must have the shape \[200\]"):
        PredictionSets.calibrate(cal, y[:-1])
    sets, test = PredictionSets.calibrate(cal, y), found(FLIPS)
    with pytest.raises(ValueError, match="'y' must hold classes"):
        sets.coverage(test, np.full(60, -1), 0)
    with pytest.raises(ValueError, match="'r' must be an integer"):
        sets.sets(test, r=-1, deletions=1)
    with pytest.raises(ValueError, match="'deletions' must be"):
        sets.sets(test, r=1, deletions=-1)
    for budget in ({"eps": 1.0}, {"norm": "l2", "deletions": 1}, {}):
        with pytest.raises(TypeError, match="a certificate for SparseFlipNoise"):
            sets.sets(test, r=1, **budget)  # type: ignore[arg-type]
