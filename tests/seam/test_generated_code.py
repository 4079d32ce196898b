"""Models whose code is made or replaced while the program runs: scripted, traced, generated."""

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
