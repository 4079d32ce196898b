"""What a third round of attacks found: models that were taken for others, what scripted models
hold, and nodes far away that were not seen.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as gnn
from torch_geometric.data import Data

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call
from .small import ABLATION, SAMPLES, C, D, N, make_graph, seeded, votes_of
from .verdict import assert_votes, refused


def unweighted(num_nodes: int = N, seed: int = 0) -> Data:
    data = make_graph(num_nodes, seed)
    return Data(x=data.x, edge_index=data.edge_index)


DATA = unweighted()


def stacked(depth: int) -> nn.Module:
    convs = [(gnn.SAGEConv(C, C), "x, edge_index -> x") for _ in range(depth)]
    return gnn.Sequential("x, edge_index", [(nn.Linear(D + 1, C), "x -> x"), *convs])


@pytest.mark.parametrize("depths", [(1, 2), (2, 1)])
def test_one_sequential_is_not_taken_for_another(depths: tuple[int, ...]) -> None:
    """PyG's Sequential draws the name of its code from Python's generator, which is seeded."""
    masks = PartitionSelection(4, 2)
    for depth in depths:
        model, votes = seeded(stacked, depth), torch.zeros(N, C)
        for outcome in range(masks.num_masks):
            tau = masks.mask(outcome, [N]).view(-1, 1)
            logits = model(torch.cat([DATA.x * ~tau, tau.float()], dim=1), DATA.edge_index)
            votes += nn.functional.one_hot(logits.argmax(1), C)
        smoothed = SmoothedNodeClassifier(
            model, HierarchicalNodeFeatureNoise(masks, AblationNoise()), C
        )
        certificate = smoothed.certify(DATA, progress=False, num_workers=0)
        shares = votes.max(1).values.double() / masks.num_masks
        assert torch.equal(torch.from_numpy(certificate.p_lower), shares)


class Keeps(nn.Module):
    """Hardly looks at its features, but at those that it was made with."""

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.own, self.other = nn.Linear(D + 1, C), nn.Linear(D, C)
        self.kept = kept

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return 0.01 * self.own(x) + 10.0 * self.other(self.kept)


def test_scripted_models_that_hold_clean_features_are_refused() -> None:
    noisy = torch.cat([DATA.x, torch.zeros(N, 1)], dim=1)
    model = seeded(Keeps, DATA.x.clone())
    for kept in (torch.jit.script(model), torch.jit.trace(model, (noisy, DATA.edge_index))):
        refused(lambda kept=kept: votes_of(kept, DATA), "clean features")


class Propagates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own, self.conv = nn.Linear(D + 1, C), gnn.SGConv(D + 1, C, K=2, cached=True)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return 0.01 * self.own(x) + 10.0 * self.conv(x, edge_index)


@pytest.mark.parametrize(
    "build", [Propagates, lambda: gnn.GCNConv(D + 1, C, cached=True)], ids=["features", "graph"]
)
def test_what_scripted_convolutions_cached_before_is_thrown_away(build: Any) -> None:
    model = seeded(build)
    truth = plain_votes(pyg_call, model, ABLATION, DATA, SAMPLES, C)
    scripted = torch.jit.script(model)
    other = unweighted(seed=1)
    scripted(torch.cat([other.x, torch.zeros(N, 1)], dim=1), other.edge_index)
    assert_votes(votes_of(scripted, DATA), truth)


def test_a_forward_that_was_replaced_and_leads_to_the_users_own_model_is_refused() -> None:
    model = seeded(gnn.GCN, D + 1, 8, 2, C, dropout=0.9, norm="batch_norm").train()
    before = model.norms[0].module.running_mean.clone()
    own = model.forward
    model.forward = lambda x, edge_index: own(x, edge_index)
    refused(lambda: votes_of(model, DATA), "is the user's model")
    assert torch.equal(model.norms[0].module.running_mean, before)


class ColdStart(nn.Module):
    """Gives nodes without neighbors the mean of all others: one hop, but for those."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cold = gnn.SAGEConv(D + 1, C), nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        alone = torch.bincount(edge_index[1], minlength=x.size(0)) == 0
        return torch.where(alone.view(-1, 1), self.cold(x.mean(0)), self.conv(x, edge_index))


class MaximumOfAll(nn.Module):
    """One hop, and the largest numbers of all nodes; takes whole numbers or known words only."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(2, D)
        self.conv, self.context = gnn.SAGEConv(D, C), nn.Linear(D, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        features = x[:, :-1].float()
        hidden = features + self.token(x[:, -1].long())
        return self.conv(hidden, edge_index) + self.context(features.amax(0))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_features_that_are_no_floats_are_tried_as_well(dtype: torch.dtype) -> None:
    class OneHop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = gnn.SAGEConv(D + 1, C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x.float(), edge_index)

    data = unweighted(40)
    data.x = (data.x > 0).to(dtype)
    smoothed = SmoothedNodeClassifier(seeded(OneHop), ABLATION, C, num_hops=1)
    assert smoothed.receptive_field(data).shape == (40, 40)
    smoothed.model = seeded(MaximumOfAll)
    refused(lambda: smoothed.receptive_field(data), "features further away")


@pytest.mark.parametrize("build", [ColdStart, MaximumOfAll])
@pytest.mark.parametrize("asked", ["receptive_field", "sample_votes"])
def test_what_few_nodes_see_of_nodes_far_away_is_found(build: Any, asked: str) -> None:
    data = unweighted(40)
    data.x = (torch.cat([data.x, data.x[:4]]) > 0).float()
    smoothed = SmoothedNodeClassifier(seeded(build), ABLATION, C, num_hops=1)
    arguments: dict[str, Any] = {}
    if asked == "sample_votes":
        arguments = {"num_samples": 10, "progress": False, "num_workers": 0}
    refused(lambda: getattr(smoothed, asked)(data, **arguments), "features further away")
