from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.sampling import Voter, sample_votes
from pyg_hiersmooth.sampling.checkpoint import VoteCheckpoint
from pyg_hiersmooth.sampling.rounds import sample_until
from pyg_hiersmooth.sampling.tally import Ballots, Tally, side_by_side

OnRanks = Callable[..., list[Any]]
M, C, LEVELS = 5, 3, (0.2, 0.5, 0.0)


class LogitVoter(Voter):
    """Casts the ballots of logits that depend on the sample's index, and fails at one of them."""

    device = torch.device("cpu")
    num_classes = C

    def __init__(self, tally: Tally, fails_at: int | None = None) -> None:
        self.own_tally, self.fails_at = tally, fails_at
        self.positions, self.num_targets = torch.arange(M), M

    @property
    def tally(self) -> Tally:
        return self.own_tally

    def predict(self, samples: range) -> Tensor:
        return self.cast(samples).classes

    def cast(self, samples: range) -> Ballots:
        if self.fails_at is not None and self.fails_at in samples:
            raise KeyboardInterrupt
        return self.tally.ballots(torch.stack([logits_of(i)[self.positions] for i in samples]))

    def only(self, positions: Tensor) -> Voter:
        voter = LogitVoter(self.tally, self.fails_at)
        voter.positions, voter.num_targets = self.positions[positions], len(positions)
        return voter


def logits_of(sample: int) -> Tensor:
    return 2.0 * torch.randn(M, C, generator=torch.Generator().manual_seed(sample))


def plain_counts(samples: range, tally: Tally, num_taken: Tensor | None = None) -> Tensor:
    """Column after column, number after number; of each target its first samples."""
    counts = torch.zeros(M, tally.width, dtype=torch.long)
    for place, sample in enumerate(samples):
        for target, logits in enumerate(logits_of(sample).double().tolist()):
            if num_taken is not None and place >= num_taken[target]:
                continue
            weights = torch.tensor(logits).exp().tolist()
            best = max(range(C), key=lambda c: logits[c])
            counts[target, best] += 1
            for i, level in enumerate(tally.levels):
                for c in range(C):
                    counts[target, C * (1 + i) + c] += weights[c] / sum(weights) >= level
            if tally.num_outcomes:
                counts[target, C * (1 + len(tally.levels)) + sample] = best + 1
    return counts


@pytest.mark.parametrize(
    "tally", [Tally(C), Tally(C, LEVELS), Tally(C, (0.3,), 40), Tally(C, (), 40)]
)
def test_columns_are_those_of_a_plain_loop(tally: Tally) -> None:
    ballots = tally.ballots(torch.stack([logits_of(i) for i in range(40)]))
    counts = tally.count(ballots, range(40))
    assert counts.dtype == torch.int64
    assert torch.equal(counts, plain_counts(range(40), tally))
    parts = [
        tally.count(ballots.of(slice(part.start, part.stop)), part)
        for part in (range(13), range(13, 40))
    ]
    assert torch.equal(sum(parts), counts)


def test_what_was_counted_is_read_in_its_own_shapes() -> None:
    tally = Tally(C, LEVELS, 40)
    votes, approvals, outcomes = tally.read(plain_counts(range(40), tally))
    assert votes.shape == (M, C) and approvals.shape == (len(LEVELS), M, C)
    logits = torch.stack([logits_of(i) for i in range(40)])
    for level, counted in zip(LEVELS, approvals, strict=True):
        assert torch.equal(counted, (logits.double().softmax(-1) >= level).sum(0))
    assert torch.equal(outcomes, logits.argmax(-1).t())
    assert torch.equal(votes.sum(1), torch.full((M,), 40))
    assert Tally(C).read(votes).outcomes is None
    assert Tally(C).read(votes).approvals.shape == (0, M, C)


def test_a_class_at_the_level_is_approved() -> None:
    level = Tally(4, (0.25,))
    assert bool(level.ballots(torch.zeros(1, 1, 4)).approved.all())
    assert not bool(Tally(4, (0.2500001,)).ballots(torch.zeros(1, 1, 4)).approved.any())
    sure = Tally(2, (1.0,)).ballots(torch.tensor([[[1_000.0, 0.0]]])).approved
    assert sure.view(-1).tolist() == [True, False]


def test_approvals_of_half_precision_are_those_of_the_same_numbers_in_double() -> None:
    logits = torch.stack([logits_of(i) for i in range(20)]).to(torch.bfloat16)
    tally = Tally(C, (0.1, 0.3))
    assert torch.equal(tally.ballots(logits).approved, tally.ballots(logits.double()).approved)


def test_ballots_of_some_samples_and_targets() -> None:
    tally, logits = Tally(C, LEVELS), torch.stack([logits_of(i) for i in range(9)])
    ballots, targets = tally.ballots(logits), torch.tensor([3, 1])
    some = tally.ballots(logits[2:5, targets])
    for mine, theirs in zip(ballots.of(slice(2, 5)).on(targets), some, strict=True):
        assert torch.equal(mine, theirs)
    for dim, parts in enumerate(
        [
            (ballots.of(slice(4)), ballots.of(slice(4, 9))),
            (ballots.on(torch.arange(2)), ballots.on(torch.arange(2, M))),
        ]
    ):
        for mine, theirs in zip(side_by_side(parts, dim), ballots, strict=True):
            assert torch.equal(mine, theirs)
    assert side_by_side([Ballots(ballots.classes)] * 2, 0).approved is None


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_counted_once_by_any_workers(num_workers: int) -> None:
    tally = Tally(C, LEVELS)
    counts = sample_votes(LogitVoter(tally), 120, 7, num_workers=num_workers, progress=False)
    assert torch.equal(counts, plain_counts(range(7, 127), tally))


def test_counted_once_by_ranks(on_ranks: OnRanks) -> None:
    tally = Tally(C, (0.3,), 90)

    def work(rank: int) -> Any:
        return sample_votes(LogitVoter(tally), 90, num_workers=0, progress=False).tolist()

    expected = plain_counts(range(90), tally).tolist()
    assert on_ranks(work) == [expected, expected]


def test_ranks_with_other_levels_are_told(on_ranks: OnRanks) -> None:
    def work(rank: int) -> Any:
        tally = Tally(C, (0.3,) * (1 + rank))
        return sample_votes(LogitVoter(tally), 10, num_workers=0, progress=False)

    assert all("'width'" in str(error) for error in on_ranks(work))


@pytest.mark.parametrize("fails_at", [0, 17, 70, 119])
def test_an_interrupted_run_goes_on(fails_at: int, tmp_path: Path) -> None:
    tally = Tally(C, LEVELS, 120)

    def run(voter: Voter) -> Tensor:
        kept = VoteCheckpoint(tmp_path / "votes.npz", {"num_classes": C})
        return sample_votes(voter, 120, num_workers=0, checkpoint=kept, progress=False)

    with pytest.raises(KeyboardInterrupt):
        run(LogitVoter(tally, fails_at))
    expected = plain_counts(range(120), tally)
    assert torch.equal(run(LogitVoter(tally)), expected)
    assert torch.equal(run(LogitVoter(tally, 0)), expected), "all of it is kept"


@pytest.mark.parametrize("fails_at", [None, 40, 130])
def test_each_target_has_the_approvals_of_its_own_samples(
    fails_at: int | None, tmp_path: Path
) -> None:
    tally, num_taken = Tally(C, (0.2, 0.6)), torch.tensor([32, 150, 64, 128, 32])

    def decided(votes: Tensor, positions: Tensor) -> Tensor:
        assert votes.shape[1] == C, "questions are about votes alone"
        return votes.sum(1) >= num_taken[positions]

    def run(voter: Voter) -> Tensor:
        kept = VoteCheckpoint(tmp_path / "votes.npz", {"num_classes": C}, anytime=True)
        return sample_until(voter, decided, 150, num_workers=0, checkpoint=kept, progress=False)

    if fails_at is not None:
        with pytest.raises(KeyboardInterrupt):
            run(LogitVoter(tally, fails_at))
    assert torch.equal(run(LogitVoter(tally)), plain_counts(range(150), tally, num_taken))
