from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.breaking_points import breaking_points
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, LaplaceNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection

LOWER = [0.5, 0.7, 0.9, 0.97, 0.999]


def certificate(noise: Any) -> Certificate:
    smoothing: Any = SimpleNamespace(selection=BernoulliSelection(0.85), noise=noise)
    return Certificate.from_bounds(smoothing, [0] * 5, LOWER, kind="binary", num_entities=9)


@pytest.mark.parametrize(
    ("noise", "budget"),
    [(AblationNoise(), {}), (SparseFlipNoise(0.05, 0.6), {"additions": 3, "deletions": 4})],
    ids=str,
)
def test_cells_are_lost_where_a_point_is_reached(noise: Any, budget: dict[str, int]) -> None:
    result, r = certificate(noise), 4
    points = breaking_points(result, r, **budget)
    grid = result.grid(r, *budget.values())
    for target in range(5):
        needs = points.needs[points.target == target]
        for cell in product(*(range(size) for size in grid.shape[1:])):
            lost = not grid[(target, *cell)] and not result.abstained[target]
            assert lost == (needs <= cell).all(1).any()
        for i, need in enumerate(needs):  # none follows from another
            assert not (np.delete(needs, i, axis=0) <= need).all(1).any()
    assert len(points.target) >= 3 and not (points.target == 0).any()


@pytest.mark.parametrize(("noise", "power"), [(GaussianNoise(0.5), 2), (LaplaceNoise(0.5), 1)])
def test_distances_are_lost_where_a_point_is_reached(noise: Any, power: int) -> None:
    result, eps = certificate(noise), 0.4
    points = breaking_points(result, 5, eps=eps)
    for target, r in product(range(5), range(6)):
        needs = points.needs[points.target == target]
        radius = result.radius(r)[target]
        for distance in np.linspace(0.01, eps, 40):
            reached = (needs <= (r, (distance / eps) ** power)).all(1).any()
            assert reached == (distance > radius and not result.abstained[target])
        assert (np.diff(needs[:, 0]) > 0).all() and (np.diff(needs[:, 1]) < 0).all()
    assert len(points.target) >= 6 and not (points.target == 0).any()


def test_what_is_certified_by_itself_has_no_points() -> None:
    result = certificate(GaussianNoise(0.5))
    at_the_edge = float(result.radius(1)[3])
    assert result.is_robust(1, eps=at_the_edge)[3]
    assert not (breaking_points(result, 1, eps=at_the_edge).target == 3).any()
    assert len(breaking_points(result, 0, eps=9.0).target) == 0
