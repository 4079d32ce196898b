r"""What is counted of the samples: votes, approvals, and which outcome voted for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Ballots(NamedTuple):
    r"""What samples say about targets."""

    classes: Tensor
    r"""The class that each votes for, int64 ``[n, M]``."""
    approved: Tensor | None = None
    r"""The classes that each approves at each of :math:`L` levels, bool ``[n, M, L, C]``."""

    def of(self, samples: slice) -> Ballots:
        r"""Those of some samples."""
        approved = None if self.approved is None else self.approved[samples]
        return Ballots(self.classes[samples], approved)

    def on(self, targets: Tensor) -> Ballots:
        r"""Those on some targets, int64 ``[K]``."""
        approved = None if self.approved is None else self.approved.index_select(1, targets)
        return Ballots(self.classes.index_select(1, targets), approved)


class Counts(NamedTuple):
    r"""What a tally holds."""

    votes: Tensor
    r"""Samples that vote for each class, int64 ``[M, C]``."""
    approvals: Tensor
    r"""Samples that approve each class at each level, int64 ``[L, M, C]``."""
    outcomes: Tensor | None
    r"""The class that each listed outcome votes for, int64 ``[M, n]``."""


@dataclass(frozen=True)
class Tally:
    r"""How ballots are counted, in one matrix of integers that adds up over samples and processes:
    a column for the votes of each class, for the approvals of each class at each level, and for
    each listed outcome.

    Args:
        num_classes (int): Number of classes :math:`C`.
        levels (tuple of float): Softmax probabilities from which on a sample approves a class.
        num_outcomes (int): Listed outcomes whose votes are kept apart; 0 keeps none.
    """

    num_classes: int
    levels: tuple[float, ...] = ()
    num_outcomes: int = 0

    @property
    def width(self) -> int:
        r"""Number of columns."""
        return self.num_classes * (1 + len(self.levels)) + self.num_outcomes

    def ballots(self, logits: Tensor) -> Ballots:
        r"""The ballots of logits ``[n, M, C]``."""
        classes = logits.argmax(-1)
        if not self.levels:
            return Ballots(classes)
        shares = logits.double().softmax(-1).unsqueeze(-2)
        levels = shares.new_tensor(self.levels).view(-1, 1)
        return Ballots(classes, shares >= levels)

    def count(self, ballots: Ballots, samples: range) -> Tensor:
        r"""Ballots of some samples, counted: int64 ``[M, width]``, on the CPU."""
        num_targets, size = ballots.classes.size(1), self.num_classes
        first = torch.arange(0, num_targets * size, size, device=ballots.classes.device)
        votes = (ballots.classes + first).view(-1).bincount(minlength=num_targets * size)
        parts = [votes.view(num_targets, size)]
        if ballots.approved is not None:
            parts.append(ballots.approved.sum(0).flatten(1))
        counts = torch.cat(parts, dim=1).cpu()
        if self.num_outcomes == 0:
            return counts
        outcomes = counts.new_zeros(num_targets, self.num_outcomes)
        outcomes[:, samples.start : samples.stop] = ballots.classes.t().cpu() + 1
        return torch.cat([counts, outcomes], dim=1)

    def read(self, counts: Tensor) -> Counts:
        r"""What a matrix of counts ``[M, width]`` holds."""
        size, levels = self.num_classes, len(self.levels)
        votes, approvals, outcomes = counts.split([size, size * levels, self.num_outcomes], dim=1)
        approvals = approvals.reshape(len(counts), levels, size).transpose(0, 1)
        return Counts(votes, approvals, outcomes - 1 if self.num_outcomes else None)


def side_by_side(parts: Sequence[Ballots], dim: int) -> Ballots:
    r"""Ballots of more samples (along dimension 0) or on more targets (1)."""
    approved = [part.approved for part in parts if part.approved is not None]
    classes = torch.cat([part.classes for part in parts], dim)
    return Ballots(classes, torch.cat(approved, dim) if approved else None)
