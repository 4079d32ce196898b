from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate, certify_counts, largest_budgets
from pyg_hiersmooth.certificates.views.largest_budgets import largest_r
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection


def bounded(noise: object) -> Certificate:
    smoothing = SimpleNamespace(selection=BernoulliSelection(0.9), noise=noise)
    return Certificate.from_bounds(smoothing, [0, 1, -1], [0.99, 0.9, 0.4], [0.01, 0.1, 0.6])


def test_counts_are_those_of_every_single_question() -> None:
    certificate = bounded(SparseFlipNoise(0.02, 0.6))
    found = largest_budgets(certificate, 2)
    assert set(found) == {"additions", "deletions"}
    for name, largest in found.items():
        for strength in range(40):
            budget = {"additions": 0, "deletions": 0, name: strength}
            robust = certificate.is_robust(2, **budget)
            np.testing.assert_array_equal(robust, (largest >= strength) & (largest >= 0))
    assert found["deletions"][2] == -1


def test_distances_are_radii() -> None:
    certificate = bounded(GaussianNoise(0.3))
    (radius,) = largest_budgets(certificate, 1).values()
    np.testing.assert_array_equal(radius, certificate.radius(1))
    assert np.isnan(radius[2])


def test_entities_changed_at_will() -> None:
    certificate = bounded(AblationNoise())
    largest = largest_r(certificate)
    for r in range(8):
        np.testing.assert_array_equal(certificate.is_robust(r), largest >= r)
    smoothing = SimpleNamespace(selection=PartitionSelection(5, 2), noise=AblationNoise())
    exact = certify_counts(smoothing, np.array([[9, 1], [5, 5]]))
    np.testing.assert_array_equal(largest_r(exact), exact.largest_r)
    with pytest.raises(TypeError, match="without a budget"):
        largest_r(bounded(GaussianNoise(1.0)))
