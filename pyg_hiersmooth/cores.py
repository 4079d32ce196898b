r"""The number of available cores, and a limit on threads."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

QUOTA = Path("/sys/fs/cgroup/cpu.max")
r"""The CPU quota of a container: microseconds of computing, and the period that they are for."""


def num_cores() -> int:
    r"""Number of cores that this process may use: often fewer in a container."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(found, _quota() or found)


@contextmanager
def no_more_threads_than_cores() -> Iterator[None]:
    r"""Limits PyTorch to as many threads as there are cores, within the block.

    PyTorch counts the cores of the machine. Where a container or an affinity leaves fewer, its
    threads wait for one another: training on two cores took twice as long with eight threads as
    with two.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, num_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _quota() -> int | None:
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # none, or "max"
        return None
