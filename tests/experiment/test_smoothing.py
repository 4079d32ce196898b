from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_hiersmooth.certificates.composed import ComposedNoise, EdgeNoise
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.experiment.smoothing import (
    build_edges,
    build_nodes,
    build_smoothing,
    certified_as,
    composed,
    parts,
    shows_indicator,
    training_noise,
)
from pyg_hiersmooth.experiment.task import NodeTask
from pyg_hiersmooth.noise import AblationNoise, SparseFlipNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

SHORT = Settings.of(max_epochs=2, lr=0.01, seed=3, device="cpu")


@pytest.fixture(scope="module")
def nodes() -> NodeTask:
    return NodeTask(SHORT)


@pytest.mark.parametrize(
    ("noise", "text"),
    [
        ({}, "SparseFlipNoise(p_plus=0.05, p_minus=0.8)"),
        ({"noise": "gaussian", "std": 0.5}, "GaussianNoise(std=0.5)"),
        ({"noise": "laplace"}, "LaplaceNoise(scale=0.25)"),
        ({"noise": "uniform", "scale": 2.0}, "UniformNoise(scale=2.0)"),
        ({"noise": "ablation"}, "AblationNoise()"),
        ({"noise": "ablation", "ablate": "messages"}, "AblationNoise(of='messages')"),
    ],
)
def test_smoothing(noise: dict[str, Any], text: str) -> None:
    settings = Settings.of(p=0.7, indicator=False, **noise).smoothing
    transform = build_smoothing(settings)
    assert str(transform.noise) == text
    assert "0.7" in str(transform.selection) and not transform.append_indicator
    assert NodeTask(Settings.of(noise="none")).transform is None


def test_partitions_are_those_of_the_settings() -> None:
    settings = Settings.of(noise="ablation", selection="partition", groups=4, partitions=3)
    partition = "PartitionSelection(num_groups=4, num_partitions=3, seed=5, dealing='blocks')"
    assert f"{partition}, AblationNoise()" in str(build_smoothing(settings.smoothing, 5))
    pairs = Settings.of(edges="ablation", edges_groups=4, edges_partitions=3).pairs
    assert str(build_edges(pairs, 5)) == (
        f"HierarchicalEdgeNoise({partition}, AblationNoise(), undirected=True)"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"edges": "ablation"}, HierarchicalEdgeNoise(0.9, AblationNoise())),
        (
            {"edges": "flips", "directed": True},
            HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.001, 0.4), undirected=False),
        ),
        (
            {"edges": "flips", "edges_p": 0.5, "edges_p_plus": 0.0, "edges_p_minus": 1.0},
            HierarchicalEdgeNoise(0.5, SparseFlipNoise(0.0, 1.0)),
        ),
        (
            {"edges": "ablation", "edges_selection": "partition"},
            HierarchicalEdgeNoise(PartitionSelection(20, 10, 0), AblationNoise()),
        ),
    ],
)
def test_edges_get_the_noise_of_the_settings(
    options: dict[str, Any], expected: HierarchicalEdgeNoise
) -> None:
    alone = Settings.of(**options)
    edges = build_edges(alone.pairs, alone.seed)
    assert str(edges) == str(expected) and build_nodes(alone.smoothing) is None
    assert composed(None, edges) is edges and parts(edges) == [edges]
    assert isinstance(certified_as(None, edges).noise, EdgeNoise)
    both = Settings.of(**options, noise="ablation", p=0.7)
    of_nodes = build_nodes(both.smoothing)
    transform, smoothing = composed(of_nodes, edges), certified_as(of_nodes, edges)
    assert isinstance(transform, Compose) and parts(transform) == [of_nodes, edges]
    assert isinstance(smoothing.noise, ComposedNoise)  # type: ignore[union-attr]
    assert smoothing.selection is of_nodes.selection  # type: ignore[union-attr]
    assert shows_indicator(transform) and not shows_indicator(edges)
    assert composed(of_nodes, None) is certified_as(of_nodes, None) is of_nodes
    assert parts(None) == []
    for of in (composed, certified_as):
        with pytest.raises(ValueError, match="neither nodes nor edges get noise"):
            of(None, None)


def test_training_under_a_partition_selects_every_node_by_itself(nodes: NodeTask) -> None:
    exact = HierarchicalNodeFeatureNoise(PartitionSelection(4, 2), AblationNoise())
    sampled = HierarchicalNodeFeatureNoise(0.75, AblationNoise())
    assert str(training_noise(exact)) == str(sampled)
    assert training_noise(sampled) is sampled and training_noise(None) is None
    plain = HierarchicalNodeFeatureNoise(PartitionSelection(4), AblationNoise(), False)
    assert training_noise(plain).append_indicator is False  # type: ignore[union-attr]
    for found, expected in zip(
        nodes.new_trained_model(exact).parameters(),
        nodes.new_trained_model(sampled).parameters(),
        strict=True,
    ):
        assert torch.equal(found, expected)


def test_training_under_a_partition_selects_every_pair_by_itself() -> None:
    nodes = HierarchicalNodeFeatureNoise(PartitionSelection(4, 2), AblationNoise())
    edges = HierarchicalEdgeNoise(PartitionSelection(5, 2), AblationNoise(), undirected=False)
    found = parts(training_noise(Compose([nodes, edges])))
    assert [str(part) for part in found] == [
        str(HierarchicalNodeFeatureNoise(0.75, AblationNoise())),
        str(HierarchicalEdgeNoise(0.8, AblationNoise(), undirected=False)),
    ]
    assert str(training_noise(edges)) == str(found[1])
