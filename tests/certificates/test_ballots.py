from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from pyg_hiersmooth.certificates.ballots import Ballots
from pyg_hiersmooth.certificates.confidence_sequences import anytime_lower, anytime_upper
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.selection import BernoulliSelection

from .counted import exact, sampled

COUNTS = np.array([[90, 20, 0], [100, 0, 37]])
SMOOTHING = BernoulliSelection(0.9), GaussianNoise(1.0)


def test_exact_ballots_are_their_own_bounds() -> None:
    ballots = Ballots.of(exact(COUNTS))
    assert ballots.exact and not ballots.anytime
    assert ballots.lower(0.005) is ballots.counts and ballots.upper(0.005) is ballots.counts
    assert ballots.counts.dtype.kind == "i"


def test_bounds_of_sampled_ballots_are_those_of_clopper_and_pearson() -> None:
    ballots = Ballots.of(sampled(COUNTS, *SMOOTHING, n=100))
    low, high = ballots.lower(0.01), ballots.upper(0.01)
    assert binom.sf(90 - 1, 100, low[0, 0]) == pytest.approx(0.01)  # as likely as it may be
    assert binom.cdf(90, 100, high[0, 0]) == pytest.approx(0.01)
    assert low[1, 1] == 0.0 and high[1, 0] == 1.0 and ballots.num_classes == 3


def test_numbers_of_samples_that_were_not_fixed_get_bounds_at_any_time() -> None:
    counted = sampled(COUNTS, *SMOOTHING, n=100, n0=None, num_samples=np.array([120, 200]))
    ballots = Ballots.of(counted)
    trials = np.array([[120], [200]])
    assert ballots.anytime
    assert np.array_equal(ballots.lower(0.01), anytime_lower(COUNTS, trials, 0.01))
    assert np.array_equal(ballots.upper(0.01), anytime_upper(COUNTS, trials, 0.01))


def test_approvals_come_before_votes() -> None:
    votes = np.array([[60, 40, 0], [100, 0, 0]])
    assert np.array_equal(Ballots.of(exact(COUNTS, votes=votes)).counts, COUNTS)
    assert Ballots.of(exact(COUNTS, votes=votes, approvals=None)).counts is votes


def test_of_one_class_and_of_none() -> None:
    ballots = Ballots.of(exact(COUNTS))
    assert ballots.of_class(np.array([1, 2])).counts.tolist() == [[20], [37]]
    assert not ballots.none().counts.any() and ballots.none().counts.shape == COUNTS.shape


def test_bounds_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="'certificate' must hold the votes"):
        Ballots.of(exact(COUNTS, votes=None, approvals=None))
