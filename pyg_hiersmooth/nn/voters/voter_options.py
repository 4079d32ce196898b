r"""How votes are cast."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyg_hiersmooth.sampling.outcomes import ListedOutcomes
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise


@dataclass(frozen=True)
class VoterOptions:
    r"""How votes are cast.

    Args:
        seed (int): Non-negative seed.
        block_size (int, optional): Copies of the objects in one forward pass, at most 1 for a
            model that mixes all rows it is given, such as a norm over all nodes.
        dense (bool): Whether to write noisy features out in any case.
        enumerate_outcomes (bool): Whether sample :math:`i` is the outcome :math:`i` of a selection
            that lists them.
        approve (tuple of float): Softmax probabilities from which on a sample approves a class.
        num_outcomes (int): Listed outcomes whose votes are kept apart; 0 keeps none.
        edges (HierarchicalEdgeNoise, optional): The noise of edges, besides that of nodes.
    """

    seed: int
    block_size: int | None = None
    dense: bool = False
    enumerate_outcomes: bool = False
    approve: tuple[float, ...] = ()
    num_outcomes: int = 0
    edges: HierarchicalEdgeNoise | None = None

    @property
    def tried(self) -> VoterOptions:
        r"""Those that a model is tried with: all that alter no more than samples are left out."""
        return replace(self, seed=0, approve=(), num_outcomes=0, edges=None)

    def smoothing(self, transform: HierarchicalNodeFeatureNoise) -> HierarchicalNodeFeatureNoise:
        r"""The transform whose samples are those that are asked for; of several smoothings, only
        that of edges alone can list its outcomes.
        """
        if not self.enumerate_outcomes or self.edges is not None:
            return transform
        return HierarchicalNodeFeatureNoise(
            ListedOutcomes(transform.selection), transform.noise, transform.append_indicator
        )
