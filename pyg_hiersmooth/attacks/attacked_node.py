r"""What all attacks on one node have to work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.attacks.plain_votes import PlainVotes
from pyg_hiersmooth.selection import PartitionSelection

EXTREME = 1_000.0
r"""What features of other nodes are multiplied by, where any features are allowed."""

NUM_DONORS, NUM_DRAWS = 16, 32


@dataclass(frozen=True, eq=False)
class AttackedNode:
    r"""A node to attack.

    Attributes:
        model (AttackedModel): The model, and its smoothing.
        graph (Data): The clean graph, of ``x`` and ``edge_index``.
        node (int): The node.
        prediction (int): The class that is to lose.
        rivals (sequence of int): The other classes, the most promising first.
        outcomes (numpy.ndarray or None): The class that each listed outcome votes for on the clean
            graph, ``[num_masks]``, where that is known.
        r (int): Most entities that change.
        budget (dict): The (checked) budget of the noise.
        only_new (bool): Whether nodes may be added, and nothing else.
        donors (torch.Tensor): Nodes whose own features speak most for each class, int64
            ``[C, NUM_DONORS]`` at most.
        seed (int): Seed of the search.
    """

    model: AttackedModel
    graph: Data
    node: int
    prediction: int
    rivals: Sequence[int]
    outcomes: np.ndarray | None
    r: int
    budget: dict[str, Any]
    only_new: bool
    donors: Tensor
    seed: int

    def rng(self, attempt: int) -> np.random.Generator:
        r"""The random numbers of an attempt."""
        return np.random.default_rng([self.seed, self.node, attempt])

    def draws(self, attempt: int) -> range:
        r"""Few draws to search with: all outcomes of one partition where they are listed, so that
        each entity is exposed once.
        """
        selection = self.model.smoothed.smoothing.selection
        if not (self.model.exact and isinstance(selection, PartitionSelection)):
            return range(NUM_DRAWS)
        groups = selection.num_groups
        first = attempt % selection.num_partitions * groups
        return range(first, first + groups)

    def votes(self, graph: Data, attempt: int) -> PlainVotes:
        r"""The votes that a search looks at."""
        return PlainVotes(self.model, graph, self.node, self.seed, 0, attempt)

    def lead(self, logits: Tensor) -> Tensor:
        r"""How far the class that is to lose is ahead of all others, ``[...]`` of ``[..., C]``."""
        rivals = torch.tensor(self.rivals, device=logits.device)
        return logits[..., self.prediction] - logits[..., rivals].amax(-1)

    def rival(self, attempt: int) -> int:
        r"""The class that an attempt is for."""
        return self.rivals[attempt // 2 % len(self.rivals)]

    def payload(self, attempt: int) -> Tensor:
        r"""Features of a node that speaks for a rival: ``[D]``, as they are in every fourth attempt
        and otherwise sent to an extreme.
        """
        donors = self.donors[self.rival(attempt)]
        features = self.graph.x[donors[attempt % len(donors)]]
        return features if attempt % 4 == 3 else features * EXTREME

    def chosen(self, candidates: Tensor, num_nodes: int, attempt: int) -> Tensor:
        r"""The :obj:`r` nodes that are worth most together, int64 ``[r]`` at most, one by one: an
        outcome that exposes one of them and votes for the class that is to lose is worth 2, one
        that votes for another class 1, one for the rival nothing. Without a partition, the first
        candidates.
        """
        selection = self.model.smoothed.smoothing.selection
        if not isinstance(selection, PartitionSelection):
            return candidates[: self.r]
        groups = selection.groups(num_nodes).numpy()[:, candidates.cpu().numpy()]
        partitions = np.arange(selection.num_partitions)[:, None]
        worth = np.ones((selection.num_partitions, selection.num_groups))
        if self.outcomes is not None:
            rival = self.rival(attempt)
            outcomes = self.outcomes.reshape(worth.shape)
            worth = 1.0 + (outcomes == self.prediction) - (outcomes == rival)
        chosen: list[int] = []
        for _ in range(min(self.r, len(candidates))):
            gain = worth[partitions, groups].sum(0)
            gain[chosen] = -1.0
            chosen.append(int(gain.argmax()))
            worth[partitions[:, 0], groups[:, chosen[-1]]] = 0.0
        return candidates[chosen]
