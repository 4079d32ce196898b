r"""A selection of all entities, seen at some of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection


class RowSelection(Selection):
    r"""The indicator :math:`\tau` of some entities, exactly as a selection of all of them draws it,
    followed by ghost nodes for others, which are never selected.

    Independent entities are drawn one by one. The groups of a partition are looked up. Any other
    selection is drawn for all entities, at their cost.

    Args:
        selection (Selection): The selection of all entities.
        rows (torch.Tensor): The entities, int64 ``[K]``, distinct.
        num_entities (int): Number :math:`N` of all entities.
        num_ghosts (int): Number :math:`S` of ghost nodes.

    Raises:
        ValueError: If :obj:`selection` does not fit :obj:`num_entities`.
    """

    def __init__(
        self, selection: Selection, rows: Tensor, num_entities: int, num_ghosts: int = 0
    ) -> None:
        self.selection, self.num_entities = selection, num_entities
        self._rows, self._ghosts = rows.cpu(), torch.zeros(num_ghosts, dtype=torch.bool)
        self._p: BernoulliSelection | None = None
        self._groups: Tensor | None = None
        if isinstance(selection, BernoulliSelection):
            p = selection.p
            if isinstance(p, Tensor) and p.numel() != num_entities:
                selection.prob_all_selected(1, num_entities)  # says so
            self._p = BernoulliSelection(p[self._rows]) if isinstance(p, Tensor) else selection
        elif isinstance(selection, PartitionSelection):
            self._groups = selection.groups(num_entities)[:, self._rows]

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        r"""Draws bool ``[K + S]``."""
        if self._p is not None:
            selected = self._p.sample(self._rows.numel(), stream)
        elif self._groups is not None:
            outcomes = self.num_outcomes() or 1
            return self.mask(int(stream.subset(outcomes, 1)), [num_entities]).to(stream.device)
        else:
            drawn = self.selection.sample(self.num_entities, stream)
            selected = drawn[self._rows.to(stream.device)]
        return torch.cat([selected, self._ghosts.to(stream.device)])

    def mask(self, index: int, sizes: list[int]) -> Tensor:
        if isinstance(self.selection, PartitionSelection) and self._groups is not None:
            partition, group = divmod(index, self.selection.num_groups)
            return torch.cat([self._groups[partition] != group, self._ghosts])
        selected = self.selection.mask(index, [self.num_entities])
        return torch.cat([selected[self._rows], self._ghosts])

    def num_outcomes(self, num_entities: int | np.ndarray | None = None) -> int | None:
        return self.selection.num_outcomes(self.num_entities)

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        return self.selection.prob_all_selected(r, self.num_entities)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.selection}, [{self._rows.numel()}])"
