from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint, read_votes
from pyg_hiersmooth.sampling.rounds import end_of_round, sample_until

M, C = 6, 3
ENOUGH = torch.tensor([1, 32, 100, 400, 150, 10**9])


class CoinVoter(Voter):
    """Votes by a fixed function of the sample's index and the target, and fails at one sample."""

    def __init__(self, positions: Tensor, fails_at: int | None = None, calls: list | None = None):
        self.positions, self.num_targets = positions, len(positions)
        self.num_classes, self.device = C, torch.device("cpu")
        self.fails_at, self.calls = fails_at, [] if calls is None else calls

    def predict(self, samples: range) -> Tensor:
        if self.fails_at is not None and self.fails_at in samples:
            raise KeyboardInterrupt
        self.calls.append((samples, self.positions.tolist()))
        return torch.stack([votes_for(i)[self.positions] for i in samples])

    def only(self, positions: Tensor) -> Voter:
        return CoinVoter(self.positions[positions], self.fails_at, self.calls)


def votes_for(sample: int) -> Tensor:
    return (sample * 7 + torch.arange(M) ** 2 + sample // 5) % C


def expected(taken: list[int]) -> Tensor:
    votes = torch.zeros(M, C, dtype=torch.long)
    for target, number in enumerate(taken):
        for i in range(number):
            votes[target, votes_for(i)[target]] += 1
    return votes


def enough(votes: Tensor, positions: Tensor) -> Tensor:
    return votes.sum(1) >= ENOUGH[positions]


STOPS = [32, 32, 128, 512, 192, 1_000]


def test_rounds_end_at_the_same_samples_whatever_is_sampled() -> None:
    ends = [0]
    while ends[-1] < 1_000:
        ends.append(end_of_round(ends[-1]))
    assert ends == [0, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1_024]
    for start, stop in itertools.pairwise(ends):
        assert {end_of_round(n) for n in range(start, stop)} == {stop}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3, None])
def test_targets_leave_when_they_are_decided(num_workers: int | None) -> None:
    voter = CoinVoter(torch.arange(M))
    votes = sample_until(voter, enough, 1_000, num_workers=num_workers, progress=False)
    assert torch.equal(votes, expected(STOPS))
    if num_workers == 0:
        for samples, targets in voter.calls:
            assert targets == [t for t in range(M) if STOPS[t] > samples.start]


def test_fewer_samples_than_a_round() -> None:
    votes = sample_until(CoinVoter(torch.arange(M)), enough, 7, progress=False)
    assert torch.equal(votes, expected([7] * M))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("fails_at", [0, 31, 32, 70, 300, 800, 999])
def test_an_interrupted_run_ends_in_the_same_votes(fails_at: int, tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"

    def run(fails_at: int | None, num_workers: int) -> Tensor:
        return sample_until(
            CoinVoter(torch.arange(M), fails_at),
            enough,
            1_000,
            num_workers=num_workers,
            checkpoint=VoteCheckpoint(path, {"seed": 1}, anytime=True),
            progress=False,
        )

    with pytest.raises(KeyboardInterrupt):
        run(fails_at, 0)
    votes, most, _ = read_votes(path)
    assert most <= fails_at and int(votes.sum(1).max()) == most
    assert most > fails_at - 64  # what was sampled is kept, chunk by chunk
    assert torch.equal(votes, expected(votes.sum(1).tolist()))
    assert torch.equal(run(None, 2), expected(STOPS))
    assert torch.equal(run(0, 0), expected(STOPS))  # nothing is left to sample


def test_goes_on_with_more_samples_and_with_other_questions(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"

    def run(decided: object, num_samples: int) -> Tensor:
        checkpoint = VoteCheckpoint(path, {"seed": 1}, anytime=True)
        voter = CoinVoter(torch.arange(M))
        return sample_until(  # type: ignore[arg-type]
            voter, decided, num_samples, checkpoint=checkpoint, num_workers=0, progress=False
        )

    assert torch.equal(run(enough, 100), expected([32, 32, 100, 100, 100, 100]))
    assert torch.equal(run(enough, 1_000), expected(STOPS))  # as if there had been no stop
    assert read_votes(path)[1] == 1_000

    def never(votes: Tensor, positions: Tensor) -> Tensor:
        return torch.zeros(len(positions), dtype=torch.bool)

    assert torch.equal(run(never, 1_000), expected([1_000] * M))
    votes, most, settings = read_votes(path)
    assert most == 1_000 and settings["anytime"] and torch.equal(votes, expected([1_000] * M))
    with pytest.raises(ValueError, match="holds 1000 samples, more than the 500 asked for"):
        run(enough, 500)


def test_progress_counts_decided_targets(capsys: pytest.CaptureFixture[str]) -> None:
    sample_until(CoinVoter(torch.arange(M)), enough, 100, num_workers=0, progress=True)
    assert "Decided targets" in (shown := capsys.readouterr().err) and f"3/{M}" in shown
    sample_until(CoinVoter(torch.arange(M)), enough, 100, num_workers=0, progress=False)
    assert capsys.readouterr().err == ""


def test_votes_of_a_fixed_number_and_until_decided_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    one_vote = Counted(torch.eye(2, dtype=torch.long), 1)
    VoteCheckpoint(path, {}, fixed_n=100).save(one_vote)
    empty = Counted.none(2, 2)
    with pytest.raises(
        ValueError, match="sampled in a fixed number, which cannot continue with 'unt"
    ):
        VoteCheckpoint(path, {}, anytime=True).check(empty, 100)
    for other, shown in ((200, "n=200"), (50, "n=50"), (None, "n=None")):
        with pytest.raises(ValueError, match=rf"started with n=100, .*fixed in advance.*{shown}\)"):
            VoteCheckpoint(path, {}, fixed_n=other).check(empty, 200)
    assert VoteCheckpoint(path, {}, fixed_n=100).check(empty, 100).num_samples == 1
    VoteCheckpoint(path, {}, anytime=True).save(one_vote)
    with pytest.raises(ValueError, match="sampled with 'until', which cannot continue in a fixed"):
        VoteCheckpoint(path, {}, fixed_n=100).check(empty, 100)
    assert np.load(path)["num_samples"] == 1


def test_a_file_from_before_there_were_numbers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "votes.npz"
    old = VoteCheckpoint(path, {})
    old.number = {}
    old.save(Counted(torch.eye(2, dtype=torch.long), 1))
    assert "anytime" not in read_votes(path)[2]
    assert VoteCheckpoint(path, {}, fixed_n=100).check(Counted.none(2, 2), 100).num_samples == 1
    with pytest.raises(ValueError, match="sampled in a fixed number"):
        VoteCheckpoint(path, {}, anytime=True).check(Counted.none(2, 2), 100)
