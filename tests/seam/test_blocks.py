"""Rows 5 and 14: copies of a block that are not independent of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import LINKX, GraphNorm, PairNorm

from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .plain import plain_votes, pyg_call
from .small import ABLATION, SAMPLES, C, D, Linear, N, make_graph, seeded, votes_of
from .verdict import assert_votes, refused


class Mixes(Linear):
    """A model that is wrong in blocks: a function of the logits and of all rows it is given."""

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.change(super().forward(x, edge_index), x)


def normalized_without_statistics(logits: Tensor, x: Tensor) -> Tensor:
    """A BatchNorm over all rows, under logits so large that its effect looks like rounding."""
    return nn.functional.batch_norm(logits, None, None, training=True) + 1e4


def by_the_row_before(logits: Tensor, x: Tensor) -> Tensor:
    """Reaches from one copy into the next, at one row of each."""
    return logits + 3 * torch.cat([logits[-1:], logits[:-1]])


def dictated_by_row_zero(logits: Tensor, x: Tensor) -> Tensor:
    """If row 0 is not ablated, its class is everyone's."""
    return logits if x[0, -1] > 0 else logits + 100 * logits[0]


def by_the_number_of_rows(logits: Tensor, x: Tensor) -> Tensor:
    """A constant above 1,000 rows, as where a dense method gives way to a cheaper one."""
    return logits if x.size(0) <= 1_000 else torch.zeros_like(logits)


def slightly_by_the_mean(logits: Tensor, x: Tensor) -> Tensor:
    """Tiny in comparison with the largest logit, decisive between the others' margins."""
    margin = 1e-4 * logits
    offset = torch.tensor([1.0, 1.0, 0.0])
    return offset + margin - margin.mean(0)


def by_the_fortieth_copy(logits: Tensor, x: Tensor) -> Tensor:
    """Everything beyond row 800 is one class."""
    return torch.cat([logits[:800], logits[800:] * 0 + torch.eye(C)[2]])


def by_the_last_of_many(logits: Tensor, x: Tensor) -> Tensor:
    """Depends on the last row, only if many rows came together."""
    return logits + (100 * logits[-1] if x.size(0) > 3 * N else 0)


def by_the_largest_row(logits: Tensor, x: Tensor) -> Tensor:
    """Clips at a quantile of all rows."""
    return logits.clamp(max=float(logits.quantile(0.5)))


def of_the_first_copies_alone(logits: Tensor, x: Tensor) -> Tensor:
    """Attention to the first rows, as in models with anchor nodes."""
    weights = (logits @ logits[:N].t()).softmax(1)
    return weights @ logits[:N]


MIXING = [
    normalized_without_statistics,
    by_the_row_before,
    dictated_by_row_zero,
    by_the_number_of_rows,
    slightly_by_the_mean,
    by_the_fortieth_copy,
    by_the_last_of_many,
    by_the_largest_row,
    of_the_first_copies_alone,
]


@pytest.mark.parametrize("change", MIXING, ids=lambda change: change.__name__)
def test_a_model_that_mixes_copies_gets_one_at_a_time(
    change: Callable[[Tensor, Tensor], Tensor],
) -> None:
    data, model = make_graph(), seeded(Mixes, change)
    truth = plain_votes(pyg_call, model, ABLATION, data, 150, C)
    assert_votes(votes_of(model, data, num_samples=150), truth)
    assert_votes(votes_of(model, data, num_samples=150, dense=True), truth)


@pytest.mark.parametrize(
    "change",
    [change for change in MIXING if change not in (by_the_number_of_rows, by_the_fortieth_copy)],
    ids=lambda change: change.__name__,
)
def test_a_block_of_a_model_that_mixes_copies_is_refused(
    change: Callable[[Tensor, Tensor], Tensor],
) -> None:
    model = seeded(Mixes, change)
    refused(lambda: votes_of(model, make_graph(), block_size=16), "block_size")


@pytest.mark.parametrize("seed", range(12))
def test_row_zero_is_found_under_rare_ablation(seed: int) -> None:
    """Under p = 0.1 the few samples of a check may all have the same first row."""
    transform = HierarchicalNodeFeatureNoise(0.1, AblationNoise())

    def unless_ablated(logits: Tensor, x: Tensor) -> Tensor:
        return logits.roll(1, dims=1) if x[0, -1] > 0 else logits

    data, model = make_graph(seed=seed), seeded(Mixes, unless_ablated, seed=seed)
    truth = plain_votes(pyg_call, model, transform, data, 200, C)
    assert_votes(votes_of(model, data, transform, 200), truth)


class Normed(Linear):
    """A norm over all nodes, which is not told of the copies."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.norm(super().forward(x, edge_index))


@pytest.mark.parametrize(
    "norm", [GraphNorm(C), PairNorm(), nn.BatchNorm1d(C, track_running_stats=False)], ids=str
)
def test_norms_over_all_nodes_are_taken_one_copy_at_a_time(norm: nn.Module) -> None:
    data, model = make_graph(), seeded(Normed, norm)
    assert_votes(votes_of(model, data), plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C))


class Embedded(Linear):
    """Adds an embedding of each node, so that it fits one number of nodes."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_nodes, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + self.table(torch.arange(x.size(0)))


class Added(Linear):
    """The same with a parameter that is added, which fails on blocks by another error."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(num_nodes, C))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + self.bias


class SpareEmbedded(Embedded):
    """An embedding with room for more nodes than there are: copies get rows of their own."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__(200 * num_nodes)


def linkx(num_nodes: int) -> nn.Module:
    """LINKX, which has weights for each node."""
    return LINKX(num_nodes, D + 1, 8, C, 2)


@pytest.mark.parametrize("num_nodes", [N, 300])
@pytest.mark.parametrize("build", [linkx, Embedded, Added, SpareEmbedded])
def test_weights_of_each_node_are_taken_one_copy_at_a_time(build: Any, num_nodes: int) -> None:
    data, model = make_graph(num_nodes), seeded(build, num_nodes)
    if build is linkx:
        del data.edge_weight
    truth = plain_votes(pyg_call, model, ABLATION, data, 20, C)
    assert_votes(votes_of(model, data, num_samples=20), truth)


@pytest.mark.parametrize("build", [linkx, Embedded, Added, SpareEmbedded])
def test_a_block_of_a_model_for_one_number_of_nodes_is_refused(build: Any) -> None:
    model = seeded(build, N)
    data = make_graph()
    del data.edge_weight
    refused(lambda: votes_of(model, data, block_size=4), "block_size")


def test_a_model_that_fails_on_one_copy_too_is_refused_with_its_own_words() -> None:
    model = seeded(Embedded, N - 1)
    refused(lambda: votes_of(model, make_graph()), "index out of range", "range")


def test_a_mixing_forward_is_found_as_a_mixing_model_is() -> None:
    def centered(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        logits = model(x, data.edge_index)
        return logits - logits.mean(0)

    data, model = make_graph(), seeded(Linear)
    truth = plain_votes(centered, model, ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(model, data, forward=centered), truth)
