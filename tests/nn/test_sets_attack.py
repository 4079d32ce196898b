"""Prediction sets from the engine, on graphs that are attacked after calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_hiersmooth.certificates import Certificate, PredictionSets
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .prototypes import Prototypes

N, C, R = 60, 3, 2


def world() -> tuple[Data, Tensor]:
    """A graph whose features tell the label of most nodes."""
    generator = torch.Generator().manual_seed(3)
    y = torch.randint(0, C, (N,), generator=generator)
    told = torch.where(torch.rand(N, generator=generator) < 0.95, y, (y + 1) % C)
    edges = torch.randint(0, N, (2, 3 * N), generator=generator)
    edges = torch.cat([edges, edges.flip(0)], 1)
    same = y[edges[0]] == y[edges[1]]
    return Data(x=nn.functional.one_hot(told, C).float(), edge_index=edges[:, same]), y


@pytest.mark.parametrize("of", ["features", "messages"])
def test_a_covered_node_stays_covered_unless_it_is_taken_over(of: str) -> None:
    """For exact votes this holds node by node: what is in the clean set is in the robust one."""
    data, y = world()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    calibration, test = order[:30], order[30:]
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(6, 5), AblationNoise(of=of))
    smoothed = SmoothedNodeClassifier(Prototypes(C), transform, C)

    def approvals(graph: Data, index: Tensor) -> Certificate:
        return smoothed.certify(graph, node_index=index, approve=0.2, progress=False, num_workers=0)

    sets = PredictionSets.calibrate(approvals(data, calibration), y[calibration], 0.9)
    assert sets.threshold(R) > 0.0, "these sets say something"
    labels, rows = y[test].numpy(), np.arange(len(test))
    covered = sets.sets(approvals(data, test))[rows, labels]
    assert covered.mean() > 0.7
    generator, lost = np.random.default_rng(0), 0
    for target in generator.choice(len(test), 12, replace=False):
        attacked, taken_over = attack(data, int(test[target]), int(labels[target]), of)
        found = approvals(attacked, test)
        safe = covered if of == "features" else covered & ~np.isin(test.numpy(), taken_over)
        assert sets.sets(found, R)[rows, labels][safe].all()
        lost += int((safe & ~sets.sets(found)[rows, labels]).sum())
    assert lost > 0, "attacks that break the sets without a margin"


def attack(data: Data, target: int, label: int, of: str) -> tuple[Data, np.ndarray]:
    """Two nodes that speak to the target, or are made to, shout another class."""
    edges = data.edge_index
    near = edges[0, (edges[1] == target) & (edges[0] != target)].unique()
    chosen = torch.cat([near, torch.arange(N)])
    chosen = chosen[chosen != target][:R]
    x = data.x.clone()
    x[chosen] = 50.0 * nn.functional.one_hot(torch.tensor((label + 1) % C), C).float()
    if of == "messages":
        new = torch.stack([chosen, torch.full_like(chosen, target)])
        edges = torch.cat([edges, new], dim=1)
    return Data(x=x, edge_index=edges), chosen.numpy()
