"""Exposures against every mask, every path."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pyg_hiersmooth.nn.neighborhoods.exposure import exposure
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection


def random_edges(generator: np.random.Generator, num_nodes: int) -> np.ndarray:
    """Directed, with self-loops, and one edge twice."""
    edges = np.argwhere(generator.random((num_nodes, num_nodes)) < 0.35).T
    return np.concatenate([edges, edges[:, :1]], axis=1)


def reaches(edges: np.ndarray, sends: np.ndarray, hops: int) -> np.ndarray:
    """Whether a path of nodes that send leads to a target, bool [target, node], step by step."""
    num_nodes = len(sends)
    found = np.eye(num_nodes, dtype=bool)
    for _ in range(hops):
        wider = found.copy()
        for source, target in edges.T:
            if sends[source]:
                wider[:, source] |= found[:, target] & (
                    sends[target] | (np.arange(num_nodes) == target)
                )
        found = wider
    return found


@pytest.mark.parametrize("hops", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(4))
def test_every_outcome_of_a_partition(hops: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    edges, selection = random_edges(generator, 7), PartitionSelection(3, 4, seed)
    targets = generator.permutation(7)[:4]
    expected = np.zeros((7, 7), dtype=int)
    for index in range(selection.num_masks):
        expected += reaches(edges, ~selection.mask(index, [7]).numpy(), hops)
    found = exposure(edges, selection, targets, 7, hops)
    assert found.dtype == np.int32 and found.targets.tolist() == targets.tolist()
    assert np.array_equal(found.toarray(), expected[targets])
    unknown = exposure(edges, selection, targets, 7, None).toarray()
    assert (unknown >= found.toarray()).all() and unknown.max() == 12


@pytest.mark.parametrize("p", [0.3, 0.9, 1.0, [0.9, 0.2, 0.5, 1.0, 0.7]])
@pytest.mark.parametrize("hops", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_every_mask_of_independent_nodes(p: float | list[float], hops: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    edges, targets = random_edges(generator, 5), generator.permutation(5)[:3]
    selected = np.broadcast_to(p, 5)
    expected = np.zeros((5, 5))
    for mask in product((False, True), repeat=5):
        sends = np.array(mask)
        expected += np.where(sends, 1 - selected, selected).prod() * reaches(edges, sends, hops)
    selection = BernoulliSelection(p)  # type: ignore[arg-type]
    found = exposure(edges, selection, targets, 5, hops).toarray()
    assert (found[np.arange(3), targets] == 1.0).all()
    assert (found >= expected[targets] - 1e-14).all() and (found <= 1.0).all()
    if hops <= 2:
        np.testing.assert_allclose(found, expected[targets], atol=1e-11)
    unknown = exposure(edges, selection, targets, 5, None).toarray()
    assert (unknown >= found - 1e-11).all()


def test_bounds_of_many_hops_are_attained_on_a_tree() -> None:
    edges = np.array([[3, 3, 1, 2], [1, 2, 0, 0]])  # 3 -> {1, 2} -> 0 and 4 -> 3
    edges = np.concatenate([edges, [[4], [3]]], axis=1)
    found = exposure(edges, BernoulliSelection(0.8), np.array([0]), 5, 3).toarray()[0]
    through = 0.2 * (1 - 0.8**2)
    np.testing.assert_allclose(found, [1.0, 0.2, 0.2, through, 0.2 * through], rtol=1e-11)


def test_other_selections_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs a PartitionSelection, or .*FixedSizeSelection"):
        exposure(np.zeros((2, 0), int), FixedSizeSelection(2), np.array([0]), 3, 1)
