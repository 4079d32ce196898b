from __future__ import annotations

from collections.abc import Callable

import torch
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import SmoothedAttack
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.selection import PartitionSelection

Making = Callable[..., SmoothedNodeClassifier]


def test_taken_over_nodes_are_others_and_few(world: Data, credulous: Making) -> None:
    smoothed = credulous(PartitionSelection(5, 2), "messages")
    certificate = smoothed.certify(world, node_index=[2], progress=False, num_workers=0)
    y = world.y[:1]
    for only, restarts in ((None, 1), ("new_nodes", 1)):
        attack = SmoothedAttack(smoothed, restarts)
        result = attack(world, certificate, r=3, only=only, progress=False)
        changes = result.changes[0]
        assert len(changes.nodes) == 3 and 2 not in changes.nodes
        assert bool((changes.nodes >= 24).all()) == (only == "new_nodes")
        assert torch.isin(world.edge_index[:, changes.removed], changes.nodes).any(0).all()
        assert torch.isin(changes.added, changes.nodes).any(0).all()
        assert result.certified_accuracy(y) <= result.accuracy(y)
