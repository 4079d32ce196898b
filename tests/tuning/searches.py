"""Small searches, for tests of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.experiment.setting_parts import (
    EdgesSettings,
    SamplingSettings,
    SmoothingSettings,
    taken,
)
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise
from pyg_hiersmooth.tuning import TunedSmoothing, tune_smoothing

Train = Callable[[HierarchicalNodeFeatureNoise], torch.nn.Module]

NUM_NODES, NUM_CLASSES, NUM_FEATURES = 40, 3, 9
JUDGED = torch.arange(30)
FEW: dict[str, Any] = {"n0": 5, "n": 15, "alpha": 0.1, "num_workers": 0, "progress": False}
FLIPS: dict[str, Any] = {"noise": "flips", "deletions": 1}
ABLATION: dict[str, Any] = {"noise": "ablation"}
EXACT: dict[str, Any] = {"selection": "partition", **dict.fromkeys(("n0", "n", "alpha"))}


def graph() -> Data:
    """Forty nodes of three classes; neighbors and features mostly tell the class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(NUM_NODES) % NUM_CLASSES
    typical = F.one_hot(y, NUM_CLASSES).repeat_interleave(NUM_FEATURES // NUM_CLASSES, dim=1)
    x = torch.rand(NUM_NODES, NUM_FEATURES, generator=generator) < 0.15 + 0.5 * typical
    source, target = torch.randint(NUM_NODES, (2, 300), generator=generator)
    alike = (y[source] == y[target]) | (torch.rand(300, generator=generator) < 0.2)
    return Data(x=x.float(), edge_index=torch.stack([source, target])[:, alike], y=y)


class Counting(torch.nn.Module):
    """Counts the features of each class around a node."""

    def __init__(self) -> None:
        super().__init__()
        typical = torch.eye(NUM_CLASSES).repeat_interleave(NUM_FEATURES // NUM_CLASSES, dim=1)
        self.register_buffer("weight", torch.cat([typical, torch.zeros(NUM_CLASSES, 1)], dim=1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        count = F.linear(x, self.weight)
        return count.index_add(0, edge_index[1], count[edge_index[0]])


class RightOn(torch.nn.Module):
    """Always right on a share of the judged nodes, and always wrong on the others."""

    def __init__(self, share: float) -> None:
        super().__init__()
        y = torch.arange(NUM_NODES) % NUM_CLASSES
        wrong = torch.arange(NUM_NODES) >= round(share * len(JUDGED))
        self.register_buffer("logits", F.one_hot((y + wrong) % NUM_CLASSES, NUM_CLASSES).float())

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        # What is added to all classes alike depends on the features, and decides nothing.
        return self.logits.repeat(len(x) // NUM_NODES, 1) + x.mean(1, keepdim=True)


def counting(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
    return Counting()


def untrained(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
    pytest.fail("trained although there was nothing to try")


def p_of(transform: HierarchicalNodeFeatureNoise) -> float:
    return transform.selection.p  # type: ignore[attr-defined]


def outcome(ranking: list[TunedSmoothing]) -> list[tuple[dict[str, float], float, float]]:
    return [(t.parameters, t.clean_accuracy, t.certified_accuracy) for t in ranking]


def tune(data: Data, train: Train = counting, **arguments: Any) -> list[TunedSmoothing]:
    given: dict[str, Any] = {"node_index": JUDGED, "num_classes": NUM_CLASSES} | FEW | arguments
    given["smoothing"] = SmoothingSettings(**taken(SmoothingSettings, given))
    pairs, sampling = taken(EdgesSettings, given), taken(SamplingSettings, given)
    given["pairs"] = EdgesSettings(**pairs) if pairs else None
    given["sampling"] = None if sampling["n"] is None else SamplingSettings(**sampling)
    if "r_edges" in given:
        given["edges"] = given.pop("r_edges")
    return tune_smoothing(train, data, **given)
