from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pyg_hiersmooth.nn.voters import sharded_voter
from pyg_hiersmooth.nn.voters.sharded_voter import ShardedVoter, shard_voters
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.sampling import Voter


class Numbered(Voter):
    """Votes for the place of the target in its shard."""

    num_classes = 9
    device = torch.device("cpu")
    options = VoterOptions(0)

    def __init__(self, shard: range, inside: Tensor, block_size: int) -> None:
        self.shard, self.targets, self.num_targets = shard, inside, inside.numel()
        self.block_size, self.verified = block_size, 0

    def predict(self, samples: range) -> Tensor:
        return (self.targets + self.shard.start).repeat(len(samples), 1)

    def only(self, positions: Tensor) -> Numbered:
        return Numbered(self.shard, self.targets[positions], self.block_size)

    def verify(self) -> None:
        self.verified += 1

    def fingerprint(self) -> list[float]:
        return [float(self.shard.start)]


def test_targets_come_in_the_order_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_voter, "ENTITIES_PER_SHARD", 4)
    made = []

    def make(shard: range, inside: Tensor, number: int) -> Numbered:
        made.append(Numbered(shard, inside, 1 << number))
        return made[-1]

    targets = torch.tensor([5, 0, 3, 5])
    voter = shard_voters([2] * 6, targets, make)  # type: ignore[arg-type]
    assert isinstance(voter, ShardedVoter)
    assert voter.predict(range(2)).tolist() == [[5, 0, 3, 5]] * 2
    assert voter.block_size == 4  # the others divide it
    assert voter.fingerprint() == [0.0, 2.0, 4.0]
    voter.count(range(3))
    assert [each.verified for each in made] == [1, 1, 1]


def test_shards_without_targets_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_voter, "ENTITIES_PER_SHARD", 4)
    targets = torch.tensor([5, 0, 3, 5, 1, 2])

    def make(shard: range, inside: Tensor, number: int) -> Numbered:
        return Numbered(shard, inside, 1 << number)

    voter = shard_voters([2] * 6, targets, make)  # type: ignore[arg-type]
    for positions in ([0], [1, 4], [1, 2, 3], [0, 3, 4], [0, 1, 2, 3, 4, 5]):
        some = voter.only(torch.tensor(positions))
        assert some.predict(range(2)).tolist() == [targets[positions].tolist()] * 2
        assert some.num_targets == len(positions)
        assert len(some.voters) == len({int(targets[i]) // 2 for i in positions})
        again = some.only(torch.tensor([len(positions) - 1]))
        assert again.predict(range(1)).tolist() == [[int(targets[positions[-1]])]]
