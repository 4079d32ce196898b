from __future__ import annotations

import array
import itertools
import random
import threading
from collections import deque
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCNConv

from pyg_hiersmooth.nn.isolation.model_state import first_difference, leaves, state_of

COUNTER = [0]


class Locked:
    r"""Cannot be pickled."""

    def __init__(self) -> None:
        self.lock, self.seen = threading.Lock(), list[int]()


class Holder(nn.Module):
    shared: list[int] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)
        self.numbers: Any = [1, {"a": 2.0}]
        self.array = np.zeros(3)
        self.memory = deque([1])
        self.names = {"a"}
        self.locks = {Locked()}
        self.locked = np.array([None, Locked()])
        self.bytes, self.numbers_only = bytearray(2), array.array("d", [0.0])
        self.count = itertools.count()
        self.generators = torch.Generator(), np.random.default_rng(0), random.Random(0)
        self.data = Data(x=torch.zeros(2, 2), edge_index=torch.zeros(2, 1, dtype=torch.long))
        self.register_buffer("kept", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        COUNTER[0] += 0
        return self.lin(x)


def draw_from(generator: Any) -> None:
    if isinstance(generator, torch.Generator):
        torch.rand(1, generator=generator)
    else:
        generator.random()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda m: m.lin.weight.data.add_(1e-7), "model.lin.weight"),
        (lambda m: m.kept.add_(1), "model.kept"),
        (lambda m: m.numbers.append(3), "model.numbers#"),
        (lambda m: m.numbers[1].update(a=3.0), "model.numbers[1].a"),
        (lambda m: m.array.__setitem__(0, 1.0), "model.array"),
        (lambda m: m.memory.append(1), "model.memory#"),
        (lambda m: m.names.add("b"), "model.names#"),
        (lambda m: next(iter(m.locks)).seen.append(1), "model.locks[0].seen#"),
        (lambda m: m.locked[1].seen.append(1), "model.locked[1].seen#"),
        (lambda m: next(m.count), "model.count"),
        (lambda m: m.bytes.append(1), "model.bytes"),
        (lambda m: m.numbers_only.append(1.0), "model.numbers_only"),
        (lambda m: draw_from(m.generators[0]), "model.generators[0]"),
        (lambda m: draw_from(m.generators[1]), "model.generators[1]"),
        (lambda m: draw_from(m.generators[2]), "model.generators[2]"),
        (lambda m: m.data.x.add_(1), "model.data.x"),
        (lambda m: setattr(m, "extra", 1), "model.extra"),
        (lambda m: m.shared.append(1), "model.Holder.shared#"),
        (lambda m: m.train(), "model.lin.training"),
        (lambda m: COUNTER.append(1), "model.Holder.forward.COUNTER#"),
    ],
)
def test_names_every_change(change: Any, path: str) -> None:
    model = Holder().eval()
    before = state_of(model=model)
    assert first_difference(before, state_of(model=model)) is None
    change(model)
    changed = first_difference(before, state_of(model=model))
    assert changed is not None and (changed == path or path == "model.lin.training")
    Holder.shared.clear()
    del COUNTER[1:]


def test_functions_are_followed_through_closures_globals_defaults_and_methods() -> None:
    seen = [1]

    def closure(x: Tensor, extra: list[int] = [2]) -> list[int]:  # noqa: B006
        return seen + extra + COUNTER

    before = state_of(forward=closure)
    assert {"forward.seen[0]", "forward.extra[0]", "forward.COUNTER[0]"} <= set(before)
    seen[0] = 5
    assert first_difference(before, state_of(forward=closure)) == "forward.seen[0]"
    bound = dict(leaves(forward=Holder().forward))
    assert "forward.self.lin.weight" in bound
    assert dict(leaves(f=partial(closure, extra=[7])))["f.keywords.extra[0]"] == 7


def test_a_generator_shows_how_far_it_is() -> None:
    stream = (number for number in range(2))
    states = [state_of(stream=stream)]
    while next(stream, None) is not None:
        states.append(state_of(stream=stream))
    assert first_difference(states[0], states[1]) is not None
    assert first_difference(states[1], states[2]) == "stream.number"
    assert first_difference(states[2], state_of(stream=stream)) is not None


def test_sets_that_hold_the_same_are_the_same() -> None:
    names = [f"name {i}" for i in range(100)]
    pairs = [(name, i) for i, name in enumerate(names)]
    for items in (names, pairs):
        assert first_difference(state_of(s=set(items)), state_of(s=set(reversed(items)))) is None
    assert first_difference(state_of(s={1, 2}), state_of(s={1, 3})) == "s[1]"


def test_a_model_of_pyg_is_the_same_after_a_call() -> None:
    model = GAT(3, 4, 2, 2, heads=2).eval()
    before = state_of(model=model)
    model(torch.rand(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]]))
    assert first_difference(before, state_of(model=model)) is None


def test_a_cache_of_pyg_shows() -> None:
    model = GCNConv(3, 2, cached=True).eval()
    before = state_of(model=model)
    model(torch.rand(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]]))
    changed = first_difference(before, state_of(model=model))
    assert changed is not None and changed.startswith("model._cached_edge_index")


def test_cycles_end() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert dict(leaves(loop=loop)) == {"loop#": 2, "loop[0]": 1}
