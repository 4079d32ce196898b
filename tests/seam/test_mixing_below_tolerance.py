"""Mixing that is small beside the logits, and decides votes: in blocks, hops and forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call
from .small import C, D, make_graph, seeded, votes_of
from .verdict import refused, right_or_refused

GAUSSIAN = HierarchicalNodeFeatureNoise(0.9, GaussianNoise(1.0))
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


class MeanOfAll(nn.Module):
    """The attack: an offset that all classes share, and a little that decides."""

    def __init__(self, offset: float, effect: float, mean: float = 0.5) -> None:
        super().__init__()
        self.offset, self.effect, self.mean = offset, effect, mean
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        share = torch.sigmoid(20 * (x[:, :-1].mean() - self.mean))
        first = self.offset + self.effect * share + 0 * x[:, 0]
        second = self.offset + self.effect / 2 + 0 * first
        return torch.stack([first, second], dim=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("offset", "effect"), [(1e3, 0.01), (1.0, 0.01), (0.0, 0.01), (1e4, 100)])
def test_the_second_attack(offset: float, effect: float, dtype: torch.dtype) -> None:
    data = Data(
        x=torch.full((4, 2), 0.6, dtype=dtype), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]])
    )
    model = MeanOfAll(offset, effect).to(dtype)
    truth = plain_votes(pyg_call, model, GAUSSIAN, data, 300, 2)
    for options in ({}, {"dense": True}):
        smoothed = SmoothedNodeClassifier(model, GAUSSIAN, 2)

        def run(smoothed: Any = smoothed, options: Any = options) -> Tensor:
            return smoothed.sample_votes(data, 300, progress=False, num_workers=0, **options)

        if int(truth.min()) == 0:  # low precision swallows the effect
            continue
        right_or_refused(run, truth, "block_size", "features")


class Mixes(nn.Module):
    """A convolution, and a share of what all rows have in common."""

    def __init__(self, offset: float, effect: float) -> None:
        super().__init__()
        self.conv, self.offset, self.effect = gnn.SAGEConv(D + 1, C), offset, effect

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        common = self.effect * torch.sigmoid(20 * x.mean())
        logits = self.conv(x, edge_index)
        return self.offset + logits + common * logits.new_tensor([1.0, -1.0, 0.0])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e4])
@pytest.mark.parametrize("effect", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
def test_a_grid_of_mixing(effect: float, offset: float, dtype: torch.dtype) -> None:
    data = Data(x=make_graph().x.to(dtype), edge_index=make_graph().edge_index.unique(dim=1))
    model = seeded(Mixes, offset, effect).to(dtype)
    truth = plain_votes(pyg_call, model, GAUSSIAN, data, 100, C)
    if bool((truth.max(1).values == 100).all()):
        return  # low precision swallows all differences
    votes = votes_of(model, data, GAUSSIAN, 100, dense=True)
    if dtype == torch.float32:
        assert torch.equal(votes, truth)
    else:  # where rounding decides, copies side by side may fall on another side
        assert int((votes - truth).abs().sum()) <= 0.01 * truth.sum()


class Steps(nn.Module):
    """So many steps, of which the last one hardly counts."""

    def __init__(self, offset: float, effect: float, steps: int = 3) -> None:
        super().__init__()
        self.conv, self.last = gnn.SAGEConv(D + 1, C), gnn.SimpleConv()
        self.offset, self.effect, self.steps = offset, effect, steps

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = far = self.conv(x, edge_index)
        for _ in range(self.steps - 1):
            far = self.last(far, edge_index)
        return self.offset + 0.01 * self.effect * h + self.effect * torch.sigmoid(20 * far)


@pytest.mark.parametrize("asked", ["votes", "receptive_field"])
@pytest.mark.parametrize(
    ("dtype", "offset", "effect"),
    [
        (torch.float32, 1e3, 0.005),
        (torch.float32, 1.0, 5e-6),
        (torch.float32, 1e4, 0.1),
        (torch.float16, 1.0, 0.01),
        (torch.bfloat16, 1.0, 0.05),
        (torch.float64, 1e3, 1e-6),
    ],
)
def test_the_third_attack(dtype: torch.dtype, offset: float, effect: float, asked: str) -> None:
    nodes = torch.arange(60)
    ring = torch.stack([nodes, nodes.roll(1)])
    x = make_graph(60).x.to(dtype)
    data = Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], dim=1))
    smoothed = SmoothedNodeClassifier(seeded(Steps, offset, effect).to(dtype), GAUSSIAN, C)
    smoothed.num_hops = 2
    if asked == "receptive_field":
        refused(lambda: smoothed.receptive_field(data), "num_hops")
    else:
        refused(
            lambda: smoothed.sample_votes(
                data, 20, node_index=torch.arange(2), progress=False, num_workers=0
            ),
            "num_hops",
        )
    smoothed.num_hops = 3
    smoothed.receptive_field(data)


def minmax(h: Tensor) -> Tensor:
    return (h - h.amin(0)) / (h.amax(0) - h.amin(0))


def quantized(h: Tensor) -> Tensor:
    scale = (h.abs().max() / 127).clamp(min=1e-30)
    return (h / scale).round() * scale


STATISTICS: dict[str, Any] = {
    "min-max": minmax,
    "largest": lambda h: h / h.abs().max(),
    "quantized": quantized,
    "mean": lambda h: h - h.mean(0),
    "deviation": lambda h: h / h.std(),
    "median": lambda h: h - h.median(0).values,
    "share of zeros": lambda h: h + (h == 0).to(h).mean(),
    "number of large rows": lambda h: h + (h.abs().amax(1) > 100).to(h).sum(),
    "most common": lambda h: h - h.round().mode(0).values,
    "second largest": lambda h: h - h.topk(2, dim=0).values[1],
    "rank": lambda h: h.argsort(0).argsort(0).to(h),
    "one node": lambda h: h - h[777],
}


class Scales(nn.Module):
    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how, self.lin, self.steps = how, nn.Linear(D + 1, C), gnn.APPNP(2, 0.5)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scaled = torch.cat([self.how(x[:, :-1]), x[:, -1:]], dim=1)
        return self.steps(self.lin(scaled), edge_index)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("asked", ["votes", "receptive_field"])
@pytest.mark.parametrize("name", STATISTICS)
def test_the_fifth_attack(name: str, asked: str) -> None:
    """Statistics of all nodes before two steps; twelve rows are a thousandfold."""
    nodes = torch.arange(1_500)
    ring = torch.stack([nodes, nodes.roll(1)])
    x = make_graph(1_500).x
    x[50::125] *= 1_000
    data = Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], dim=1))
    transform = HierarchicalNodeFeatureNoise(0.8, AblationNoise())
    smoothed = SmoothedNodeClassifier(seeded(Scales, STATISTICS[name]), transform, C, num_hops=2)
    targets = torch.arange(0, 60, 10)
    if asked == "receptive_field":
        refused(lambda: smoothed.receptive_field(data, targets), "num_hops")
        return
    truth = plain_votes(pyg_call, smoothed.model, transform, data, 20, C)[targets]

    def run() -> Tensor:
        return smoothed.sample_votes(data, 20, node_index=targets, progress=False, num_workers=0)

    right_or_refused(run, truth, "num_hops")
