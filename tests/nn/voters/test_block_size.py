from __future__ import annotations

import pytest
import torch

from pyg_hiersmooth.nn.voters.block_size import (
    MAX_BLOCK,
    MAX_GROWN_BLOCK,
    block_size_on_cpu,
    cheapest_block_size,
    grown_block_size,
    power_of_two,
)


def test_blocks_of_all_shards_fit_each_other() -> None:
    sizes = [power_of_two(size) for size in (0, 1, 2, 3, 4, 120, 512)]
    assert sizes == [1, 1, 2, 2, 4, 64, 512]


@pytest.mark.parametrize(("num_rows", "copies"), [(1, MAX_BLOCK), (30, 64), (2_000, 1), (10**6, 1)])
def test_small_objects_come_in_large_blocks(num_rows: int, copies: int) -> None:
    assert block_size_on_cpu(num_rows) == copies
    assert cheapest_block_size(torch.zeros(num_rows, 1)) == copies


@pytest.mark.parametrize(
    ("before", "num_rows", "num_left", "copies"),
    [(2, 1_000, 500, 4), (2, 1_000, 300, 4), (1, 1_000, 2, MAX_GROWN_BLOCK), (64, 30, 1, 64)],
)
def test_blocks_grow_where_rows_are_gone(
    before: int, num_rows: int, num_left: int, copies: int
) -> None:
    assert grown_block_size(before, num_rows, num_left) == copies
