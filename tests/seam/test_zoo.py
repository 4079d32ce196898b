"""The zoo: all of PyG that can be certified is certified rightly, at every setting."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.nn import conv, norm
from torch_geometric.typing import WITH_TORCH_SPARSE

from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes
from .small import seeded
from .verdict import assert_refusal, assert_votes
from .zoo import (
    NORMS,
    NOT_BUILT,
    SIZES,
    C,
    Case,
    conv_cases,
    graph_cases,
    make_data,
    make_graphs,
    model_cases,
)

TRANSFORM = HierarchicalNodeFeatureNoise(0.5, AblationNoise())
SAMPLES = 16
MAY_BE_REFUSED = {"SGConv-cached", "SSGConv-cached"}
"""Their caches hold features: to certify them without, or to refuse them, are both right."""

SEEDS = {
    "PNA": 12,
    "TopKPooling-min_score": 3,
    "GraphMultisetTransformer": 5,
    "EquilibriumAggregation": 3,
    "DeepSetsAggregation": 3,
    "PatchTransformerAggregation": 4,
}
"""Where to start to look for a model whose votes the noise changes."""
CONVS, MODELS, GRAPHS = conv_cases(), model_cases(), graph_cases()
NODES = {**CONVS, **MODELS}
IN_WORKERS = [
    name
    for name in ("GCNConv-cached", "GATv2Conv", "PANConv", "GraphUNet", "LINKX")
    if name in NODES
]
if not WITH_TORCH_SPARSE:
    del GRAPHS["PANPooling"]


def names_in(model: torch.nn.Module) -> set[str]:
    """Names of a model's modules and their classes."""
    paths = {path for path, _ in model.named_modules() if path}
    return paths | {type(module).__name__ for module in model.modules()}


def check(name: str, model: torch.nn.Module, sample: Any, truth: Tensor) -> None:
    """The right votes; or, for the few cases where it is right, a refusal by name."""
    try:
        votes = sample()
    except ValueError as error:
        if name not in MAY_BE_REFUSED:
            raise
        assert_refusal(error, *names_in(model))
    else:
        assert_votes(votes, truth)


def uncached(model: torch.nn.Module) -> torch.nn.Module:
    """A copy that caches nothing."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if hasattr(module, "cached"):
            module.cached = False
    return model


def sensitive(name: str, cases: dict[str, Case], truth_of: Any) -> tuple[Any, Tensor]:
    """What builds a model whose votes the noise changes, and its true votes."""
    first = SEEDS.get(name, 1)
    for seed in range(first, first + 30):
        build = partial(seeded, cases[name].build, seed=seed)
        truth = truth_of(cases[name], build())
        if bool((truth.max(dim=1).values < SAMPLES).any()):
            return build, truth
    raise AssertionError(f"the noise changes no vote of {name}")


def node_votes(name: str, model: torch.nn.Module, **options: Any) -> Tensor:
    """Votes on the nodes by the engine."""
    case = NODES[name]
    kept = {"keep": case.keep} if case.keep else {}
    classifier = SmoothedNodeClassifier(model, TRANSFORM, C, forward=case.call, **kept)
    return classifier.sample_votes(make_data(), SAMPLES, progress=False, **options)


def node_truth(case: Case, model: torch.nn.Module) -> Tensor:
    """Votes on the nodes by the plain loop."""
    return plain_votes(case.call, uncached(model), TRANSFORM, make_data(), SAMPLES, C)


@pytest.mark.one_in(5)
@pytest.mark.parametrize("name", NODES)
def test_votes_on_nodes_are_those_of_a_plain_loop(name: str) -> None:
    build, truth = sensitive(name, NODES, node_truth)
    for options in ({}, {"dense": True, "block_size": 1}):
        model = build()
        check(name, model, partial(node_votes, name, model, num_workers=0, **options), truth)


@pytest.mark.parametrize("name", IN_WORKERS)
def test_votes_on_nodes_in_workers_are_those_of_a_plain_loop(name: str) -> None:
    build, truth = sensitive(name, NODES, node_truth)
    model = build()
    check(name, model, partial(node_votes, name, model, num_workers=2), truth)


def graph_votes(name: str, model: torch.nn.Module, **options: Any) -> Tensor:
    """Votes on the graphs by the engine."""
    classifier = SmoothedGraphClassifier(model, TRANSFORM, C)
    return classifier.sample_votes(make_graphs(), SAMPLES, progress=False, **options)


def graph_truth(case: Case, model: torch.nn.Module) -> Tensor:
    """Votes by a plain loop, one graph at a time."""
    graphs = make_graphs()
    draw = TRANSFORM.prepare(torch.cat([graph.x for graph in graphs]), list(SIZES))
    votes = torch.zeros(len(graphs), C, dtype=torch.long)
    for sample in range(SAMPLES):
        parts = draw(RandomStream(0, 0, sample)).split(SIZES)
        for i, (x, graph) in enumerate(zip(parts, graphs, strict=True)):
            alone = Batch.from_data_list([graph])
            with torch.no_grad():
                logits = case.call(copy.deepcopy(model), x, alone)
            votes[i, int(logits.argmax())] += 1
    return votes


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", GRAPHS)
def test_votes_on_graphs_are_those_of_a_plain_loop(name: str) -> None:
    build, truth = sensitive(name, GRAPHS, graph_truth)
    for options in ({}, {"dense": True, "block_size": 1}):
        model = build()
        check(name, model, partial(graph_votes, name, model, num_workers=0, **options), truth)


@pytest.mark.parametrize("name", ["SAGPooling", "GraphNorm", "Padded"])
def test_votes_on_graphs_in_workers_are_those_of_a_plain_loop(name: str) -> None:
    build, truth = sensitive(name, GRAPHS, graph_truth)
    assert_votes(graph_votes(name, build(), num_workers=2), truth)


def test_the_zoo_is_complete() -> None:
    built = {name.split("-")[0] for name in CONVS}
    assert built | {name for name, _ in NOT_BUILT} == set(conv.__all__)
    assert {name.split("-")[0] for name in NORMS} == set(norm.__all__)
