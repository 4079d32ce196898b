from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms.node_pairs import NodePairs

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed

KEPT = [[9, 0, 5, 4, 2, 2, 2, 5, 1, 7], [5, 4, 9, 7, 2, 8, 5, 0, 3, 6]]


@pytest.mark.parametrize("undirected", [True, False])
@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_pairs_are_numbered_one_after_the_other(undirected: bool, sizes: list[int]) -> None:
    pairs = NodePairs(torch.tensor(sizes), undirected)
    seen, start = set(), 0
    for size in sizes:
        for i, j in product(range(start, start + size), repeat=2):
            number = int(pairs.number(torch.tensor([i]), torch.tensor([j])))
            seen.add(number)
            ends = tuple(int(end) for end in pairs.nodes(torch.tensor([number])))
            assert ends == ((min(i, j), max(i, j)) if undirected else (i, j))
        start += size
    assert seen == set(range(len(pairs)))
    expected = [size * (size + 1) // 2 if undirected else size * size for size in sizes]
    assert len(pairs) == sum(expected)


@pytest.mark.parametrize("undirected", [True, False])
@given(size=st.integers(1, 2_000_000_000), data=st.data())
def test_pairs_of_large_graphs(undirected: bool, size: int, data: st.DataObject) -> None:
    pairs = NodePairs(torch.tensor([3, size]), undirected)
    i = data.draw(st.integers(0, size - 1))
    j = data.draw(st.sampled_from([i, 0, size - 1, data.draw(st.integers(0, size - 1))]))
    number = pairs.number(torch.tensor([3 + i]), torch.tensor([3 + j]))
    ends = [int(end) - 3 for end in pairs.nodes(number)]
    assert ends == ([min(i, j), max(i, j)] if undirected else [i, j])
    low, high = min(i, j), max(i, j)
    inside = high * (high + 1) // 2 + low if undirected else i * size + j
    assert int(number) == inside + (6 if undirected else 9)


def all_pairs(size: int, undirected: bool) -> tuple[NodePairs, torch.Tensor]:
    pairs = NodePairs(torch.tensor([size]), undirected)
    return pairs, torch.arange(len(pairs))


def test_a_group_depends_on_the_pair_alone() -> None:
    selection = PartitionSelection(5, 3, seed=7)
    for undirected in (True, False):
        small, numbers = all_pairs(6, undirected)
        groups = small.groups(numbers, selection)
        assert groups.shape == (3, len(small)) and groups.dtype == torch.int32
        batch = NodePairs(torch.tensor([4, 9, 6]), undirected)  # in a batch, and in a larger graph
        for start in (4, 13):
            source, target = small.nodes(numbers)
            there = batch.number(source + start, target + start)
            assert torch.equal(batch.groups(there, selection), groups)
    assert torch.equal(
        small.groups(numbers, PartitionSelection(5, 2, seed=7)), groups[:2]
    )  # more partitions change none
    assert not torch.equal(small.groups(numbers, PartitionSelection(5, 3, seed=8)), groups)


def test_both_directions_have_one_group_or_two() -> None:
    selection = PartitionSelection(64, 1)
    i, j = torch.tensor([0, 3]), torch.tensor([5, 1])
    for undirected in (True, False):
        pairs = NodePairs(torch.tensor([6]), undirected)
        one, other = (pairs.groups(pairs.number(*ends), selection) for ends in ((i, j), (j, i)))
        assert torch.equal(one, other) == undirected


def test_groups_are_of_nearly_one_size_and_independent() -> None:
    pairs, numbers = all_pairs(300, True)
    groups = pairs.groups(numbers, PartitionSelection(7, 2)).numpy()
    for row in groups:
        assert chisquare(np.bincount(row, minlength=7)).pvalue > FALSE_ALARM
    assert chisquare(np.bincount(groups[0] * 7 + groups[1])).pvalue > FALSE_ALARM
    star = groups[0][: 299 * 300 // 2 : 1]
    assert chisquare(np.bincount(star[-299:], minlength=7)).pvalue > FALSE_ALARM  # one node's


def test_hashed_groups_stay_what_they_are() -> None:
    """Files hold the seed alone: other groups would be other certificates."""
    pairs, numbers = all_pairs(4, True)
    assert pairs.groups(numbers, PartitionSelection(10, 2, seed=3)).tolist() == KEPT


def test_edges_that_join_nothing() -> None:
    pairs = NodePairs(torch.tensor([2, 2]), True)
    for source, target, got in ((1, 2, "some between two"), (0, 4, "not there"), (-1, 0, "not")):
        with pytest.raises(ValueError, match=f"edges must join nodes of one graph .got .*{got}"):
            pairs.number(torch.tensor([source]), torch.tensor([target]))
    assert pairs.number(torch.empty(0).long(), torch.empty(0).long()).numel() == 0
