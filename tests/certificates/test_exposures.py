"""Exposures one by one; ``test_structure_worlds`` enumerates small graphs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, certify_counts
from pyg_hiersmooth.certificates.exposures import exposed_needs
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection

MESSAGES = AblationNoise(of="messages")
LISTED: Any = SimpleNamespace(selection=PartitionSelection(5, 2), noise=MESSAGES)
INDEX = [2, 0]
REACH = np.array([[1, 2, 10, 0, 1], [10, 0, 0, 2, 2]])


def exact(votes: Any = ((9, 1), (7, 3)), **more: Any) -> Certificate:
    return certify_counts(LISTED, votes, index=INDEX, num_entities=5, **more)


def sampled(p: float = 0.9) -> Certificate:
    smoothing: Any = SimpleNamespace(selection=BernoulliSelection(p), noise=MESSAGES)
    return Certificate.from_bounds(
        smoothing,
        [0, 0],
        [0.9, 0.7],
        [0.1, 0.3],
        index=INDEX,
        num_entities=5,
        simultaneous=True,
    )


def test_a_lead_of_more_than_twice_the_largest_exposures() -> None:
    certificate = exact()  # leads of 8 and 4
    found = [certificate.is_robust(r, exposure=REACH).tolist() for r in range(5)]
    assert found == [[True, True], [True, False], [True, False], [False, False], [False, False]]
    assert [certificate.is_robust(r)[0] for r in range(3)] == [True, True, False]
    three = exact([[6, 2, 2], [6, 4, 0]])
    assert three.is_robust(1, exposure=REACH).tolist() == [False, False]
    small = np.minimum(REACH, 1) + 9 * (REACH == 10)
    assert three.is_robust(1, exposure=small).tolist() == [True, False]
    binary = exact([[8, 1, 1], [7, 2, 1]], kind="binary")  # leads of 6 and 4 over all others
    assert binary.is_robust(1, exposure=REACH).tolist() == [True, False]
    assert exact([[5, 5], [9, 1]]).is_robust(0, exposure=REACH).tolist() == [False, True]


def test_the_product_over_the_largest_probabilities() -> None:
    certificate, reach = sampled(), np.where(REACH == 10, 1.0, REACH / 25)
    for r in range(5):
        for row, lead in ((0, 0.8), (1, 0.4)):
            others = np.sort(np.delete(reach[row], INDEX[row]))[::-1][:r]
            expected = lead > 2 * (1 - np.prod(1 - others)) + 1e-8
            assert certificate.is_robust(r, exposure=reach)[row] == expected
    assert certificate.is_robust(3, exposure=reach).tolist() == [True, True]
    assert certificate.is_robust(3).tolist() == [True, False]


def test_what_each_target_needs() -> None:
    needs, reach = exposed_needs(exact(), REACH, 0.1)
    assert needs.tolist() == [4.0, 2.0]
    assert reach.toarray().tolist() == [[1, 2, 4, 0, 1], [2, 0, 0, 2, 2]]
    odd, _ = exposed_needs(exact([[8, 1, 1], [6, 3, 1]]), REACH, 0.1)
    assert odd.tolist() == [4.0, 2.0]  # leads of 7 and 3: a tie counts
    shares = np.where(REACH == 10, 1.0, REACH / 25)
    needs, reach = exposed_needs(sampled(), sparse.csr_array(shares), 1e-5)
    expected = np.log1p(-np.minimum(shares, 0.99)) / np.log([[0.6], [0.8]])
    expected[[0, 1], INDEX] = 1.0
    np.testing.assert_allclose(reach.toarray(), np.minimum(expected, 1.0), rtol=1e-6)
    assert (reach.toarray() >= np.minimum(expected, 1.0)).all() and needs.tolist() == [1, 1]
    _, rounded = exposed_needs(sampled(), np.where(shares == 1, 1.0, shares / 1e9), 0.1)
    assert rounded.toarray().tolist() == [[0.1, 0.1, 1, 0, 0.1], [1, 0, 0, 0.1, 0.1]]


def test_a_probability_too_small_for_a_solver_still_counts() -> None:
    """Twelve nodes together suffice for a lead of nearly nothing."""
    smoothing: Any = SimpleNamespace(selection=BernoulliSelection(0.9), noise=MESSAGES)
    certificate = Certificate.from_bounds(
        smoothing, [0], [0.5 + 6e-9], [0.5 - 6e-9], num_entities=13, simultaneous=True
    )
    reach = np.full((1, 13), 1e-9)
    reach[0, 0] = 1.0
    assert not certificate.abstained.any()
    for method in ("lp", "milp"):
        assert CollectiveCertificate(certificate, reach).num_robust(12, method=method) == 0
        assert CollectiveCertificate(certificate, 0 * reach + (reach == 1)).num_robust(0) == 1


@pytest.mark.parametrize(
    ("certificate", "reach", "message"),
    [
        (exact(), REACH[:1], r"'exposure' must have the shape \[2, 5\].*got \[1, 5\]"),
        (exact(), REACH[:, :4], r"got \[2, 4\]"),
        (exact(), REACH / 10, r"must hold numbers of outcomes, at most 10 \(got float64\)"),
        (exact(), REACH + 1, "at most 10"),
        (exact(), -REACH, "at most 10"),
        (exact(), REACH[::-1], "in the order of the certificate's targets"),
        (exact(), np.minimum(REACH, 9), "must be 10 for each target itself"),
        (exact(), np.maximum(REACH, [[0, 10, 0, 0, 0]]), "less for all others"),
        (sampled(), REACH, r"must hold probabilities, at most 1 \(got int64\)"),
        (sampled(), REACH / 10 + 0.1, "at most 1"),
        (sampled(), np.full((2, 5), np.nan), "at most 1"),
    ],
)
def test_exposures_that_do_not_fit(certificate: Certificate, reach: Any, message: str) -> None:
    for given in (reach, sparse.coo_array(reach)):
        with pytest.raises(ValueError, match=message):
            certificate.is_robust(1, exposure=given)
        if given.dtype != bool:
            with pytest.raises(ValueError, match=message):
                CollectiveCertificate(certificate, given)


@pytest.mark.parametrize("method", ["lp", "milp"])
def test_what_holds_against_edges_as_well_holds_against_features(method: Any) -> None:
    """The relaxation lets two nodes fell nearly all of every target; one by one none falls."""
    selection = PartitionSelection(20, 10)
    listed: Any = SimpleNamespace(selection=selection, noise=MESSAGES)
    votes = np.tile([121, 79], (30, 1))  # 42 ahead: two nodes alter 20 votes, 21 are needed
    certificate = certify_counts(listed, votes, index=np.arange(30), num_entities=40)
    reach = np.full((30, 40), 10)
    reach[np.arange(30), np.arange(30)] = 200
    whole, features = CollectiveCertificate(certificate), CollectiveCertificate(certificate, reach)
    bounds = [each.num_robust(2, method=method) for each in (whole, features)]
    assert whole.num_robust(2) == 28 and bounds == [28, 28]
    for r in range(6):
        assert features.num_robust(r, method=method) >= whole.num_robust(r)
    field = reach > 0  # a bool receptive field is about the same adversary
    assert CollectiveCertificate(certificate, field).num_robust(2, method=method) >= 28


def test_exposures_are_about_messages() -> None:
    features: Any = SimpleNamespace(selection=PartitionSelection(5, 2), noise=AblationNoise())
    certificate = certify_counts(features, [[9, 1], [7, 3]], index=INDEX, num_entities=5)
    with pytest.raises(TypeError, match=r"'exposure' is for AblationNoise\(of='messages'\)"):
        certificate.is_robust(1, exposure=REACH)
    without: Any = Certificate.from_bounds(
        LISTED, [0], [0.9], [0.1], index=[2], num_entities=5, largest_r=[1]
    )
    with pytest.raises(ValueError, match="make the certificate with 'votes'"):
        without.is_robust(1, exposure=REACH[:1])
