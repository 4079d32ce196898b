"""Votes as certificates keep them, without a smoothed classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyg_hiersmooth.noise import AblationNoise, Noise
from pyg_hiersmooth.selection import PartitionSelection, Selection


@dataclass
class Counted:
    """What prediction sets read of a certificate."""

    selection: Selection
    noise: Noise
    index: np.ndarray
    num_entities: np.ndarray | None = None
    num_features: int | None = None
    num_samples: np.ndarray | None = None
    n0: int | None = None
    votes: np.ndarray | None = None
    approvals: np.ndarray | None = None
    approve: float | None = None
    exact: bool = False


def exact(counts: Any, start: int = 0, selection: Any = None, **kept: Any) -> Counted:
    """Approvals under all outcomes of a partition, of objects from a number on."""
    selection = PartitionSelection(10, 10) if selection is None else selection
    counts = np.asarray(counts)
    settings = {
        "index": np.arange(start, start + len(counts)),
        "num_samples": np.full(len(counts), selection.num_masks),
        "approvals": counts,
        "approve": 0.1,
        "exact": True,
    }
    noise = kept.pop("noise", None) or AblationNoise()
    return Counted(selection, noise, **{**settings, **kept})


def sampled(
    counts: Any, selection: Selection, noise: Noise, n: int, start: int = 0, **kept: Any
) -> Counted:
    """Approvals in a fixed number of samples, of objects from a number on."""
    counts = np.asarray(counts)
    settings = {
        "index": np.arange(start, start + len(counts)),
        "num_samples": np.full(len(counts), n),
        "n0": 100,
        "approvals": counts,
        "approve": 0.1,
    }
    return Counted(selection, noise, **{**settings, **kept})
