from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

TRANSFORM = HierarchicalNodeFeatureNoise(0.95, SparseFlipNoise(0.05, 0.8))
INDEX, Y = [4, 9, 7], [0, 0, 1]


class Kept(Certificate):
    r"""A user's own."""


def make(kind: type[Certificate] = Certificate) -> Certificate:
    bounds = [0.999, 0.6, 0.97], [0.001, 0.3, 0.03]
    return kind.from_bounds(TRANSFORM, [0, 2, 1], *bounds, index=INDEX, num_entities=3)


def test_an_object_is_found_by_its_place_and_by_its_number() -> None:
    certificate = make()
    assert repr(certificate[-1]) == repr(certificate.explain(7))
    assert certificate[1].index == 9
    with pytest.raises(ValueError, match=r"'index' must be one of the 3 objects \(got 5\)"):
        certificate.explain(5)


def test_what_it_is_asked_at_once_is_what_it_says_one_by_one() -> None:
    certificate = make()
    cells = certificate.grid(2, 1, 3)
    assert cells.any() and not cells.all()
    for r, additions, deletions in np.ndindex(cells.shape[1:]):
        budget = {"additions": additions, "deletions": deletions}
        assert np.array_equal(cells[:, r, additions, deletions], certificate.is_robust(r, **budget))
    scores = certificate.certified_accuracy_grid(Y, 2, 1, 3)
    assert scores[1, 0, 2] == certificate.certified_accuracy(Y, 1, additions=0, deletions=2)
    assert scores[0, 0, 0] == certificate.chart(Y).clean_accuracy == 2 / 3


@pytest.mark.parametrize("kind", [Certificate, Kept])
def test_parts_and_copies_are_of_the_same_kind(kind: type[Certificate], tmp_path: Path) -> None:
    certificate = make(kind)
    certificate.save(tmp_path / "kept.npz")
    for other in (kind.load(tmp_path / "kept.npz"), certificate.subset([0, 1, 2])):
        assert type(other) is kind and repr(other) == repr(certificate)
        assert np.array_equal(other.p_lower, certificate.p_lower)
