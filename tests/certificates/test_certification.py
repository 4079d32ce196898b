from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pyg_hiersmooth.certificates import (
    certify_anytime,
    certify_counts,
    certify_votes,
    vote_bounds,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection

SMOOTHING = SimpleNamespace(selection=BernoulliSelection(0.95), noise=GaussianNoise(0.25))


def test_certificates_from_votes() -> None:
    pre_votes, votes = [[9, 1, 0], [3, 4, 3]], [[900, 80, 20], [330, 340, 330]]
    for kind in ("multiclass", "binary"):
        for simultaneous in (False, True):
            bound = vote_bounds(pre_votes, votes, 0.05, kind, simultaneous)
            result = certify_votes(
                SMOOTHING,
                pre_votes,
                votes,
                0.05,
                kind,
                simultaneous=simultaneous,
                index=[3, 8],
                num_entities=[3, 4],
                num_features=2,
            )
            assert result.kind == kind and result.prediction.tolist() == [0, -1]
            assert np.array_equal(result.p_lower, bound.p_lower)
            assert np.array_equal(result.p_upper, bound.p_upper)
            assert result.index.tolist() == [3, 8] and result.num_features == 2
            assert result.simultaneous is simultaneous and not result.exact
            assert result.num_entities is not None and result.num_entities.tolist() == [3, 4]
    with pytest.raises(ValueError, match="'alpha'"):
        certify_votes(SMOOTHING, pre_votes, votes, alpha=1.0)


def test_what_follows_from_votes_is_no_keyword() -> None:
    transform = SimpleNamespace(selection=PartitionSelection(10, 10), noise=AblationNoise())
    with pytest.raises(TypeError, match="'largest_r' is no keyword of certificates from votes"):
        certify_votes(transform, [[9, 1]], [[90, 10]], largest_r=[7])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'n0' is no keyword"):
        certify_anytime(transform, [[90, 10]], n0=100)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'p_upper' is no keyword"):
        certify_counts(transform, [[90, 10]], p_upper=[0.0])  # type: ignore[call-arg]
