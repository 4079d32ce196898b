"""The theorem for edges against the Neyman-Pearson worst case of whole small worlds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pyg_hiersmooth.certificates import (
    Certificate,
    CollectiveCertificate,
    StoppingRule,
    certify_counts,
)
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.certificates.messages_of_type import MessagesOfType, TypedSmoothing
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection
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


class Smoothings(NamedTuple):
    """Noise on pairs, and perhaps on nodes."""

    edges: HierarchicalEdgeNoise
    nodes: Any = None


def certificate_of(smoothings: Smoothings, p: np.ndarray) -> Certificate:
    """The certificate of a class with vote probabilities p against all others together."""
    smoothing = EdgeSmoothing(*smoothings)
    return Certificate.from_bounds(smoothing, np.zeros(len(p), dtype=int), p, 1 - p)


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


def distribution(world: World, smoothing: Smoothings) -> dict[Any, float]:
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


def least_certifiable(smoothing: Smoothings, attacks: Iterator[World]) -> float:
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


def claimed(smoothing: Smoothings, **budget: Any) -> float:
    if smoothing.nodes is None:  # then pairs are what r counts
        del budget["r"]
        budget = {"r": budget.pop("edges")} if "edges" in budget else budget

    def holds(p: float) -> bool:
        return bool(certificate_of(smoothing, np.array([p])).is_robust(**budget)[0])

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
THINNING = HierarchicalEdgeNoise(0.9, SparseFlipNoise(0.0, 1.0))
r"""The same, told apart into additions and deletions."""
FLIPPED = HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.2, 0.7))
THINNED = HierarchicalEdgeNoise(0.8, SparseFlipNoise(0.2, 0.7))


@pytest.mark.parametrize("edges", [THINNING, FLIPPED, THINNED], ids=str)
@pytest.mark.parametrize("nodes", [None, node_noise(0.95, AblationNoise())], ids=str)
@pytest.mark.parametrize(("additions", "deletions"), [(1, 0), (0, 1), (1, 1)])
def test_added_and_deleted_edges_are_bounded_exactly(
    edges: HierarchicalEdgeNoise, nodes: Any, additions: int, deletions: int
) -> None:
    smoothing = Smoothings(edges, nodes)
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
    smoothing = Smoothings(HierarchicalEdgeNoise(p, AblationNoise()), nodes)
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


@pytest.mark.parametrize("edges", [FLIPPED, THINNED], ids=str)
def test_as_many_pairs_change_as_edges_are_added_and_deleted(edges: HierarchicalEdgeNoise) -> None:
    certificate = certificate_of(Smoothings(edges), np.array([0.5, 0.99, 1.0]))
    grid = certificate.grid(3, 3, 3)
    for r, additions, deletions in product(range(4), repeat=3):
        budget = {"additions": additions, "deletions": deletions}
        assert (grid[:, r, additions, deletions] == certificate.is_robust(r, **budget)).all()
        if r >= additions + deletions:
            assert (certificate.is_robust(r, **budget) == certificate.is_robust(**budget)).all()


def test_a_partition_of_pairs_counts_whole_votes() -> None:
    edges = HierarchicalEdgeNoise(PartitionSelection(6, 5), AblationNoise())
    exact = certify_counts(EdgeSmoothing(edges), [[30, 0], [26, 4], [20, 10], [16, 14]])
    assert exact.largest_r.tolist() == [2, 2, 0, 0]  # a lead of more than 10 r
    assert exact.is_robust(2).tolist() == [True, True, False, False]


def test_added_nodes_and_pairs_have_no_end() -> None:
    """Five nodes, or pairs, that were changed in a graph of two are five."""
    for of in ("features", "messages", "nodes"):
        noise = Smoothings(ABLATED, node_noise(0.8, AblationNoise(of=of)))
        certificate = certificate_of(noise, np.array([0.99]))
        assert not certificate.is_robust(5, edges=0)
        assert not certificate.is_robust(0, edges=9)
        assert certificate.is_robust(1, edges=1)
    assert not certificate_of(Smoothings(ABLATED), np.array([0.99])).is_robust(9)


CERTIFIED = [
    Smoothings(ABLATED),
    Smoothings(FLIPPED),
    Smoothings(HierarchicalEdgeNoise(PartitionSelection(6, 5), FLIPPED.noise, undirected=False)),
    Smoothings(ABLATED, node_noise(0.95, SparseFlipNoise(0.3, 0.6))),
    Smoothings(ABLATED, node_noise(0.95, GaussianNoise(0.5))),
    Smoothings(ABLATED, node_noise(0.95, AblationNoise(of="messages"))),
    Smoothings(THINNED, node_noise(0.95, AblationNoise(of="nodes"))),
]


@pytest.mark.parametrize("smoothings", CERTIFIED, ids=str)
def test_a_certificate_is_kept_and_shown(smoothings: Smoothings, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    certificate = certificate_of(smoothings, np.linspace(0.5, 1.0, 20))
    certificate.save(tmp_path / "kept.npz")
    kept = Certificate.load(tmp_path / "kept.npz")
    assert repr(kept) == repr(certificate)
    assert kept.threat == certificate.threat and "pairs of nodes" in kept.threat
    for strength in range(3):
        budget = dict.fromkeys(kept.noise.budget, strength)
        assert (kept.is_robust(1, **budget) == certificate.is_robust(1, **budget)).all()
    table = certificate.to_frame(np.zeros(20, dtype=int))
    for axis in certificate.noise.axes:
        for name in (f"{axis.name}_r{r}" for r in (1, 2)):
            r = int(name[-1])
            for target in (12, 19):
                rest = {other.name: 0 for other in certificate.noise.axes}
                strength = table[name][target]
                robust = certificate.is_robust(r, **{**rest, axis.name: strength})
                assert robust[target]
                step = 1 if axis.whole else 0.01
                robust = certificate.is_robust(r, **{**rest, axis.name: strength + step})
                assert not robust[target] or strength > 100
    assert certificate.threat in certificate._repr_html_()
    assert len(certificate.chart(np.zeros(20, dtype=int)).panels) >= 1


def test_a_program_that_knows_certificates_alone_reads_them(tmp_path: Path) -> None:
    of_type = TypedSmoothing(BernoulliSelection(0.9), MessagesOfType("author", "paper"))
    smoothings = [EdgeSmoothing(*CERTIFIED[0]), EdgeSmoothing(*CERTIFIED[3]), of_type]
    for number, smoothing in enumerate(smoothings):
        made = Certificate.from_bounds(smoothing, [0], [0.9], [0.1])
        made.save(tmp_path / f"{number}.npz")
    code = (
        "from pyg_hiersmooth.certificates import Certificate\n"
        f"for i in range(3): print(Certificate.load(f'{tmp_path}/{{i}}.npz').noise.of)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["edges", "nodes and edges", "messages"]


def test_stopping_asks_about_edges() -> None:
    composed = EdgeSmoothing(ABLATED, node_noise(0.95, SparseFlipNoise(0.3, 0.6)))
    rule = StoppingRule(composed, {"r": 0, "edges": 1, "deletions": 0}, 2, 2)
    assert rule.answered([[5000, 0], [3, 0]], [0, 1]).tolist() == [True, False]
    with pytest.raises(ValueError, match="must allow the adversary a change"):
        StoppingRule(composed, {"r": 1, "edges": 0}, 2, 2)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="one of two smoothings may draw noise"):
        EdgeSmoothing(FLIPPED, node_noise(0.9, GaussianNoise(1.0)))
    with pytest.raises(ValueError, match="would carry their messages"):
        EdgeSmoothing(FLIPPED, node_noise(0.9, AblationNoise(of="messages")))
    high = np.array([0.99])
    with pytest.raises(TypeError, match="is certified as EdgeSmoothing"):
        Certificate.from_bounds(FLIPPED, [0], high, 1 - high)
    alone = certificate_of(Smoothings(ABLATED), high)
    flipped = certificate_of(Smoothings(FLIPPED), high)
    composed = certificate_of(Smoothings(ABLATED, node_noise(0.9, AblationNoise())), high)
    both = certificate_of(Smoothings(FLIPPED, node_noise(0.9, AblationNoise())), high)
    with pytest.raises(TypeError, match=r"got 'eps'"):
        alone.is_robust(1, eps=1.0)
    with pytest.raises(TypeError, match=r"got 'edges'"):
        alone.is_robust(1, edges=1)
    with pytest.raises(TypeError, match="'r' is needed"):
        alone.is_robust()
    with pytest.raises(TypeError, match="'r' is needed"):
        both.is_robust(additions=1)
    with pytest.raises(TypeError, match="needs the budget 'additions' or 'deletions'"):
        flipped.is_robust(1)
    with pytest.raises(TypeError, match="needs the budget 'edges'"):
        composed.is_robust(1)
    for certificate in (composed, both):
        with pytest.raises(TypeError, match="'grid' over additions and deletions needs"):
            certificate.grid(1)
    for certificate in (alone, flipped, composed, both):
        with pytest.raises(TypeError, match="'only' is for AblationNoise"):
            certificate.is_robust(1, only="new_nodes")
        with pytest.raises(TypeError, match="'exposure' is for"):
            certificate.is_robust(1, exposure=np.ones((1, 2)))
        every = {"num_samples": [10], "votes": [[10, 0]], "alpha": 0.01, "simultaneous": True}
        kept = Certificate.from_bounds(certificate, [0], high, 1 - high, **every)
        with pytest.raises(ValueError, match="count changed nodes, not pairs"):
            CollectiveCertificate(kept, np.ones((1, 2), dtype=bool))
    sized = HierarchicalNodeFeatureNoise(FixedSizeSelection(2), AblationNoise())
    with pytest.raises(ValueError, match="may add nodes"):
        certificate_of(Smoothings(ABLATED, sized), high)
