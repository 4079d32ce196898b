"""A graph that is quick to certify, its smoothing, and a model of one convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 20, 6, 3
SAMPLES = 40
ABLATION = HierarchicalNodeFeatureNoise(0.5, AblationNoise())
FLIPS = HierarchicalNodeFeatureNoise(0.5, SparseFlipNoise(0.2, 0.6))


def make_graph(num_nodes: int = N, seed: int = 0, binary: bool = False) -> Data:
    """An undirected graph with features, and weights of its edges."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, D, generator=generator)
    edges = torch.randint(0, num_nodes, (2, 2 * num_nodes), generator=generator)
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    weight = torch.rand(edges.size(1), generator=generator) * 4 + 0.1
    return Data(x=(x > 0.3).float() if binary else x, edge_index=edges, edge_weight=weight)


def seeded(build: Any, *args: Any, seed: int = 1, **kwargs: Any) -> Any:
    """What ``build`` makes after a fixed seed, in evaluation mode if it is a module."""
    torch.manual_seed(seed)
    built = build(*args, **kwargs)
    return built.eval() if isinstance(built, nn.Module) else built


def votes_of(
    model: nn.Module,
    data: Data,
    transform: HierarchicalNodeFeatureNoise = ABLATION,
    num_samples: int = SAMPLES,
    *,
    keep: tuple[str, ...] = (),
    forward: Any = None,
    num_workers: int | None = 0,
    **options: Any,
) -> Tensor:
    """Votes by the engine."""
    kept = {"keep": keep} if keep else {}
    classifier = SmoothedNodeClassifier(model, transform, C, forward=forward, **kept)
    return classifier.sample_votes(
        data, num_samples, progress=False, num_workers=num_workers, **options
    )


class Linear(nn.Module):
    """Logits of the noisy row and of the mean of its neighbors, to be built upon."""

    def __init__(self, in_channels: int = D + 1, out_channels: int = C) -> None:
        super().__init__()
        self.own = nn.Linear(in_channels, out_channels)
        self.other = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        sums = torch.zeros_like(h := self.other(x)).index_add(0, edge_index[1], h[edge_index[0]])
        return 2 * self.own(x) + sums
