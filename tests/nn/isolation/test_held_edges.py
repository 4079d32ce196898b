"""Clean edges that a model holds would get around noise on edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import to_scipy_sparse_matrix

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

N, D, C = 12, 3, 2
EDGES = torch.tensor([[0, 1, 1, 2, 3, 4, 7], [1, 0, 2, 1, 4, 3, 7]])


class Holding(nn.Module):
    """A convolution on the edges that it is called with, beside others that it holds."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.held = GCNConv(D, C), held

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index)


def sample(model: nn.Module, transform: Any) -> None:
    data = Data(x=torch.rand(N, D), edge_index=EDGES)
    smoothed = SmoothedNodeClassifier(model, transform, C)
    smoothed.sample_votes(data, 2, progress=False, num_workers=0)


def dense(edges: Tensor) -> Tensor:
    adjacency = torch.zeros(N, N, dtype=torch.bool)
    adjacency[edges[0], edges[1]] = True
    return adjacency


FORMS: list[Callable[[Tensor], Any]] = [
    Tensor.clone,
    lambda edges: edges.flip(0)[:, torch.randperm(edges.size(1))],
    lambda edges: edges.t().numpy(),
    lambda edges: torch.cat([edges, torch.arange(N).repeat(2, 1)], dim=1),
    dense,
    lambda edges: dense(edges).float().to_sparse_coo(),
    lambda edges: to_scipy_sparse_matrix(edges, num_nodes=N),
    lambda edges: (edges[0], edges[1]),
    lambda edges: {"col": edges[1].numpy(), "row": edges[0].numpy(), "value": torch.ones(3)},
]


@pytest.mark.parametrize("form", FORMS)
def test_clean_edges_are_found(form: Callable[[Tensor], Any]) -> None:
    ablated = HierarchicalEdgeNoise(0.9, AblationNoise())
    with pytest.raises(ValueError, match=r"'model.held.*' holds the clean edges"):
        sample(Holding(form(EDGES)), ablated)
    messages = HierarchicalNodeFeatureNoise(0.5, AblationNoise(of="messages"), False)
    with pytest.raises(ValueError, match="holds the clean edges"):
        sample(Holding(form(EDGES)), messages)
    features = HierarchicalNodeFeatureNoise(0.5, AblationNoise(), False)
    sample(Holding(form(EDGES)), features)  # the graph is fixed


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "edges",
    [
        EDGES[:, :-2],
        torch.cat([EDGES, torch.tensor([[9, 5], [10, 6]])], dim=1),
        EDGES + torch.zeros(1, dtype=torch.int32),
    ],
)
def test_most_of_the_clean_edges_and_few_others_are_found(
    form: Callable[[Tensor], Any], edges: Tensor
) -> None:
    with pytest.raises(ValueError, match=r"'model.held.*' holds the clean edges"):
        sample(Holding(form(edges)), HierarchicalEdgeNoise(0.9, AblationNoise()))


def test_a_normalized_sparse_tensor_is_found() -> None:
    pytest.importorskip("torch_sparse")
    normalized = gcn_norm(SparseTensor.from_edge_index(EDGES, sparse_sizes=(N, N)))
    data = Data(x=torch.rand(N, D), edge_index=EDGES)
    smoothed = SmoothedNodeClassifier(
        GCNConv(D, C),
        HierarchicalEdgeNoise(0.9, AblationNoise()),
        C,
        forward=lambda model, x, data: model(x, normalized),
    )
    with pytest.raises(ValueError, match=r"'forward.normalized.*' holds the clean edges"):
        smoothed.sample_votes(data, 2, progress=False, num_workers=0)


@pytest.mark.parametrize("form", FORMS)
def test_other_numbers_may_be_held(form: Callable[[Tensor], Any]) -> None:
    for edges in (EDGES[:, 4:], EDGES + torch.tensor([[0], [1]]), torch.ones(N, N).nonzero().t()):
        others = edges[:, (edges < N).all(0)]
        sample(Holding(form(others)), HierarchicalEdgeNoise(0.9, AblationNoise()))
