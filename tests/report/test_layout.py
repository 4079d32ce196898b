from __future__ import annotations

import time

import numpy as np
import pytest

from pyg_hiersmooth.datasets import CitationSBM
from pyg_hiersmooth.report.layout import layout


def mean_length(position: np.ndarray, pairs: np.ndarray) -> float:
    return float(np.linalg.norm(position[pairs[0]] - position[pairs[1]], axis=1).mean())


def test_neighbors_are_close_and_classes_apart() -> None:
    graph = CitationSBM()[0]
    edges, y = graph.edge_index.numpy(), graph.y.numpy()
    start = time.process_time()
    position = layout(graph.num_nodes, edges)
    assert time.process_time() - start < 5.0  # half a second on a quiet machine
    assert position.shape == (graph.num_nodes, 2) and np.isfinite(position).all()
    anyone = np.random.default_rng(0).integers(graph.num_nodes, size=(2, 20_000))
    alike = anyone[:, y[anyone[0]] == y[anyone[1]]]
    assert mean_length(position, edges) < 0.5 * mean_length(position, anyone)
    assert mean_length(position, alike) < 0.65 * mean_length(position, anyone)


def test_it_is_the_same_each_time_and_for_edges_in_both_directions() -> None:
    edges = np.stack([np.arange(40), np.arange(1, 41)])
    position = layout(50, edges)
    np.testing.assert_array_equal(position, layout(50, edges))
    both = np.concatenate([edges, edges[::-1]], 1)
    np.testing.assert_allclose(position, layout(50, both), atol=1e-6)


@pytest.mark.parametrize("num_nodes", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("connected", [False, True])
def test_small_graphs_and_nodes_without_edges(num_nodes: int, connected: bool) -> None:
    size = max(num_nodes - 1, 0) if connected else 0
    edges = np.stack([np.arange(size), np.arange(size) + 1])
    position = layout(num_nodes, edges)
    assert position.shape == (num_nodes, 2) and np.isfinite(position).all()
    assert len(np.unique(position.round(3), axis=0)) == num_nodes  # none covers another
