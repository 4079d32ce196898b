"""A validation lists what sampling refuses, and touches nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import global_add_pool
from torch_geometric.transforms import Compose

from pyg_hiersmooth import (
    AblationNoise,
    AuditError,
    FixedSizeSelection,
    HierarchicalEdgeNoise,
    HierarchicalNodeFeatureNoise,
    ImpureModelError,
    NotCertifiableError,
    PartitionSelection,
    Problem,
    SmoothedGraphClassifier,
    SmoothedImageClassifier,
    SmoothedNodeClassifier,
)
from pyg_hiersmooth.nn.voters import noisy_model

from .plain import pyg_call
from .small import ABLATION, C, D, Linear, make_graph, seeded
from .test_blocks import Mixes, dictated_by_row_zero
from .test_private_copies import ENTROPY, OUTSIDE, HoldsTheFeatures, HoldsTheGraph
from .test_silent_nodes import MESSAGES, NOT_SILENT
from .test_state import GENERATORS, STATEFUL, Counter, NestedGenerator, Random

SILENT = AblationNoise(of="messages")
EXACT = HierarchicalNodeFeatureNoise(PartitionSelection(5), AblationNoise())


def by_entropy(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    return model(x, data.edge_index) * (ENTROPY["fresh_numpy"]() - 0.5)


def centered(data: Data) -> Data:
    data.x = data.x - data.x.mean(0)
    return data


class HoldsEdges(Linear):
    """Reads the clean edges."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.register_buffer("edges", data.edge_index)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, self.edges)


class Fails(Linear):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        raise RuntimeError("not today")


class Deaf(Linear):
    """Does not look at features."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(torch.ones_like(x), edge_index)


class Steps(Linear):
    """Looks two steps far."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = super().forward(x, edge_index)
        return torch.zeros_like(h).index_add(0, edge_index[1], h[edge_index[0]])


def node(build: Any, *given: Any, transform: Any = ABLATION, **made: Any) -> Callable[[], Any]:
    return lambda: SmoothedNodeClassifier(seeded(build, *given), transform, C, **made)


DATA = make_graph()
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    **{each.__name__: (node(each), ImpureModelError) for each in STATEFUL},
    **{
        f"outside, {name}": (node(Linear, forward=make()), ImpureModelError)
        for name, make in OUTSIDE.items()
    },
    "generator": (node(NestedGenerator, GENERATORS["torch"]()), ImpureModelError),
    "entropy": (node(Linear, forward=by_entropy), ImpureModelError),
    "graph": (node(HoldsTheGraph, DATA), ImpureModelError),
    "features": (node(HoldsTheFeatures, DATA), ImpureModelError),
    "deaf": (node(Deaf), ImpureModelError),
    "random": (node(Random, "dropout", transform=EXACT), ImpureModelError),
    "silence": (
        node(NOT_SILENT["GraphNorm"], transform=MESSAGES, forward=pyg_call),
        ImpureModelError,
    ),
    "edges": (
        node(HoldsEdges, DATA, transform=HierarchicalEdgeNoise(0.5, AblationNoise())),
        ImpureModelError,
    ),
    "before": (node(Linear, transform=Compose([centered, ABLATION])), NotCertifiableError),
    "added nodes": (
        node(Linear, transform=HierarchicalNodeFeatureNoise(FixedSizeSelection(5), SILENT)),
        NotCertifiableError,
    ),
    "hops": (node(Steps, num_hops=1), ValueError),
    "fails": (node(Fails), ValueError),
    "width": (node(Linear, D), ValueError),
}


def first_refusal(smoothed: Any, data: Any, **options: Any) -> Exception:
    exact = smoothed.transform is EXACT
    with pytest.raises(ValueError) as caught:
        smoothed.certify(
            data,
            progress=False,
            num_workers=0,
            **({} if exact else {"n0": 8, "n": 40, "alpha": 0.5}),
            **options,
        )
    return caught.value


@pytest.mark.parametrize("name", REFUSED)
def test_what_sampling_refuses_is_listed(name: str) -> None:
    build, kind = REFUSED[name]
    smoothed, data = build(), copy.copy(DATA)
    state = {key: value.clone() for key, value in smoothed.state_dict().items()}
    kept = {key: value.clone() for key, value in DATA.to_dict().items()}
    attributes = vars(smoothed.model).keys()
    found = smoothed.validate(data)
    error = first_refusal(build(), data)
    assert Problem(type(error), str(error)) in found and type(error) is kind
    assert all(torch.equal(smoothed.state_dict()[key], value) for key, value in state.items())
    assert data.keys() == DATA.keys() and vars(smoothed.model).keys() == attributes
    assert all(torch.equal(data[key], value) for key, value in kept.items())


class TwoFaults(Counter):
    """Counts its calls, and holds the clean features."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.register_buffer("clean", data.x.clone())


def test_all_faults_are_listed_each_once() -> None:
    found = node(TwoFaults, DATA)().validate(DATA)
    assert [each.kind for each in found[:2]] == [ImpureModelError] * 2
    assert "'model.clean' holds the clean features" in found[0].message
    assert "'model.calls' changes from call to call" in found[1].message
    assert len(set(found)) == len(found)


def test_a_block_that_mixes_copies_is_listed_with_the_fault_beside_it() -> None:
    smoothed = node(Mixes, dictated_by_row_zero)()
    assert smoothed.validate(DATA) == []
    smoothed.model.register_buffer("clean", DATA.x.clone())
    told = " ".join(map(str, smoothed.validate(DATA, block_size=16)))
    assert "'block_size' must be 1" in told and "'model.clean' holds" in told


@pytest.mark.parametrize("transform", [ABLATION, EXACT, MESSAGES])
def test_of_a_model_in_order_nothing_is_listed_and_it_does_not_count_as_tried(
    transform: Any,
) -> None:
    smoothed, global_state = node(Linear, transform=transform)(), torch.get_rng_state()
    assert smoothed.validate(DATA) == smoothed.validate(DATA, index=[3]) == []
    assert smoothed._prepared == {} and smoothed.feature_path is None
    assert torch.equal(torch.get_rng_state(), global_state)


def test_what_a_validation_lists_is_refused_by_a_later_call() -> None:
    smoothed = node(Counter)()
    message = smoothed.validate(DATA)[0].message
    assert str(first_refusal(smoothed, DATA)) == message


def test_an_audit_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> None:
        raise AuditError("another vote")

    monkeypatch.setattr(noisy_model, "check_ballots", fails)
    assert node(Linear)().validate(DATA) == [Problem(AuditError, "another vote")]


@pytest.mark.parametrize("data", [None, 3, Data(edge_index=DATA.edge_index, num_nodes=20)])
def test_data_that_are_none_are_listed(data: Any) -> None:
    assert len(node(Linear)().validate(data)) == 1


def test_too_little_memory_is_no_problem_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(noisy_model, "check_ballots", fails)
    with pytest.raises(MemoryError):
        node(Linear)().validate(DATA)


class Pools(Linear):
    """Classifies graphs, and counts its calls if told to."""

    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.calls, self.counts = 0, counts

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        self.calls += self.counts
        return global_add_pool(super().forward(x, edge_index), batch) + self.calls


class Pixels(nn.Linear):
    """Classifies images, and keeps the last ones if told to."""

    def __init__(self, keeps: bool) -> None:
        super().__init__(4, C)
        self.keeps, self.last = keeps, torch.zeros(1)

    def forward(self, images: Tensor) -> Tensor:
        self.last = images.detach() if self.keeps else self.last
        return super().forward(images.mean((2, 3)))


@pytest.mark.parametrize("is_faulty", [False, True])
def test_graphs_and_images_are_validated_alike(is_faulty: bool) -> None:
    graphs = [make_graph(5 + i, seed=i) for i in range(3)]
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    classifiers: list[tuple[Any, Any]] = [
        (SmoothedGraphClassifier(seeded(Pools, is_faulty), ABLATION, C), graphs),
        (SmoothedImageClassifier(seeded(Pixels, is_faulty), ABLATION, C), images),
    ]
    for smoothed, data in classifiers:
        found = smoothed.validate(data)
        assert bool(found) == is_faulty
        if is_faulty:
            error = first_refusal(smoothed, data)
            assert Problem(type(error), str(error)) in found
