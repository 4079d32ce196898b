"""Removed nodes and pooling, exhaustively: of graphs of three nodes two are taken over, or one is
and one is added, or two are added, with any features and any edges at them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate, certify_counts
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection

Graph = tuple[tuple[int, ...], frozenset[tuple[int, int]]]
Model = Callable[[Graph], int]

SIZE, FEATURES = 3, (0, 1, 2)
CLEAN: list[Graph] = [
    ((0, 1, 0), frozenset({(0, 1), (1, 2)})),
    ((1, 1, 0), frozenset({(0, 1), (0, 2), (1, 2)})),
    ((0, 0, 1), frozenset()),
]


def left_of(graph: Graph, kept: tuple[bool, ...]) -> Graph:
    """What a mask leaves: its nodes in their order, numbered anew, and the edges between them."""
    number = np.cumsum(kept) - 1
    edges = {(int(number[i]), int(number[j])) for i, j in graph[1] if kept[i] and kept[j]}
    return tuple(x for x, stays in zip(graph[0], kept, strict=True) if stays), frozenset(edges)


def attacks(clean: Graph, taken_over: int, added: int) -> Iterator[Graph]:
    """All that an adversary makes of it who has so many old nodes, and adds so many."""
    size = SIZE + added
    pairs = list(combinations(range(size), 2))
    for old in combinations(range(SIZE), taken_over):
        his = {*old, *range(SIZE, size)}
        at_his = [pair for pair in pairs if his & set(pair)]
        fixed = {edge for edge in clean[1] if not his & set(edge)}
        for values in product(FEATURES, repeat=len(his)):
            features = [*clean[0], *[0] * added]
            for node, value in zip(sorted(his), values, strict=True):
                features[node] = value
            for there in product((False, True), repeat=len(at_his)):
                edges = {pair for pair, is_there in zip(at_his, there, strict=True) if is_there}
                yield tuple(features), frozenset(fixed | edges)


@cache
def masks(selection: PartitionSelection, size: int) -> list[tuple[bool, ...]]:
    """The nodes that each outcome leaves."""
    return [tuple((~selection.mask(i, [size])).tolist()) for i in range(selection.num_masks)]


def table(seed: int) -> Model:
    """Any class for each graph that may be left."""
    return cache(lambda left: zlib.crc32(f"{seed} {left[0]} {sorted(left[1])}".encode()) // 7 % 2)


def pooling(kind: str, seed: int) -> Model:
    """A message passing step with random weights, and a pooling of all nodes that are left."""
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(4, 5)), random.normal(size=(5, 2))
    bias = random.normal(size=2)
    pool = {"sum": np.sum, "mean": np.mean, "max": np.max}[kind]

    @cache
    def model(left: Graph) -> int:
        features, edges = left
        if not features:
            return int(bias.argmax())
        x = np.eye(4)[list(features)]
        x[:, 3] = 1.0
        heard = x.copy()
        for i, j in edges:
            heard[i] += x[j]
            heard[j] += x[i]
        hidden = np.maximum(heard @ first, 0.0)
        return int((pool(hidden, axis=0) @ second + bias).argmax())

    return model


def turning(clean: Graph, selection: PartitionSelection) -> Model:
    """Class 0 for whatever is left of the clean graph, class 1 for all else."""
    known = {left_of(clean, kept) for kept in masks(selection, SIZE)}
    return lambda left: int(left not in known)


def all_left(graph: Graph, selection: PartitionSelection) -> list[Graph]:
    return [left_of(graph, kept) for kept in masks(selection, len(graph[0]))]


def votes_on(graph: Graph, model: Model, selection: PartitionSelection) -> np.ndarray:
    return np.array([model(left) for left in all_left(graph, selection)])


def certificate_of(votes: np.ndarray, selection: PartitionSelection) -> Certificate:
    smoothing: Any = SimpleNamespace(selection=selection, noise=AblationNoise(of="nodes"))
    counts = np.bincount(votes, minlength=2)[None]
    return certify_counts(smoothing, counts, num_entities=SIZE, mask_predictions=votes[None])


@pytest.mark.parametrize("clean", CLEAN)
@pytest.mark.parametrize(("num_groups", "num_partitions"), [(5, 1), (5, 2)])
def test_several_nodes_taken_over_or_added(
    clean: Graph, num_groups: int, num_partitions: int
) -> None:
    selection = PartitionSelection(num_groups, num_partitions, seed=1)
    models = [pooling(kind, seed) for kind in ("sum", "mean", "max") for seed in range(3)]
    models += [table(seed) for seed in range(3)] + [turning(clean, selection)]
    every = [certificate_of(votes_on(clean, model, selection), selection) for model in models]
    robust, new = (
        np.array([bool(each.is_robust(2, **only)[0]) for each in every])
        for only in ({}, {"only": "new_nodes"})
    )
    assert (new >= robust).all() and robust[-1]
    fell = 0
    for taken_over, added in ((2, 0), (1, 1), (0, 2)):
        claimed = new if taken_over == 0 else robust
        for graph in attacks(clean, taken_over, added):
            samples = all_left(graph, selection)
            for model, certificate, holds in zip(models, every, claimed, strict=True):
                own = [model(left) for left in samples].count(int(certificate.prediction[0]))
                stays = 2 * own > len(samples)
                assert stays or not holds
                fell += not stays
    assert fell > 0 and claimed.sum() > 1


@pytest.mark.parametrize(("taken_over", "added"), [(2, 0), (1, 1), (0, 2)])
def test_the_bound_is_attained(taken_over: int, added: int) -> None:
    """A model that turns wherever it sees something new: a group less, and it falls."""
    for num_groups, holds in ((4, False), (5, True)):
        selection = PartitionSelection(num_groups, 1, seed=1)
        model = turning(CLEAN[0], selection)
        certificate = certificate_of(votes_on(CLEAN[0], model, selection), selection)
        assert certificate.is_robust(2)[0] == holds
        least = min(
            int((votes_on(graph, model, selection) == 0).sum())
            for graph in attacks(CLEAN[0], taken_over, added)
        )
        assert least == num_groups - 2 and (least > 2) == holds
