from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

from pyg_hiersmooth.certificates import (
    anytime_lower,
    clopper_pearson_lower,
    clopper_pearson_upper,
    vote_bounds,
)
from pyg_hiersmooth.certificates.vote_bounds import LEAST_ALPHA

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


@pytest.mark.parametrize("trials", [1, 7, 1_000, 10_000, 1_000_000])
@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.01 / 7, 1e-9])
def test_clopper_pearson_against_its_definition(trials: int, alpha: float) -> None:
    """The bounds are where the tail of what was seen has exactly probability alpha."""
    seen = np.unique(np.linspace(0, trials, 23).astype(int))
    lower = clopper_pearson_lower(seen, trials, alpha)
    upper = clopper_pearson_upper(seen, trials, alpha)
    assert lower[0] == 0.0 and upper[-1] == 1.0
    assert stats.binom.sf(seen[1:] - 1, trials, lower[1:]) == pytest.approx(alpha, rel=1e-6)
    assert stats.binom.cdf(seen[:-1], trials, upper[:-1]) == pytest.approx(alpha, rel=1e-6)
    quantile = stats.beta.ppf(alpha, seen[1:], trials - seen[1:] + 1)
    assert lower[1:] == pytest.approx(quantile, rel=1e-9)
    quantile = stats.beta.isf(alpha, seen[:-1] + 1, trials - seen[:-1])
    assert upper[:-1] == pytest.approx(quantile, rel=1e-9)


def test_clopper_pearson_by_exact_sums() -> None:
    for trials, seen, alpha in ((12, 9, 0.05), (30, 30, 0.001), (25, 1, 0.01)):
        p = float(clopper_pearson_lower(seen, trials, alpha))
        terms = [
            math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(seen, trials + 1)
        ]
        assert math.fsum(terms) == pytest.approx(alpha, rel=1e-9)


def failures(
    share: list[float], n: int, alpha: float, kind: str, runs: int = 100_000
) -> tuple[int, int]:
    """How often a bound is on the wrong side of the truth, whatever class is chosen."""
    generator = np.random.default_rng(0)
    pre_votes = generator.multinomial(20, share, size=runs)
    votes = generator.multinomial(n, share, size=runs)
    bounds = vote_bounds(pre_votes, votes, alpha, kind)
    truth = np.array(share)
    wrong = bounds.p_lower > truth[bounds.prediction]
    rivals = np.array([np.delete(truth, c).max() for c in range(len(share))])
    if kind == "binary":
        rivals = 1.0 - truth
    wrong |= bounds.p_upper < rivals[bounds.prediction]
    return int(wrong.sum()), runs


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("share", [[0.9, 0.1], [0.5, 0.5], [0.45, 0.4, 0.15], [0.97, 0.01, 0.02]])
@pytest.mark.parametrize(("n", "alpha"), [(50, 0.05), (1_000, 0.01)])
def test_bounds_fail_no_more_often_than_alpha(
    share: list[float], n: int, alpha: float, kind: str
) -> None:
    wrong, runs = failures(share, n, alpha, kind)
    assert stats.binomtest(wrong, runs, alpha, alternative="greater").pvalue > FALSE_ALARM
    if kind == "binary" and n == 1_000:
        assert wrong > 0.2 * alpha * runs  # a valid bound need not be a useless one


def test_the_upper_bound_covers_a_class_that_overtakes_the_runner_up() -> None:
    pre_votes = [[60, 30, 10]]
    votes = [[600, 100, 300]]
    prediction, p_lower, p_upper = vote_bounds(pre_votes, votes, alpha=0.03)
    assert prediction.tolist() == [0]
    assert p_lower == pytest.approx(stats.beta.ppf(0.01, 600, 401), rel=1e-9)
    assert p_upper == pytest.approx(stats.beta.ppf(0.99, 301, 700), rel=1e-9)


def test_the_class_is_chosen_by_the_selecting_votes_alone() -> None:
    bounds = vote_bounds([[9, 1], [1, 9]], [[10, 90], [10, 90]])
    assert bounds.prediction.tolist() == [0, 1]
    assert bounds.p_lower[0] < 0.1 and bounds.p_upper[0] > 0.9
    assert bounds.p_lower[1] < 0.9 < bounds.p_lower[1] + 0.15


def test_binary_bounds_leave_the_rest_to_the_others() -> None:
    bounds = vote_bounds([[9, 1, 0]], [[80, 15, 5]], alpha=0.05, kind="binary")
    assert bounds.p_lower == pytest.approx(stats.beta.ppf(0.05, 80, 21), rel=1e-9)
    assert bounds.p_upper == 1.0 - bounds.p_lower


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_simultaneous_bounds_share_alpha_among_the_objects(kind: str) -> None:
    votes = np.array([[80, 15, 5], [30, 60, 10], [1, 1, 98], [50, 49, 1]])
    together = vote_bounds(votes, votes, alpha=0.04, kind=kind, simultaneous=True)
    alone = vote_bounds(votes, votes, alpha=0.01, kind=kind)
    for left, right in zip(together, alone, strict=True):
        assert np.array_equal(left, right)


def test_objects_may_have_their_own_number_of_votes() -> None:
    votes = np.array([[8, 2], [800, 200]])
    both = vote_bounds(votes, votes)
    for i in range(2):
        assert both.p_lower[i] == vote_bounds(votes[[i]], votes[[i]]).p_lower[0]


def test_votes_are_not_changed() -> None:
    pre_votes, votes = np.array([[5, 1]]), np.array([[50, 3]])
    vote_bounds(pre_votes, votes)
    assert pre_votes.tolist() == [[5, 1]] and votes.tolist() == [[50, 3]]


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([[5, -1]], "non-negative whole numbers"),
        ([[5, 0.5]], "non-negative whole numbers"),
        ([[5, float("nan")]], "non-negative whole numbers"),
        ([[5, float("inf")]], "non-negative whole numbers"),
        ([[0, 0]], "at least one vote"),
        ([5, 1], "must have the shape"),
        ([[5]], "at least two classes"),
        ([["a", "b"]], "must be counts"),
        ([[True, False]], "must be counts"),
        ([[5 + 1j, 2]], "must be counts"),
        ([[5, 1], [2, 3]], "must have one shape"),
        ([[5, 1, 3]], "must have one shape"),
    ],
)
def test_votes_are_checked(votes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vote_bounds([[3, 2]], votes)
    with pytest.raises(ValueError, match=message):
        vote_bounds(votes, [[3, 2]])


def test_other_arguments_are_checked() -> None:
    for alpha in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="'alpha' must be"):
            vote_bounds([[3, 2]], [[3, 2]], alpha=alpha)
        with pytest.raises(ValueError, match="'alpha' must be"):
            clopper_pearson_lower(1, 2, alpha)
    with pytest.raises(ValueError, match="'kind' must be one of"):
        vote_bounds([[3, 2]], [[3, 2]], kind="multi")
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        for successes in (-1, 3, 0.5, float("nan")):
            with pytest.raises(ValueError, match="'successes' must"):
                bound(successes, 2, 0.1)
        for trials in (0, 2.5, float("nan")):
            with pytest.raises(ValueError, match="'trials' must"):
                bound(1, trials, 0.1)


def exact_tail(successes: int, trials: int, p: float) -> mpmath.mpf:
    """P(X >= successes) of a binomial, term by term in 50 digits."""
    with mpmath.workdps(50):
        share = mpmath.mpf(p)
        term = mpmath.binomial(trials, successes)
        term *= share**successes * (1 - share) ** (trials - successes)
        total = term
        for i in range(successes, trials):
            term *= mpmath.mpf(trials - i) / (i + 1) * share / (1 - share)
            total += term
            if term < total * mpmath.mpf(10) ** -30:
                break
        return total


@pytest.mark.parametrize("alpha", [1e-2, 1e-10, 1e-50, 1e-99, LEAST_ALPHA])
def test_bounds_fail_with_the_probability_they_say(alpha: float) -> None:
    for trials in (1, 2, 10, 100, 1_000, 100_000):
        for successes in {1, (trials + 1) // 2, max(trials * 9 // 10, 1), trials}:
            bound = float(clopper_pearson_lower(successes, trials, alpha))
            assert 0.0 < bound < 1.0
            assert float(exact_tail(successes, trials, bound) / alpha) == pytest.approx(1, abs=1e-9)


def test_an_alpha_that_no_bound_is_right_for() -> None:
    for alpha in (0.99 * LEAST_ALPHA, 1e-300, 5e-324):
        for bound in (clopper_pearson_lower, clopper_pearson_upper, anytime_lower):
            with pytest.raises(ValueError, match=r"'alpha' must be .* at least 1e-100"):
                bound(90, 100, alpha)
    votes = [[90, 10]] * 50
    for together, kind in ((True, "binary"), (False, "multiclass"), (True, "multiclass")):
        with pytest.raises(ValueError, match="where it is split over classes and objects"):
            vote_bounds(votes, votes, 1.5 * LEAST_ALPHA, kind, together)
    assert vote_bounds(votes, votes, 1.5 * LEAST_ALPHA, "binary").p_lower[0] > 0.0
