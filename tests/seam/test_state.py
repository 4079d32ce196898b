"""Row 4: what a model keeps from one sample to the next, and the random numbers it draws."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binom
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import dropout_edge, dropout_node, negative_sampling

from pyg_hiersmooth.nn import SmoothedNodeClassifier

from .small import ABLATION, SAMPLES, C, D, Linear, make_graph, seeded, votes_of
from .verdict import refused


class MovingAverage(Linear):
    """Subtracts a running mean that every call moves."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(C))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        self.running = 0.9 * self.running + 0.1 * logits.mean(0)
        return logits - self.running


class MovingAverageInPlace(MovingAverage):
    """The same, in place."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = Linear.forward(self, x, edge_index)
        self.running.mul_(0.9).add_(logits.mean(0), alpha=0.1)
        return logits - self.running


class Counter(Linear):
    """Turns its logits around at every second call."""

    calls = 0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x, edge_index).roll(self.calls % 2, dims=1)


class LateCounter(Linear):
    """Gives up noise after more calls than any check would make."""

    calls = 0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.calls += 1
        logits = super().forward(x, edge_index)
        return logits if self.calls < 60 else torch.zeros_like(logits)


class Memory(Linear):
    """Adds the logits of the call before, from a list."""

    def __init__(self) -> None:
        super().__init__()
        self.past: list[Tensor] = []

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        self.past.append(logits)
        previous = self.past[-2] if len(self.past) > 1 else logits
        return logits + (previous if previous.shape == logits.shape else 0)


class HiddenMemory(Linear):
    """The same, in an object that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.helper = type("Helper", (), {"past": 0.0})()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        self.helper.past = 0.5 * self.helper.past + logits.mean(0)
        return logits + self.helper.past


class LateBuffer(Linear):
    """Registers the mean of its first logits as a buffer, at its first call."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        if not hasattr(self, "center"):
            self.register_buffer("center", logits.mean(0))
        return logits - self.center


class OnlineNorm(Linear):
    """A BatchNorm that is always in training mode, whatever :meth:`eval` says."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.norm.train()
        self.norm(super().forward(x, edge_index))
        self.norm.eval()
        return self.norm(super().forward(x, edge_index))


class Learning(Linear):
    """Moves its weights at every call (test-time training)."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        with torch.no_grad():
            self.other.weight.add_(0.05 * logits.mean())
        return logits


STATEFUL = {
    MovingAverage: "running",
    MovingAverageInPlace: "running",
    Counter: "calls",
    LateCounter: "calls",
    Memory: "past",
    HiddenMemory: "helper",
    LateBuffer: "center",
    OnlineNorm: "norm",
    Learning: "other",
}


@pytest.mark.parametrize("model_class", STATEFUL, ids=lambda cls: cls.__name__)
def test_state_from_call_to_call_is_refused_by_name(model_class: type) -> None:
    data, model = make_graph(), seeded(model_class)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    refused(lambda: votes_of(model, data), STATEFUL[model_class], model_class.__name__)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert vars(model).get("calls", 0) == 0
    assert not vars(model).get("past")


class OwnGenerator(Linear):
    """Drops half of its logits by a generator of its own."""

    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator

    def uniform(self) -> float:
        if isinstance(self.generator, torch.Generator):
            return float(torch.rand(1, generator=self.generator))
        return float(self.generator.random())

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index).roll(int(self.uniform() < 0.5), dims=1)


class NestedGenerator(OwnGenerator):
    """The same, with the generator inside a list in a dictionary."""

    def __init__(self, generator: Any) -> None:
        super().__init__(None)
        self.options = {"generators": [generator]}

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.generator = self.options["generators"][0]
        try:
            return super().forward(x, edge_index)
        finally:
            self.generator = None


GENERATORS = {
    "torch": torch.Generator,
    "numpy": lambda: np.random.default_rng(0),
    "numpy_legacy": lambda: np.random.RandomState(0),
    "random": lambda: random.Random(0),
}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("model_class", [OwnGenerator, NestedGenerator])
def test_an_own_generator_is_refused_by_name(model_class: type, name: str) -> None:
    class LegacyUniform:
        def __init__(self, state: np.random.RandomState) -> None:
            self.state, self.random = state, state.random_sample

    generator = GENERATORS[name]()
    if name == "numpy_legacy":
        generator = LegacyUniform(generator)
    model = seeded(model_class, generator)
    refused(lambda: votes_of(model, make_graph()), "generator", "generators", "options")


def test_a_generator_that_is_rarely_used_is_refused_too() -> None:
    class Rare(OwnGenerator):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            if float(x[:, -1].mean()) < 0.75:
                return Linear.forward(self, x, edge_index)
            return super().forward(x, edge_index)

    model = seeded(Rare, torch.Generator().manual_seed(0))
    refused(lambda: votes_of(model, make_graph()), "generator")


GLOBAL = {
    "dropout": lambda x, edges: (F.dropout(x, 0.3), edges),
    "rand": lambda x, edges: (x * torch.rand(x.size(0), 1), edges),
    "numpy": lambda x, edges: (x * float(np.random.rand()), edges),
    "random": lambda x, edges: (x * random.random(), edges),
    "random_shuffle": lambda x, edges: (x * random.sample(range(7), 1)[0], edges),
    "numpy_choice": lambda x, edges: (x * np.random.choice(5), edges),
    "dropout_edge": lambda x, edges: (x, dropout_edge(edges, 0.4)[0]),
    "dropout_node": lambda x, edges: (x, dropout_node(edges, 0.3, x.size(0))[0]),
    "negative_sampling": lambda x, edges: (x, negative_sampling(edges, x.size(0))),
}
"""Random changes by the global generators, which do not look at the mode of a model."""


class Random(Linear):
    """A model that is random in evaluation mode."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(*GLOBAL[self.name](x, edge_index))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", GLOBAL)
def test_global_random_numbers_are_a_function_of_the_sample(name: str) -> None:
    data, model = make_graph(), seeded(Random, name)
    votes = votes_of(model, data)
    for seed in (1, 2):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        assert torch.equal(votes_of(model, data), votes)
    assert torch.equal(votes_of(model, data, block_size=1), votes)
    assert torch.equal(votes_of(model, data, num_workers=2), votes)
    parts = [votes_of(model, data, num_samples=n, start=i) for i, n in ((0, 13), (13, 27))]
    assert torch.equal(sum(parts), votes)


def coin(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Logits that hardly depend on the features: the toss of a coin decides."""
    return 1e-3 * model(x, data.edge_index) + torch.eye(C)[int(torch.rand(1) < 0.5)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_fair_coin_stays_fair(num_workers: int) -> None:
    votes = votes_of(seeded(Linear), make_graph(), forward=coin, num_samples=400,
                     num_workers=num_workers)  # fmt: skip
    least, most = binom.ppf([1e-6, 1 - 1e-6], 400, 0.5)
    heads = votes[:, 1]
    assert bool((heads >= least).all()) and bool((heads <= most).all())
    assert bool((votes[:, 2] == 0).all())


def test_noise_and_the_models_random_numbers_are_independent() -> None:
    """A coin from the generator that also drew the selection would always agree with it."""

    def same(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        first = x[0, -1] > 0
        agrees = (torch.rand(1) < 0.5) == first
        numpy_agrees = (np.random.rand() < 0.5) == bool(first)
        return 1e-3 * model(x, data.edge_index) + torch.eye(C)[int(agrees) + int(numpy_agrees)]

    votes = votes_of(seeded(Linear), make_graph(), forward=same, num_samples=400)[0]
    least, most = binom.ppf([1e-6, 1 - 1e-6], 400, 0.5)
    assert least <= int(votes[1]) <= most
    assert int(votes[0]) > 0 and int(votes[2]) > 0


def test_a_rare_random_number_is_one_of_its_sample_not_of_its_block() -> None:
    class Rare(Linear):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            logits = super().forward(x, edge_index)
            return logits.roll(1, dims=1) if torch.rand(1) < 0.04 else logits

    data, model = make_graph(), seeded(Rare)
    votes = votes_of(model, data, num_samples=200)
    assert torch.equal(votes, votes_of(model, data, num_samples=200, block_size=1))


def test_the_users_global_generators_are_where_they_were() -> None:
    states = []
    for name in ("dropout", "numpy", "random"):
        model = seeded(Random, name)
        torch.manual_seed(3), np.random.seed(3), random.seed(3)
        votes_of(model, make_graph())
        states.append((torch.rand(1).item(), np.random.rand(), random.random()))
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = (torch.rand(1).item(), np.random.rand(), random.random())
    assert states == [expected] * 3


@pytest.mark.parametrize("model_class", [Linear, MovingAverage, Counter])
def test_the_users_model_and_data_are_untouched(model_class: type) -> None:
    data, model = make_graph(), seeded(model_class)
    model.own.train()
    model.tag = {"by": "user"}
    state = {name: (value, value.clone()) for name, value in model.state_dict().items()}
    attributes, values = vars(model).copy(), data.clone()
    try:
        SmoothedNodeClassifier(model, ABLATION, C).sample_votes(data, SAMPLES, progress=False)
    except ValueError:
        assert model_class is not Linear
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert (model.training, model.own.training, model.other.training) == (False, True, False)
    for name, value in model.state_dict().items():
        kept, copied = state[name]
        assert value.data_ptr() == kept.data_ptr() and torch.equal(value, copied)
    assert data.keys() == values.keys()
    assert all(torch.equal(data[name], values[name]) for name in data.keys())  # noqa: SIM118


def test_the_users_model_is_untouched_by_an_interruption() -> None:
    class Interrupted(Linear):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            self.busy = True
            self.own.weight.data.neg_()
            logits = super().forward(x, edge_index)
            if float(x[:, -1].mean()) > 0.6:
                raise KeyboardInterrupt
            self.own.weight.data.neg_()
            self.busy = False
            return logits

    model = seeded(Interrupted)
    model.busy = False
    weight = model.own.weight.clone()
    with pytest.raises(KeyboardInterrupt):
        votes_of(model, make_graph())
    assert model.busy is False
    assert torch.equal(model.own.weight, weight)
    assert weight.size(1) == D + 1
