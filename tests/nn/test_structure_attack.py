"""PyG's gradient-based attack on edges, made for the smoothed classifier itself, against exact
certificates on real data: no certified prediction falls.

The attack descends on the mean probability over all outcomes, with the edges that an outcome
removes at weight 0, which is the same to a GCN: what it finds is aimed at these very outcomes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.contrib.nn import PRBCDAttack
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph

from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise
from pyg_hiersmooth.transforms.node_pairs import NodePairs

SELECTION = PartitionSelection(8, 1)
MESSAGES = HierarchicalNodeFeatureNoise(SELECTION, AblationNoise(of="messages"))
EDGES = HierarchicalEdgeNoise(SELECTION, AblationNoise())
LARGEST, OTHERS = 400, 100
r"""Nodes within three hops of an attacked one, at most, and further ones that are at hand."""

GroupOf = Callable[[Tensor, Tensor], Tensor]
r"""The group of each edge between two numbered nodes: the outcome that keeps it."""


class Expected(torch.nn.Module):
    """The logarithm of the mean probability over all outcomes, on a part of the graph."""

    def __init__(
        self, model: torch.nn.Module, group_of: GroupOf, nodes: Tensor, silent: Tensor | None
    ) -> None:
        super().__init__()
        self.model, self.group_of, self.nodes, self.silent = model, group_of, nodes, silent

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        total: Tensor | int = 0
        group = self.group_of(*self.nodes[edge_index])
        for index in range(SELECTION.num_masks):
            weight = edge_weight * (group == index)
            shown = x
            if self.silent is not None:
                shown = torch.cat([x, self.silent[index][self.nodes].float().view(-1, 1)], dim=1)
            total = total + self.model(shown, edge_index, weight).softmax(-1)
        assert isinstance(total, Tensor)
        return (total / SELECTION.num_masks).log()


@pytest.mark.slow
@pytest.mark.parametrize("noise", [MESSAGES, EDGES], ids=["messages", "edges"])
def test_no_certified_prediction_falls_to_the_attack(
    noise: HierarchicalNodeFeatureNoise | HierarchicalEdgeNoise, data_root: Path
) -> None:
    data = load_dataset("Cora_ML", str(data_root))[0]
    data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1)
    num_nodes, num_classes = data.x.size(0), int(data.y.max()) + 1
    of_nodes = noise is MESSAGES
    split = split_nodes(data.y, seed=3)
    torch.manual_seed(0)
    model = GCN(data.num_features + of_nodes, num_classes)
    train = HierarchicalNodeFeatureNoise if of_nodes else HierarchicalEdgeNoise
    train_noise = train(0.875, noise.noise)
    train_node_classifier(
        model, data, split, train_noise, lr=1e-2, max_epochs=40, patience=40, progress=False
    )
    smoothed = SmoothedNodeClassifier(model, noise, num_classes)
    index = split.test_index
    certificate = smoothed.certify(data, node_index=index, progress=False, num_workers=0)

    silent = None
    if of_nodes:
        silent = torch.stack([SELECTION.mask(i, [num_nodes]) for i in range(SELECTION.num_masks)])

        groups = SELECTION.groups(num_nodes)[0]

        def group_of(source: Tensor, target: Tensor) -> Tensor:
            return groups[source]

    else:
        pairs = NodePairs(torch.tensor([num_nodes]), undirected=True)

        def group_of(source: Tensor, target: Tensor) -> Tensor:
            return pairs.groups(pairs.number(source, target), SELECTION)[0]

    def votes(graph: Data, target: int) -> Tensor:
        found = torch.zeros(num_classes, dtype=torch.long)
        group = group_of(*graph.edge_index)
        model.eval()
        for index in range(SELECTION.num_masks):
            left = graph.edge_index[:, group == index]
            x = graph.x
            if silent is not None:
                x = torch.cat([x, silent[index].float().view(-1, 1)], dim=1)
            with torch.no_grad():
                found[model(x, left)[target].argmax()] += 1
        return found

    generator = torch.Generator().manual_seed(0)
    attacked = fell = changed = 0
    for r in (1, 2):
        barely = (certificate.largest_r == r).nonzero()[0]
        below = (certificate.largest_r == r - 1).nonzero()[0]
        for position, certified in [
            *((i, True) for i in _within_reach(barely, data, index)),
            *((i, False) for i in _within_reach(below, data, index)),
        ]:
            target, own = int(index[position]), int(certificate.prediction[position])
            assert torch.equal(votes(data, target), torch.tensor(certificate.votes[position]))
            nodes, _, at, _ = k_hop_subgraph(target, 3, data.edge_index, num_nodes=num_nodes)
            others = torch.randperm(num_nodes, generator=generator)[:OTHERS]
            nodes = torch.cat([nodes, others]).unique()
            part = data.subgraph(nodes)
            at = torch.searchsorted(nodes, torch.tensor([target]))
            surrogate = Expected(model, group_of, nodes, silent)
            torch.manual_seed(position)
            attack = PRBCDAttack(
                surrogate, block_size=8_000, epochs=10, epochs_resampling=6, log=False
            )
            labels = torch.full((len(nodes),), own)
            _, flipped = attack.attack(part.x, part.edge_index, labels, r, at)
            after = votes(_flipped(data, nodes[flipped]), target)
            rivals = np.delete(after.numpy(), own)
            lost = int(certificate.votes[position][own] - after[own])
            attacked, changed = attacked + 1, changed + (lost > 0)
            assert lost <= r  # one vote per edge
            if certified:
                assert after[own] > rivals.max()
            else:
                fell += int(after[own] <= rivals.max())
    assert attacked >= 8 and changed > attacked // 3 and fell > 0


def _within_reach(positions: np.ndarray, data: Data, index: Tensor) -> list[int]:
    """A few nodes with few others around them, so that the attack may try most edges there."""
    found = []
    for position in positions:
        near, *_ = k_hop_subgraph(int(index[position]), 3, data.edge_index)
        if len(near) <= LARGEST:
            found.append(int(position))
    return found[:3]


def _flipped(data: Data, ends: Tensor) -> Data:
    """The graph with other edges at some pairs of nodes, ``[2, K]``."""
    graph = copy.copy(data)
    there = {tuple(edge) for edge in data.edge_index.t().tolist()}
    for i, j in ends.t().tolist():
        there ^= {(i, j), (j, i)}
    graph.edge_index = torch.tensor(sorted(there)).t()
    return graph
