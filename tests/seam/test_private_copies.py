"""What a private copy keeps apart: state, clean features, modes, locks, random numbers, memos."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GCNConv, SAGEConv, WLConv

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import Call, plain_votes, pyg_call
from .small import ABLATION, FLIPS, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_votes, refused, right_or_refused

# State outside of the model ---------------------------------------------------------------------

GLOBAL_MEAN = torch.zeros(C)


def by_a_global(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """Subtracts a running mean that lives in a module's globals."""
    logits = model(x, data.edge_index)
    GLOBAL_MEAN.mul_(0.5).add_(logits.mean(0))
    return logits - GLOBAL_MEAN


def by_a_default(model: nn.Module, x: Tensor, data: Data, past: list[float] = [0.0]) -> Tensor:  # noqa: B006
    """The same in a default argument."""
    logits = model(x, data.edge_index)
    past[0] = 0.5 * past[0] + float(logits[:, 0].mean())
    return logits - past[0] * torch.eye(C)[0]


def by_an_attribute_of_itself(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The same in an attribute of the function."""
    logits = model(x, data.edge_index)
    past = getattr(by_an_attribute_of_itself, "past", torch.zeros(C))
    by_an_attribute_of_itself.past = 0.5 * past + logits.mean(0)  # type: ignore[attr-defined]
    return logits - past


def by_a_closure() -> Call:
    """The same in a closure."""
    past = [torch.zeros(C)]

    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        logits = model(x, data.edge_index)
        past[0] = 0.5 * past[0] + logits.mean(0)
        return logits - past[0]

    return forward


def by_a_counter() -> Call:
    """Every third call turns the logits around."""
    calls = [0]

    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        calls[0] += 1
        return model(x, data.edge_index).roll(calls[0] % 3, dims=1)

    return forward


def by_an_object() -> Call:
    """A callable object with a mean of its own."""

    class Forward:
        mean = torch.zeros(C)

        def __call__(self, model: nn.Module, x: Tensor, data: Data) -> Tensor:
            logits = model(x, data.edge_index)
            self.mean = 0.5 * self.mean + logits.mean(0)
            return logits - self.mean

    return Forward()


OUTSIDE: dict[str, Callable[[], Call]] = {
    "global": lambda: by_a_global,
    "default": lambda: by_a_default,
    "function": lambda: by_an_attribute_of_itself,
    "closure": by_a_closure,
    "counter": by_a_counter,
    "object": by_an_object,
}


@pytest.mark.parametrize("block_size", [None, 1])
@pytest.mark.parametrize("name", OUTSIDE)
def test_state_outside_of_the_model_is_refused(name: str, block_size: int | None) -> None:
    forward = OUTSIDE[name]()
    refused(lambda: votes_of(seeded(Linear), make_graph(), forward=forward, block_size=block_size))


class OnItsClass(Linear):
    """A running mean that all objects of a class share: a copy of the model is not private."""

    mean = torch.zeros(C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        OnItsClass.mean = 0.5 * OnItsClass.mean + logits.mean(0)
        return logits - OnItsClass.mean


class CopiesItself(Linear):
    """A copy is the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(C))

    def __deepcopy__(self, memo: Any) -> CopiesItself:
        return self

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        self.mean = 0.5 * self.mean + logits.mean(0)
        return logits - self.mean


class SharesItsTable(Linear):
    """A copy shares one tensor with the model, on purpose, and each call adds to it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.zeros(C)

    def __deepcopy__(self, memo: Any) -> SharesItsTable:
        copied = seeded(SharesItsTable)
        copied.load_state_dict(self.state_dict())
        copied.table = self.table
        return copied

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        self.table.mul_(0.5).add_(logits.mean(0))
        return logits - self.table


def with_a_hook() -> nn.Module:
    """A hook that moves a mean in its closure."""
    model, past = seeded(Linear), [torch.zeros(C)]

    def hook(module: nn.Module, inputs: Any, logits: Tensor) -> Tensor:
        past[0] = 0.5 * past[0] + logits.mean(0)
        return logits - past[0]

    model.register_forward_hook(hook)
    return model


def with_a_hook_inside() -> nn.Module:
    """A hook on the first map, before the engine's own way into it."""
    model, past = seeded(Linear), [0.0]

    def hook(module: nn.Module, inputs: Any) -> None:
        past[0] += 1
        return None if past[0] % 2 else (-inputs[0],)

    model.own.register_forward_pre_hook(hook)
    return model


@pytest.mark.parametrize(
    "build", [OnItsClass, CopiesItself, SharesItsTable, with_a_hook, with_a_hook_inside]
)
def test_state_that_a_copy_shares_is_refused(build: Any) -> None:
    OnItsClass.mean = torch.zeros(C)
    model = seeded(build)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    refused(lambda: votes_of(model, make_graph()))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not isinstance(model, SharesItsTable) or not bool(model.table.any())


# Memos ------------------------------------------------------------------------------------------


@functools.cache
def propagated(num_rows: int, key: int) -> list[Tensor]:
    """A place for features, one for each number of rows."""
    return []


def by_a_memo(model: nn.Module, x: Tensor, data: Data) -> Tensor:
    """The propagated features of the first call, as a decorated helper would keep them."""
    place = propagated(x.size(0), id(model))
    if not place:
        place.append(model(x, data.edge_index))
    return place[0]


def test_a_memo_of_a_function_is_right_or_refused() -> None:
    data, model = make_graph(), seeded(Linear)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data, forward=by_a_memo), truth)


class ByPointer(Linear):
    """A memo by the memory of its features, which another sample's features may get."""

    def __init__(self) -> None:
        super().__init__()
        self.memo: dict[int, Tensor] = {}

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        key = x.data_ptr()
        if key not in self.memo:
            self.memo[key] = super().forward(x, edge_index)
        return self.memo[key]


class ByShape(Linear):
    """Writes its logits into one tensor for each shape, over those of the call before."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[Any, Tensor] = {}

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return self.outputs.setdefault(logits.shape, torch.empty_like(logits)).copy_(logits)


class ByShapeMixing(ByShape):
    """The same for a model that mixes copies: logits of two calls lie in one memory."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = Linear.forward(self, x, edge_index)
        logits = logits - logits.mean(0)
        return self.outputs.setdefault(logits.shape, torch.empty_like(logits)).copy_(logits)


class LearnsNormalization(Linear):
    """Standardises by the features of its first call (lazily, as scalers do)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: Tensor | None = None

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = x.abs().mean(0) + 0.01
        return super().forward(x / self.scale, edge_index)


class Colors(nn.Module):
    """Refined colors (WLConv), numbered as they come: an embedding of the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.table = WLConv(), nn.Embedding(100_000, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.table(self.conv((x[:, :2].abs() > 0.5).long() @ torch.tensor([1, 2]),
                                    edge_index))  # fmt: skip


@pytest.mark.parametrize(
    "model_class", [ByPointer, ByShape, ByShapeMixing, LearnsNormalization, Colors],
    ids=lambda cls: cls.__name__,
)  # fmt: skip
def test_a_memo_of_a_model_is_right_or_refused(model_class: type) -> None:
    data, model = make_graph(), seeded(model_class)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    right_or_refused(
        lambda: votes_of(model, data), truth, "memo", "outputs", "scale", "conv", "hashmap"
    )


# Randomness that no seed reaches ----------------------------------------------------------------

SHARED_GENERATOR = np.random.default_rng(0)
SHARED_TORCH = torch.Generator().manual_seed(0)

ENTROPY: dict[str, Callable[[], float]] = {
    "urandom": lambda: os.urandom(1)[0] / 256,
    "clock": lambda: (time.perf_counter_ns() // 100 % 97) / 97,
    "system": lambda: random.SystemRandom().random(),
    "fresh_numpy": lambda: float(np.random.default_rng().random()),
    "fresh_random": lambda: random.Random().random(),
    "fresh_torch": lambda: float(torch.rand(1, generator=_seeded_by_the_system())),
    "shared_numpy": lambda: float(SHARED_GENERATOR.random()),
    "shared_torch": lambda: float(torch.rand(1, generator=SHARED_TORCH)),
    "reseeded_torch": lambda: float(torch.seed() % 97) / 97,
}


def _seeded_by_the_system() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


@pytest.mark.parametrize("name", ENTROPY)
def test_randomness_that_no_seed_reaches_is_refused(name: str) -> None:
    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        return model(x, data.edge_index) * (ENTROPY[name]() - 0.5)

    refused(lambda: votes_of(seeded(Linear), make_graph(), forward=forward, block_size=1))


class AlwaysTraining(Linear):
    """Stays in training mode, for Monte Carlo dropout."""

    def train(self, mode: bool = True) -> AlwaysTraining:
        return super().train(True)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.4, self.training), edge_index)


def test_dropout_that_eval_does_not_stop_is_a_function_of_the_sample() -> None:
    data, model = make_graph(), seeded(AlwaysTraining)
    votes = votes_of(model, data)
    torch.manual_seed(5)
    for options in ({"num_workers": 2}, {"block_size": 1}, {"dense": True}):
        assert torch.equal(votes_of(model, data, **options), votes)


def test_a_norm_that_eval_does_not_stop_is_refused_by_name() -> None:
    class Stubborn(AlwaysTraining):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(D + 1)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return Linear.forward(self, self.norm(x), edge_index)

    model = seeded(Stubborn)
    refused(lambda: votes_of(model, make_graph()), "norm", "BatchNorm1d")
    assert int(model.norm.num_batches_tracked) == 0


def test_the_mode_of_each_module_is_that_of_evaluation() -> None:
    """A part that was left in training mode while the whole is not."""

    class Parts(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(self.drop(x), edge_index)

    data, model = make_graph(), seeded(Parts)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    model.drop.train()
    assert_votes(votes_of(model, data), truth)
    assert model.drop.training


# Copies -----------------------------------------------------------------------------------------


class HoldsALock(Linear):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        with self.lock:
            return super().forward(x, edge_index)


class HoldsAPool(Linear):
    """Runs its maps in threads, and cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = concurrent.futures.ThreadPoolExecutor(2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        first, second = self.pool.map(lambda linear: linear(x), (self.own, self.other))
        return (first - second.roll(1, dims=1)).detach()


class RefusesToBeCopied(Linear):
    """Says so itself."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("this model is one of a kind")


class HoldsItsGradient(Linear):
    """Holds a tensor with a history, which cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.own.weight.sum().abs() + 1

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * self.scale


class HoldsAnIterator(Linear):
    """Holds what can be used once."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = (sign for sign in (1, -1) * 10_000)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * next(self.signs)


@pytest.mark.parametrize(
    ("model_class", "name"),
    [(HoldsALock, "lock"), (HoldsAPool, "pool"), (HoldsItsGradient, "scale")],
)
def test_a_model_that_cannot_be_copied_is_right_or_refused(model_class: type, name: str) -> None:
    data, model = make_graph(), seeded(model_class)
    votes: Tensor | int = 0
    draw = ABLATION.prepare(data.x)
    with torch.no_grad():
        for sample in range(SAMPLES):  # the model keeps nothing, so that it needs no copy here
            logits = model(draw(RandomStream(0, sample)), data.edge_index)
            votes = votes + F.one_hot(logits.argmax(-1), C)
    assert isinstance(votes, Tensor)
    right_or_refused(lambda: votes_of(model, data), votes, name, model_class.__name__)


@pytest.mark.parametrize("model_class", [RefusesToBeCopied, HoldsAnIterator])
def test_a_model_that_cannot_be_copied_is_refused_in_one_sentence(model_class: type) -> None:
    refused(lambda: votes_of(seeded(model_class), make_graph()), model_class.__name__, "signs")


def test_weights_that_two_modules_share_stay_shared() -> None:
    class Tied(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.other.weight = self.own.weight

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            before = self.other(x)
            with torch.no_grad():
                self.own.weight.neg_()
            logits = super().forward(x, edge_index) + before
            with torch.no_grad():
                self.own.weight.neg_()
            return logits

    data, model = make_graph(), seeded(Tied)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data), truth, "own", "other", "weight", "dense")
    assert model.own.weight is model.other.weight


def test_a_tensor_that_the_model_shares_with_the_graph() -> None:
    """The model's buffer is the graph's weights: in place, both change."""

    class Shares(Linear):
        def __init__(self, weight: Tensor) -> None:
            super().__init__()
            self.register_buffer("weight", weight)

        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            self.weight.mul_(-1)
            return super().forward(x, edge_index) * (edge_weight.sum() - 30)

    data = make_graph()
    before, model = data.edge_weight.clone(), seeded(Shares, data.edge_weight)
    with contextlib.suppress(ValueError):
        votes_of(model, data, block_size=1)
        pytest.fail("a weight that changes from call to call was accepted")
    assert torch.equal(data.edge_weight, before)
    assert model.weight is data.edge_weight


# Clean features ---------------------------------------------------------------------------------


class HoldsTheGraph(Linear):
    """A model that was given the whole graph, features and all."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.data = data

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        copies = x.size(0) // N
        return 0.2 * super().forward(x, edge_index) + self.own(
            F.pad(self.data.x, (0, 1)).repeat(copies, 1)
        )


class HoldsTheFeatures(HoldsTheGraph):
    """The same by a buffer that is the features' own tensor."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        del self.data
        self.register_buffer("clean", data.x)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return 0.2 * Linear.forward(self, x, edge_index) + self.own(
            F.pad(self.clean, (0, 1)).repeat(x.size(0) // N, 1)
        )


@pytest.mark.parametrize(
    ("model_class", "name"), [(HoldsTheGraph, "data"), (HoldsTheFeatures, "clean")]
)
def test_a_model_that_holds_the_clean_features_is_refused_by_name(
    model_class: type, name: str
) -> None:
    data = make_graph()
    refused(lambda: votes_of(seeded(model_class, data), data), name)


def test_a_closure_over_the_clean_features_is_refused() -> None:
    """The noise still changes the logits, so that a comparison of two draws finds nothing."""
    data = make_graph()

    def forward(model: nn.Module, x: Tensor, graph: Data) -> Tensor:
        clean = F.pad(data.x, (0, 1)).repeat(x.size(0) // N, 1)
        return 0.2 * model(x, graph.edge_index) + model.own(clean)

    refused(lambda: votes_of(seeded(Linear), data, forward=forward), "data", "forward", "closure")


# The world around a call ------------------------------------------------------------------------


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Any:
    """Another default dtype for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


AROUND: dict[str, Callable[[], Any]] = {
    "inference_mode": torch.inference_mode,
    "enable_grad": torch.enable_grad,
    "float64": lambda: default_dtype(torch.float64),
    "fork_rng": torch.random.fork_rng,
}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", AROUND)
def test_the_context_of_a_call_changes_nothing(name: str, num_workers: int) -> None:
    data, model = make_graph(), seeded(Linear)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    with AROUND[name]():
        votes = votes_of(model, data, num_workers=num_workers)
    assert_votes(votes, truth)


def test_autocast_around_a_call_is_the_same_for_all_workers_and_blocks() -> None:
    data, model = make_graph(), seeded(Linear)
    with torch.autocast("cpu", torch.bfloat16):
        votes = votes_of(model, data)
        assert torch.equal(votes_of(model, data, num_workers=2), votes)
        assert torch.equal(votes_of(model, data, block_size=1), votes)
        assert torch.equal(votes_of(model, data, dense=True), votes)


def test_a_model_made_under_inference_mode_is_right_or_refused() -> None:
    data = make_graph()
    truth = plain_votes(pyg_call, seeded(Linear), ABLATION, data, SAMPLES, C)
    with torch.inference_mode():
        model = seeded(Linear)
    right_or_refused(lambda: votes_of(model, data), truth, "own", "other", "Linear", "inference")


# Heterogeneous graphs ---------------------------------------------------------------------------


def make_hetero() -> HeteroData:
    """Two types of nodes."""
    generator = torch.Generator().manual_seed(0)
    data = HeteroData()
    data["paper"].x = torch.randn(N, D, generator=generator)
    data["author"].x = torch.randn(9, 4, generator=generator)
    edges = torch.stack([torch.arange(30) % 9, torch.arange(30) * 7 % N])
    data["author", "writes", "paper"].edge_index = edges
    cites = torch.randint(0, N, (2, 40), generator=generator)
    data["paper", "cites", "paper"].edge_index = cites
    return data


class Hetero(nn.Module):
    """Reads papers and their authors."""

    def __init__(self, cached: bool = False) -> None:
        super().__init__()
        self.own = GCNConv(D + 1, C, cached=cached)
        self.authors = SAGEConv((4, D + 1), C)

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Tensor:
        x = x_dict["paper"]
        writes = edge_index_dict["author", "writes", "paper"]
        return self.own(x, edge_index_dict["paper", "cites", "paper"]) + self.authors(
            (x_dict["author"], x), writes
        )


class HeteroCounter(Hetero):
    """Counts its calls."""

    calls = 0

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Tensor:
        self.calls += 1
        return super().forward(x_dict, edge_index_dict).roll(self.calls, dims=1)


class HeteroInPlace(Hetero):
    """Changes the features of the type that gets no noise."""

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Tensor:
        x_dict["author"].mul_(-1.1)
        return super().forward(x_dict, edge_index_dict)


class HeteroMixing(Hetero):
    """Centers over all rows."""

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Tensor:
        logits = super().forward(x_dict, edge_index_dict)
        return logits - logits.mean(0)


@pytest.mark.parametrize(
    ("model_class", "name"),
    [(Hetero, None), (HeteroMixing, None), (HeteroCounter, "calls"), (HeteroInPlace, "author")],
)
def test_heterogeneous_graphs_have_the_same_seam(model_class: type, name: str | None) -> None:
    data, papers = make_hetero(), {"paper": 0.5}
    transform = HierarchicalNodeFeatureNoise(papers, AblationNoise())
    plain_transform = HierarchicalNodeFeatureNoise(0.5, AblationNoise())
    authors = data["author"].x.clone()

    def call(model: nn.Module, x: Tensor, graph: Any) -> Tensor:
        features = {"paper": x, "author": authors.clone()}
        return model(features, data.edge_index_dict)

    model = seeded(model_class)
    truth = plain_votes(call, model, plain_transform, Data(x=data["paper"].x), SAMPLES, C)
    classifier = SmoothedNodeClassifier(model, transform, C, node_type="paper")

    def sample() -> Tensor:
        return classifier.sample_votes(data, SAMPLES, progress=False, num_workers=0)

    if name is None:
        assert_votes(sample(), truth)
    else:
        right_or_refused(sample, truth, name, "x_dict", "x")
    assert torch.equal(data["author"].x, authors)


def test_a_cache_in_a_heterogeneous_model_is_of_this_graph() -> None:
    data, other = make_hetero(), make_hetero()
    edges = other["paper", "cites", "paper"].edge_index
    other["paper", "cites", "paper"].edge_index = edges.roll(3, dims=1)[:, 5:]
    transform = HierarchicalNodeFeatureNoise({"paper": 0.5}, AblationNoise())
    votes = []
    for cached in (False, True):
        model = seeded(Hetero, cached)
        features = {"paper": torch.zeros(N, D + 1), "author": other["author"].x}
        model(features, other.edge_index_dict)
        classifier = SmoothedNodeClassifier(model, transform, C, node_type="paper")
        votes.append(classifier.sample_votes(data, SAMPLES, progress=False, num_workers=0))
    assert_votes(votes[1], votes[0])


# Blocks of flips --------------------------------------------------------------------------------


def test_ties_are_broken_alike_in_and_out_of_a_block() -> None:
    """Rows of few bits are often equal; the first of the largest is one thing in a block and
    another alone.
    """

    class Top(Linear):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            score = x[:, :2].sum(1).round()
            chosen = score.argsort(descending=True)[: (x.size(0) + 1) // 2]
            gate = torch.zeros(x.size(0), 1).index_fill(0, chosen, 1.0)
            return super().forward(x * gate, edge_index)

    data, model = make_graph(binary=True), seeded(Top)
    truth = plain_votes(pyg_call, model, FLIPS, data, SAMPLES, C)
    assert_votes(votes_of(model, data, FLIPS), truth)
