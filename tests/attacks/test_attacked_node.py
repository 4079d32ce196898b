from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.attacks.attacked_node import EXTREME, AttackedNode
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection

Making = Callable[..., SmoothedNodeClassifier]

SELECTION = PartitionSelection(4, 2)


@pytest.fixture
def node(world: Data, credulous: Making) -> AttackedNode:
    return AttackedNode(
        model=AttackedModel(credulous(SELECTION, "messages")),
        graph=world,
        node=0,
        prediction=0,
        rivals=[1],
        outcomes=None,
        r=2,
        budget={},
        only_new=False,
        donors=torch.tensor([[0, 1], [12, 13]]),
        seed=0,
    )


@pytest.mark.parametrize("seed", range(4))
def test_few_nodes_turn_as_many_outcomes_as_they_can(node: AttackedNode, seed: int) -> None:
    generator = np.random.default_rng(seed)
    outcomes = generator.integers(0, 2, 8)
    node = replace(node, outcomes=outcomes)
    candidates = torch.from_numpy(generator.permutation(24)[:10])
    groups = SELECTION.groups(24)

    def turned(nodes: tuple[int, ...]) -> int:
        hit = {(k, int(groups[k, i])) for i in nodes for k in range(2)}
        return sum(int(outcomes[4 * k + g] == 0) for k, g in hit)

    chosen = node.chosen(candidates, 24, 0).tolist()
    best = max(turned(pair) for pair in combinations(candidates.tolist(), 2))
    first = max(turned((i,)) for i in candidates.tolist())
    assert len(set(chosen)) == 2 and turned((chosen[0],)) == first
    assert turned(tuple(chosen)) >= best - 1  # greedy


def test_nodes_that_no_partition_unites(node: AttackedNode) -> None:
    groups = SELECTION.groups(24)
    first, second = node.chosen(torch.arange(24), 24, 0).tolist()
    assert (groups[:, first] != groups[:, second]).all()


def test_without_a_partition_the_first_are_chosen(node: AttackedNode, credulous: Making) -> None:
    other = AttackedModel(credulous(BernoulliSelection(0.5), "messages"))
    node = replace(node, model=other)
    assert node.chosen(torch.tensor([7, 3, 5]), 24, 0).tolist() == [7, 3]
    assert len(node.draws(0)) == 32


def test_draws_of_an_attempt_are_a_partition(node: AttackedNode) -> None:
    assert [node.draws(attempt) for attempt in range(3)] == [range(4), range(4, 8), range(4)]


def test_payloads_are_of_a_rival(node: AttackedNode) -> None:
    assert [node.payload(attempt)[0] for attempt in range(4)] == [EXTREME] * 3 + [1.0]


def test_the_lead_over_all_others(node: AttackedNode) -> None:
    node = replace(node, prediction=1, rivals=[2, 0])
    assert node.lead(torch.tensor([[1.0, 5.0, 3.0], [4.0, 3.0, 0.0]])).tolist() == [2.0, -1.0]
