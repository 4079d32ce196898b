r"""Processes that count votes, and that stay for the next part of a run."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Counter(Protocol):
    r"""What counts ballots: :meth:`pyg_hiersmooth.sampling.Voter.count`."""

    def count(self, samples: range, audited: Collection[int] = ()) -> Tensor: ...


class Workers:
    r"""Processes that count the ballots of one voter, as it is when they start.

    Args:
        voter (Counter): The voter.
        num_workers (int): The number of processes.

    Attributes:
        are_idle (bool): Whether they have done all that they were asked for.
    """

    def __init__(self, voter: Counter, num_workers: int) -> None:
        self.voter, self.num_workers, self.are_idle = voter, num_workers, True
        self._jobs: list[tuple[range, frozenset[int]]] = []
        # They are forked where that is possible: they share the model and the data as they are.
        self._loader = DataLoader(
            _Counts(voter),
            batch_size=None,
            sampler=self._jobs,
            num_workers=num_workers,
            persistent_workers=True,
            multiprocessing_context="fork" if sys.platform == "linux" else None,
        )

    def count(self, chunks: list[range], audited: Collection[int]) -> Iterator[Tensor]:
        r"""Ballots of each chunk, in their order, as :meth:`Counter.count` counts them."""
        self._jobs[:] = [(each, frozenset(i for i in each if i in audited)) for each in chunks]
        self.are_idle = False
        try:
            for number, (votes, error) in enumerate(self._loader, 1):
                if error is not None:
                    raise error
                self.are_idle = number == len(chunks)  # nobody may ask what comes after the last
                yield votes
        finally:
            if not self.are_idle:
                self._end()

    def _end(self) -> None:
        r"""Ends the processes now: the garbage collector may close their queues first, and then
        waits for each of them in vain.
        """
        end = getattr(getattr(self._loader, "_iterator", None), "_shutdown_workers", None)
        if end is not None:
            end()


class _Counts(Dataset[tuple[Tensor, Exception | None]]):
    def __init__(self, voter: Counter) -> None:
        self.voter = voter

    def __getitem__(self, job: tuple[range, frozenset[int]]) -> tuple[Tensor, Exception | None]:
        try:
            return self.voter.count(*job), None
        except Exception as error:  # raised again in the main process, as it is
            return torch.empty(0), error


_KEPT: ContextVar[list[Workers] | None] = ContextVar("kept", default=None)


@contextmanager
def workers_kept() -> Iterator[None]:
    r"""Within the block, which must not change a voter, workers stay for the next part of a run
    that asks the very same one.
    """
    token = _KEPT.set([])
    try:
        yield
    finally:
        _KEPT.reset(token)


def workers_of(voter: Counter, num_workers: int) -> Workers:
    r"""Workers of a voter: those that stayed, or new ones, in whose favor all others end."""
    kept = _KEPT.get()
    if kept and kept[0].voter is voter and kept[0].num_workers == num_workers and kept[0].are_idle:
        return kept[0]
    if kept:
        kept.clear()
    workers = Workers(voter, num_workers)
    if kept is not None:
        kept.append(workers)
    return workers
