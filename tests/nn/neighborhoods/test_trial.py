from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, GraphNorm, PairNorm

from pyg_hiersmooth.errors import AuditError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.neighborhoods import trial as neighborhood_trial
from pyg_hiersmooth.nn.neighborhoods import voter as neighborhood_voter
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC, Neighborhood
from pyg_hiersmooth.nn.neighborhoods.trial import (
    MAX_KEPT,
    Larger,
    WideTrial,
    resampled_probe,
    spread,
)
from pyg_hiersmooth.nn.neighborhoods.voter import NeighborhoodVoter
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.sampling.tally import Ballots
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 1_200, 4, 3
TRANSFORM = HierarchicalNodeFeatureNoise(0.7, AblationNoise())


def ring() -> Data:
    """A long ring, whose neighborhoods are small."""
    torch.manual_seed(0)
    node = torch.arange(N)
    edge_index = torch.stack([node, (node + 1) % N])
    return Data(x=torch.randn(N, D), edge_index=torch.cat([edge_index, edge_index.flip(0)], dim=1))


class Layers(nn.Module):
    """Convolutions, perhaps with something between them."""

    def __init__(self, depth: int, between: nn.Module | None = None) -> None:
        super().__init__()
        sizes = [D + 1, *[8] * (depth - 1), C]
        self.convs = nn.ModuleList(map(GCNConv, sizes[:-1], sizes[1:]))
        self.between = between

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        for conv in self.convs[:-1]:
            x = conv(x, edge_index).tanh()
            x = x if self.between is None else self.between(x)
        return self.convs[-1](x, edge_index)


class Pooled(Layers):
    """One that looks at all nodes."""

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return super().forward(x + x.mean(0), edge_index)


def classifier(model: nn.Module, num_hops: int = 2) -> SmoothedNodeClassifier:
    return SmoothedNodeClassifier(model.eval(), TRANSFORM, C, num_hops=num_hops)


def sample(smoothed: SmoothedNodeClassifier, data: Data) -> None:
    smoothed.sample_votes(data, 10, node_index=[5, 300, 301], progress=False, num_workers=0)


@pytest.fixture(params=["whole", "wide"])
def trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compares with the whole graph, and as if that were too large."""
    if request.param == "wide":
        for module in (neighborhood_trial, neighborhood_voter):
            monkeypatch.setattr(module, "MAX_WHOLE", 500)
    return str(request.param)


def test_models_of_so_many_hops_are_sampled_on_neighborhoods(trial: str) -> None:
    smoothed = classifier(Layers(2))
    sample(smoothed, ring())
    assert "neighborhood" in str(smoothed.neighborhoods)
    assert "whole graph" not in str(smoothed.neighborhoods)


def test_models_that_look_further_are_refused(trial: str) -> None:
    with pytest.raises(ValueError, match=r"'num_hops' must be .* \(3 would do; got 2\)"):
        sample(classifier(Layers(3)), ring())


@pytest.mark.parametrize(
    "build",
    [lambda: Pooled(2), lambda: Layers(2, GraphNorm(8)), lambda: Layers(2, PairNorm())],
    ids=["pooled", "GraphNorm", "PairNorm"],
)
def test_models_that_look_at_all_nodes_are_refused(
    build: Callable[[], nn.Module], trial: str
) -> None:
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="num_hops"):
        sample(classifier(build()), ring())


def test_models_that_look_at_all_nodes_are_refused_where_nothing_lies_beyond(trial: str) -> None:
    torch.manual_seed(1)
    pair = torch.arange(N // 2 * 2).view(-1, 2).t()
    data = Data(x=torch.randn(N, D), edge_index=torch.cat([pair, pair.flip(0)], dim=1))
    smoothed = classifier(Layers(2, PairNorm()))
    with pytest.raises(ValueError, match="num_hops"):
        smoothed.sample_votes(data, 10, node_index=5, progress=False, num_workers=0)


def test_spread() -> None:
    assert spread(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert spread(np.array([7]), 4).tolist() == [7]


def test_resampled_probes_are_rows_of_the_draw() -> None:
    draw = torch.randn(5, 3)
    rows = resampled_probe(draw, 40, 1)
    assert rows.shape == (40, 3)
    assert all(bool((row == draw).all(1).any()) for row in rows)
    assert not torch.equal(rows, resampled_probe(draw, 40, 2))
    assert torch.equal(rows, resampled_probe(draw, 40, 1))


def test_larger_graphs_are_made_once_for_all_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (neighborhood_trial, neighborhood_voter):
        monkeypatch.setattr(module, "MAX_WHOLE", 500)
    made: list[list[int]] = []
    make = WideTrial._made

    def counted(trial: WideTrial, targets: np.ndarray) -> Larger:
        made.append(targets.tolist())
        return make(trial, targets)

    monkeypatch.setattr(WideTrial, "_made", counted)
    for bound, times in ((MAX_KEPT, 1), (0, 10)):
        made.clear()
        monkeypatch.setattr(neighborhood_trial, "MAX_KEPT", bound)
        smoothed = classifier(Layers(2))
        smoothed.sample_votes(
            ring(), 10, node_index=[5, 300, 301], progress=False, num_workers=0, audit=1.0
        )
        groups = {str(targets) for targets in made}
        assert len(made) == times * len(groups)


def test_audits_of_large_graphs_need_no_edges_that_only_tell_degrees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (neighborhood_trial, neighborhood_voter):
        monkeypatch.setattr(module, "MAX_WHOLE", 22)  # more than around 5, less than around two
    boundaries: list[str] = []
    make, cast = WideTrial._wide, NeighborhoodVoter.cast

    def kept(trial: WideTrial, targets: np.ndarray, *kind: Any) -> Neighborhood:
        boundaries.append((*kind, "edges")[1])
        return make(trial, targets, *kind)

    def turned(voter: NeighborhoodVoter, samples: range) -> Ballots:
        ballots = cast(voter, samples)
        return Ballots((ballots.classes + 1) % C) if 7 in samples else ballots

    def audited() -> torch.Tensor:
        boundaries.clear()
        return classifier(Layers(2)).sample_votes(
            ring(), 40, node_index=[5, 300, 301], progress=False, num_workers=0, audit=1.0
        )

    monkeypatch.setattr(WideTrial, "_wide", kept)
    assert audited().sum() == 120
    assert boundaries[-1] == "none" and "edges" in boundaries
    monkeypatch.setattr(NeighborhoodVoter, "cast", turned)
    with pytest.raises(AuditError, match=r"num_hops=None"):
        audited()


def test_strangers_are_beside_what_is_tried_and_no_larger_than_they_must_be() -> None:
    edges = CSC(ring())
    alone = edges.field(np.array([5]), 3)
    both = alone.beside(edges.field(np.array([700, 8]), 2))
    assert both.nodes.tolist() == [*range(2, 11), *range(698, 703)]
    assert both.boundary.tolist() == [2, 10, 698, 702]
