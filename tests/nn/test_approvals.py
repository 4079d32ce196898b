"""Approvals from the engine, against plain loops over models that nobody prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from pyg_hiersmooth.certificates import PredictionSets
from pyg_hiersmooth.nn import (
    SmoothedGraphClassifier,
    SmoothedImageClassifier,
    SmoothedNodeClassifier,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C, SEED, LEVELS = 12, 5, 3, 4, [0.15, 0.4, 0.0]
FLIPS = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.6))
GAUSSIAN = HierarchicalNodeFeatureNoise(0.6, GaussianNoise(1.0))
GENERATOR = torch.Generator().manual_seed(0)


class Net(nn.Module):
    """Two convolutions, and sums over graphs where there are some."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = GCNConv(D + 1, 8), GCNConv(8, C)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        x = 3.0 * self.second(self.first(x, edge_index).tanh(), edge_index)
        if batch is None:
            return x
        return x.new_zeros(int(batch.max()) + 1, C).index_add(0, batch, x)


def graph(num_nodes: int = N) -> Data:
    edges = torch.randint(0, num_nodes, (2, 2 * num_nodes), generator=GENERATOR)
    x = (torch.rand(num_nodes, D, generator=GENERATOR) < 0.5).float()
    return Data(x=x, edge_index=edges)


def features(
    transform: HierarchicalNodeFeatureNoise, x: Tensor, sizes: list[int], *path: int
) -> Tensor:
    """Noisy features of the last of the numbers, perhaps in a shard."""
    return transform.prepare(x, sizes)(RandomStream(SEED, *path))


@torch.no_grad()
def counted(logits_of: Callable[[int], Tensor], samples: range) -> Tensor:
    """Approvals at all levels, ``[L, M, C]``."""
    found = 0
    for sample in samples:
        shares = logits_of(sample).double().softmax(-1)
        found = found + torch.stack([(shares >= level).long() for level in LEVELS])
    return found


def test_nodes_approve_as_in_a_plain_loop() -> None:
    data, targets = graph(), torch.tensor([7, 0, 11])
    smoothed = SmoothedNodeClassifier(Net(), FLIPS, C, num_hops=None)

    def logits_of(sample: int) -> Tensor:
        return Net()(features(FLIPS, data.x, [N], sample), data.edge_index)[targets]

    expected = counted(logits_of, range(10, 60))
    assert 0 < int(expected[0].sum()) < 50 * targets.numel() * C
    for options in ({"num_workers": 2}, {"block_size": 1, "audit": 1.0}, {"dense": True}):
        votes = smoothed.sample_votes(
            data, 50, SEED, targets, False, start=10, approve=LEVELS, **options
        )
        assert torch.equal(votes, expected)
    one = smoothed.sample_votes(data, 50, SEED, targets, False, start=10, approve=LEVELS[0])
    assert torch.equal(one, expected[0])


def test_graphs_approve_as_in_a_plain_loop() -> None:
    graphs = [graph(size) for size in (3, 7, 4)]
    x = torch.cat([each.x for each in graphs])

    def logits_of(sample: int) -> Tensor:
        rows = features(FLIPS, x, [3, 7, 4], 0, sample).split([3, 7, 4])
        alone = [
            Net()(own, each.edge_index, torch.zeros(len(own), dtype=torch.long))
            for own, each in zip(rows, graphs, strict=True)
        ]
        return torch.cat(alone)

    smoothed = SmoothedGraphClassifier(Net(), FLIPS, C)
    found = smoothed.sample_votes(graphs, 40, SEED, progress=False, approve=LEVELS)
    assert torch.equal(found, counted(logits_of, range(40)))


def test_images_approve_as_in_a_plain_loop() -> None:
    images = torch.rand(4, 2, 3, 3, generator=GENERATOR)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(27, C)).eval()
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 2)

    def logits_of(sample: int) -> Tensor:
        noisy = features(GAUSSIAN, pixels, [9] * 4, 0, sample)
        return net(noisy.view(4, 3, 3, 3).permute(0, 3, 1, 2))

    smoothed = SmoothedImageClassifier(net, GAUSSIAN, C)
    found = smoothed.sample_votes(images, 40, SEED, progress=False, approve=LEVELS)
    assert torch.equal(found, counted(logits_of, range(40)))


@pytest.mark.parametrize("of", ["features", "messages"])
def test_all_outcomes_approve_as_in_a_plain_loop(of: str, tmp_path: Path) -> None:
    data, selection = graph(), PartitionSelection(4, 3)
    transform = HierarchicalNodeFeatureNoise(selection, AblationNoise(of=of))
    smoothed = SmoothedNodeClassifier(Net(), transform, C)

    def logits_of(outcome: int) -> Tensor:
        selected = selection.mask(outcome, [N])
        x, edges = data.x, data.edge_index
        if of == "features":
            x = x.masked_fill(selected.view(-1, 1), 0.0)
        else:
            edges = edges[:, ~selected[edges[0]]]
        return Net()(torch.cat([x, selected.view(-1, 1).float()], 1), edges)

    expected = counted(logits_of, range(12)).numpy()
    with torch.no_grad():
        classes = torch.stack([logits_of(i).argmax(-1) for i in range(12)], 1).numpy()
    for level, approvals in zip(LEVELS, expected, strict=True):
        folder = tmp_path / str(level)
        for again in range(2):
            cert = smoothed.certify(data, progress=False, approve=level, checkpoint=folder)
            assert cert.exact and cert.approve == level, again
            np.testing.assert_array_equal(cert.approvals, approvals)
            np.testing.assert_array_equal(cert.mask_predictions, classes)
            np.testing.assert_array_equal(cert.votes, _votes(classes))
    assert smoothed.certify(data, progress=False).approvals is None


def _votes(classes: np.ndarray) -> np.ndarray:
    return np.stack([(classes == c).sum(1) for c in range(C)], axis=1)


def test_neighborhoods_approve_as_the_whole_graph() -> None:
    """Exactly, where all outcomes are listed."""
    num_nodes = 900
    source = torch.randint(num_nodes, (2 * num_nodes,), generator=GENERATOR)
    ahead = torch.randint(1, 6, (2 * num_nodes,), generator=GENERATOR)
    x = (torch.rand(num_nodes, D, generator=GENERATOR) < 0.4).float()
    data = Data(x=x, edge_index=torch.stack([source, (source + ahead) % num_nodes]))
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(5, 4), AblationNoise())
    found = []
    for hops in (2, None):
        smoothed = SmoothedNodeClassifier(Net(), transform, C, num_hops=hops)
        cert = smoothed.certify(
            data, index=[400, 2, 401, 650], progress=False, num_workers=0, approve=0.3
        )
        assert ("for 4 targets" in str(smoothed.neighborhoods)) == (hops == 2)
        found.append(cert.approvals)
    np.testing.assert_array_equal(*found)
    assert 0 < found[0].sum() < 20 * 4 * C


def test_bounding_votes_alone_are_approved_and_kept(tmp_path: Path) -> None:
    data = graph()
    smoothed = SmoothedNodeClassifier(Net(), FLIPS, C)
    options: dict[str, Any] = {"seed": SEED, "progress": False, "approve": LEVELS[0]}
    cert = smoothed.certify(data, 20, 50, checkpoint=tmp_path, **options)
    expected = smoothed.sample_votes(data, 50, SEED, progress=False, start=20, approve=LEVELS[0])
    np.testing.assert_array_equal(cert.approvals, expected.numpy())
    assert (cert.votes.sum(1) == 50).all()
    again = smoothed.certify(data, 20, 50, checkpoint=tmp_path, **options)
    np.testing.assert_array_equal(again.approvals, cert.approvals)
    for other in (0.3, None):
        with pytest.raises(ValueError, match="approve"):
            smoothed.certify(data, 20, 50, checkpoint=tmp_path, **{**options, "approve": other})


def test_targets_that_are_decided_keep_the_approvals_of_their_samples() -> None:
    data = graph()
    smoothed = SmoothedNodeClassifier(Net(), FLIPS, C, num_hops=None)
    question = {"r": 1, "additions": 0, "deletions": 1}
    cert = smoothed.certify(
        data, n=200, seed=SEED, until=question, progress=False, approve=LEVELS[0]
    )
    assert len(set(cert.num_samples.tolist())) > 1
    for taken in set(cert.num_samples.tolist()):
        those = np.flatnonzero(cert.num_samples == taken)
        alone = smoothed.sample_votes(
            data, taken, SEED, those, False, num_workers=0, approve=LEVELS[0]
        )
        np.testing.assert_array_equal(cert.approvals[those], alone.numpy())
    sets = PredictionSets.calibrate(cert, torch.zeros(N, dtype=torch.long), 0.8)
    assert sets.approve == LEVELS[0]


@pytest.mark.parametrize("approve", [-0.1, 1.1, float("nan"), "0.1", "", True + 1, None])
def test_levels_that_are_no_probabilities(approve: Any) -> None:
    smoothed, data = SmoothedNodeClassifier(Net(), FLIPS, C), graph()
    several = [[0.1, approve], np.array([0.1, 0.2])]
    for bad in several if approve is None else [approve, *several]:
        with pytest.raises(ValueError, match="'approve' must be a probability in"):
            smoothed.sample_votes(data, 5, progress=False, approve=bad)
    with pytest.raises(ValueError, match="'approve' must hold at least one probability"):
        smoothed.sample_votes(data, 5, progress=False, approve=[])


@pytest.mark.parametrize("approve", [[0.1], (0.1, 0.2), 2.0, "0.1"])
def test_a_certificate_is_of_one_level(approve: Any) -> None:
    smoothed = SmoothedNodeClassifier(Net(), FLIPS, C)
    with pytest.raises(ValueError, match="'approve' must be a probability in"):
        smoothed.certify(graph(), 5, 5, progress=False, approve=approve)
