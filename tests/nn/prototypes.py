"""A model for tests of prediction sets."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv


class Prototypes(nn.Module):
    """Sums what a node and its neighbors say for each class, a feature each, and an indicator."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.sum = GCNConv(num_classes + 1, num_classes, bias=False)
        self.sum.lin.weight.data = 4.0 * torch.eye(num_classes, num_classes + 1)
        self.sum.lin.weight.data[0, num_classes] = 0.01  # a model must use its noisy features

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.sum(x, edge_index)
