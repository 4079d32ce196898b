from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.sampling import Voter, engine, sample_votes
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint, read_votes

OnRanks = Callable[..., list[Any]]
M, C = 4, 3


class HashVoter(Voter):
    """Votes by a fixed function of the sample's index, and fails at one of them."""

    def __init__(self, block_size: int = 1, fails_at: int | None = None) -> None:
        self.num_classes, self.device = C, torch.device("cpu")
        self.positions, self.num_targets = torch.arange(M), M
        self.block_size, self.fails_at = block_size, fails_at

    def predict(self, samples: range) -> Tensor:
        if self.fails_at is not None and self.fails_at in samples:
            raise KeyboardInterrupt
        index = torch.tensor(list(samples)).view(-1, 1)
        return (index * 7 + self.positions**2 + index // 5) % C

    def only(self, positions: Tensor) -> Voter:
        voter = HashVoter(self.block_size, self.fails_at)
        voter.positions, voter.num_targets = self.positions[positions], len(positions)
        return voter


def expected_votes(samples: range) -> Tensor:
    votes = torch.zeros(M, C, dtype=torch.long)
    for i in samples:
        for target in range(M):
            votes[target, (i * 7 + target**2 + i // 5) % C] += 1
    return votes


@pytest.mark.parametrize("num_workers", [0, 1, 2, 3, None])
@pytest.mark.parametrize(("start", "num_samples"), [(0, 1), (0, 200), (13, 321)])
@pytest.mark.parametrize("block_size", [1, 10])
def test_counts_every_sample_once(
    num_workers: int | None, start: int, num_samples: int, block_size: int
) -> None:
    voter = HashVoter(block_size)
    votes = sample_votes(voter, num_samples, start, num_workers=num_workers, progress=False)
    assert votes.dtype == torch.int64
    assert torch.equal(votes, expected_votes(range(start, start + num_samples)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_interrupted_run_keeps_its_votes_and_continues(num_workers: int, tmp_path: Path) -> None:
    path, settings = tmp_path / "votes.npz", {"seed": 1}
    with pytest.raises(KeyboardInterrupt):
        sample_votes(
            HashVoter(fails_at=150),
            300,
            num_workers=0,
            checkpoint=VoteCheckpoint(path, settings),
            progress=False,
        )
    votes, done, _ = read_votes(path)
    assert 0 < done <= 150
    assert torch.equal(votes, expected_votes(range(done)))
    resumed = sample_votes(
        HashVoter(),
        300,
        num_workers=num_workers,
        checkpoint=VoteCheckpoint(path, settings),
        progress=False,
    )
    assert torch.equal(resumed, expected_votes(range(300)))
    assert read_votes(path)[1] == 300


def test_a_finished_run_is_not_sampled_again(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    votes = sample_votes(HashVoter(), 50, checkpoint=VoteCheckpoint(path, {}), progress=False)
    again = sample_votes(
        HashVoter(fails_at=0), 50, checkpoint=VoteCheckpoint(path, {}), progress=False
    )
    assert torch.equal(votes, again)


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    for num_samples in (50, 120):
        votes = sample_votes(
            HashVoter(), num_samples, checkpoint=VoteCheckpoint(path, {}), progress=False
        )
        assert torch.equal(votes, expected_votes(range(num_samples)))


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    class Broken(HashVoter):
        def predict(self, samples: range) -> Tensor:
            raise ValueError("the model broke")

    with pytest.raises(ValueError, match=r"^the model broke$") as raised:
        sample_votes(Broken(), 200, num_workers=2, progress=False)
    assert raised.tb is not None  # what a notebook keeps, with all that the frames hold
    assert multiprocessing.active_children() == []


def test_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    sample_votes(HashVoter(), 10, num_workers=0, progress=False)
    assert torch.get_num_threads() == before


def test_progress_can_be_turned_off(capsys: pytest.CaptureFixture[str]) -> None:
    sample_votes(HashVoter(), 10, progress=False)
    assert capsys.readouterr().err == ""
    sample_votes(HashVoter(), 10, progress=True, description="Votes")
    assert "Votes" in capsys.readouterr().err


def test_refuses_a_negative_number_of_workers() -> None:
    with pytest.raises(ValueError, match=r"'num_workers' must be at least 0 \(got -1\)"):
        sample_votes(HashVoter(), 10, num_workers=-1)


def test_votes_are_independent_of_numpy_and_torch_seeds() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state()
    sample_votes(HashVoter(), 100, num_workers=0, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


# Ranks


@pytest.mark.one_in(4)
@pytest.mark.parametrize("num_workers", [0, 2, None])
@pytest.mark.parametrize(
    ("size", "start", "num_samples", "block_size"),
    [(2, 0, 1, 1), (3, 7, 2, 10), (2, 13, 321, 1), (2, 13, 321, 10), (3, 5, 400, 64)],
)
def test_ranks_count_every_sample_once(
    num_workers: int | None,
    size: int,
    start: int,
    num_samples: int,
    block_size: int,
    on_ranks: OnRanks,
) -> None:
    def work(rank: int) -> Any:
        drawn: list[int] = []

        class Recording(HashVoter):
            def predict(self, samples: range) -> Tensor:
                drawn.extend(samples)
                return super().predict(samples)

        voter = Recording(block_size if rank == 0 else 1)  # the first decides, as on GPUs
        votes = sample_votes(voter, num_samples, start, num_workers=num_workers, progress=False)
        return votes.dtype, votes.tolist(), drawn

    samples = range(start, start + num_samples)
    outcomes = on_ranks(work, size)
    for dtype, votes, _ in outcomes:
        assert dtype == torch.int64 and votes == expected_votes(samples).tolist()
    if num_workers == 0:  # otherwise workers draw them
        assert sorted(itertools.chain.from_iterable(drawn for *_, drawn in outcomes)) == [*samples]
        if num_samples > 300:
            assert all(len(drawn) > num_samples / (2 * size) for *_, drawn in outcomes)


def test_ranks_go_on_from_a_checkpoint_of_one_process_and_back(
    tmp_path: Path, on_ranks: OnRanks
) -> None:
    path = tmp_path / "votes.npz"
    checkpoint = VoteCheckpoint(path, {})
    sample_votes(HashVoter(), 50, checkpoint=checkpoint, progress=False)

    def work(rank: int) -> Any:
        kept = VoteCheckpoint(path if rank == 0 else tmp_path / "nowhere" / "votes.npz", {})
        return sample_votes(
            HashVoter(fails_at=49), 333, num_workers=0, checkpoint=kept, progress=False
        ).tolist()

    assert on_ranks(work) == [expected_votes(range(333)).tolist()] * 2
    assert read_votes(path)[1] == 333
    longer = sample_votes(
        HashVoter(fails_at=332), 400, checkpoint=VoteCheckpoint(path, {}), progress=False
    )
    assert torch.equal(longer, expected_votes(range(400)))


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_model_that_fails_on_one_rank_ends_all_and_votes_are_kept(
    failing: int, num_workers: int, tmp_path: Path, on_ranks: OnRanks
) -> None:
    path = tmp_path / "votes.npz"

    class Broken(HashVoter):
        def predict(self, samples: range) -> Tensor:
            if samples.stop > 300:
                raise ValueError("the model broke")
            return super().predict(samples)

    def work(rank: int) -> Any:
        voter = Broken() if rank == failing else HashVoter()
        kept = VoteCheckpoint(path, {})
        sample_votes(voter, 500, num_workers=num_workers, checkpoint=kept, progress=False)

    outcomes = on_ranks(work, seconds=20.0)
    raised = [(type(error), str(error)) for error in outcomes]
    assert raised == [(ValueError, "the model broke")] * 2
    votes, done, _ = read_votes(path)
    assert 100 < done < 400
    assert torch.equal(votes, expected_votes(range(done)))


def test_a_disk_that_fails_ends_all_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_ranks: OnRanks
) -> None:
    def full(checkpoint: VoteCheckpoint, counted: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(VoteCheckpoint, "save_sometimes", full)

    def work(rank: int) -> Any:
        kept = VoteCheckpoint(tmp_path / "votes.npz", {})
        sample_votes(HashVoter(), 500, num_workers=0, checkpoint=kept, progress=False)

    assert [str(error) for error in on_ranks(work, seconds=20.0)] == ["the disk is full"] * 2


@pytest.mark.parametrize(
    ("start", "num_samples", "num_targets", "name"),
    [(1, 10, M, "start"), (0, 11, M, "num_samples"), (0, 10, M + 1, "num_targets")],
)
def test_ranks_with_different_arguments_are_refused(
    start: int, num_samples: int, num_targets: int, name: str, on_ranks: OnRanks
) -> None:
    def work(rank: int) -> Any:
        voter = HashVoter()
        if rank == 0:
            return sample_votes(voter, 10, progress=False)
        voter.num_targets = num_targets
        return sample_votes(voter, num_samples, start, progress=False)

    for error in on_ranks(work):
        assert isinstance(error, ValueError)
        assert f"all ranks must have the same '{name}' (got" in str(error)


def test_the_first_rank_alone_shows_progress(
    on_ranks: OnRanks, capfd: pytest.CaptureFixture[str]
) -> None:
    on_ranks(lambda rank: sample_votes(HashVoter(), 200, num_workers=0, description=f"Rank {rank}"))
    shown = capfd.readouterr().err
    assert "Rank 0" in shown and "200/200" in shown and "Rank 1" not in shown


def test_ranks_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "num_cores", lambda: 8)
    for ranks, workers in ((1, 8), (2, 4), (3, 2), (16, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        voter = HashVoter()
        voter.seconds = 1.0
        assert engine._num_workers(voter, 10_000, None) == workers
    assert engine._num_workers(HashVoter(), 10_000, 5) == 5


def test_no_process_is_started_for_less_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "num_cores", lambda: 2)
    started: list[int] = []

    class InThisProcess:
        def __init__(self, voter: Voter, num_workers: int) -> None:
            self.voter = voter
            started.append(num_workers)

        def count(self, chunks: list[range], audited: Any) -> Any:
            return (self.voter.count(chunk, audited) for chunk in chunks)

    monkeypatch.setattr(engine, "workers_of", InThisProcess)
    for seconds, asked, expected in (
        (1e-4, None, []),
        (1e-2, None, [2]),
        (1e-4, 1, [1]),
        (None, None, []),  # as it is timed
    ):
        voter = HashVoter()
        voter.seconds = seconds
        votes = sample_votes(voter, 400, num_workers=asked, progress=False)
        assert torch.equal(votes, expected_votes(range(400)))
        assert started == expected
        started.clear()


@pytest.mark.parametrize(
    ("seconds", "block_size", "sizes"),
    [(None, 1, {64}), (1e-4, 1, {64}), (0.5, 1, {4}), (0.5, 3, {3}), (30.0, 1, {1}), (9.0, 8, {8})],
)
def test_a_chunk_takes_seconds_and_not_minutes(
    seconds: float | None, block_size: int, sizes: set[int]
) -> None:
    chunks = engine._split(range(10_000), block_size, 2, seconds)
    assert [i for chunk in chunks for i in chunk] == list(range(10_000))
    assert {len(chunk) for chunk in chunks[:-1]} == sizes


def test_slow_samples_are_kept_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_SECONDS", 1e-9)
    kept: list[int] = []
    checkpoint = VoteCheckpoint(tmp_path / "votes.npz", {})
    monkeypatch.setattr(
        checkpoint, "save_sometimes", lambda counted: kept.append(counted.num_samples)
    )
    votes = sample_votes(HashVoter(), 70, num_workers=0, checkpoint=checkpoint, progress=False)
    assert kept == list(range(1, 71)) and torch.equal(votes, expected_votes(range(70)))
