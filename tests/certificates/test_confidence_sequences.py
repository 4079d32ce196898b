from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, stats

from pyg_hiersmooth.certificates import (
    anytime_bounds,
    anytime_lower,
    anytime_upper,
    certify_anytime,
    clopper_pearson_lower,
)
from pyg_hiersmooth.certificates.confidence_sequences import (
    ROUNDING,
    level_of_each,
    most_favorable,
)
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Bound = Callable[[np.ndarray, np.ndarray, float], np.ndarray]

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


def mean_ratio(p: float, k: int, n: int) -> float:
    """The mean likelihood ratio over alternatives above p, by numerical integration."""

    def ratio(q: float) -> float:
        return math.exp(
            k * math.log(q / p) + ((n - k) * math.log((1 - q) / (1 - p)) if n > k else 0.0)
        )

    value, _ = integrate.quad(ratio, p, 1.0, epsabs=0.0, epsrel=1e-11, limit=200)
    return value / (1.0 - p)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 4), (20, 20), (1, 30), (70, 100), (199, 200)])
@pytest.mark.parametrize("alpha", [0.3, 0.01, 0.01 / 14])
def test_the_bound_is_where_the_mean_ratio_reaches_one_over_alpha(
    k: int, n: int, alpha: float
) -> None:
    bound = float(anytime_lower(k, n, alpha))
    assert mean_ratio(bound, k, n) >= 1.0 / alpha  # rounded to the side of claiming less
    assert mean_ratio(bound + 3.0 * ROUNDING, k, n) < 1.0 / alpha
    below = np.linspace(bound / 5.0, bound, 20)
    assert all(mean_ratio(float(p), k, n) >= 1.0 / alpha for p in below)  # no other root
    assert float(anytime_upper(n - k, n, alpha)) == 1.0 - bound


def first_above(p: float, alpha: float, most: int, bound: Bound) -> np.ndarray:
    """For each number of trials up to `most`, the fewest successes whose bound is above p."""
    trials = np.arange(1, most + 1)
    low, high = np.zeros(most, dtype=np.int64), trials + 1  # bounds grow with successes
    while (high - low > 1).any():
        middle = (low + high) // 2
        above = bound(middle, trials, alpha) > p
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def miscoverage(p: float, alpha: float, most: int, bound: Bound = anytime_lower) -> float:
    """The probability, exactly, that a lower bound is above p after any of `most` trials."""
    reached, failed = np.array([1.0]), 0.0
    for first in first_above(p, alpha, most, bound):
        reached = np.append(reached * (1.0 - p), 0.0) + np.append(0.0, reached * p)
        failed += float(reached[first:].sum())
        reached[first:] = 0.0  # stopped where it is wrong, the worst time to stop
    return failed


@pytest.mark.one_in(2)
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.01 / 14])
def test_stopping_at_the_worst_time_fails_no_more_often_than_alpha(alpha: float) -> None:
    failed = [miscoverage(p, alpha, 2_000) for p in (0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99)]
    assert max(failed) <= alpha
    assert max(failed) > 0.3 * alpha  # a valid bound need not be a useless one


def test_the_exact_sum_sees_bounds_that_are_too_tight() -> None:
    """Clopper and Pearson's, looked at after every trial, fail far more often than they say."""
    assert miscoverage(0.5, 0.05, 100, clopper_pearson_lower) > 0.15


def test_shape_and_ends() -> None:
    lower = anytime_lower([[0], [5], [10]], [[10, 20]], 0.01)
    assert lower.shape == (3, 2) and (lower[0] == 0.0).all()
    assert (np.diff(anytime_lower(np.arange(1_001), 1_000, 0.01)) >= 0.0).all()
    assert (np.diff(anytime_lower(500, np.arange(500, 900), 0.01)) <= 0.0).all()
    assert (lower <= clopper_pearson_lower([[0], [5], [10]], [[10, 20]], 0.01)).all()
    assert float(anytime_upper(10, 10, 0.01)) == 1.0
    assert float(anytime_lower(1, 10**7, 0.01)) == 0.0  # within the rounding
    assert 0.9999 < float(anytime_lower(10**6, 10**6, 0.01)) < 1.0
    assert anytime_lower([], [], 0.01).shape == (0,)
    assert anytime_lower(9, 10, 0.9) == anytime_lower(9, 10, 1.0 / math.e)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 2, 0.01), "'successes' must be whole numbers between 0 and 'trials'"),
        ((0, 0, 0.01), "'trials' must be whole numbers of at least 1"),
        ((1, 2, 0.0), r"'alpha' must be a probability in \(0, 1\).* \(got 0\.0\)"),
    ],
)
def test_refuses_what_are_no_counts(arguments: tuple[float, ...], message: str) -> None:
    for bound in (anytime_lower, anytime_upper):
        with pytest.raises(ValueError, match=message):
            bound(*arguments)


def test_alpha_is_shared_by_all_bounds_that_must_hold() -> None:
    assert level_of_each(0.06, "binary", 3) == 0.06 / 3
    assert level_of_each(0.06, "multiclass", 3) == 0.06 / 6
    assert level_of_each(0.06, "multiclass", 2) == level_of_each(0.06, "binary", 2) == 0.06 / 2
    assert level_of_each(0.06, "binary", 3, 10) == 0.06 / 30
    votes = [[700, 200, 100], [3, 40, 7]]
    bounds = anytime_bounds(votes, 0.06, "multiclass", simultaneous=True)
    assert bounds.prediction.tolist() == [0, 1]
    assert bounds.p_lower == pytest.approx(anytime_lower([700, 40], [1_000, 50], 0.005))
    assert bounds.p_upper == pytest.approx(anytime_upper([200, 7], [1_000, 50], 0.005))
    binary = anytime_bounds(votes, 0.06, "binary")
    assert binary.p_lower == pytest.approx(anytime_lower([700, 40], [1_000, 50], 0.02))
    assert binary.p_upper == pytest.approx(1.0 - binary.p_lower)
    with pytest.raises(ValueError, match="'kind' must be one of"):
        anytime_bounds(votes, kind="ternary")  # type: ignore[arg-type]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("share", [[0.55, 0.45], [0.4, 0.35, 0.25], [0.9, 0.06, 0.04]])
def test_bounds_of_a_class_chosen_by_the_same_votes_hold(kind: str, share: list[float]) -> None:
    """Stopped as soon as a bound is wrong, over many looks, with the leader as the prediction."""
    runs, alpha = 10_000, 0.1
    generator = np.random.default_rng(0)
    truth, votes = np.array(share), np.zeros((runs, len(share)), dtype=np.int64)
    wrong = np.zeros(runs, dtype=bool)
    for _ in range(40):
        votes += generator.multinomial(5, share, size=runs)
        bounds = anytime_bounds(votes, alpha, kind)  # type: ignore[arg-type]
        rivals = np.array([np.delete(truth, c).max() for c in range(len(share))])
        if kind == "binary":
            rivals = 1.0 - truth
        wrong |= bounds.p_lower > truth[bounds.prediction]
        wrong |= bounds.p_upper < rivals[bounds.prediction]
    test = stats.binomtest(int(wrong.sum()), runs, alpha, alternative="greater")
    assert test.pvalue > FALSE_ALARM


def test_no_class_could_do_better_than_the_favorable_values() -> None:
    """Against all classes and all corners of their bounds, one by one."""
    generator = np.random.default_rng(1)
    for votes in generator.multinomial(60, [0.4, 0.3, 0.2, 0.1], size=50):
        lower, upper = anytime_lower(votes, 60, 0.02), anytime_upper(votes, 60, 0.02)
        best = most_favorable(votes[None], 0.02, "multiclass")
        for c in range(4):
            rival = max(np.delete(lower, c).max(), (1.0 - upper[c]) / 3.0)
            assert upper[c] <= best.p_lower[0] and rival >= best.p_upper[0] - 1e-15
        binary = most_favorable(votes[None], 0.02, "binary")
        assert binary.p_lower[0] == upper.max() and binary.p_upper[0] == 1.0 - upper.max()
        assert best.p_lower[0] == upper.max()
        top, second = np.sort(votes)[::-1][:2]
        assert best.prediction[0] == votes.argmax() and top >= second


def test_certify_anytime_takes_votes_of_different_numbers() -> None:
    transform = HierarchicalNodeFeatureNoise(0.9, AblationNoise())
    certificate = certify_anytime(transform, [[500, 2], [20, 1]], 0.05, index=[7, 3])
    assert certificate.num_samples is not None
    assert certificate.num_samples.tolist() == [502, 21] and certificate.index.tolist() == [7, 3]
    assert certificate.p_lower == pytest.approx(anytime_lower([500, 20], [502, 21], 0.025))
    assert certificate.is_robust(3).tolist() == [True, False]
