r"""The expected cost of a run, reported before it starts."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from pyg_hiersmooth.sampling.engine import Voter, num_processes, seconds_per_sample

WORTH_A_HINT = 20.0
r"""Seconds from which on hints about cheaper settings are shown."""


@dataclass(frozen=True)
class Cost:
    r"""The expected cost of a run.

    Attributes:
        num_samples (int): Forward passes that are left, at most.
        seconds (float): About how long they take together, from the time of a few.
        num_processes (int): How many processes share them.
        hints (tuple of str): What would make it cheaper.
        peak_memory (int or None): The most bytes that this process, or the GPU for it, has held up
            to now, a block of samples included; other processes hold about as much each.
            :obj:`None` where the system does not say.
    """

    num_samples: int
    seconds: float
    num_processes: int
    hints: tuple[str, ...] = ()
    peak_memory: int | None = None

    def __str__(self) -> str:
        told = f"{self.num_samples:,} forward passes, about {in_words(self.seconds)}"
        if self.num_processes > 1:
            told += f" in {self.num_processes} processes"
        if self.peak_memory is not None:
            memory = f"{self.peak_memory / 1e9:.1f} GB"
            told += f" of {memory} each" if self.num_processes > 1 else f" and {memory}"
        if self.hints and self.seconds > WORTH_A_HINT:
            told += f"; cheaper: {', '.join(self.hints)}"
        return told


def cost_of(
    voter: Voter, num_samples: int, num_workers: int | None = None, hints: Sequence[str] = ()
) -> Cost:
    r"""Times a block of samples, and estimates the cost of a run.

    Args:
        voter (Voter): Casts the votes.
        num_samples (int): How many samples are left.
        num_workers (int, optional): As in :func:`~pyg_hiersmooth.sampling.sample_votes`.
        hints (list of str): What would make it cheaper. (default: none)
    """
    processes = num_processes(voter, num_samples, num_workers)
    return Cost(
        num_samples,
        num_samples * seconds_per_sample(voter, num_samples) / processes,
        processes,
        tuple(hints),
        peak_memory(voter.device),
    )


def tell(cost: Cost) -> None:
    r"""Writes above the progress bars: to standard error, or in notebooks, which show that as an
    error, to standard output.
    """
    in_notebook = hasattr(builtins, "__IPYTHON__")
    tqdm.write(str(cost), file=sys.stdout if in_notebook else sys.stderr)


def peak_memory(device: torch.device) -> int | None:
    r"""The most bytes that this process has held, on a GPU for those there; :obj:`None` where the
    system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def in_words(seconds: float) -> str:
    r"""A duration in words: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
