from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection, Selection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

Making = Callable[..., SmoothedNodeClassifier]


class Credulous(torch.nn.Module):
    """Believes in class 1 as soon as a node, or one that it hears, says so: made to be broken."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        said = x[:, 0].index_add(0, edge_index[1], x[edge_index[0], 0])
        return torch.stack([torch.full_like(said, 5.0), 10.0 * said.clamp(max=1.0)], dim=1)


@pytest.fixture(scope="session")
def world() -> Data:
    """Twelve nodes of class 0 that hear each other, and twelve of class 1 that nobody hears."""
    everybody = torch.arange(12)
    edges = torch.cartesian_prod(everybody, everybody).t()
    x = torch.tensor([[0.0, 1.0]] * 12 + [[1.0, 0.0]] * 12)
    return Data(x=x, edge_index=edges[:, edges[0] != edges[1]], y=torch.tensor([0] * 12 + [1] * 12))


@pytest.fixture(scope="session")
def credulous() -> Making:
    """A smoothed classifier that can be broken, of a selection and what is ablated."""

    def make(selection: Selection, of: str) -> SmoothedNodeClassifier:
        transform: HierarchicalEdgeNoise | HierarchicalNodeFeatureNoise
        if of == "edges":
            assert isinstance(selection, PartitionSelection)
            transform = HierarchicalEdgeNoise(selection, AblationNoise())
        else:
            transform = HierarchicalNodeFeatureNoise(selection, AblationNoise(of=of), False)
        return SmoothedNodeClassifier(Credulous(), transform, 2, num_hops=1)

    return make
