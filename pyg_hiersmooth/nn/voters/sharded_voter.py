r"""Votes on many objects, a few thousand entities at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.model_voter import ModelVoter
from pyg_hiersmooth.sampling.tally import Ballots, side_by_side

ENTITIES_PER_SHARD = 8192
r"""Most entities of a shard of more than one object; votes depend on it."""


def shards(sizes: Sequence[int]) -> Iterator[range]:
    r"""Ranges of consecutive objects, of the given numbers of entities, which fill a shard each.

    They depend on the objects alone, never on the targets, the device or the workers.
    """
    first = entities = 0
    for last, size in enumerate(sizes):
        if last > first and entities + size > ENTITIES_PER_SHARD:
            yield range(first, last)
            first, entities = last, 0
        entities += size
    yield range(first, len(sizes))


def shard_voters(
    sizes: Sequence[int],
    targets: Tensor,
    make_voter: Callable[[range, Tensor, int], ForwardVoter],
) -> ShardedVoter:
    r"""Makes a voter for each shard that has targets.

    Args:
        sizes (list of int): Entities of each object.
        targets (torch.Tensor): The objects that are voted on, int64 ``[M]``.
        make_voter (Callable): Makes the voter for a range of objects, the targets in it (int64,
            counted from its start), and the number of the shard.
    """
    voters, positions = [], []
    for number, shard in enumerate(shards(sizes)):
        inside = ((targets >= shard.start) & (targets < shard.stop)).nonzero().view(-1)
        if inside.numel() > 0:
            voters.append(make_voter(shard, targets[inside] - shard.start, number))
            positions.append(inside)
    return ShardedVoter(voters, torch.cat(positions).argsort())


class ShardedVoter(ModelVoter):
    r"""Puts the votes of several voters side by side.

    Args:
        voters (list of ForwardVoter): One per shard, each with separate streams.
        order (torch.Tensor): Where each target is among those of all voters, int64 ``[M]``.
    """

    def __init__(self, voters: list[ForwardVoter], order: Tensor) -> None:
        self.voters, self.targets = voters, order.to(voters[0].device)
        self.num_targets, self.num_classes = order.numel(), voters[0].num_classes
        self.device, self.options = voters[0].device, voters[0].options
        self.block_size = max(voter.block_size for voter in voters)

    @property
    def features(self) -> list[Tensor]:
        return [x for voter in self.voters for x in voter.features]

    @property
    def objects(self) -> list[Tensor]:
        targets = [voter.targets for voter in self.voters]
        return [tensor for voter in self.voters for tensor in voter.objects] + targets

    def only(self, positions: Tensor) -> ShardedVoter:
        r"""As :meth:`~pyg_hiersmooth.sampling.Voter.only`; shards without targets are left out."""
        voters, order = self._left(positions)
        return ShardedVoter(list(voters.values()), order)

    def _left(self, positions: Tensor) -> tuple[dict[int, ForwardVoter], Tensor]:
        r"""The voters that are left on some of the targets, by their numbers, and where each of
        these targets is among theirs.
        """
        place = self.targets[positions.to(self.targets.device)].cpu()
        voters, kept, start = {}, [], 0
        for number, voter in enumerate(self.voters):
            inside = ((place >= start) & (place < start + voter.num_targets)).nonzero().view(-1)
            if inside.numel() > 0:
                order = place[inside].argsort()
                voters[number] = voter.only(place[inside][order] - start)
                kept.append(inside[order])
            start += voter.num_targets
        return voters, torch.cat(kept).argsort()

    @property
    def adjacency_name(self) -> str | None:
        r"""The forms of the graphs of all voters; one if it is the same for all."""
        names = [voter.adjacency_name for voter in self.voters]
        return names[0] if len(set(names)) == 1 else "; ".join(map(str, names))

    def verify(self) -> None:
        for voter in self.voters:
            voter.verify()

    def audit(self, sample: int, ballots: Ballots) -> None:
        place = torch.empty(sum(voter.num_targets for voter in self.voters), dtype=torch.long)
        place = place.to(self.device).index_copy_(0, self.targets, _numbers(self.targets))
        parts = place.split([voter.num_targets for voter in self.voters])
        for number, part in enumerate(parts):
            self.audit_of(number, sample, ballots.on(part))

    def audit_of(self, number: int, sample: int, ballots: Ballots) -> None:
        r"""As :meth:`audit`, for one of the voters."""
        self.voters[number].audit(sample, ballots)

    def fingerprint(self) -> list[float]:
        r"""Those of all voters."""
        return [value for voter in self.voters for value in voter.fingerprint()]

    def predict(self, samples: range) -> Tensor:
        return self.cast(samples).classes

    def cast(self, samples: range) -> Ballots:
        return side_by_side([voter.cast(samples) for voter in self.voters], 1).on(self.targets)


def _numbers(targets: Tensor) -> Tensor:
    return torch.arange(targets.numel(), device=targets.device)
