r"""What a run is going to take, said before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pyg_hiersmooth.sampling.engine import Voter, num_processes, single_thread

WORTH_A_HINT = 20.0
r"""Seconds from which on it is worth to say what would be cheaper."""


@dataclass(frozen=True)
class Cost:
    r"""What a run is going to take.

    Attributes:
        num_samples (int): Forward passes that are left, at most.
        seconds (float): About how long they take together, from the time of a few.
        num_processes (int): How many processes share them.
        hints (tuple of str): What would make it cheaper.
    """

    num_samples: int
    seconds: float
    num_processes: int
    hints: tuple[str, ...] = ()

    def __str__(self) -> str:
        processes = "" if self.num_processes < 2 else f" in {self.num_processes} processes"
        told = f"{self.num_samples:,} forward passes, about {in_words(self.seconds)}{processes}"
        if self.hints and self.seconds > WORTH_A_HINT:
            told += f"; cheaper: {', '.join(self.hints)}"
        return told


def cost_of(
    voter: Voter, num_samples: int, num_workers: int | None = None, hints: Sequence[str] = ()
) -> Cost:
    r"""Times a block of samples, and says what so many are going to take.

    Args:
        voter (Voter): Casts the votes.
        num_samples (int): How many samples are left.
        num_workers (int, optional): As in :func:`~pyg_hiersmooth.sampling.sample_votes`.
        hints (list of str): What would make it cheaper. (default: none)
    """
    processes = num_processes(voter, num_samples, num_workers)
    block = range(min(voter.block_size, max(num_samples, 1)))
    with single_thread(voter.device), torch.no_grad():
        voter.predict(block)
        start = time.perf_counter()
        voter.predict(block).cpu()  # waits for a GPU
        seconds = (time.perf_counter() - start) / len(block)
    return Cost(num_samples, num_samples * seconds / processes, processes, tuple(hints))


def in_words(seconds: float) -> str:
    r"""A duration as one says it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
