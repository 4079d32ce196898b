"""The theorem for edges against the Neyman-Pearson worst case of whole small worlds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates.composed import ComposedSmoothing
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

World = tuple[tuple[int, ...], tuple[int, ...]]
r"""A bit of each node, and whether each pair has an edge."""

NODES, PAIRS = 2, 2
CLEAN: World = ((0, 1), (1, 0))
WORLDS = [
    (bits, pairs)
    for bits in product((0, 1), repeat=NODES)
    for pairs in product((0, 1), repeat=PAIRS)
]


def outcomes_of_node(bit: int, nodes: Any) -> dict[Any, float]:
    """What is seen of a node, its indicator and its row, with its probability."""
    if nodes is None:
        return {bit: 1.0}
    p, noise = nodes.selection.p, nodes.noise
    if isinstance(noise, AblationNoise):
        return {(0, bit): 1 - p, (1, "token"): p}
    flip = noise.p_minus if bit else noise.p_plus
    return {(0, bit): 1 - p, (1, bit): p * (1 - flip), (1, 1 - bit): p * flip}


def outcomes_of_pair(pair: int, edges: HierarchicalEdgeNoise) -> dict[Any, float]:
    """What is seen of a pair: whether it has an edge, and no indicator."""
    noise, p = edges.noise, edges.selection.p  # type: ignore[attr-defined]
    p_plus, p_minus = 0.0, 1.0
    if isinstance(noise, SparseFlipNoise):
        p_plus, p_minus = noise.p_plus, noise.p_minus
    flip = p * (p_minus if pair else p_plus)
    return {pair: 1 - flip, 1 - pair: flip}


def distribution(world: World, smoothing: ComposedSmoothing) -> dict[Any, float]:
    parts = [outcomes_of_node(bit, smoothing.nodes) for bit in world[0]]
    parts += [outcomes_of_pair(pair, smoothing.edges) for pair in world[1]]
    found: dict[Any, float] = {}
    for seen in product(*(part.items() for part in parts)):
        share = float(np.prod([each[1] for each in seen]))
        key = tuple(each[0] for each in seen)
        found[key] = found.get(key, 0.0) + share
    return found


def worst_case(p: float, clean: dict[Any, float], attacked: dict[Any, float]) -> float:
    """The least mass under the attack of a set with mass p under the clean smoothing."""
    ratios = sorted(clean, key=lambda key: attacked.get(key, 0.0) / max(clean[key], 1e-300))
    mass, left = 0.0, p
    for key in ratios:
        share = clean[key]
        taken = min(left, share)
        mass += attacked.get(key, 0.0) * (taken / share if share > 0 else 0.0)
        left -= taken
        if left <= 1e-15:
            break
    return mass


def least_certifiable(smoothing: ComposedSmoothing, attacks: Iterator[World]) -> float:
    """The least vote probability that keeps a majority under all of the attacks."""
    clean = distribution(CLEAN, smoothing)
    attacked = [distribution(world, smoothing) for world in attacks]

    def survives(p: float) -> bool:
        return all(worst_case(p, clean, each) > 0.5 for each in attacked)

    return bisect(survives)


def bisect(holds: Any) -> float:
    if not holds(1.0):
        return np.inf
    low, high = 0.0, 1.0
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def claimed(smoothing: ComposedSmoothing, **budget: Any) -> float:
    def holds(p: float) -> bool:
        bound = np.array([p])
        return bool(smoothing.is_robust(bound, 1.0 - bound, num_nodes=NODES, **budget)[0])

    return bisect(holds)


def ball(r: int, edges: int | None = None, **budget: int) -> Iterator[World]:
    """All worlds that an adversary within budget can make of the clean one."""
    for bits, pairs in WORLDS:
        rows = sum(a != b for a, b in zip(bits, CLEAN[0], strict=True))
        added = sum(a > b for a, b in zip(pairs, CLEAN[1], strict=True))
        deleted = sum(a < b for a, b in zip(pairs, CLEAN[1], strict=True))
        fits = rows <= r and (edges is None or added + deleted <= edges)
        if edges is None:
            fits &= added <= budget.get("additions", 0) and deleted <= budget.get("deletions", 0)
        if fits:
            yield bits, pairs


def node_noise(p: float, noise: Any) -> HierarchicalNodeFeatureNoise:
    return HierarchicalNodeFeatureNoise(p, noise)


ABLATED = HierarchicalEdgeNoise(0.9, AblationNoise())
FLIPPED = HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.2, 0.7))
THINNED = HierarchicalEdgeNoise(0.8, SparseFlipNoise(0.2, 0.7))


@pytest.mark.parametrize("edges", [ABLATED, FLIPPED, THINNED], ids=str)
@pytest.mark.parametrize("nodes", [None, node_noise(0.95, AblationNoise())], ids=str)
@pytest.mark.parametrize(("additions", "deletions"), [(1, 0), (0, 1), (1, 1)])
def test_added_and_deleted_edges_are_bounded_exactly(
    edges: HierarchicalEdgeNoise, nodes: Any, additions: int, deletions: int
) -> None:
    smoothing = ComposedSmoothing(edges, nodes)
    for r in range(1 if nodes is None else NODES + 1):
        budget = {"r": r, "additions": additions, "deletions": deletions}
        truth = least_certifiable(smoothing, ball(**budget))
        assert claimed(smoothing, **budget) == pytest.approx(truth, abs=1e-8)


@pytest.mark.parametrize(
    "nodes",
    [None, node_noise(0.95, AblationNoise()), node_noise(0.95, SparseFlipNoise(0.3, 0.6))],
    ids=str,
)
@pytest.mark.parametrize("p", [0.9, 0.99])
def test_no_claim_about_changed_pairs_is_contradicted(nodes: Any, p: float) -> None:
    smoothing = ComposedSmoothing(HierarchicalEdgeNoise(p, AblationNoise()), nodes)
    flips = nodes is not None and nodes.noise.axes
    for r in range(1 if nodes is None else NODES + 1):
        for edges in range(PAIRS + 1):
            # The clean bits are 0 and 1: so many may be added and deleted in all.
            budget = {"additions": r, "deletions": r} if flips else {}
            bound = claimed(smoothing, r=r, edges=edges, **budget)
            truth = least_certifiable(smoothing, ball(r, edges))
            assert bound >= truth - 1e-9
            if edges == 0 and not flips:  # one feature a node: fewer flips than the budget allows
                assert bound == pytest.approx(truth, abs=1e-8)
    assert claimed(smoothing, r=0, edges=1, **({"additions": 0} if flips else {})) < 1.0


@lru_cache(maxsize=1)
def two_partitions() -> ComposedSmoothing:
    edges = HierarchicalEdgeNoise(PartitionSelection(4, 2), AblationNoise())
    nodes = HierarchicalNodeFeatureNoise(PartitionSelection(5, 3), AblationNoise(of="messages"))
    return ComposedSmoothing(edges, nodes)


def test_outcomes_of_two_partitions_that_expose_a_change() -> None:
    smoothing = two_partitions()
    selection, pairs = smoothing.nodes.selection, smoothing.edges.selection  # type: ignore[union-attr]
    nodes_exposed = np.array([~selection.mask(i, [10]).numpy() for i in range(15)])
    rng = np.random.default_rng(0)
    for r, edges in product(range(4), range(4)):
        most, most_shared = 0, 0
        for _ in range(50):
            changed = rng.choice(10, r, replace=False)
            groups = rng.integers(4, size=(2, edges))  # any groups: a pair's is a hash
            pair_exposed = np.array([(groups[i // 4] == i % 4).any() for i in range(8)])
            node_exposed = nodes_exposed[:, changed].any(1)
            most = max(most, int((node_exposed[:, None] | pair_exposed[None]).sum()))
            most_shared = max(most_shared, int(pair_exposed.sum()))
        bound = int(smoothing.num_exposing(r, edges, 10))
        assert most <= bound <= 15 * 8
        assert most_shared <= int(pairs.num_exposing(edges))
        if min(r, edges) <= 1:
            assert most == bound  # attained
    assert smoothing.num_exposing(1, 1) == 15 * 8 - 12 * 6
    alone = ComposedSmoothing(smoothing.edges)
    assert [int(alone.num_exposing(0, e)) for e in range(6)] == [0, 2, 4, 6, 8, 8]
    shared = ComposedSmoothing(
        HierarchicalEdgeNoise(PartitionSelection(5, 3), AblationNoise()), smoothing.nodes
    )
    assert [int(shared.num_exposing(r, 2, shared=True)) for r in range(5)] == [6, 9, 12, 15, 15]


def test_added_nodes_and_pairs_have_no_end() -> None:
    """Five nodes that were added to a graph of two are five."""
    bound = np.array([0.99])
    for of, robust in (("features", True), ("messages", False), ("nodes", False)):
        smoothing = ComposedSmoothing(ABLATED, node_noise(0.8, AblationNoise(of=of)))
        assert bool(smoothing.is_robust(bound, 1 - bound, r=5, num_nodes=2)[0]) == robust
        partition = HierarchicalNodeFeatureNoise(PartitionSelection(10, 1), AblationNoise(of=of))
        exact = ComposedSmoothing(
            HierarchicalEdgeNoise(PartitionSelection(10, 1), AblationNoise()), partition
        )
        assert int(exact.num_exposing(5, 0, 2, shared=True)) == (2 if robust else 5)
        assert int(exact.num_exposing(0, 7, 2, shared=True)) == 7
    assert not ComposedSmoothing(ABLATED).is_robust(bound, 1 - bound, edges=9, num_nodes=2)[0]


def test_what_is_refused() -> None:
    half = np.array([0.9])
    with pytest.raises(ValueError, match="one of two smoothings may draw noise"):
        ComposedSmoothing(FLIPPED, node_noise(0.9, GaussianNoise(1.0)))
    with pytest.raises(ValueError, match="would carry their messages"):
        ComposedSmoothing(FLIPPED, node_noise(0.9, AblationNoise(of="messages")))
    alone = ComposedSmoothing(ABLATED)
    with pytest.raises(ValueError, match=r"'r' counts changed nodes, .* use 'edges' \(got r=1\)"):
        alone.is_robust(half, 1 - half, r=1)
    with pytest.raises(TypeError, match=r"as 'edges', or as 'additions' .*\(got edges=1 as well"):
        alone.is_robust(half, 1 - half, edges=1, additions=1)
    with pytest.raises(TypeError, match="needs the budget 'additions' or 'deletions'"):
        ComposedSmoothing(FLIPPED).is_robust(half, 1 - half)
    with pytest.raises(TypeError, match=r"got 'eps'"):
        alone.is_robust(half, 1 - half, eps=1.0)
    with pytest.raises(ValueError, match="outcomes are listed for a partition and ablation only"):
        alone.num_exposing(0, 1)
    with pytest.raises(ValueError, match=r"as many of nodes as of pairs \(got 15 and 8\)"):
        two_partitions().num_exposing(1, 1, shared=True)
    assert alone.is_robust(half, 1 - half, edges=0).all()
    assert not alone.is_robust(1 - half, half, edges=0).any()
