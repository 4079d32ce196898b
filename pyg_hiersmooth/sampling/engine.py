r"""Counts votes over a range of samples: in chunks, in workers, and resumable."""

from __future__ import annotations

import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint

MAX_CHUNK = 64
r"""Most samples that are counted before progress is reported and may be saved."""


class Voter(ABC):
    r"""Casts the votes of any range of samples, each a function of the seed and its index alone.

    Attributes:
        num_targets (int): Number :math:`M` of objects that are voted on.
        num_classes (int): Number :math:`C` of classes.
        device (torch.device): Where the model runs.
        block_size (int): Samples that are cheapest together, from a multiple of it on.
    """

    num_targets: int
    num_classes: int
    device: torch.device
    block_size: int = 1

    @abstractmethod
    def predict(self, samples: range) -> Tensor:
        r"""Classes that the samples vote for: int64 ``[len(samples), M]``."""

    @abstractmethod
    def only(self, positions: Tensor) -> Voter:
        r"""A voter on some of the targets, which casts the same votes on them.

        Args:
            positions (torch.Tensor): Which of the targets, ascending, int64 ``[K]``.
        """

    def verify(self) -> None:  # noqa: B027
        r"""Raises a :class:`ValueError` if votes may have depended on one another."""

    def count(self, samples: range) -> Tensor:
        r"""Votes of the samples: int64 ``[M, C]``.

        Raises:
            ValueError: If the votes may have depended on one another.
        """
        votes = self._count(samples)
        self.verify()
        return votes

    def _count(self, samples: range) -> Tensor:
        cells = self.predict(samples) + torch.arange(
            0, self.num_targets * self.num_classes, self.num_classes, device=self.device
        )
        votes = cells.view(-1).bincount(minlength=self.num_targets * self.num_classes)
        return votes.view(self.num_targets, self.num_classes).cpu()


def sample_votes(
    voter: Voter,
    num_samples: int,
    start: int = 0,
    *,
    num_workers: int | None = None,
    checkpoint: VoteCheckpoint | None = None,
    progress: bool = True,
    description: str = "Sampling",
) -> Tensor:
    r"""Counts the votes of the samples ``start, ..., start + num_samples - 1``.

    The votes do not depend on the number of workers, nor on interruptions.

    Args:
        voter (Voter): Casts the votes.
        num_samples (int): Number of samples.
        start (int): First sample. (default: :obj:`0`)
        num_workers (int, optional): Processes that sample on a CPU; :obj:`0` samples in this one.
            (default: one a core, none for a short run or another device)
        checkpoint (VoteCheckpoint, optional): Where votes are kept, and resumed from.
        progress (bool): Whether to show a progress bar. (default: :obj:`True`)
        description (str): Label of the progress bar.

    Returns:
        torch.Tensor: int64 ``[M, C]``.
    """
    counted = Counted.none(voter.num_targets, voter.num_classes)
    if checkpoint is not None:
        counted = checkpoint.load(counted, num_samples)
    workers = _num_workers(voter, num_samples - counted.num_samples, num_workers)
    left = range(start + counted.num_samples, start + num_samples)
    chunks = _split(left, voter.block_size, workers)
    bar = tqdm(
        total=num_samples, initial=counted.num_samples, desc=description, disable=not progress
    )
    try:
        with bar, single_thread(voter.device):
            for samples, votes in zip(chunks, _count(voter, chunks, workers), strict=True):
                counted = counted.plus(votes, len(samples))
                bar.update(len(samples))
                if checkpoint is not None:
                    checkpoint.save_sometimes(counted)
    finally:
        if checkpoint is not None:
            checkpoint.save(counted)
    return counted.votes


def _split(samples: range, block_size: int, num_workers: int) -> list[range]:
    wanted = min(MAX_CHUNK, math.ceil(len(samples) / (4 * max(num_workers, 1))))
    size = block_size * max(1, wanted // block_size)
    first = samples.start - samples.start % size
    return [
        range(max(i, samples.start), min(i + size, samples.stop))
        for i in range(first, samples.stop, size)
    ]


def _count(voter: Voter, chunks: list[range], num_workers: int) -> Iterator[Tensor]:
    if num_workers == 0:
        yield from map(voter.count, chunks)
        return
    # Workers are forked where that is possible: they share the model and the data as they are.
    loader = DataLoader(
        _Chunks(voter, chunks),
        batch_size=None,
        num_workers=num_workers,
        multiprocessing_context="fork" if sys.platform == "linux" else None,
    )
    for votes, error in loader:
        if error is not None:
            raise error
        yield votes


class _Chunks(Dataset[tuple[Tensor, Exception | None]]):
    def __init__(self, voter: Voter, chunks: list[range]) -> None:
        self.voter, self.chunks = voter, chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> tuple[Tensor, Exception | None]:
        try:
            return self.voter.count(self.chunks[index]), None
        except Exception as error:  # raised again in the main process, as it is
            return torch.empty(0), error


def _num_workers(voter: Voter, num_samples: int, num_workers: int | None) -> int:
    if num_workers is not None:
        if num_workers < 0:
            raise ValueError(f"'num_workers' must be at least 0 (got {num_workers})")
        return min(num_workers, num_samples) if voter.device.type == "cpu" else 0
    if voter.device.type != "cpu" or num_samples < MAX_CHUNK:
        return 0
    return num_cores()


def num_cores() -> int:
    r"""Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def single_thread(device: torch.device) -> Iterator[None]:
    r"""Computes on one thread of a CPU for a while: sums of floats depend on their number, and
    votes must not.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
