"""State is found wherever a method reaches; what a model merely holds is not refused."""

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
from torch_geometric.nn import GCNConv

from .plain import plain_votes, pyg_call
from .small import ABLATION, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
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
