"""What a second round of attacks found: state that was not seen, and refusals without need."""

from __future__ import annotations

import argparse
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, global_mean_pool

from pyg_hiersmooth.nn import SmoothedGraphClassifier

from .plain import plain_votes, pyg_call
from .small import ABLATION, FLIPS, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_votes, refused

data = make_graph()
x, edge_index = data.x, data.edge_index
model = seeded(Linear)
CALLS: list[int] = []
helpers = types.ModuleType("helpers")


class Tutorial(nn.Module):
    """Asks the graph for its sizes when it is made, as PyG's tutorials do, and names its
    variables as the notebook around it does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = GCNConv(data.num_node_features + 1, C)

    def forward(self, batch: Data) -> Tensor:
        x, edge_index = batch.x, batch.edge_index
        return self.model(x, edge_index)


def put(model: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
    """The usual call; ``x`` is also a global."""
    graph.x = noisy
    return model(graph)


def inner(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
    """Calls the model inside of a model; ``model`` is also a global."""
    return given.model(noisy, graph.edge_index)


def test_a_notebook_whose_globals_are_named_as_attributes_is_not_refused() -> None:
    tutorial = seeded(Tutorial)
    truth = plain_votes(put, tutorial, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(tutorial, data, forward=put), truth)

    outer = nn.Module()
    outer.model = model
    with pytest.raises(ValueError, match="'forward' is given"):
        votes_of(outer, data, forward=lambda given, noisy, graph: model(noisy, graph.edge_index))
    truth = plain_votes(inner, outer, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(outer, data, forward=inner), truth)


class Late(Linear, ABC):
    """Gives up noise after more calls than any check would make."""

    @abstractmethod
    def count(self) -> int:
        """How many calls there were."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if self.count() < 1_000 else torch.zeros_like(logits)


class InComprehension(Late):
    def count(self) -> int:
        return sum(len(CALLS) for _ in [CALLS.append(0)])


class InStaticMethod(Late):
    @staticmethod
    def count() -> int:  # type: ignore[override]
        CALLS.append(0)
        return len(CALLS)


class InClassMethod(Late):
    @classmethod
    def count(cls) -> int:  # type: ignore[override]
        CALLS.append(0)
        return len(CALLS)


class InProperty(Late):
    @property
    def number(self) -> int:
        CALLS.append(0)
        return len(CALLS)

    def count(self) -> int:
        return self.number


class InModule(Late):
    def count(self) -> int:
        helpers.calls = getattr(helpers, "calls", 0) + 1  # type: ignore[attr-defined]
        return helpers.calls


class Table:
    calls = 0

    def __call__(self) -> int:
        Table.calls += 1
        return Table.calls


class InCallableOfClass(Late):
    count = Table()


class Base:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class Derived(Base):
    __slots__ = ("other",)


class History(list):  # type: ignore[type-arg]
    calls = 0


class Options(dict):  # type: ignore[type-arg]
    calls = 0


class InHolder(Late):
    def __init__(self, build: Callable[..., Any]) -> None:
        super().__init__()
        self.holder = build()
        self.holder.calls = 0

    def count(self) -> int:
        self.holder.calls += 1
        return self.holder.calls


@pytest.mark.parametrize(
    "model_class",
    [InComprehension, InStaticMethod, InClassMethod, InProperty, InModule, InCallableOfClass],
    ids=lambda cls: cls.__name__,
)
def test_late_state_is_found_wherever_a_method_reaches(model_class: type) -> None:
    CALLS.clear()
    refused(lambda: votes_of(seeded(model_class), data), "CALLS#", "CALLS", "calls")


@pytest.mark.parametrize(
    "holder", [types.SimpleNamespace, argparse.Namespace, Derived, History, Options]
)
def test_late_state_is_found_in_whatever_holds_it(holder: Any) -> None:
    refused(lambda: votes_of(seeded(InHolder, holder), data), "calls")


def test_clean_features_in_a_generator_expression_are_refused() -> None:
    head = seeded(nn.Linear, D, C)

    def skip(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
        return given(noisy, graph.edge_index) + sum(head(data.x) for _ in range(1))

    refused(lambda: votes_of(seeded(Linear), data, forward=skip), "forward.data.x")


def as_numpy(clean: Tensor) -> Any:
    return clean.numpy().copy()


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "numpy": as_numpy,
    "numpy_double": lambda clean: clean.double().numpy(),
    "coo": Tensor.to_sparse_coo,
    "csr": Tensor.to_sparse_csr,
}


def head_of(form: Any) -> Tensor:
    """The first features of a matrix of any form."""
    dense = form.to_dense() if isinstance(form, Tensor) else torch.from_numpy(form).float()
    return dense[:, :C]


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense_x", "sparse_x"])
@pytest.mark.parametrize("name", FORMS)
def test_clean_features_of_any_form_are_refused(name: str, is_sparse: bool) -> None:
    graph = make_graph(binary=True)
    held = FORMS[name](graph.x)
    if is_sparse:
        graph.x = graph.x.to_sparse_csr()

    def skip(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
        return given(noisy, graph.edge_index) + head_of(held)

    refused(lambda: votes_of(seeded(Linear), graph, FLIPS, forward=skip), "forward.held")


def test_an_array_made_from_clean_features_is_refused() -> None:
    held = (2 * data.x).numpy()

    def skip(given: nn.Module, noisy: Tensor, graph: Data) -> Tensor:
        return given(noisy, graph.edge_index) + head_of(held)

    refused(lambda: votes_of(seeded(Linear), data, forward=skip), "forward.held")


def pooled(given: nn.Module, noisy: Tensor, graph: Any) -> Tensor:
    return global_mean_pool(given(noisy, graph.edge_index), graph.batch)


def test_the_clean_features_of_one_graph_among_several_are_refused() -> None:
    graphs = [make_graph(n, seed=n) for n in (5, 8, 5)]

    def skip(given: nn.Module, noisy: Tensor, graph: Any) -> Tensor:
        return pooled(given, noisy, graph) + graphs[1].x[:, :C].mean(0)

    def votes(forward: Any) -> Tensor:
        classifier = SmoothedGraphClassifier(seeded(Linear), ABLATION, C, forward=forward)
        return classifier.sample_votes(graphs, SAMPLES, progress=False, num_workers=0)

    refused(lambda: votes(skip), "forward.graphs")
    assert votes(pooled).sum() == 3 * SAMPLES


class Key:
    """Equal to itself alone, and printed with its address."""


class NamedCoo:
    """Has a method of the name of one of a sparse tensor's."""

    def coo(self) -> int:
        return 3


@pytest.mark.parametrize(
    "held",
    [{Key(): 1}, NamedCoo(), torch.ones(N, D, device="meta")],
    ids=["keys", "coo", "meta"],
)
def test_what_a_model_merely_holds_is_no_reason_to_refuse(held: Any) -> None:
    holder = seeded(Linear)
    holder.held = held
    truth = plain_votes(pyg_call, holder, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(holder, data), truth)
