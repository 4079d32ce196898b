r"""Counts votes over a range of samples: in chunks, in workers, by ranks, and resumable."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pyg_hiersmooth.cores import num_cores
from pyg_hiersmooth.errors import AuditError
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint
from pyg_hiersmooth.sampling.ranks import Ranks, collective, current_ranks, num_local_ranks
from pyg_hiersmooth.sampling.tally import Ballots, Tally
from pyg_hiersmooth.sampling.workers import workers_of

MAX_CHUNK, MAX_SECONDS = 64, 2.0
r"""Most samples, and about the most seconds, between two reports of progress."""


WORTH_WORKERS = 1.0
r"""Seconds of work on one thread from which on it is worth to start processes."""


FIRST_AUDITED = 32
r"""The first samples of a run, of which a larger share is audited."""

AUDIT = 2**33
r"""Separates the stream that chooses audited samples from the streams of samples."""


class Voter(ABC):
    r"""Casts the votes of any range of samples, each a function of the seed and its index alone.

    Attributes:
        num_targets (int): Number :math:`M` of objects that are voted on.
        num_classes (int): Number :math:`C` of classes.
        device (torch.device): Where the model runs.
        block_size (int): Samples that are cheapest together, from a multiple of it on.
        seconds (float or None): How long a sample takes; :obj:`None` before one was timed.
    """

    num_targets: int
    num_classes: int
    device: torch.device
    block_size: int = 1
    seconds: float | None = None

    @property
    def tally(self) -> Tally:
        r"""What is counted of the samples: by default their votes."""
        return Tally(self.num_classes)

    @property
    def among(self) -> tuple[Voter, Tensor | slice]:
        r"""A voter whose ballots hold those of this one at the same cost, and where: workers that
        it has already may count them. By default it is this one.
        """
        return self, slice(None)

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

    def cast(self, samples: range) -> Ballots:
        r"""The ballots of the samples: by default the classes they vote for."""
        return Ballots(self.predict(samples))

    def audit(self, sample: int, ballots: Ballots) -> None:  # noqa: B027
        r"""Raises an :class:`~pyg_hiersmooth.errors.AuditError` if the ballots of one sample are
        not those of a voter that takes no shortcut.
        """

    def count(self, samples: range, audited: Collection[int] = ()) -> Tensor:
        r"""Ballots of the samples, counted: int64 ``[M, tally.width]``.

        Args:
            samples (range): The samples.
            audited (set of int): Those samples, among others, whose votes are audited.

        Raises:
            ValueError: If the votes may have depended on one another.
        """
        ballots = self.cast(samples)
        self.verify()
        for place, sample in enumerate(samples):
            if sample in audited:
                self.audit(sample, ballots.of(slice(place, place + 1)))
        return self.tally.count(ballots, samples)


@collective()
def sample_votes(
    voter: Voter,
    num_samples: int,
    start: int = 0,
    *,
    num_workers: int | None = None,
    checkpoint: VoteCheckpoint | None = None,
    progress: bool = True,
    description: str = "Sampling",
    audited: Collection[int] = (),
) -> Tensor:
    r"""Counts the votes of the samples ``start, ..., start + num_samples - 1``.

    The votes do not depend on the number of workers or ranks, nor on interruptions. In a group of
    ranks (:func:`~pyg_hiersmooth.sampling.process_group`) all of them call this function; they
    share the samples, and the first one alone keeps the checkpoint and shows progress.

    Args:
        voter (Voter): Casts the votes, the same on all ranks.
        num_samples (int): Number of samples.
        start (int): First sample. (default: :obj:`0`)
        num_workers (int, optional): Processes that sample on a CPU, for each rank; :obj:`0` samples
            in this one. (default: one per core; none for a second of work or for another device)
        checkpoint (VoteCheckpoint, optional): Where votes are kept, and resumed from.
        progress (bool): Whether to show a progress bar. (default: :obj:`True`)
        description (str): Label of the progress bar.
        audited (set of int): The samples whose votes are audited, those of
            :func:`~pyg_hiersmooth.sampling.audited_samples`. (default: none)

    Returns:
        torch.Tensor: int64 ``[M, tally.width]``, of which the first :math:`C` columns are votes.

    Raises:
        ValueError: If the ranks were given different numbers of samples, targets or classes.
        AuditError: If an audited vote differs without shortcuts; the votes in the checkpoint are
            then set aside.
    """
    ranks = current_ranks()
    ranks.compare(
        {
            "num_samples": num_samples,
            "start": start,
            "num_targets": voter.num_targets,
            "num_classes": voter.num_classes,
            "width": voter.tally.width,
        }
    )
    kept = checkpoint if ranks.is_first else None
    counted = Counted.none(voter.num_targets, voter.tally.width)
    if kept is not None:
        counted = kept.load(counted, num_samples)
    num_counted = ranks.from_rank_zero(lambda: counted.num_samples)
    counted = Counted(ranks.sum(counted.votes), num_counted)
    share = math.ceil((num_samples - counted.num_samples) / ranks.size)
    workers = _num_workers(voter, share, num_workers)
    left = range(start + counted.num_samples, start + num_samples)
    if len(left) > MAX_CHUNK and (kept is not None or (progress and ranks.is_first)):
        seconds_per_sample(voter, len(left))
    chunks = ranks.from_rank_zero(
        lambda: _split(left, voter.block_size, ranks.size * max(workers, 1), voter.seconds)
    )
    bar = tqdm(
        total=num_samples,
        initial=counted.num_samples,
        desc=description,
        disable=not (progress and ranks.is_first),
    )
    try:
        with bar, single_thread(voter.device):
            for new in _count_rounds(voter, chunks, workers, ranks, audited):
                counted = counted.plus(*new)
                bar.update(new.num_samples)
                if kept is not None:
                    kept.save_sometimes(counted)
    except AuditError as error:
        if kept is not None:
            place = kept.set_aside(counted)
            error.args = (f"{error}; the votes so far are kept in '{place}', and do not count",)
        raise
    finally:
        if kept is not None:
            kept.save(counted)
    return counted.votes


def audited_samples(
    seed: int, samples: range, share: float | None = None, least: int = 8, one_in: int = 2_000
) -> frozenset[int]:
    r"""The samples whose votes are audited: :obj:`least` of the first 32, and one in
    :obj:`one_in` of all others, chosen at random by the seed.

    If a share :math:`f` of samples has a vote that a shortcut changes, :math:`m` audited samples
    find one with probability :math:`1 - (1 - f)^m`.

    Args:
        seed (int): The seed of the run.
        samples (range): All samples.
        share (float, optional): The share of samples to choose instead, 1 for all.
        least, one_in (int): As above.
    """
    stream = RandomStream(seed, AUDIT, samples.start)
    if share is not None:
        chosen = stream.subset(len(samples), math.ceil(share * len(samples)))
        return frozenset((chosen + samples.start).tolist())
    first = min(len(samples), FIRST_AUDITED)
    others = len(samples) - first
    early = stream.subset(first, min(first, least))
    late = stream.subset(others, others // one_in) + first
    return frozenset((torch.cat([early, late]) + samples.start).tolist())


def seconds_per_sample(voter: Voter, num_samples: int) -> float:
    r"""How long a sample takes on one thread, from a block of them that is timed once."""
    if voter.seconds is None:
        block = range(min(voter.block_size, max(num_samples, 1)))
        with single_thread(voter.device), torch.no_grad():
            voter.predict(block)
            start = time.perf_counter()
            voter.predict(block).cpu()  # waits for a GPU
        voter.seconds = (time.perf_counter() - start) / len(block)
    return voter.seconds


def _split(
    samples: range, block_size: int, num_workers: int, seconds: float | None = None
) -> list[range]:
    wanted = min(MAX_CHUNK, math.ceil(len(samples) / (4 * num_workers)))
    if seconds:
        wanted = min(wanted, int(MAX_SECONDS / seconds))
    size = block_size * max(1, wanted // block_size)
    first = samples.start - samples.start % size
    return [
        range(max(i, samples.start), min(i + size, samples.stop))
        for i in range(first, samples.stop, size)
    ]


def _count_rounds(
    voter: Voter,
    chunks: list[range],
    num_workers: int,
    ranks: Ranks,
    audited: Collection[int],
) -> Iterator[Counted]:
    r"""Votes of one chunk per rank at a time, in the order of the samples."""
    own = _count(voter, chunks[ranks.rank :: ranks.size], num_workers, audited)
    for first in range(0, len(chunks), ranks.size):
        in_round = chunks[first : first + ranks.size]
        with ranks.collective():
            if ranks.rank < len(in_round):
                votes = next(own)
            else:
                votes = torch.zeros(voter.num_targets, voter.tally.width, dtype=torch.long)
        yield Counted(ranks.sum(votes), sum(map(len, in_round)))


def _count(
    voter: Voter, chunks: list[range], num_workers: int, audited: Collection[int]
) -> Iterator[Tensor]:
    if num_workers == 0 or not chunks:
        for chunk in chunks:
            yield voter.count(chunk, audited)
        return
    counter, rows = voter.among
    for votes in workers_of(counter, num_workers).count(chunks, audited):
        yield votes[rows]


def num_processes(voter: Voter, num_samples: int, num_workers: int | None = None) -> int:
    r"""The number of processes that share the samples, on all ranks; see :func:`sample_votes`."""
    ranks = current_ranks()
    share = math.ceil(num_samples / ranks.size)
    return ranks.size * max(1, _num_workers(voter, share, num_workers))


def _num_workers(voter: Voter, num_samples: int, num_workers: int | None) -> int:
    if num_workers is not None:
        if num_workers < 0:
            raise ValueError(f"'num_workers' must be at least 0 (got {num_workers})")
        return min(num_workers, num_samples) if voter.device.type == "cpu" else 0
    if voter.device.type != "cpu" or num_samples < MAX_CHUNK:
        return 0
    if num_samples * seconds_per_sample(voter, num_samples) < WORTH_WORKERS:
        return 0
    return max(1, num_cores() // num_local_ranks())


@contextmanager
def single_thread(device: torch.device) -> Iterator[None]:
    r"""Limits a CPU to one thread within the block: sums of floats depend on the number of threads,
    and votes must not.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
