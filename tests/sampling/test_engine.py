from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.sampling import Voter, sample_votes
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint, read_votes

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

    with pytest.raises(ValueError, match=r"^the model broke$"):
        sample_votes(Broken(), 200, num_workers=2, progress=False)


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
