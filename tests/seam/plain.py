"""Votes by a plain loop, on a fresh copy of everything for each sample: what is true."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

Call = Callable[[nn.Module, Tensor, Any], Tensor]
"""Calls a model on features and a graph, and returns logits."""


def plain_votes(
    call: Call,
    model: nn.Module,
    transform: HierarchicalNodeFeatureNoise,
    data: Data,
    num_samples: int,
    num_classes: int,
    sizes: list[int] | None = None,
    path: tuple[int, ...] = (),
) -> Tensor:
    """Votes of the samples of seed 0, int64 ``[M, num_classes]``.

    ``path`` is what tells the streams of a batch of graphs or images from those of others.
    """
    draw = transform.prepare(data.x, sizes or [data.x.size(0)])
    votes: Tensor | int = 0
    for sample in range(num_samples):
        fresh, graph = copy.deepcopy(model).eval(), data.clone()
        graph.x = draw(RandomStream(0, *path, sample))
        with torch.no_grad():
            logits = call(fresh, graph.x, graph)
        votes = votes + nn.functional.one_hot(logits.argmax(-1), num_classes)
    assert isinstance(votes, Tensor)
    return votes


def pyg_call(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """``model(x, edge_index)``."""
    return model(x, data.edge_index)


def weighted_call(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """``model(x, edge_index, edge_weight=...)``."""
    return model(x, data.edge_index, edge_weight=data.edge_weight)
