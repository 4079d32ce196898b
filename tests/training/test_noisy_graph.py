from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv

from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, LaplaceNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.training.noisy_graph import NoisyGraph
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

N, D, C = 30, 40, 3
NOISES = [
    AblationNoise(),
    AblationNoise(torch.linspace(0, 1, D)),
    SparseFlipNoise(0.05, 0.6),
    SparseFlipNoise(0.0, 1.0),
    AblationNoise(of="messages"),
]


def make(density: float = 0.05) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(N, D, generator=generator) < density).float()
    return Data(x=x, edge_index=torch.randint(N, (2, 90), generator=generator))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gcn, self.gat = GCNConv(D + 1, C), GATConv(D + 1, C)
        self.seen: list[type] = []

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.seen.append(type(x))
        return self.gcn(x, edge_index) + self.gat(x, edge_index)


def noisy(model: nn.Module, noise: Noise, data: Data, p: float = 0.5) -> NoisyGraph:
    transform = HierarchicalNodeFeatureNoise(p, noise)
    return NoisyGraph(data, transform, model, lambda graph: model(graph.x, graph.edge_index))


def gradients(model: nn.Module, logits: list[Tensor]) -> list[Tensor]:
    weights = torch.randn(len(logits), N, C, generator=torch.Generator().manual_seed(1))
    loss = (torch.stack(logits) * weights).sum()
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("density", [0.05, 0.5])
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_logits_and_gradients_are_those_of_dense_draws(noise: Noise, density: float) -> None:
    data, model = make(density), Net()
    behind, dense = noisy(model, noise, data), noisy(model, noise, data)
    dense._maps = []
    for _ in range(2):  # the second time with other weights
        torch.manual_seed(5)
        first = behind.logits(3)
        state = torch.get_rng_state()
        torch.manual_seed(5)
        second = dense.logits(3)
        assert torch.equal(state, torch.get_rng_state())
        for found, expected in zip(first, second, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert not torch.equal(first[0], first[1])
        for found, expected in zip(gradients(model, first), gradients(model, second), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1)
    assert behind._maps


@pytest.mark.parametrize("p", [0.25, PartitionSelection(4, 2)])
def test_every_draw_loses_the_messages_of_its_own_selected_nodes(p: Any) -> None:
    data, model = make(), Net()
    data.edge_weight = torch.arange(90.0)
    seen: list[tuple[list[int], list[int]]] = []

    def call(graph: Data) -> Tensor:
        selected = graph.x[:, -1].bool() if type(graph.x) is Tensor else None
        kept = graph.edge_weight.long()
        assert torch.equal(graph.edge_index, data.edge_index[:, kept])
        if selected is not None:
            assert torch.equal(graph.x[:, :-1], data.x)
            seen.append((selected.nonzero().flatten().tolist(), kept.tolist()))
        return model(graph.x, graph.edge_index)

    transform = HierarchicalNodeFeatureNoise(p, AblationNoise(of="messages"))
    graph = NoisyGraph(data, transform, model, call)
    graph.logits(5)
    assert graph._maps  # behind the first maps
    graph._maps = []
    graph.logits(5)
    for selected, kept in seen:
        sources = data.edge_index[0].tolist()
        assert kept == [i for i, source in enumerate(sources) if source not in selected]
    assert len({tuple(kept) for _, kept in seen}) > 3


def test_edges_get_fresh_noise_in_every_draw() -> None:
    data, seen = make(), []

    def call(graph: Data) -> Tensor:
        seen.append(tuple(graph.edge_index.flatten().tolist()))
        return graph.x

    transform = HierarchicalEdgeNoise(0.5, AblationNoise(), undirected=False)
    NoisyGraph(data, transform, Net(), call).logits(4)
    assert len(set(seen)) == 4 and all(len(index) < 180 for index in seen)


def test_labels_need_their_nodes() -> None:
    with pytest.raises(ValueError, match=r"'transform' must keep the nodes .* ablate 'messages'"):
        noisy(Net(), AblationNoise(of="nodes"), make())


def test_gaussian_noise_is_trained_behind_the_first_map() -> None:
    model = Net()
    graph = noisy(model, GaussianNoise(0.5), make())
    first, second = graph.logits(2)
    assert model.seen[-1] is not Tensor and not torch.equal(first, second)
    assert all(bool(g.isfinite().all()) for g in gradients(model, [first, second]))


@pytest.mark.parametrize("dependent", [False, True])
def test_gradients_follow_gaussian_noise_behind_a_map(dependent: bool) -> None:
    """E |s W|^2 / N = std^2 |W|^2 per row, whose gradient is 2 std^2 W."""
    num_rows, weight = 40_000, torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    if dependent:
        weight[:, 3] = weight[:, 2]
    weight.requires_grad_()
    x, selected = torch.zeros(num_rows, 12), torch.ones(num_rows, dtype=torch.bool)
    hidden = GaussianNoise(0.5).sample_projected(x, weight)(selected, RandomStream(3))
    (gradient,) = torch.autograd.grad(hidden.square().sum() / num_rows, weight)
    # Standard deviations of the estimate are below 0.02; fixed seed.
    torch.testing.assert_close(gradient, 0.5 * weight.detach(), rtol=0, atol=0.1)


class Squares(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x * x, edge_index)


class DropsInput(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5, self.training), edge_index)


class SaysOtherwise(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if type(x) is Tensor else logits + 1.0


class ChangesItsMind(Net):
    """Squares its features, but not at first."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x * x if len(self.seen) > 5 else x, edge_index)


class Normalizes(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.norm(super().forward(x, edge_index))


@pytest.mark.parametrize("kind", [Squares, DropsInput, SaysOtherwise, ChangesItsMind])
def test_other_models_get_dense_features(kind: type[Net]) -> None:
    data, model = make(), kind()
    graph = noisy(model, AblationNoise(), data)
    for _ in range(4):
        graph.logits(2)
    assert graph._maps == [] and model.seen[-1] is Tensor


def test_other_noises_get_dense_features() -> None:
    model = Net()
    noisy(model, LaplaceNoise(0.5), make()).logits()
    assert model.seen == [Tensor]


def test_trying_leaves_no_trace() -> None:
    model: Any = Normalizes()
    model.train()
    graph = noisy(model, SparseFlipNoise(0.05, 0.6), make())
    torch.manual_seed(0)
    graph.logits(2)
    torch.manual_seed(0)
    other: Any = Normalizes()
    other.train()
    again = noisy(other, SparseFlipNoise(0.05, 0.6), make())
    again._maps = []
    torch.manual_seed(0)
    again.logits(2)
    assert model.training and int(model.norm.num_batches_tracked) == 2
    torch.testing.assert_close(model.norm.running_mean, other.norm.running_mean)
