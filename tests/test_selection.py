from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import (
    BernoulliSelection,
    FixedSizeSelection,
    PartitionSelection,
    as_selection,
)

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed

KEPT_GROUPS = {
    "blocks": [[2, 0, 1, 3, 2, 0, 3, 1, 1, 2], [1, 2, 0, 3, 3, 0, 1, 2, 1, 2]],
    "shuffled": [[0, 0, 1, 1, 0, 2, 1, 2, 3, 3], [0, 2, 2, 1, 1, 1, 3, 3, 0, 0]],
}


def test_bernoulli_selects_each_entity_with_its_probability() -> None:
    p = torch.tensor([0.1, 0.5, 0.93, 1.0], dtype=torch.float64)
    for selection in (BernoulliSelection(p), BernoulliSelection(0.3)):
        stream = RandomStream(0)
        draws = torch.stack([selection.sample(4, stream) for _ in range(20_000)])
        assert draws.dtype == torch.bool
        expected = p.tolist() if isinstance(selection.p, torch.Tensor) else [0.3] * 4
        for count, probability in zip(draws.sum(0).tolist(), expected, strict=True):
            assert binomtest(count, len(draws), probability).pvalue > FALSE_ALARM / 4
        both = int((draws[:, 0] & draws[:, 1]).sum())
        assert binomtest(both, len(draws), expected[0] * expected[1]).pvalue > FALSE_ALARM


def test_fixed_size_selects_every_subset_equally_often() -> None:
    subsets = {subset: 0 for subset in combinations(range(5), 2)}
    stream = RandomStream(1)
    for _ in range(20_000):
        selected = FixedSizeSelection(2).sample(5, stream).nonzero().view(-1)
        subsets[tuple(selected.tolist())] += 1
    assert chisquare(list(subsets.values())).pvalue > FALSE_ALARM


def test_fixed_size_holds_in_each_graph_of_a_batch() -> None:
    sizes = [3, 7, 4]
    for seed in range(50):
        selected = FixedSizeSelection(3).sample_batch(sizes, RandomStream(seed))
        assert [int(part.sum()) for part in selected.split(sizes)] == [3, 3, 3]
    one = FixedSizeSelection(3).sample(7, RandomStream(3))
    assert torch.equal(one, FixedSizeSelection(3).sample_batch([7], RandomStream(3)))


def test_batches_of_bernoulli_selections() -> None:
    assert BernoulliSelection(0.5).sample_batch([2, 3], RandomStream(0)).shape == (5,)
    certain = BernoulliSelection(torch.ones(3)).sample_batch([3, 3], RandomStream(0))
    assert certain.all() and certain.shape == (6,)
    with pytest.raises(ValueError, match="3 entities"):
        BernoulliSelection(torch.ones(3)).sample_batch([3, 2], RandomStream(0))


def least_probability(weights: dict[tuple[int, ...], Fraction], r: int) -> Fraction:
    """The least probability that all of r entities are selected, from that of every subset."""
    size = len(next(iter(weights)))
    return min(
        sum((w for tau, w in weights.items() if all(tau[i] for i in rows)), Fraction(0))
        for rows in combinations(range(size), r)
    )


def test_bernoulli_q_is_the_least_over_all_subsets() -> None:
    p = [0.81, 0.3, 1.0, 0.55, 0.3]
    for probabilities in (p, [0.81] * 5, [1.0] * 5):
        weights = {}
        for tau in product((0, 1), repeat=5):
            weight = Fraction(1)
            for value, t in zip(probabilities, tau, strict=True):
                weight *= Fraction(value) if t else 1 - Fraction(value)
            weights[tau] = weight
        if len(set(probabilities)) > 1:
            selection = BernoulliSelection(torch.tensor(probabilities, dtype=torch.float64))
        else:
            selection = BernoulliSelection(probabilities[0])
        for r in range(6):
            expected = float(least_probability(weights, r))
            assert selection.prob_all_selected(r, 5) == pytest.approx(expected, rel=1e-14)
        assert selection.prob_all_selected(9, 5) == selection.prob_all_selected(5, 5)


def test_fixed_size_q_is_the_least_over_all_subsets() -> None:
    for total in range(1, 7):
        for size in range(1, total + 1):
            chosen = list(combinations(range(total), size))
            weights = {
                tuple(int(i in subset) for i in range(total)): Fraction(1, len(chosen))
                for subset in chosen
            }
            selection = FixedSizeSelection(size)
            for r in range(total + 1):
                expected = float(least_probability(weights, r))
                assert selection.prob_all_selected(r, total) == pytest.approx(expected, rel=1e-14)
            everything = selection.prob_all_selected(total, total)
            assert selection.prob_all_selected(10**9, total) == everything


def test_q_of_many_objects_is_that_of_each() -> None:
    totals = np.array([4, 5, 9, 1])
    for selection in (FixedSizeSelection(1), BernoulliSelection(0.7)):
        for r in range(6):
            alone = [float(selection.prob_all_selected(r, int(total))) for total in totals]
            assert selection.prob_all_selected(r, totals).tolist() == alone
    assert BernoulliSelection(0.7).prob_all_selected(3) == pytest.approx(0.343, rel=1e-15)
    assert BernoulliSelection(torch.tensor([0.5, 1.0])).prob_all_selected(1) == 0.5


@pytest.mark.parametrize(
    "p",
    [0.0, -0.1, 1.1, float("nan"), float("inf"), [], [[0.5]], [0.5, 0.0], [0.5, float("nan")]],
)
def test_bernoulli_rejects_what_is_no_probability(p: object) -> None:
    with pytest.raises(ValueError, match="'p' must be a probability"):
        BernoulliSelection(p)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, -1, 1.5, float("nan"), float("inf")])
def test_fixed_size_rejects_what_is_no_size(size: float) -> None:
    with pytest.raises(ValueError, match="'size' must be a positive integer"):
        FixedSizeSelection(size)  # type: ignore[arg-type]


def test_errors_when_the_object_does_not_fit() -> None:
    with pytest.raises(ValueError, match="must not exceed"):
        FixedSizeSelection(4).sample(3, RandomStream(0))
    with pytest.raises(ValueError, match="must not exceed"):
        FixedSizeSelection(4).prob_all_selected(1, np.array([5, 3]))
    with pytest.raises(ValueError, match="num_entities"):
        FixedSizeSelection(4).prob_all_selected(1)
    with pytest.raises(ValueError, match="2 entities"):
        BernoulliSelection(torch.tensor([0.5, 0.5])).prob_all_selected(1, 3)
    for selection in (FixedSizeSelection(1), BernoulliSelection(0.5), PartitionSelection(2)):
        for r in (-1, 0.5, float("nan")):
            with pytest.raises(ValueError, match="'r' must be a non-negative integer"):
                selection.prob_all_selected(r, 3)  # type: ignore[arg-type]


def test_repr_and_as_selection() -> None:
    assert repr(BernoulliSelection(0.81)) == "BernoulliSelection(p=0.81)"
    assert repr(BernoulliSelection(torch.ones(7))) == "BernoulliSelection(p=[7])"
    assert repr(FixedSizeSelection(3)) == "FixedSizeSelection(size=3)"
    partition = "PartitionSelection(num_groups=4, num_partitions=10, seed=0, dealing="
    assert repr(PartitionSelection(4)) == f"{partition}'blocks')"
    assert repr(PartitionSelection(4, dealing="shuffled")) == f"{partition}'shuffled')"
    fixed = FixedSizeSelection(3)
    assert as_selection(fixed) is fixed
    assert repr(as_selection(0.5)) == "BernoulliSelection(p=0.5)"


def test_own_copy_of_the_probabilities() -> None:
    p = torch.tensor([0.5, 0.5])
    selection = BernoulliSelection(p)
    p.fill_(1.0)
    assert selection.prob_all_selected(2) == 0.25


def exposed(selection: PartitionSelection, num_entities: int) -> np.ndarray:
    """Which entities each mask exposes: bool ``[num_masks, num_entities]``."""
    masks = [selection.mask(index, [num_entities]) for index in range(selection.num_masks)]
    return ~torch.stack(masks).numpy()


@pytest.mark.parametrize("dealing", ["blocks", "shuffled"])
def test_partitions_split_the_entities_evenly(dealing: str) -> None:
    for num_entities in (1, 3, 10, 47):
        selection = PartitionSelection(5, num_partitions=3, seed=2, dealing=dealing)
        by_partition = exposed(selection, num_entities).reshape(3, 5, num_entities)
        assert (by_partition.sum(1) == 1).all()  # each entity in exactly one group
        sizes = by_partition.sum(2)
        assert sizes.max() - sizes.min() <= 1
        groups = selection.groups(num_entities)
        assert groups.dtype == torch.int32 and groups.shape == (3, num_entities)
        assert np.array_equal(by_partition.argmax(1), groups.numpy())
    assert selection.num_masks == selection.num_outcomes() == selection.num_outcomes(47) == 15


def test_partitions_depend_on_the_number_of_entities_and_the_seed_alone() -> None:
    groups = PartitionSelection(5, 3, seed=2).groups(47)
    assert torch.equal(groups, PartitionSelection(5, 3, seed=2).groups(47))
    assert not torch.equal(groups, PartitionSelection(5, 3, seed=3).groups(47))
    assert not torch.equal(groups[0], groups[1])
    assert torch.equal(groups[:2], PartitionSelection(5, 2, seed=2).groups(47))
    groups.zero_()
    assert PartitionSelection(5, 3, seed=2).groups(47).any()  # the cached ones are safe


@given(
    num_groups=st.integers(2, 7),
    seed=st.integers(0, 2**40),
    sizes=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_appended_entities_move_no_other(
    num_groups: int, seed: int, sizes: tuple[int, int]
) -> None:
    shorter, longer = sorted(sizes)
    selection = PartitionSelection(num_groups, 2, seed)
    groups = selection.groups(longer)
    assert torch.equal(groups[:, :shorter], selection.groups(shorter))
    for start in range(0, longer - num_groups + 1, num_groups):  # a block holds every group
        block = groups[:, start : start + num_groups]
        assert torch.equal(block.sort(1).values, torch.arange(num_groups).int().expand(2, -1))


def test_every_order_of_a_block_is_as_likely() -> None:
    blocks = PartitionSelection(3, 4, seed=1).groups(18_000).view(-1, 3).long()
    number = blocks @ torch.tensor([9, 3, 1])
    counts = np.bincount(number.numpy())
    assert chisquare(counts[counts > 0]).pvalue > FALSE_ALARM and (counts > 0).sum() == 6
    # Neighboring blocks are ordered independently of each other.
    pairs = np.unique((number[::2] * 27 + number[1::2]).numpy(), return_counts=True)[1]
    assert len(pairs) == 36 and chisquare(pairs).pvalue > FALSE_ALARM


def test_dealt_groups_stay_what_they_are() -> None:
    """Files hold the seed alone: other groups would be other certificates."""
    for dealing, kept in KEPT_GROUPS.items():
        selection = PartitionSelection(4, 2, seed=3, dealing=dealing)
        assert selection.groups(10).tolist() == kept


def test_partition_rejects_other_dealings() -> None:
    with pytest.raises(ValueError, match=r"'dealing' must be .* \(got 'cards'\)"):
        PartitionSelection(4, dealing="cards")


def test_each_graph_of_a_batch_is_partitioned_on_its_own() -> None:
    selection, sizes = PartitionSelection(4, 2), [3, 9, 1, 3]
    for index in range(8):
        together = selection.mask(index, sizes)
        assert together.dtype == torch.bool
        for part, size in zip(together.split(sizes), sizes, strict=True):
            assert torch.equal(part, selection.mask(index, [size]))
    stream = RandomStream(0)
    drawn = [selection.sample_batch([9, 9], stream).split(9) for _ in range(50)]
    assert any(not torch.equal(left, right) for left, right in drawn)  # drawn each on its own


def test_partition_draws_every_mask_equally_often() -> None:
    selection, stream = PartitionSelection(4, 3), RandomStream(5)
    masks = [tuple(row) for row in (~exposed(selection, 11)).tolist()]
    assert len(set(masks)) == 12
    draws = [masks.index(tuple(selection.sample(11, stream).tolist())) for _ in range(12_000)]
    assert chisquare(np.bincount(draws, minlength=12)).pvalue > FALSE_ALARM


@pytest.mark.parametrize("num_groups", [2, 3, 4, 6])
@pytest.mark.parametrize("num_partitions", [1, 3])
def test_partition_q_against_all_subsets(num_groups: int, num_partitions: int) -> None:
    for num_entities, seed in product(range(1, 8), range(3)):
        dealing = ("blocks", "shuffled")[seed % 2]
        selection = PartitionSelection(num_groups, num_partitions, seed, dealing)
        shown = exposed(selection, num_entities)
        groups = selection.groups(num_entities).numpy()
        for r in range(num_entities + 3):
            subsets = list(combinations(range(num_entities), min(r, num_entities)))
            hit = [int(shown[:, list(rows)].any(1).sum()) for rows in subsets]
            claimed = int(selection.num_exposing(r, num_entities))
            apart = any(
                all(len(set(row[list(rows)])) == min(len(rows), num_groups) for row in groups)
                for rows in subsets
            )
            assert max(hit) == claimed if apart else max(hit) < claimed
            if num_partitions == 1 or num_entities <= num_groups or r <= 1:
                assert apart  # there the bound is the truth
            q = selection.prob_all_selected(r, num_entities)
            assert q == pytest.approx(1 - claimed / selection.num_masks, abs=1e-15)


def test_partition_q_of_many_objects_and_of_unknown_ones() -> None:
    selection = PartitionSelection(4, 2)
    sizes = np.array([2, 9, 3])
    assert selection.num_exposing(3, sizes).tolist() == [4, 6, 6]
    assert selection.prob_all_selected(3, sizes).tolist() == [0.5, 0.25, 0.25]
    assert selection.num_exposing(9) == 8 and selection.prob_all_selected(9) == 0.0
    assert selection.num_exposing(9).dtype == selection.num_exposing(9, sizes).dtype == np.int64


def test_a_mask_of_a_large_object_is_made_alone() -> None:
    selection = PartitionSelection(10, 10)
    mask = selection.mask(99, [170_000])
    assert mask.shape == (170_000,) and int(mask.sum()) == 153_000


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((1,), "num_groups"),
        ((2.5,), "num_groups"),
        ((float("nan"),), "num_groups"),
        ((2, 0), "num_partitions"),
        ((2, 1, -1), "seed"),
    ],
)
def test_partition_rejects_what_is_no_partition(arguments: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' must be an integer of at least"):
        PartitionSelection(*arguments)


def test_outcomes_that_are_not_there() -> None:
    for index in (-1, 8, 0.5):
        with pytest.raises(ValueError, match=r"'index' must be an integer in \[0, 8\)"):
            PartitionSelection(4, 2).mask(index, [5])  # type: ignore[arg-type]
    for selection in (BernoulliSelection(0.5), FixedSizeSelection(1)):
        assert selection.num_outcomes(5) is None
        with pytest.raises(ValueError, match="are drawn, not enumerated"):
            selection.mask(0, [5])
        with pytest.raises(ValueError, match="are drawn, not enumerated"):
            selection.num_exposing(1, 5)
