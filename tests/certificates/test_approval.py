from __future__ import annotations

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate, PredictionSets, choose_approval

from .counted import exact

rng = np.random.default_rng(5)
Y = rng.integers(0, 4, 40)


def tuned(approve: float | None, spread: int, start: int = 0) -> Certificate:
    """Right classes at 100 votes, others up to `spread`."""
    counts = rng.integers(0, spread + 1, (len(Y), 4))
    counts[np.arange(len(Y)), Y] = 100 - rng.integers(0, 3, len(Y))
    return exact(counts, start, approve=approve)


def over_resamples(counts: np.ndarray, r: int, times: int = 4_000) -> float:
    """Average size over calibrations on 40 objects drawn with replacement; an outcome of each of
    the ten partitions sees an attacked node, and the fourth of 40 scores is the threshold."""
    sizes = []
    for _ in range(times):
        drawn = rng.integers(0, 40, 40)
        threshold = sorted(counts[drawn, Y[drawn]])[4 - 1] - 10 * r
        sizes.append((counts >= threshold).sum(1).mean())
    return float(np.mean(sizes))


def test_the_smallest_sets_win() -> None:
    candidates = [tuned(0.05, 100), tuned(0.1, 60), tuned(0.15, 97)]
    chosen = choose_approval(candidates, Y, 0.9, r=2)
    assert chosen.approve == 0.1
    assert chosen.index.tolist() == list(range(40))
    for (approve, size), each in zip(chosen.sizes, candidates, strict=True):
        assert approve == each.approve
        assert size == pytest.approx(over_resamples(each.approvals, r=2), abs=0.05)
    assert choose_approval(candidates[:1] * 2, Y).approve == 0.05


def test_the_budget_decides() -> None:
    few = np.tile([50, 0, 0, 0], (40, 1))  # alone at r=0, and nothing to lose
    many = np.tile([100, 60, 0, 0], (40, 1))
    y = np.zeros(40, dtype=int)
    candidates = [exact(few, approve=None), exact(many, approve=0.2)]
    assert choose_approval(candidates, y, r=0).approve is None
    assert choose_approval(candidates, y, r=5).approve == 0.2


def test_a_cliff_is_felt_before_it_is_reached() -> None:
    """The threshold is 30 votes, of which r=2 leaves ten, one more than the others get; objects
    drawn anew often hold four of those with 25."""
    y = np.zeros(40, dtype=int)
    risky = np.tile([90, 9, 9, 9], (40, 1))
    risky[:3, 0], risky[3, 0] = 25, 30
    safe = np.tile([90, 50, 9, 9], (40, 1))
    candidates = [exact(risky, approve=0.2), exact(safe, approve=0.1)]
    in_sample = [PredictionSets.calibrate(each, y) for each in candidates]
    sizes = [
        sets.calibration_size(each, 2) for sets, each in zip(in_sample, candidates, strict=True)
    ]
    assert sizes == [1.0, 1.0]
    assert choose_approval(candidates, y, r=2).approve == 0.1


def test_each_class_has_its_own_threshold_in_every_resample() -> None:
    y = np.repeat(np.arange(4), 10)
    counts = np.full((40, 4), 20)
    counts[np.arange(40), y] = np.tile(np.arange(60, 70), 4) + 5 * y
    chosen = choose_approval([exact(counts)], y, class_conditional=True)
    assert chosen.sizes[0][1] == pytest.approx(_share_at_least_the_least(), abs=0.02)
    with pytest.raises(ValueError, match="at least 9 objects of class 0"):
        choose_approval([exact(counts)], np.minimum(np.arange(40), 3), class_conditional=True)


def _share_at_least_the_least() -> float:
    """Of ten different scores, how many reach the least of ten drawn with replacement."""
    return sum((0.1 * k) * ((k / 10) ** 10 - ((k - 1) / 10) ** 10) for k in range(1, 11))


def test_bad_candidates() -> None:
    with pytest.raises(ValueError, match="'certificates' must hold at least one"):
        choose_approval([], Y)
    with pytest.raises(ValueError, match="must be about the same objects"):
        choose_approval([tuned(0.1, 5), tuned(0.2, 5, start=1)], Y)
    with pytest.raises(ValueError, match="'coverage'"):
        choose_approval([tuned(0.1, 5)], Y, coverage=1.0)
