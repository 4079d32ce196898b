from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

NOISES: list[Any] = [
    GaussianNoise(0.25),
    LaplaceNoise(0.25),
    UniformNoise(0.25),
    SparseFlipNoise(0.05, 0.8),
    AblationNoise(),
    AblationNoise(torch.tensor([0.5, 1.0])),
]
SELECTIONS: list[Any] = [
    BernoulliSelection(0.95),
    BernoulliSelection(torch.tensor([0.9, 0.99, 1.0])),
    FixedSizeSelection(2),
]
PREDICTION = [0, 2, 1, 1]
LOWER = [0.999, 0.6, 0.5, 0.97]
UPPER = [0.001, 0.3, 0.5, 0.03]
Y = [0, 0, 1, 1]


def smoothing(noise: Any, selection: Any = SELECTIONS[0]) -> Any:
    return SimpleNamespace(selection=selection, noise=noise)


def certificate(noise: Any = NOISES[0], selection: Any = SELECTIONS[0], **more: Any) -> Certificate:
    return Certificate.from_bounds(
        smoothing(noise, selection), PREDICTION, LOWER, UPPER, num_entities=3, **more
    )


def budget_of(noise: Any, value: float) -> dict[str, Any]:
    return dict.fromkeys(noise.budget, value)


def test_attributes() -> None:
    result = certificate(num_features=2, index=[4, 5, 9, 7])
    assert len(result) == 4
    assert result.prediction.tolist() == [0, 2, -1, 1] and result.prediction.dtype == np.int64
    assert result.abstained.tolist() == [False, False, True, False]
    assert result.p_lower.tolist() == LOWER and result.p_upper.tolist() == UPPER
    assert result.index.tolist() == [4, 5, 9, 7] and result.num_features == 2
    assert result.num_entities is not None and result.num_entities.tolist() == [3] * 4
    assert certificate().index.tolist() == [0, 1, 2, 3]
    assert repr(result) == (
        "Certificate(4 objects, kind='multiclass', BernoulliSelection(p=0.95), "
        "GaussianNoise(std=0.25), abstained=1) against: the features of at most r nodes change, "
        "by at most eps in total (l2 distance); all else stays"
    )


def test_a_negative_prediction_abstains() -> None:
    result = Certificate.from_bounds(smoothing(NOISES[0]), [-1, -7], [0.9, 0.9], [0.1, 0.1])
    assert result.prediction.tolist() == [-1, -1]
    assert not result.is_robust(0, eps=0.0).any()


def test_the_inputs_are_copied() -> None:
    prediction, lower, upper = np.array([0]), np.array([0.9]), np.array([0.1])
    result = Certificate.from_bounds(smoothing(NOISES[0]), prediction, lower, upper)
    lower[:], upper[:], prediction[:] = 0.0, 1.0, 1
    assert (result.prediction, result.p_lower, result.p_upper) == ([0], [0.9], [0.1])


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_nothing_changed_never_alters_a_prediction(noise: Any) -> None:
    result = certificate(noise)
    expected = ~result.abstained
    assert np.array_equal(result.is_robust(0, **budget_of(noise, 1)), expected)
    if noise.budget:
        assert np.array_equal(result.is_robust(3, **budget_of(noise, 0)), expected)
    assert result.certified_ratio(0, **budget_of(noise, 1)) == 0.75


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_abstention_is_never_robust(noise: Any) -> None:
    for r in range(3):
        assert not certificate(noise).is_robust(r, **budget_of(noise, 0))[2]
        assert not certificate(noise).is_robust(r, **budget_of(noise, 1))[2]


def test_radius_where_there_is_none() -> None:
    result = certificate()
    assert np.array_equal(result.radius(0), [np.inf, np.inf, np.nan, np.inf], equal_nan=True)
    radius = result.radius(1)
    assert np.isnan(radius[2]) and radius[0] > radius[3] > 0 and radius.dtype == np.float64
    assert certificate(selection=BernoulliSelection(0.4)).radius(1)[0] == 0.0


def test_scores() -> None:
    result = certificate(AblationNoise())
    assert result.is_robust(1).tolist() == [True, True, False, True]
    assert result.is_robust(2).tolist() == [True, True, False, True]
    assert result.clean_accuracy(Y) == 0.5
    assert result.certified_ratio(1) == 0.75
    assert result.certified_accuracy(Y, 1) == 0.5
    assert result.certified_accuracy(torch.tensor(Y), 1) == 0.5
    assert result.certified_accuracy([1, 1, 1, 1], 1) == 0.25


def test_no_objects() -> None:
    for noise in (SparseFlipNoise(0.05, 0.8), AblationNoise()):
        empty = Certificate.from_bounds(smoothing(noise), [], [], [])
        assert len(empty) == 0 and empty.clean_accuracy([]) == 0.0
        assert empty.certified_accuracy_grid([], 2).shape[0] == 3
        assert not empty.certified_accuracy_grid([], 2).any()
    assert Certificate.from_bounds(smoothing(NOISES[0]), [], [], []).radius(1).shape == (0,)


def test_wrong_budgets_say_what_is_taken() -> None:
    gaussian, flips, ablation = (certificate(NOISES[i]) for i in (0, 3, 4))
    with pytest.raises(TypeError, match=r"takes 'eps' \(got 'additions'\)"):
        gaussian.is_robust(1, additions=2)
    with pytest.raises(TypeError, match="needs the budget 'eps'"):
        gaussian.is_robust(1)
    with pytest.raises(TypeError, match=r"takes 'additions' and 'deletions' \(got 'eps'\)"):
        flips.is_robust(1, eps=0.1)
    with pytest.raises(TypeError, match="needs the budget 'additions' or 'deletions'"):
        flips.certified_ratio(1)
    with pytest.raises(TypeError, match="no budget besides 'r'"):
        ablation.certified_accuracy(Y, 1, deletions=1)
    with pytest.raises(TypeError, match=r"takes 'additions' and 'deletions' \(got 'norm'\)"):
        flips.is_robust(1, additions=1, norm="l2")
    with pytest.raises(TypeError, match="'radius' needs continuous noise"):
        flips.radius(1)
    for ask in (gaussian.grid, ablation.grid):
        with pytest.raises(TypeError, match="needs SparseFlipNoise"):
            ask(1, 1, 1)
    with pytest.raises(TypeError, match="needs SparseFlipNoise"):
        gaussian.certified_accuracy_grid(Y, 1)


def test_wrong_values() -> None:
    result = certificate()
    for r in (-1, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="'r' must be an integer"):
            result.is_robust(r, eps=0.1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="'r' must be an integer"):
            result.radius(r)  # type: ignore[arg-type]
    for eps in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="'eps' must be"):
            result.is_robust(1, eps=eps)
    for y in ([0, 1, 1], [[0, 0, 1, 1]], [0.5, 0, 1, 1]):
        with pytest.raises(ValueError, match="'y' must"):
            result.clean_accuracy(y)
        with pytest.raises(ValueError, match="'y' must"):
            result.to_frame(y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction": [0, 1]}, "'p_lower' must have the shape"),
        ({"prediction": [[0, 1]]}, "'prediction' must have the shape"),
        ({"prediction": [0.5]}, "'prediction' must hold integers"),
        ({"prediction": [float("nan")]}, "'prediction' must hold integers"),
        ({"p_lower": [1.1]}, "'p_lower' must lie in"),
        ({"p_lower": [float("nan")]}, "'p_lower' must lie in"),
        ({"p_upper": [-0.1]}, "'p_upper' must lie in"),
        ({"p_upper": None}, "'p_upper' is needed"),
        ({"kind": "both"}, "'kind' must be one of"),
        ({"index": [1, 2]}, "'index' must have the shape"),
        ({"num_entities": [0]}, "'num_entities' must be at least 1"),
        ({"num_entities": -5}, "'num_entities' must be at least 1"),
        ({"num_entities": 2.5}, "'num_entities' must hold integers"),
        ({"num_features": 0}, "'num_features' must be an integer of at least 1"),
        ({"num_features": -3}, "'num_features' must be an integer of at least 1"),
    ],
)
def test_bounds_are_checked(change: dict[str, Any], message: str) -> None:
    arguments = {"prediction": [0], "p_lower": [0.9], "p_upper": [0.1], **change}
    with pytest.raises(ValueError, match=message):
        Certificate.from_bounds(smoothing(NOISES[0]), **arguments)


def test_the_selection_must_fit_the_objects() -> None:
    fixed = smoothing(NOISES[0], FixedSizeSelection(3))
    with pytest.raises(ValueError, match="num_entities"):
        Certificate.from_bounds(fixed, [0], [0.9], [0.1])
    with pytest.raises(ValueError, match="must not exceed"):
        Certificate.from_bounds(fixed, [0, 0], [0.9] * 2, [0.1] * 2, num_entities=[3, 2])
    own = smoothing(NOISES[0], BernoulliSelection([0.5, 0.6]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 entities"):
        Certificate.from_bounds(own, [0], [0.9], [0.1], num_entities=3)


def test_objects_of_different_sizes() -> None:
    fixed = smoothing(AblationNoise(), FixedSizeSelection(4))
    together = Certificate.from_bounds(fixed, [0] * 3, [0.9] * 3, [0.1] * 3, num_entities=[4, 5, 9])
    for i, size in enumerate((4, 5, 9)):
        alone = Certificate.from_bounds(fixed, [0], [0.9], [0.1], num_entities=size)
        for r in range(6):
            assert together.is_robust(r)[i] == alone.is_robust(r)[0]
    assert together.is_robust(9).tolist() == [True, False, False]


MASKS = smoothing(AblationNoise(), PartitionSelection(2, 2))
VOTES: dict[str, Any] = {"prediction": [0, 1], "p_lower": [0.75, 1.0], "p_upper": [0.25, 0.0]}
BALLOTS: dict[str, Any] = {
    "votes": [[3, 1], [0, 4]],
    "approvals": [[4, 1], [0, 4]],
    "approve": 0.3,
    "mask_predictions": [[0, 0, 1, 0], [1, 1, 1, 1]],
}


def test_votes_are_kept_and_counted() -> None:
    kept = Certificate.from_bounds(MASKS, **VOTES, largest_r=[0, 1], **BALLOTS)
    assert kept.votes is not None and kept.votes.dtype == np.int64 and kept.n == 4
    assert kept.subset([1]).votes.tolist() == [[0, 4]]  # type: ignore[union-attr]
    masks = BALLOTS["mask_predictions"]
    counted = Certificate.from_bounds(MASKS, **VOTES, largest_r=[0, 1], mask_predictions=masks)
    assert np.array_equal(counted.votes, kept.votes)  # type: ignore[arg-type]
    assert certificate().votes is None and certificate().mask_predictions is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"votes": [[3, 1]]}, r"'votes' must have the shape \[2, C\] \(got \[1, 2\]\)"),
        ({"votes": [[3, 1], [-1, 5]]}, "'votes' must hold non-negative integers"),
        ({"votes": [[3.0, 1.0], [0.0, 4.0]]}, "'votes' must hold non-negative integers"),
        ({"votes": [[2, 2], [0, 4]]}, "'mask_predictions' must be the outcomes' 'votes'"),
        ({"num_samples": [4, 5]}, "'votes' must sum to 'num_samples'"),
        ({"approve": None}, r"'approve' must be the probability in \[0, 1\] .* \(got None\)"),
        ({"approve": 1.5}, r"'approve' must be the probability .* \(got 1.5\)"),
        ({"approvals": None}, r"'approve' must be .* only with them \(got 0.3\)"),
        ({"approvals": [[5, 1], [0, 4]]}, "'approvals' must not exceed the number of samples"),
        ({"approvals": [[4, 1, 0], [0, 4, 0]]}, r"'approvals' must have the shape \[2, 2\]"),
        ({"mask_predictions": [[0, 0, 1], [1, 1, 1]]}, r"must have the shape \[2, 4\]"),
        ({"mask_predictions": [[0, 0, 1, -1], [1] * 4]}, "must hold non-negative integers"),
        ({"largest_r": None}, "'mask_predictions' belong to exact certificates"),
    ],
)
def test_votes_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Certificate.from_bounds(MASKS, **{**VOTES, "largest_r": [0, 1], **BALLOTS, **change})


TRANSFORM = HierarchicalNodeFeatureNoise(0.95, SparseFlipNoise(0.05, 0.8))
INDEX, LABELS = [4, 9, 7], [0, 0, 1]


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
    scores = certificate.certified_accuracy_grid(LABELS, 2, 1, 3)
    assert scores[1, 0, 2] == certificate.certified_accuracy(LABELS, 1, additions=0, deletions=2)
    assert scores[0, 0, 0] == certificate.chart(LABELS).clean_accuracy == 2 / 3


@pytest.mark.parametrize("kind", [Certificate, Kept])
def test_parts_and_copies_are_of_the_same_kind(kind: type[Certificate], tmp_path: Path) -> None:
    certificate = make(kind)
    certificate.save(tmp_path / "kept.npz")
    for other in (kind.load(tmp_path / "kept.npz"), certificate.subset([0, 1, 2])):
        assert type(other) is kind and repr(other) == repr(certificate)
        assert np.array_equal(other.p_lower, certificate.p_lower)
