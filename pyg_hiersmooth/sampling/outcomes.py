r"""Sampling with known outcomes: sample :math:`i` is the outcome :math:`i` of a selection."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import Selection


class NothingSelected(Selection):
    r"""Selects no entity and draws nothing, for what stays clean next to other noise."""

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        return torch.zeros(num_entities, dtype=torch.bool, device=stream.device)

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        shape = () if num_entities is None else np.shape(num_entities)
        return np.full(shape, float(r == 0))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}()"


class ListedOutcomes(Selection):
    r"""Selects according to the outcome whose number a stream ends in, and draws nothing.

    Args:
        selection (Selection): A selection that lists its outcomes.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        return self.sample_batch([num_entities], stream)

    def sample_batch(self, sizes: list[int], stream: RandomStream) -> Tensor:
        outcomes = self.num_outcomes(np.asarray(sizes)) or 1
        return self.selection.mask(stream.path[-1] % outcomes, sizes).to(stream.device)

    def num_outcomes(self, num_entities: int | np.ndarray | None = None) -> int | None:
        return self.selection.num_outcomes(num_entities)

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        return self.selection.prob_all_selected(r, num_entities)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.selection})"


class DrawsFrom(Protocol):
    r"""What a smoothing draws from."""

    selection: Selection
    noise: Noise


def draws_nothing(transform: DrawsFrom) -> bool:
    r"""Whether all outcomes of a smoothing can be enumerated, and its certificates hold for any
    change of a row.
    """
    noise = transform.noise
    listed = transform.selection.num_outcomes() is not None
    return listed and noise.deterministic and not noise.axes
