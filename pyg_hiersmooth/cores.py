r"""How many cores there are, and that there are no more threads."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

QUOTA = Path("/sys/fs/cgroup/cpu.max")
r"""What a container may use: microseconds of computing, and in how many of time."""


def num_cores() -> int:
    r"""Number of cores that this process may use, which in a container are not all there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(found, _quota() or found)


@contextmanager
def no_more_threads_than_cores() -> Iterator[None]:
    r"""Computes on at most as many threads as there are cores for a while.

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
