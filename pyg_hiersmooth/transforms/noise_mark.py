r"""The mark on graphs that already carry the noise of a smoothing."""

from __future__ import annotations

from torch_geometric.data import Data, HeteroData

NOISE_MARK = "carries_smoothing_noise"
r"""An attribute of the graph, so that copies, batches and files keep it."""


def mark_noisy(data: Data | HeteroData) -> None:
    r"""Marks a graph as one that carries the noise."""
    setattr(data, NOISE_MARK, True)


def is_noisy(data: Data | HeteroData) -> bool:
    r"""Whether a graph, or one in a batch, is marked."""
    return NOISE_MARK in data
