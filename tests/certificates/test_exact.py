"""Exact certificates against every adversary of small worlds."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate, certify_counts
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection

KINDS = ("multiclass", "binary")


def smoothing(num_groups: int, num_partitions: int, seed: int = 0) -> Any:
    return SimpleNamespace(
        selection=PartitionSelection(num_groups, num_partitions, seed), noise=AblationNoise()
    )


def exposed(selection: PartitionSelection, num_entities: int) -> np.ndarray:
    """Which entities each mask exposes: bool ``[num_masks, num_entities]``."""
    masks = [selection.mask(index, [num_entities]).numpy() for index in range(selection.num_masks)]
    return ~np.stack(masks)


def stays(votes: np.ndarray, prediction: int, kind: str) -> np.ndarray:
    """Whether a class is ahead of every other, or of all others together; votes ``[..., C]``."""
    others = np.delete(votes, prediction, axis=-1)
    rivals = others.max(-1) if kind == "multiclass" else others.sum(-1)
    return votes[..., prediction] > rivals


@pytest.mark.parametrize("num_entities", [1, 2, 3, 4, 5])
def test_no_values_of_r_entities_contradict_a_claim(num_entities: int) -> None:
    """Classifiers are tables of what a mask exposes: every object of a small alphabet is voted on
    mask by mask, and no formula of the package is involved."""
    alphabet = 3 if num_entities < 5 else 2
    objects = np.array(list(product(range(alphabet), repeat=num_entities)))
    distance = (objects[:, None] != objects).sum(2)
    generator = np.random.default_rng(num_entities)
    claims = 0
    for num_groups, num_partitions, lean in product((2, 3, 5), (1, 2, 3), (0.6, 0.9, 0.97, 1.0)):
        transform = smoothing(num_groups, num_partitions, seed=int(generator.integers(99)))
        votes = np.zeros((len(objects), 3), dtype=np.int64)
        for shown in exposed(transform.selection, num_entities):
            table = generator.choice(
                3, size=(alphabet,) * num_entities, p=[lean, *(1 - lean) * np.array([0.7, 0.3])]
            )
            answers = table[tuple(np.where(shown, objects, 0).T)]
            votes[np.arange(len(objects)), answers] += 1
        for kind in KINDS:
            result = certify_counts(transform, votes, kind, num_entities=num_entities)
            for index in np.flatnonzero(~result.abstained):
                truth = stays(votes, int(result.prediction[index]), kind)
                assert truth[index]
                for r in range(num_entities + 2):
                    if result.is_robust(r)[index]:
                        ball = distance[index] <= r
                        assert truth[ball].all(), (transform, kind, votes[index], r)
                        claims += int(ball.sum()) - 1
    assert claims > (100 if num_entities > 1 else 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_groups", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("num_partitions", [1, 2])
def test_every_count_is_certified_as_far_as_is_true(
    kind: str, num_groups: int, num_partitions: int
) -> None:
    """All counts of three classes, where some entities lie apart in all partitions: the claim ends
    exactly where an adversary who aims all exposed masks succeeds."""
    num_entities = 5
    transform = smoothing(num_groups, num_partitions)
    shown = exposed(transform.selection, num_entities)
    n = len(shown)
    for first, second in product(range(n + 1), repeat=2):
        if first + second > n or first < max(second, n - first - second):
            continue
        votes = np.array([first, second, n - first - second])
        result = certify_counts(transform, votes[None], kind, num_entities=num_entities)
        for r in range(num_entities + 1):
            hit = max(
                int(shown[:, list(rows)].any(1).sum())
                for rows in combinations(range(num_entities), r)
            )
            if hit < num_partitions * min(r, num_groups, num_entities):
                continue  # partitions unite some of any r entities: the bound is not attained
            # The worst case hits masks of the first class only; where there are too few, it wins.
            attacked = votes + np.array([-hit, hit, 0])
            attacked_other = votes + np.array([-hit, 0, hit])
            truth = first >= hit and all(stays(v, 0, kind) for v in (attacked, attacked_other))
            assert result.is_robust(r)[0] == truth, (votes, r)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_groups", "num_partitions"), [(3, 1), (5, 1), (5, 2), (8, 3)])
def test_a_classifier_attains_the_bound(kind: str, num_groups: int, num_partitions: int) -> None:
    """Every mask answers 0 unless it sees a changed value, and 1 then."""
    num_entities = num_groups  # groups of one: all entities lie apart
    transform = smoothing(num_groups, num_partitions)
    shown = exposed(transform.selection, num_entities)
    n = len(shown)
    result = certify_counts(transform, [[n, 0]], kind, num_entities=num_entities)
    for r in range(num_entities + 1):
        changed = np.arange(num_entities) < r
        fooled = int((shown & changed).any(1).sum())
        assert result.is_robust(r)[0] == (n - fooled > fooled)
    assert result.largest_r is not None and result.largest_r[0] == (num_groups - 1) // 2


def test_whole_numbers_decide_next_to_a_tie() -> None:
    transform = smoothing(10, 10)
    votes = [[60, 40, 0], [61, 39, 0], [50, 50, 0], [51, 49, 0], [50, 30, 20], [100, 0, 0]]
    multiclass = certify_counts(transform, votes, num_entities=50)
    assert multiclass.largest_r is not None
    assert multiclass.largest_r.tolist() == [0, 1, -1, 0, 0, 4]
    assert multiclass.prediction.tolist() == [0, 0, -1, 0, 0, 0]
    binary = certify_counts(transform, votes, "binary", num_entities=50)
    assert binary.largest_r is not None
    assert binary.largest_r.tolist() == [0, 1, -1, 0, -1, 4]
    huge = smoothing(10**6, 1)  # the shares differ by a millionth
    close = certify_counts(huge, [[500_001, 499_999], [500_002, 499_998]])
    assert close.largest_r is not None and close.largest_r.tolist() == [0, 1]


def test_small_objects_are_certified_for_what_they_are() -> None:
    """Of two entities at most two of ten groups are hit, whatever r."""
    transform = smoothing(10, 1)
    votes = [[8, 2], [7, 3], [8, 2]]
    result = certify_counts(transform, votes, num_entities=[2, 2, 50])
    assert result.is_robust(2).tolist() == [True, False, True]
    assert result.is_robust(1).tolist() == [True, True, True]
    assert result.is_robust(3).tolist() == [True, False, False]
    assert result.is_robust(10**6).tolist() == [True, False, False]
    unknown = certify_counts(transform, votes)
    assert unknown.is_robust(3).tolist() == [False] * 3


def test_what_single_masks_say_is_added_to_the_counts() -> None:
    votes = [[61, 39], [100, 0], [50, 50]]
    result = certify_counts(smoothing(10, 10), votes, num_entities=50, largest_r=[3, 2, 7])
    assert result.largest_r is not None and result.largest_r.tolist() == [3, 4, -1]
    assert result.is_robust(3).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="'largest_r' is about kind='multiclass'"):
        certify_counts(smoothing(10, 10), votes, "binary", largest_r=[0, 0, 0])


def test_an_exact_certificate_answers_like_any_other(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    transform, y = smoothing(10, 10), [0, 1, 0, 0]
    votes = [[100, 0], [40, 60], [0, 100], [50, 50]]
    result = certify_counts(transform, votes, index=[3, 5, 7, 9], num_entities=50)
    assert result.exact and result.simultaneous
    assert result.p_lower.tolist() == [1.0, 0.6, 1.0, 0.5]
    assert result.p_upper.tolist() == [0.0, 0.4, 0.0, 0.5]
    grid = result.grid(6)
    assert grid.sum(1).tolist() == [5, 1, 5, 0]
    assert [result.is_robust(r).tolist() for r in range(7)] == grid.T.tolist()
    assert result.certified_accuracy_grid(y, 6).tolist() == [0.5, *[0.25] * 4, 0.0, 0.0]
    assert result.certified_accuracy(y, 4) == 0.25 and result.certified_ratio(4) == 0.5
    assert result.to_frame()["largest_r"].tolist() == [4, 0, 4, -1]
    assert "AblationNoise(), abstained=1, exact) against: the features" in repr(result)
    with pytest.raises(TypeError, match="no budget besides 'r'"):
        result.is_robust(1, eps=0.1)

    result.save(tmp_path / "exact.npz")
    back = Certificate.load(tmp_path / "exact.npz")
    assert repr(back) == repr(result) and back.exact and back.simultaneous
    assert np.array_equal(back.grid(6), grid) and back.index.tolist() == [3, 5, 7, 9]
    assert np.array_equal(back.prediction, result.prediction)


def test_sampled_bounds_of_a_partition_claim_no_more() -> None:
    """The theorem with the shares as bounds agrees with the counts, up to its margin."""
    generator = np.random.default_rng(0)
    transform = smoothing(10, 10)
    votes = generator.multinomial(100, generator.dirichlet([3.0, 0.5, 0.3], size=500))
    for kind in KINDS:
        exact = certify_counts(transform, votes, kind, num_entities=50)
        bounds = Certificate.from_bounds(
            transform, exact.prediction, exact.p_lower, exact.p_upper, kind, num_entities=50
        )
        assert not bounds.exact and not bounds.simultaneous
        assert np.array_equal(exact.grid(6), bounds.grid(6))


@pytest.mark.parametrize(
    "transform",
    [
        SimpleNamespace(selection=BernoulliSelection(0.9), noise=AblationNoise()),
        SimpleNamespace(selection=PartitionSelection(2, 1), noise=GaussianNoise(0.1)),
    ],
)
def test_a_smoothing_that_draws_is_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match="such as PartitionSelection and AblationNoise"):
        certify_counts(transform, [[2, 0]])
    with pytest.raises(ValueError, match="such as PartitionSelection and AblationNoise"):
        Certificate.from_bounds(transform, [0], [1.0], [0.0], largest_r=[1])


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([[5, 0]], "one vote for each of the 6 outcomes"),
        ([[6, 0], [4, 3]], r"6 outcomes \(got 7"),
        ([[6]], "at least two classes"),
        ([[5.5, 0.5]], "non-negative whole numbers"),
        ([[7, -1]], "non-negative whole numbers"),
    ],
)
def test_votes_must_be_those_of_all_outcomes(votes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        certify_counts(smoothing(3, 2), votes)


def test_other_bad_input() -> None:
    transform = smoothing(3, 2)
    with pytest.raises(ValueError, match="'kind' must be one of"):
        certify_counts(transform, [[6, 0]], "both")
    with pytest.raises(ValueError, match="'num_entities' must be at least 1"):
        certify_counts(transform, [[6, 0]], num_entities=0)
    for largest_r in ([-2], [0.5], [1, 1]):
        with pytest.raises(ValueError, match="'largest_r' must"):
            Certificate.from_bounds(transform, [0], [1.0], [0.0], largest_r=largest_r)
