from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.row_selection import RowSelection
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection

N, ROWS = 6, torch.tensor([1, 2, 5])
P = torch.tensor([0.1, 0.5, 0.9, 0.3, 0.2, 0.7])
FALSE_ALARM = 1e-4
r"""Probability that a right selection fails a test here; seeds are fixed."""


def patterns(probabilities: torch.Tensor) -> dict[tuple[bool, ...], float]:
    """The distribution of independent rows."""
    return {
        each: float(torch.where(torch.tensor(each), probabilities, 1 - probabilities).prod())
        for each in product([False, True], repeat=len(probabilities))
    }


def of_fixed_size(size: int) -> dict[tuple[bool, ...], float]:
    """What the rows show of a fixed number of selected entities: by listing all subsets."""
    subsets = [each for each in product([False, True], repeat=N) if sum(each) == size]
    found = Counter(tuple(each[i] for i in ROWS.tolist()) for each in subsets)
    return {pattern: count / len(subsets) for pattern, count in found.items()}


def of_partitions(selection: PartitionSelection) -> dict[tuple[bool, ...], float]:
    """What the rows show of the masks."""
    masks = [selection.mask(i, [N])[ROWS] for i in range(selection.num_masks)]
    found = Counter(tuple(mask.tolist()) for mask in masks)
    return {pattern: count / len(masks) for pattern, count in found.items()}


PARTITION = PartitionSelection(3, 4, seed=5)
CASES = {
    "one_p": (BernoulliSelection(0.7), patterns(torch.full((3,), 0.7))),
    "each_p": (BernoulliSelection(P), patterns(P[ROWS])),
    "fixed_size": (FixedSizeSelection(4), of_fixed_size(4)),
    "partition": (PARTITION, of_partitions(PARTITION)),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_selected_as_the_whole_selection_would(name: str) -> None:
    selection, expected = CASES[name]
    rows = RowSelection(selection, ROWS, N, num_ghosts=2)
    draws = [rows.sample(5, RandomStream(3, i)) for i in range(3_000)]
    assert all(draw.dtype == torch.bool and draw.shape == (5,) for draw in draws)
    assert not any(bool(draw[3:].any()) for draw in draws), "a ghost node was selected"
    found = Counter(tuple(draw[:3].tolist()) for draw in draws)
    assert found.keys() <= {pattern for pattern, share in expected.items() if share > 0}
    shares = {pattern: share for pattern, share in expected.items() if share > 0}
    wanted = 3_000 * np.array([*shares.values()]) / sum(shares.values())
    assert stats.chisquare([found[pattern] for pattern in shares], wanted).pvalue > FALSE_ALARM


def test_masks_are_those_of_the_whole_selection() -> None:
    rows = RowSelection(PARTITION, ROWS, N, num_ghosts=1)
    assert rows.num_outcomes() == PARTITION.num_masks
    for i in range(PARTITION.num_masks):
        mask = rows.mask(i, [4])
        assert torch.equal(mask[:3], PARTITION.mask(i, [N])[ROWS]) and not mask[3]


@pytest.mark.parametrize("name", CASES)
def test_what_certificates_ask_is_about_all_entities(name: str) -> None:
    selection, _ = CASES[name]
    rows = RowSelection(selection, ROWS, N)
    for r in range(4):
        assert rows.prob_all_selected(r, 3) == selection.prob_all_selected(r, N)


def test_probabilities_for_other_entities_are_refused() -> None:
    with pytest.raises(ValueError, match="6"):
        RowSelection(BernoulliSelection(P), ROWS, 7)
