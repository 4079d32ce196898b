"""Ablated messages on graphs of a few nodes: every mask, every attack, and tables of local views.

What a node of a message passing network may know of others is its *view*: its own features and
whether it is selected, and after each step, the views of the nodes with an edge to it that send. A
table gives each view any class. No model of this kind must contradict a certificate, and one that
turns against the prediction wherever a view is not one of the clean graph attains the bounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, certify_counts
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection

Edges = frozenset[tuple[int, int]]
Graph = tuple[tuple[int, ...], Edges]
View = Any
MESSAGES = AblationNoise(of="messages")
STEPS = 2


@cache
def views(graph: Graph, sends: tuple[bool, ...]) -> tuple[View, ...]:
    """The view of each node after all steps."""
    features, edges = graph
    known: list[View] = list(zip(features, sends, strict=True))
    for _ in range(STEPS):
        known = [
            (
                known[node],
                tuple(sorted(repr(known[i]) for i, j in edges if j == node and sends[i])),
            )
            for node in range(len(features))
        ]
    return tuple(map(repr, known))


def table(seed: int, num_classes: int = 2) -> Callable[[View], int]:
    return lambda view: zlib.crc32(f"{seed} {view}".encode()) // 7 % num_classes


def turning(
    clean: Graph, masks: Sequence[tuple[bool, ...]], seed: int, always: int | None = None
) -> Callable[[View], int]:
    """Class 0 for most views of the clean graph (or always the same), class 1 for all others."""
    known = {view for mask in masks for view in views(clean, mask)}

    def model(view: View) -> int:
        drawn = int(zlib.crc32(f"{seed} {view}".encode()) % 4 == 0)
        return 1 if view not in known else drawn if always is None else always

    return model


def every_mask(num_nodes: int) -> list[tuple[bool, ...]]:
    return list(product((False, True), repeat=num_nodes))


def share_of_ones(graph: Graph, model: Callable[[View], int], p: float, target: int) -> float:
    """The vote probability of class 1, where nodes send with probability ``1 - p``."""
    masks = every_mask(len(graph[0]))
    chance = np.array([p ** mask.count(False) * (1 - p) ** mask.count(True) for mask in masks])
    return float(chance @ [model(views(graph, mask)[target]) for mask in masks])


def sending(selection: PartitionSelection, num_nodes: int) -> list[tuple[bool, ...]]:
    masks = [selection.mask(index, [num_nodes]) for index in range(selection.num_masks)]
    return [tuple((~mask).tolist()) for mask in masks]


def answers(
    graph: Graph, model: Callable[[View], int], selection: PartitionSelection
) -> np.ndarray:
    """The class that each mask votes for, for each node: int [M, num_masks]."""
    masks = sending(selection, len(graph[0]))
    return np.array([[model(view) for view in views(graph, mask)] for mask in masks]).T


def with_new_node(graph: Graph) -> Iterator[Graph]:
    """The graph and one more node, with every set of edges, and features old and new."""
    features, edges = graph
    new = len(features)
    ends = [(i, new) for i in range(new)] + [(new, i) for i in range(new)]
    for feature, chosen in product((0, 1, 2), product((False, True), repeat=len(ends))):
        added = {end for end, kept in zip(ends, chosen, strict=True) if kept}
        yield (*features, feature), edges | added


def with_other_features(graph: Graph, nodes: Sequence[int]) -> Iterator[Graph]:
    for values in product((0, 1, 2), repeat=len(nodes)):
        features = list(graph[0])
        for node, value in zip(nodes, values, strict=True):
            features[node] = value
        yield tuple(features), graph[1]


CLEAN: list[Graph] = [
    ((0, 1, 0), frozenset({(1, 0), (2, 1), (0, 2)})),
    ((0, 1, 1), frozenset({(1, 0), (2, 0), (2, 1)})),
    ((0, 0, 1), frozenset({(2, 1), (1, 2)})),
]


def bounded(p: float, ones: float, kind: str = "multiclass") -> Certificate:
    lead = max(ones, 1 - ones) - 1e-9
    smoothing: Any = SimpleNamespace(selection=BernoulliSelection(p), noise=MESSAGES)
    return Certificate.from_bounds(
        smoothing,
        [int(ones > 0.5)],
        [lead],
        [1 - lead],
        kind,
        num_entities=[3],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("clean", CLEAN)
def test_new_nodes_of_independent_masks(clean: Graph) -> None:
    """Certified ones stay, and what is not certified falls to a model that turns."""
    masks, attacked = every_mask(3), list(with_new_node(clean))
    models = [table(seed) for seed in range(6)] + [turning(clean, masks, s) for s in range(6)]
    certified = fell = 0
    for p in (0.55, 0.7, 0.8, 0.95):
        for number, model in enumerate(models):
            ones = share_of_ones(clean, model, p, 0)
            certificate = bounded(p, ones)
            robust = bool(certificate.is_robust(1, only="new_nodes")[0])
            shares = np.array([share_of_ones(graph, model, p, 0) for graph in attacked])
            stays = bool(((shares > 0.5) == (ones > 0.5)).all())
            assert stays or not robust
            assert robust >= certificate.is_robust(1)[0]
            if number >= 6 and certificate.prediction[0] == 0:
                assert robust == stays
                certified, fell = certified + robust, fell + (not stays)
    assert certified > 5 and fell > 0


def test_edges_between_old_nodes_are_more_than_new_nodes() -> None:
    """A counterexample on three nodes: what holds against any new node does not against an edge."""
    clean: Graph = ((0, 0, 0), frozenset({(1, 2), (2, 0)}))
    added: Graph = (clean[0], clean[1] | {(1, 0)})
    hears_one = {views(clean, m)[0] for m in every_mask(3) if m[2] and not m[1]}
    known = {views(clean, m)[0] for m in every_mask(3)}

    def model(view: View) -> int:  # 0 unless the neighbor says that nobody talks to it
        return int(view not in known or view in hears_one)

    p = 0.7
    ones = share_of_ones(clean, model, p, 0)
    assert ones == pytest.approx(1 - (p + (1 - p) ** 2))
    certificate = bounded(p, ones)
    assert certificate.is_robust(1, only="new_nodes")[0] and not certificate.is_robust(1)[0]
    assert all(share_of_ones(graph, model, p, 0) < 0.5 for graph in with_new_node(clean))
    assert share_of_ones(added, model, p, 0) == pytest.approx(1 - p**2)  # 0.51: class 1


@pytest.mark.parametrize(("num_groups", "num_partitions"), [(3, 1), (4, 2), (5, 3)])
@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_new_nodes_of_listed_masks(num_groups: int, num_partitions: int, kind: Any) -> None:
    certified = fell = 0
    for seed, clean in product(range(3), CLEAN):
        selection = PartitionSelection(num_groups, num_partitions, seed)
        smoothing: Any = SimpleNamespace(selection=selection, noise=MESSAGES)
        attacked = list(with_new_node(clean))
        turns = turning(clean, sending(selection, 3), seed)
        for model, classes in ((table(seed, 3), 3), (turns, 2)):
            votes = answers(clean, model, selection)
            counts = np.stack([(votes == c).sum(1) for c in range(classes)], axis=1)
            certificate = certify_counts(
                smoothing, counts, kind, num_entities=3, mask_predictions=votes
            )
            robust = certificate.is_robust(1, only="new_nodes")
            assert (robust >= certificate.is_robust(1)).all()
            stays = ~certificate.abstained
            for graph in attacked:
                after = answers(graph, model, selection)[:3]
                own = (after == certificate.prediction[:, None]).sum(1)
                others = [(after == c).sum(1) for c in range(classes)]
                rivals = [np.where(certificate.prediction == c, 0, n) for c, n in enumerate(others)]
                most = np.max(rivals, axis=0) if kind == "multiclass" else after.shape[1] - own
                stays &= own > most
            assert (stays | ~robust).all()
            if model is turns:
                turned = certificate.prediction == 0
                assert np.array_equal(robust[turned], stays[turned])
                certified, fell = certified + robust.sum(), fell + (turned & ~stays).sum()
    assert certified > 0 and fell > 0


GRAPHS: list[Graph] = [
    ((0, 1, 0, 1), frozenset({(1, 0), (2, 1), (3, 2), (0, 3)})),
    ((0, 1, 1, 0), frozenset({(1, 0), (2, 0), (3, 1), (3, 2), (1, 2)})),
    ((1, 1, 1, 0), frozenset({(i, j) for i in range(4) for j in range(4) if (i + j) % 2})),
]


def reached(graph: Graph, sends: tuple[bool, ...], node: int, target: int) -> bool:
    """Whether the target sees another feature of a node."""
    *_, other = with_other_features(graph, [node])  # a value that the graph does not have
    return views(other, sends)[target] != views(graph, sends)[target]


def exposures(graph: Graph, masks: Sequence[tuple[bool, ...]], weight: np.ndarray) -> np.ndarray:
    """From the views themselves: how much of all masks shows each node's features to each."""
    nodes = range(len(graph[0]))
    return np.array(
        [
            [weight[[reached(graph, mask, node, target) for mask in masks]].sum() for node in nodes]
            for target in nodes
        ]
    )


@pytest.mark.parametrize("graph", GRAPHS)
def test_features_of_a_fixed_graph_exactly(graph: Graph) -> None:
    """One by one and all at once, every set of attacked nodes, every value."""
    tight = checked = local = 0
    for seed in range(3):
        selection = PartitionSelection(3 + seed, 2, seed)
        smoothing: Any = SimpleNamespace(selection=selection, noise=MESSAGES)
        masks = sending(selection, 4)
        reach = exposures(graph, masks, np.ones(len(masks), dtype=int))
        assert (np.diag(reach) == selection.num_masks).all()
        for model in (table(seed), turning(graph, masks, seed), turning(graph, masks, 5 + seed)):
            votes = answers(graph, model, selection)
            counts = np.stack([(votes == c).sum(1) for c in (0, 1)], axis=1)
            certificate = certify_counts(smoothing, counts, num_entities=4)
            collective = CollectiveCertificate(certificate, sparse.csr_array(reach))
            field = CollectiveCertificate(certificate, reach > 0)
            sizes = np.zeros(5, dtype=int)
            holds = np.array([certificate.is_robust(r, exposure=reach) for r in range(5)])
            for nodes in (c for r in range(1, 5) for c in combinations(range(4), r)):
                for attacked in with_other_features(graph, nodes):
                    ones = answers(attacked, model, selection).sum(1)
                    own = np.where(certificate.prediction == 1, ones, votes.shape[1] - ones)
                    fallen = (2 * own <= votes.shape[1]) & ~certificate.abstained
                    sizes[len(nodes)] = max(sizes[len(nodes)], int(fallen.sum()))
                    others = ~np.isin(np.arange(4), nodes)
                    assert not (fallen & others & holds[len(nodes)]).any()
            counted = int((~certificate.abstained).sum())
            for r in range(5):
                most = sizes[: r + 1].max()
                for method in ("lp", "milp"):
                    bound = counted - collective.num_robust(r, method=method)
                    assert most <= bound <= counted
                    assert most <= counted - field.num_robust(r, method=method)
                tight += int(most == bound > 0)
                local += int(bound < counted - CollectiveCertificate(certificate).num_robust(r))
                checked += 1
    assert checked == 45 and tight >= 8 and local > 0


def test_an_exposure_is_attained() -> None:
    """All masks agree, and turn where a node's feature is another: as many as it is exposed in."""
    for seed, graph in product(range(6), GRAPHS):
        selection = PartitionSelection(2 + seed, 2, seed)
        smoothing: Any = SimpleNamespace(selection=selection, noise=MESSAGES)
        masks = sending(selection, 4)
        turns = turning(graph, masks, seed, always=0)
        reach = exposures(graph, masks, np.ones(len(masks), dtype=int))
        counts = [[len(masks), 0]] * 4
        certificate = certify_counts(smoothing, counts, num_entities=4)
        robust = certificate.is_robust(1, exposure=reach)
        turned = np.zeros((4, 4), dtype=int)
        for node in range(4):
            for attacked in with_other_features(graph, [node]):
                votes = answers(attacked, turns, selection).sum(1)
                turned[:, node] = np.maximum(turned[:, node], votes)
        np.fill_diagonal(turned, 0)
        assert np.array_equal(robust, (2 * turned < len(masks)).all(1))


@pytest.mark.parametrize("graph", GRAPHS[:2])
def test_features_of_a_fixed_graph_with_probabilities(graph: Graph) -> None:
    masks, fell, stayed = every_mask(4), 0, 0
    for p, seed in product((0.6, 0.8, 0.95), range(3)):
        weight = np.array([p ** m.count(False) * (1 - p) ** m.count(True) for m in masks])
        reach = exposures(graph, masks, weight)
        np.fill_diagonal(reach, 1.0)
        for model in (table(seed), turning(graph, masks, seed)):
            ones = np.array([share_of_ones(graph, model, p, v) for v in range(4)])
            lead = np.maximum(ones, 1 - ones) - 1e-9
            smoothing: Any = SimpleNamespace(selection=BernoulliSelection(p), noise=MESSAGES)
            certificate = Certificate.from_bounds(
                smoothing, ones > 0.5, lead, 1 - lead, num_entities=[4] * 4, simultaneous=True
            )
            collective = CollectiveCertificate(certificate, reach)
            counted = int((~certificate.abstained).sum())
            sizes = np.zeros(4, dtype=int)
            for nodes in (c for r in (1, 2, 3) for c in combinations(range(4), r)):
                holds = certificate.is_robust(len(nodes), exposure=reach)
                assert (holds >= certificate.is_robust(len(nodes))).all()
                for attacked in with_other_features(graph, nodes):
                    after = np.array([share_of_ones(attacked, model, p, v) for v in range(4)])
                    fallen = ((after > 0.5) != (ones > 0.5)) & ~certificate.abstained
                    assert not (fallen & holds & ~np.isin(np.arange(4), nodes)).any()
                    sizes[len(nodes)] = max(sizes[len(nodes)], int(fallen.sum()))
                fell, stayed = fell + int(fallen.sum()), stayed + int(holds.sum())
            for r in (1, 2, 3):
                for method in ("lp", "milp"):
                    assert sizes[r] <= counted - collective.num_robust(r, method=method)
    assert fell > 20 and stayed > 50


@pytest.mark.parametrize("graph", CLEAN)
def test_a_node_taken_over_and_all_targets(graph: Graph) -> None:
    """Other features and other edges of any one node: it and those that are not certified fall."""
    selection = PartitionSelection(5, 2, 1)
    smoothing: Any = SimpleNamespace(selection=selection, noise=MESSAGES)
    masks = sending(selection, 3)
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    attained = 0
    for seed in range(4):
        model = turning(graph, masks, seed)
        votes = answers(graph, model, selection)
        counts = np.stack([(votes == c).sum(1) for c in (0, 1)], axis=1)
        certificate = certify_counts(smoothing, counts, num_entities=3)
        collective = CollectiveCertificate(certificate)
        most = 0
        for node in range(3):
            at = [pair for pair in pairs if node in pair]
            rest = graph[1] - set(at)
            for feature, chosen in product((0, 1, 2), product((0, 1), repeat=len(at))):
                edges = rest | {pair for pair, kept in zip(at, chosen, strict=True) if kept}
                features = tuple(feature if i == node else x for i, x in enumerate(graph[0]))
                ones = answers((features, frozenset(edges)), model, selection).sum(1)
                own = np.where(certificate.prediction == 1, ones, votes.shape[1] - ones)
                fallen = (2 * own <= votes.shape[1]) & ~certificate.abstained
                others = np.arange(3) != node
                assert not (fallen & others & certificate.is_robust(1)).any()
                most = max(most, int(fallen.sum()))
        counted = int((~certificate.abstained).sum())
        assert most <= counted - collective.num_robust(1)
        attained += most == counted - collective.num_robust(1) > 0
    assert attained > 0
