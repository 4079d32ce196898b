"""Row 3: a wrapper that names no arguments of its own still gets the graph's weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch_geometric.nn import GraphConv, NNConv, Sequential

from .plain import plain_votes, weighted_call
from .small import ABLATION, SAMPLES, C, D, make_graph, seeded, votes_of
from .verdict import assert_votes, right_or_refused


class Weighted(nn.Module):
    """Reads the weights of the edges, and does without if there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = GraphConv(D + 1, 8)
        self.conv2 = GraphConv(8, C)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        h = self.conv1(x, edge_index, edge_weight).tanh()
        return self.conv2(h, edge_index, edge_weight)


class AsModule(nn.Module):
    """A user's wrapper."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.module(*args, **kwargs)


class AsModel(nn.Module):
    """The same, of another name, which scales the logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        return 2 * self.model(*inputs, **options)


class Delegates(nn.Module):
    """Passes on what it is asked to, and its inner model's attributes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.inner(x, *args, **kwargs)


class Ensemble(nn.Module):
    """Mean of the members' logits."""

    def __init__(self, member: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList([member, seeded(Weighted, seed=5)])

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return sum(member(*args, **kwargs) for member in self.members) / len(self.members)


def anonymous(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A decorator without ``functools.wraps``."""

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        return method(*args, **kwargs)

    return forward


class Decorated(Weighted):
    """Its ``forward`` lost its names."""

    forward = anonymous(Weighted.forward)  # type: ignore[assignment]


def patched(model: nn.Module) -> nn.Module:
    """A model whose ``forward`` was replaced on the object, as autocast wrappers do."""
    model.forward = anonymous(model.forward)  # type: ignore[method-assign]
    return model


def hooked(model: nn.Module) -> nn.Module:
    """A model with a hook that scales its logits."""
    model.register_forward_hook(lambda module, inputs, logits: 2 * logits)
    return model


def partial(model: nn.Module) -> nn.Module:
    """A model whose ``forward`` is a partial of itself."""
    model.forward = functools.partial(model.forward)  # type: ignore[method-assign]
    return model


def compiled(model: nn.Module) -> Any:
    """A compiled model; its compiler changes nothing."""
    return torch.compile(model, backend="eager")


def traced_by_fx(model: nn.Module) -> nn.Module:
    """A model of ``*args`` alone, as tracing tools return."""
    return AsModule(AsModel(model))


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "AveragedModel": AveragedModel,
    "EMA": lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
    "DataParallel": nn.DataParallel,
    "compile": compiled,
    "compiled_AveragedModel": lambda model: compiled(AveragedModel(model)),
    "self.module": AsModule,
    "self.model": AsModel,
    "self.inner": Delegates,
    "nested": traced_by_fx,
    "ensemble": Ensemble,
    "undecorated": lambda model: seeded(Decorated),
    "patched": patched,
    "hooked": hooked,
    "partial": partial,
    "Sequential": lambda model: Sequential(
        "x, edge_index, edge_weight", [(model, "x, edge_index, edge_weight -> x")]
    ),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", WRAPPERS)
def test_weights_of_edges_reach_the_model_in_a_wrapper(name: str) -> None:
    data = make_graph()
    wrapped = WRAPPERS[name](seeded(Weighted)).eval()
    truth = plain_votes(weighted_call, WRAPPERS[name](seeded(Weighted)), ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(wrapped, data), truth, "edge_weight", "model")


@pytest.mark.parametrize("name", ["AveragedModel", "DataParallel", "self.module", "self.model"])
def test_the_common_wrappers_are_not_refused(name: str) -> None:
    data = make_graph()
    wrapped = WRAPPERS[name](seeded(Weighted)).eval()
    votes_of(wrapped, data)
    del data.edge_weight
    unweighted = votes_of(wrapped, data)
    data.edge_weight = torch.ones(data.num_edges)
    assert_votes(votes_of(wrapped, data), unweighted)


class OfEdges(nn.Module):
    """Reads features of the edges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = NNConv(D + 1, C, nn.Linear(2, (D + 1) * C))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        if edge_attr is None:
            edge_attr = x.new_zeros(edge_index.size(1), 2)
        return self.conv(x, edge_index, edge_attr)


@pytest.mark.parametrize("name", ["AveragedModel", "DataParallel", "self.module", "compile"])
def test_features_of_edges_reach_the_model_in_a_wrapper(name: str) -> None:
    data = make_graph()
    del data.edge_weight
    data.edge_attr = torch.randn(data.num_edges, 2, generator=torch.Generator().manual_seed(3))
    wrapped = WRAPPERS[name](seeded(OfEdges)).eval()
    truth = plain_votes(
        lambda model, x, graph: model(x, graph.edge_index, edge_attr=graph.edge_attr),
        wrapped,
        ABLATION,
        data,
        SAMPLES,
        C,
    )
    right_or_refused(lambda: votes_of(wrapped, data), truth, "edge_attr")


def test_a_wrapper_of_a_model_without_weights_gets_none() -> None:
    data = make_graph()
    wrapped = AsModule(seeded(OfEdges)).eval()
    plain = make_graph()
    truth = plain_votes(
        lambda model, x, graph: model(x, graph.edge_index), wrapped, ABLATION, plain, SAMPLES, C
    )
    right_or_refused(lambda: votes_of(wrapped, data), truth, "edge_weight")
