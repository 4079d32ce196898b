r"""How many copies of the objects a model gets at a time."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_BLOCK = 512
ROWS_PER_CPU_BLOCK = 2048
MAX_GROWN_BLOCK = 32
r"""Most copies of the objects that are left, where some have left, unless there were more."""


def cheapest_block_size(x: Tensor) -> int:
    r"""Copies of objects with features ``[N, D]`` that are cheapest together on their device."""
    if x.device.type != "cuda":
        return block_size_on_cpu(x.size(0))
    free, _ = torch.cuda.mem_get_info(x.device)
    return power_of_two(min(MAX_BLOCK, free // (32 * x.element_size() * x.numel())))


def block_size_on_cpu(num_rows: int) -> int:
    r"""The number of copies, of objects with that many rows, that is cheapest on a CPU."""
    return power_of_two(min(MAX_BLOCK, ROWS_PER_CPU_BLOCK // num_rows))


def grown_block_size(before: int, num_rows: int, num_left: int) -> int:
    r"""Copies of what is left of the rows of so many copies before: more, but no more rows."""
    return max(before, min(power_of_two(before * num_rows // num_left), MAX_GROWN_BLOCK))


def power_of_two(size: int) -> int:
    r"""The largest power of two that is not larger, so that blocks of all shards fit each other."""
    return 1 << max(size, 1).bit_length() - 1
