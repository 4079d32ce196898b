"""Row 6: the way behind the first linear map, and what it leaves in a model."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from torch.nn.utils import prune as pruning

from .plain import plain_votes, pyg_call
from .small import ABLATION, FLIPS, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_votes, right_or_refused


class Binarized(Linear):
    """Runs with the signs of its weights, and puts the weights back (BinaryConnect)."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        weight = self.own.weight.data.clone()
        self.own.weight.data.sign_()
        logits = super().forward(x, edge_index) + x[:, :C].tanh()
        self.own.weight.data.copy_(weight)
        return logits


class BinarizedBehind(Linear):
    """The same with nothing but linear maps of the features."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        weight = self.own.weight.data.clone()
        clean = self.own(x)
        self.own.weight.data.sign_()
        logits = super().forward(x, edge_index)
        self.own.weight.data.copy_(weight)
        return logits + clean


class SwappedData(Linear):
    """The same by another tensor in the place of ``weight.data``."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        weight = self.own.weight.data
        clean = self.own(x)
        self.own.weight.data = -2 * weight
        logits = super().forward(x, edge_index)
        self.own.weight.data = weight
        return logits + clean


class FallsBack(Linear):
    """Swallows whatever a first way of reading its features raises."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        try:
            h = x.relu()
        except:  # noqa: E722
            return 3 - self.own(x)
        return super().forward(h, edge_index)


class FallsBackByFinally(Linear):
    """A ``return`` in ``finally`` swallows as well."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.own(x)
        try:
            logits = super().forward(x.relu(), edge_index)
        finally:
            return logits  # noqa: B012


class FallsBackByContext(Linear):
    """A context manager swallows as well."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = self.own(x).roll(1, dims=1)
        with contextlib.suppress(BaseException):
            logits = super().forward(x.abs(), edge_index)
        return logits


class BranchesByType(Linear):
    """Takes another way for a subclass of tensors."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if type(x) is Tensor else logits.roll(1, dims=1)


class BranchesByAttribute(Linear):
    """Takes another way for what does not say what it stores."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if "Linear" not in repr(type(x)) else -logits


class Hyper(nn.Module):
    """Its second map of the features is made of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(D + 1, C), nn.Linear(C, C * (D + 1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        weight = self.second(self.first(x).mean(0)).view(D + 1, C)
        return self.first(x) + x @ weight


class HyperInPlace(nn.Module):
    """The same, written into one buffer again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(D + 1, C), nn.Linear(C, C * (D + 1))
        self.register_buffer("weight", torch.zeros(D + 1, C), persistent=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.weight.copy_(self.second(self.first(x).mean(0)).view(D + 1, C))
        return self.first(x) + x @ self.weight


class HyperByData(HyperInPlace):
    """The same through ``.data``, which no version counter sees."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.weight.data.copy_(self.second(self.first(x).mean(0)).view(D + 1, C))
        return self.first(x) + x @ self.weight


class ChangesHidden(Linear):
    """Works in place on what its first map returns."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        first = self.own(x)
        first.mul_(-0.5).add_(1)
        return first + self.own(x).relu_() + self.other(x)


class ChangesFeatures(Linear):
    """Works in place on its features, after a linear map and before another."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        before = self.own(x)
        x.mul_(-1)
        return before + super().forward(x, edge_index)


class ByRowOfWeight(Linear):
    """Uses parts of one weight, which lie in one memory."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        weight = self.own.weight
        first, rest = x @ weight[:1].t(), x @ weight[1:].t()
        return torch.cat([rest, first], dim=1) + x @ weight.t() + x @ weight.flip(0).t()


class ByChosenMap(Linear):
    """One of two maps, by what the first has seen."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.own(x)
        return h + (self.other(x) if h.sum() > 0 else -2 * h)


class Autocast(Linear):
    """Reads its features in bfloat16."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x, edge_index).float()


class Double(Linear):
    """Reads its features in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x.double(), edge_index)


class Hooked(Linear):
    """Hooks on its first map change its input and its output."""

    def __init__(self) -> None:
        super().__init__()
        self.own.register_forward_pre_hook(lambda module, inputs: (inputs[0].clamp(min=0),))
        self.own.register_forward_hook(lambda module, inputs, out: 2 * out + inputs[0].sum())


class Checkpointed(Linear):
    """Recomputes in the backward pass."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(
            super().forward, x, edge_index, use_reentrant=False
        )


class GradientInForward(Linear):
    """Takes a gradient with regard to its features on the way, as energy models do."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            energy = super().forward(x, edge_index).logsumexp(1).sum()
            (gradient,) = torch.autograd.grad(energy, x)
        return super().forward(x - gradient, edge_index)


def with_first(wrap: object) -> nn.Module:
    """A model whose first map is wrapped."""
    model = seeded(Linear)
    model.own = wrap(model.own)  # type: ignore[operator]
    return model.eval()


def pruned(linear: nn.Linear) -> nn.Module:
    """A linear map with a mask on its weight, made anew by a hook before each call."""
    return pruning.random_unstructured(linear, "weight", amount=0.4)


def quantized(linear: nn.Linear) -> nn.Module:
    """A linear map in eight bits."""
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(linear), dtype=torch.qint8)


def lazy(linear: nn.Linear) -> nn.Module:
    """A linear map that learns its size at its first call."""
    return nn.LazyLinear(C)


CLASSES = (
    Binarized, BinarizedBehind, SwappedData, FallsBack, FallsBackByFinally, FallsBackByContext,
    BranchesByType, BranchesByAttribute, Hyper, HyperInPlace, HyperByData, ChangesHidden,
    ChangesFeatures, ByRowOfWeight, ByChosenMap, Autocast, Double, Hooked, Checkpointed,
    GradientInForward,
)  # fmt: skip


@pytest.mark.one_in(3)
@pytest.mark.parametrize("transform", [ABLATION, FLIPS], ids=["ablation", "flips"])
@pytest.mark.parametrize("model_class", CLASSES, ids=lambda cls: cls.__name__)
def test_features_are_read_as_if_they_were_written_out(
    model_class: type, transform: object
) -> None:
    data, model = make_graph(binary=transform is FLIPS), seeded(model_class)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    truth = plain_votes(pyg_call, model, transform, data, SAMPLES, C)
    right_or_refused(
        lambda: votes_of(model, data, transform),
        truth,
        "dense",
        *(name for name, _ in model.named_children()),
        *(name for name, _ in model.named_buffers()),
        model_class.__name__,
    )
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "model_class",
    [Binarized, FallsBack, FallsBackByFinally, FallsBackByContext, BranchesByType, Hyper,
     ChangesHidden, ByRowOfWeight, ByChosenMap, Hooked, Autocast],
    ids=lambda cls: cls.__name__,
)  # fmt: skip
def test_written_out_features_suit_these_models(model_class: type) -> None:
    data, model = make_graph(), seeded(model_class)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(model, data, dense=True), truth)


WRAPPED = {
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "parametrized_weight_norm": parametrizations.weight_norm,
    "parametrized_spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruned": pruned,
    "quantized": quantized,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_weights_that_are_made_anew_at_each_call(name: str) -> None:
    data, model = make_graph(), with_first(WRAPPED[name])
    plain = with_first(WRAPPED[name])
    with torch.no_grad():  # before it, old hooks leave a weight that cannot be copied
        plain(torch.zeros(N, D + 1), data.edge_index)
    truth = plain_votes(pyg_call, plain, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(plain, data), truth)
    right_or_refused(lambda: votes_of(model, data), truth, "own")


def test_a_lazy_model_is_refused_or_left_lazy() -> None:
    data, model = make_graph(), with_first(lazy)
    with contextlib.suppress(ValueError):
        votes_of(model, data)
    assert isinstance(model.own.weight, nn.UninitializedParameter)


def test_weights_that_were_changed_between_two_calls_are_the_new_ones() -> None:
    data, model = make_graph(), seeded(Linear)
    first = votes_of(model, data)
    model.own.weight.data.neg_()
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    assert not torch.equal(first, truth)
    assert_votes(votes_of(model, data), truth)
