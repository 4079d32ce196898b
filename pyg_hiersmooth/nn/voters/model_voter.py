r"""What all voters on objects that a model classifies can tell of themselves."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.sampling import Voter
from pyg_hiersmooth.sampling.tally import Tally


class ModelVoter(Voter):
    r"""Casts the votes of a model, and describes what they depend on.

    Attributes:
        targets (torch.Tensor): What is voted on, int64 ``[M]``.
        options (VoterOptions): How votes are cast.
    """

    targets: Tensor
    options: VoterOptions

    @property
    def tally(self) -> Tally:
        return Tally(self.num_classes, self.options.approve, self.options.num_outcomes)

    @property
    def asked(self) -> Tensor:
        r"""What identifies the targets, int64 ``[M]``."""
        return self.targets

    @property
    @abstractmethod
    def features(self) -> list[Tensor]:
        r"""All clean features."""

    @property
    @abstractmethod
    def objects(self) -> list[Tensor]:
        r"""All else that the votes depend on."""

    @property
    @abstractmethod
    def adjacency_name(self) -> str | None:
        r"""The form of the graph, which votes depend on by the rounding of sums."""

    @abstractmethod
    def fingerprint(self) -> list[float]:
        r"""A few numbers that show whether the logits of the first samples are the same."""
