"""Many budgets at once against one at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection

PREDICTION = [0, 2, 1, 1]
LOWER = [0.999, 0.6, 0.5, 0.97]
UPPER = [0.001, 0.3, 0.5, 0.03]
Y = [0, 0, 1, 1]


def smoothing(noise: Any, p: float = 0.95) -> Any:
    return SimpleNamespace(selection=BernoulliSelection(p), noise=noise)


def certificate(noise: Any, p: float = 0.95) -> Certificate:
    return Certificate.from_bounds(smoothing(noise, p), PREDICTION, LOWER, UPPER, num_entities=3)


@pytest.mark.parametrize("noise", [SparseFlipNoise(0.05, 0.8), SparseFlipNoise(0.3, 0.2)], ids=str)
def test_the_accuracy_of_every_cell(noise: Any) -> None:
    generator = np.random.default_rng(0)
    lower = generator.uniform(0.4, 1.0, 60)
    result = Certificate.from_bounds(
        smoothing(noise), generator.integers(0, 2, 60), lower, (1 - lower) * 0.9
    )
    y = generator.integers(0, 2, 60)
    surface = result.certified_accuracy_grid(y, 3, 4, 6)
    assert surface.shape == (4, 5, 7) and surface.dtype == np.float64
    assert surface.max() > surface.min()
    for r, a, d in np.ndindex(surface.shape):
        alone = result.certified_accuracy(y, r, additions=a, deletions=d)
        assert surface[r, a, d] == pytest.approx(alone, abs=1e-12)


class FarReachingFlips(SparseFlipNoise):
    def reach(self, **budget: Any) -> float:
        return 0 if not any(budget.values()) else np.inf


def test_grids_ask_the_noise_for_its_reach() -> None:
    kinds = SparseFlipNoise, FarReachingFlips
    near, far = (certificate(kind(0.05, 0.8), 0.75) for kind in kinds)
    grid = far.grid(9, 1, 2)
    for r, a, d in np.ndindex(grid.shape[1:]):
        assert np.array_equal(grid[:, r, a, d], far.is_robust(r, additions=a, deletions=d))
    assert near.grid(9, 1, 2)[:, 9, 0, 1].any() and not grid[:, 9, 0, 1].any()


def test_the_accuracy_of_every_r_of_ablation() -> None:
    result = certificate(AblationNoise())
    assert result.grid(3).shape == (4, 4)
    expected = [result.certified_accuracy(Y, r) for r in range(4)]
    assert result.certified_accuracy_grid(Y, 3).tolist() == expected


@pytest.mark.parametrize(
    "sizes", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (1.5, 0, 0), (0, float("inf"), 0)]
)
def test_sizes_of_grids_are_checked_first(sizes: Any) -> None:
    result = certificate(SparseFlipNoise(0.05, 0.8))
    for ask in (result.grid, lambda *sizes: result.certified_accuracy_grid(Y, *sizes)):
        with pytest.raises(ValueError, match="must be an integer of at least 0"):
            ask(*sizes)
    with pytest.raises(ValueError, match="'max_r' must be an integer of at least 0"):
        certificate(AblationNoise()).grid(-1)
