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


def test_the_smallest_sets_win() -> None:
    candidates = [tuned(0.05, 100), tuned(0.1, 60), tuned(0.15, 97)]
    chosen = choose_approval(candidates, Y, 0.9, r=2)
    assert chosen.approve == 0.1
    assert chosen.index.tolist() == list(range(40))
    for (approve, size), each in zip(chosen.sizes, candidates, strict=True):
        sets = PredictionSets.calibrate(each, Y, 0.9)
        assert (approve, size) == (each.approve, sets.calibration_size(each, 2))
    assert choose_approval(candidates[:1] * 2, Y).approve == 0.05


def test_the_budget_decides() -> None:
    few = np.tile([50, 0, 0, 0], (40, 1))  # alone at r=0, and nothing to lose
    many = np.tile([100, 60, 0, 0], (40, 1))
    y = np.zeros(40, dtype=int)
    candidates = [exact(few, approve=None), exact(many, approve=0.2)]
    assert choose_approval(candidates, y, r=0).approve is None
    assert choose_approval(candidates, y, r=5).approve == 0.2


def test_bad_candidates() -> None:
    with pytest.raises(ValueError, match="'certificates' must hold at least one"):
        choose_approval([], Y)
    with pytest.raises(ValueError, match="must be about the same objects"):
        choose_approval([tuned(0.1, 5), tuned(0.2, 5, start=1)], Y)
    with pytest.raises(ValueError, match="'coverage'"):
        choose_approval([tuned(0.1, 5)], Y, coverage=1.0)
