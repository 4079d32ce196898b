r"""Samples in rounds; targets whose questions are decided are not sampled further."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pyg_hiersmooth.sampling.checkpoint import Counted, RoundCheckpoint, VoteCheckpoint
from pyg_hiersmooth.sampling.engine import Voter, sample_votes
from pyg_hiersmooth.sampling.ranks import collective, current_ranks

SHORTEST_ROUND = 32
r"""Samples of the first rounds; all rounds end at multiples of it."""

FIRST_NARROWED = 512
r"""Samples after which, and after each doubling, a voter is made for the remaining targets."""

Decided = Callable[[Tensor, Tensor], Tensor]
r"""Maps votes ``[K, C]`` of some targets, and which targets these are, int64 ``[K]``, to whether
they need no more, bool ``[K]``.
"""


def end_of_round(num_samples: int) -> int:
    r"""Where the current round of a target ends, given its number of samples: 32, 64, 96, 128, 192,
    256, 384, ..., two per doubling, whatever the total number of samples.
    """
    length = max(SHORTEST_ROUND, 1 << max(num_samples.bit_length() - 2, 0))
    return (num_samples // length + 1) * length


@collective()
def sample_until(
    voter: Voter,
    decided: Decided,
    num_samples: int,
    *,
    narrowed: Callable[[Tensor], Voter] | None = None,
    num_workers: int | None = None,
    checkpoint: VoteCheckpoint | None = None,
    progress: bool = True,
    audited: Collection[int] = (),
) -> Tensor:
    r"""Counts the votes of the samples ``0, 1, ...`` on each target until it is decided.

    Targets are evaluated only when a round ends (:func:`end_of_round`) and after the last sample,
    so neither votes nor their numbers depend on workers or interruptions.

    Args:
        voter (Voter): Casts the votes.
        decided (Callable): Tells from their votes which targets are decided.
        num_samples (int): Most samples of a target.
        narrowed (Callable, optional): Makes a voter on those of the targets, int64 ``[K]``, that
            are left after 512 samples, 1,024, 2,048, ...; it may draw other samples of the same
            distribution, as long as the targets alone determine them. (default: ``voter.only``)
        num_workers, checkpoint: As in :func:`~pyg_hiersmooth.sampling.sample_votes`.
        progress (bool): Whether to show a progress bar of decided targets. (default: :obj:`True`)
        audited (set of int): As there.

    Returns:
        torch.Tensor: int64 ``[M, tally.width]``.
    """
    ranks = current_ranks()
    kept = checkpoint if ranks.is_first else None
    empty = Counted.none(voter.num_targets, voter.tally.width)
    votes = ranks.from_rank_zero(
        lambda: kept.load(empty, num_samples).votes if kept else empty.votes
    ).clone()
    needs_more = torch.ones(voter.num_targets, dtype=torch.bool)

    def look(positions: Tensor) -> None:
        needs_more[positions] = ~decided(votes[positions, : voter.num_classes], positions)
        bar.update(int((~needs_more[positions]).sum()))

    narrow = narrowed or voter.only
    among, made, made_at = torch.arange(voter.num_targets), voter, 0
    hidden = not (progress and ranks.is_first)
    with tqdm(total=voter.num_targets, desc="Decided targets", disable=hidden) as bar:
        taken = votes[:, : voter.num_classes].sum(1)
        looks = [n for n in taken.unique().tolist() if n > 0 and _is_look(n, num_samples)]
        for n in looks:
            look((taken == n).nonzero().view(-1))
        while True:
            taken = votes[:, : voter.num_classes].sum(1)
            left = needs_more & (taken < num_samples)
            if not bool(left.any()):
                return votes
            start = int(taken[left].min())
            stop = min(end_of_round(start), num_samples)
            positions = (left & (taken == start)).nonzero().view(-1)
            most = int(taken.max())
            bar.set_postfix(samples=max(stop, most))
            narrowed_at = 1 << (start.bit_length() - 1) if start >= FIRST_NARROWED else 0
            if narrowed_at != made_at:
                # Those that were left then, also if this run began later.
                left_then = (taken > narrowed_at) | (needs_more & (taken == narrowed_at))
                among = left_then.nonzero().view(-1)
                made, made_at = narrow(among), narrowed_at
            every = len(positions) == len(among)
            round_of = made if every else made.only(torch.searchsorted(among, positions))
            round_of.seconds = voter.seconds  # at most, on fewer targets
            votes[positions] += sample_votes(
                round_of,
                stop - start,
                start,
                num_workers=num_workers,
                checkpoint=kept
                and RoundCheckpoint(kept, Counted(votes.clone(), most), positions, start),
                progress=False,
                audited=audited,
            )
            voter.seconds = voter.seconds or round_of.seconds
            look(positions)


def _is_look(num_samples: int, most: int) -> bool:
    return num_samples == most or num_samples == end_of_round(num_samples - 1)
