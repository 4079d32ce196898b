from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.attacks.plain_votes import PlainVotes
from pyg_hiersmooth.models import APPNP, GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

EXACT = PartitionSelection(5, 3)


@pytest.fixture(scope="module")
def data() -> Data:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(60, (2, 70), generator=generator)
    x = (torch.rand(60, 6, generator=generator) < 0.4).float()
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], 1).unique(dim=1))


def smooth(transform: Any, kind: type[torch.nn.Module] = GCN) -> SmoothedNodeClassifier:
    torch.manual_seed(1)
    indicator = int(isinstance(transform, HierarchicalNodeFeatureNoise))
    return SmoothedNodeClassifier(kind(6 + indicator, 3), transform, num_classes=3)


@pytest.mark.parametrize("kind", [GCN, APPNP])
@pytest.mark.parametrize(
    "transform",
    [
        HierarchicalNodeFeatureNoise(EXACT, AblationNoise()),
        HierarchicalNodeFeatureNoise(EXACT, AblationNoise(of="messages")),
        HierarchicalEdgeNoise(EXACT, AblationNoise()),
    ],
    ids=["features", "messages", "edges"],
)
def test_listed_votes_are_those_of_a_certificate(
    data: Data, transform: Any, kind: type[torch.nn.Module]
) -> None:
    smoothed = smooth(transform, kind)
    certificate = smoothed.certify(data, node_index=range(8), progress=False, num_workers=0)
    model = AttackedModel(smoothed)
    votes = [PlainVotes(model, data, node).count(range(15)) for node in range(8)]
    assert certificate.votes is not None
    assert np.array_equal(np.stack(votes), certificate.votes)


@pytest.mark.parametrize(
    "transform",
    [
        HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.1, 0.5)),
        HierarchicalNodeFeatureNoise(0.7, GaussianNoise(0.8)),
        HierarchicalNodeFeatureNoise(0.7, AblationNoise(of="messages")),
        HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.01, 0.5)),
    ],
    ids=str,
)
def test_drawn_votes_are_drawn_alike(data: Data, transform: Any) -> None:
    """Chi-square at 1e-5 a node: a false alarm in 8,000 sets of seeds."""
    smoothed = smooth(transform)
    theirs = smoothed.sample_votes(data, 300, 5, range(3), False, num_workers=0).numpy()
    model = AttackedModel(smoothed)
    for node in range(3):
        votes = np.stack([PlainVotes(model, data, node, 5).count(range(300)), theirs[node]])
        votes = votes[:, votes.sum(0) > 0]
        assert votes.sum() == 600
        if votes.shape[1] > 1:
            assert chi2_contingency(votes).pvalue > 1e-5


class Centered(torch.nn.Module):
    """Sees all nodes at once, whatever is said about hops."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return (x - x.mean(0))[:, :3] * torch.tensor([1.0, 1.1, 1.3])


@pytest.mark.parametrize("num_hops", [0, None])
def test_a_model_that_sees_more_is_called_on_the_whole_graph(
    data: Data, num_hops: int | None
) -> None:
    transform = HierarchicalNodeFeatureNoise(EXACT, AblationNoise(), append_indicator=False)
    smoothed = SmoothedNodeClassifier(Centered(), transform, 3, num_hops=num_hops)
    votes = PlainVotes(AttackedModel(smoothed), data, 4)
    counted = np.zeros(3, dtype=np.int64)
    for index in range(15):
        hidden = EXACT.mask(index, [60]).view(-1, 1)
        counted[int(Centered()(torch.where(hidden, 0.0, data.x), data.edge_index)[4].argmax())] += 1
    assert np.array_equal(votes.count(range(15)), counted)
    assert len(votes.reach) == 60


def test_neighborhoods_are_cut(data: Data) -> None:
    smoothed = smooth(HierarchicalNodeFeatureNoise(EXACT, AblationNoise()))
    reach = PlainVotes(AttackedModel(smoothed), data, 4).reach
    assert 4 in reach and len(reach) < 60


def test_ablation_passes_no_gradient_on(data: Data) -> None:
    smoothed = smooth(HierarchicalNodeFeatureNoise(EXACT, AblationNoise()))
    votes = PlainVotes(AttackedModel(smoothed), data, 4)
    x = data.x[votes.reach].requires_grad_()
    votes.logits(range(2, 3), x).sum().backward()
    hidden = EXACT.mask(2, [60])[votes.reach]
    assert x.grad is not None
    assert not x.grad[hidden].any() and x.grad[~hidden].any()
