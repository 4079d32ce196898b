from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import SmoothedAttack
from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.attacks.attacked_node import AttackedNode
from pyg_hiersmooth.attacks.edges import GRBCD, PRBCD, ExpectedVote, by_gradient, candidates
from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise


class Weighing(torch.nn.Module):
    """What a node hears, by the weights of edges, against what it is."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        heard = x[edge_index[0]]
        heard = heard if edge_weight is None else heard * edge_weight.view(-1, 1)
        return 2.0 * x + 3.0 * torch.zeros_like(x).index_add(0, edge_index[1], heard)


@pytest.fixture
def graph() -> Data:
    """A path of class 0, and nodes of class 1 at its side."""
    edges = torch.tensor([[0, 1], [1, 2], [2, 3]]).t()
    x = torch.tensor([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 8)
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1))


def node_of(graph: Data, transform: HierarchicalEdgeNoise, **budget: int) -> AttackedNode:
    smoothed = SmoothedNodeClassifier(Weighing(), transform, 2, num_hops=1)
    return AttackedNode(
        model=AttackedModel(smoothed),
        graph=graph,
        node=1,
        prediction=0,
        rivals=[1],
        outcomes=None,
        r=2,
        budget=budget,
        only_new=False,
        donors=torch.tensor([[0, 1, 2], [4, 5, 6]]),
        seed=0,
    )


PAIRS = HierarchicalEdgeNoise(PartitionSelection(3, 2), AblationNoise())
FLIPS = HierarchicalEdgeNoise(1.0, SparseFlipNoise(1e-3, 0.2))


@pytest.mark.parametrize("attack", [PRBCD, GRBCD])
def test_attacks_of_pyg_find_the_edges_that_matter(
    graph: Data, attack: type[PRBCD | GRBCD]
) -> None:
    node = node_of(graph, FLIPS, additions=2, deletions=0)
    useless = torch.tensor([[4, 5, 8, 9], [7, 8, 10, 11]])
    pairs = torch.cat([candidates(node, 0), useless], dim=1)
    state = torch.get_rng_state()
    flips = by_gradient(node, pairs, attack, 0)
    assert flips.size(1) == 2 and (flips == 1).any(0).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_candidates_are_what_the_budget_allows(graph: Data) -> None:
    node = node_of(graph, FLIPS, additions=0, deletions=1)
    around = {tuple(pair) for pair in candidates(node, 0).t().tolist()}
    assert around == {(0, 1), (1, 2), (2, 3)}
    node = node_of(graph, FLIPS, additions=1, deletions=0)
    assert {tuple(pair) for pair in candidates(node, 0).t().tolist()} == {(1, 4), (1, 5), (1, 6)}


def test_the_expected_vote_is_the_mean_over_draws(graph: Data) -> None:
    node = node_of(graph, PAIRS)
    everybody = torch.arange(12)
    vote = ExpectedVote(node.model, everybody, 12, range(3, 6), 0)
    found = vote(graph.x, graph.edge_index, torch.ones(6))
    noisy = PAIRS.prepare(graph)
    each = [Weighing()(graph.x, noisy.outcome(i).edge_index).softmax(1) for i in range(3, 6)]
    assert torch.allclose(found.exp(), torch.stack(each).mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("budget", "most"), [({"deletions": 1}, (0, 1)), ({"additions": 1, "deletions": 1}, (1, 1))]
)
def test_flips_of_edges_stay_within_their_budget(
    graph: Data, budget: dict[str, int], most: tuple[int, int]
) -> None:
    smoothed = SmoothedNodeClassifier(Weighing(), FLIPS, 2, num_hops=1)
    certificate = smoothed.certify(graph, 10, 50, node_index=[1, 2], progress=False, num_workers=0)
    result = SmoothedAttack(smoothed, 3, 20)(graph, certificate, progress=False, **budget)
    for position in np.flatnonzero(result.prediction >= 0):
        changes = result.changes[position]
        assert torch.equal(result.attacked(position).x, graph.x)
        assert changes.added.size(1) <= 2 * most[0] and len(changes.removed) <= 2 * most[1]


def test_both_directions_go_and_come_together(graph: Data) -> None:
    torch.manual_seed(0)
    smoothed = SmoothedNodeClassifier(GCN(2, 2), PAIRS, num_classes=2)
    certificate = smoothed.certify(graph, node_index=[1], progress=False, num_workers=0)
    for restarts in (1, 2, 3):
        result = SmoothedAttack(smoothed, restarts)(graph, certificate, r=2, progress=False)
        edges = result.attacked(0).edge_index
        assert {tuple(e) for e in edges.t().tolist()} == {
            tuple(e) for e in edges.flip(0).t().tolist()
        }
