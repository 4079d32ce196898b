r"""Graph neural networks for graph classification, made of PyG's blocks.

Each one is called as :obj:`model(x, edge_index, batch)` and returns logits of shape
:obj:`[num_graphs, num_classes]`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MLP, global_add_pool, global_mean_pool
from torch_geometric.nn.models import GCN, GIN


class GraphGIN(torch.nn.Module):
    r"""The graph isomorphism network of `Xu et al. (2019) <https://arxiv.org/abs/1810.00826>`_:
    sums over neighbors, sums over nodes.

    Args:
        in_channels (int): The number of features of a node.
        num_classes (int): The number of classes.
        hidden_channels (int, optional): The size of the hidden layers. (default: :obj:`32`)
        num_layers (int, optional): The number of convolutions. (default: :obj:`3`)
        dropout (float, optional): The dropout probability before the last linear map, in
            :math:`[0, 1]`. (default: :obj:`0.5`)
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: int = 32,
        num_layers: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.convolutions = GIN(in_channels, hidden_channels, num_layers, norm="batch_norm")
        self.head = MLP([hidden_channels, hidden_channels, num_classes], dropout=dropout)

    def forward(self, x: Tensor, edge_index: Any, batch: Tensor | None = None) -> Tensor:
        r"""Returns logits :obj:`[num_graphs, num_classes]`; see :meth:`GraphGCN.forward`."""
        return self.head(global_add_pool(self.convolutions(x, edge_index), batch))


class GraphGCN(torch.nn.Module):
    r"""The graph convolutional network of `Kipf and Welling (2017)
    <https://arxiv.org/abs/1609.02907>`_, with the mean over nodes and a linear map.

    Args:
        in_channels (int): The number of features of a node.
        num_classes (int): The number of classes.
        hidden_channels (int, optional): The size of the hidden layers. (default: :obj:`64`)
        num_layers (int, optional): The number of convolutions. (default: :obj:`3`)
        dropout (float, optional): The dropout probability of the hidden layers, in
            :math:`[0, 1]`. (default: :obj:`0.0`)
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: int = 64,
        num_layers: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.convolutions = GCN(in_channels, hidden_channels, num_layers, dropout=dropout)
        self.head = torch.nn.Linear(hidden_channels, num_classes)

    def forward(
        self,
        x: Tensor,
        edge_index: Any,
        batch: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        r"""Returns logits of shape :obj:`[num_graphs, num_classes]`.

        Args:
            x (torch.Tensor): Node features :obj:`[num_nodes, in_channels]`.
            edge_index (torch.Tensor or SparseTensor): Edges, int64 :obj:`[2, num_edges]`, or a
                sparse adjacency.
            batch (torch.Tensor, optional): The graph of every node, int64 :obj:`[num_nodes]`.
                (default: one graph)
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`.
                (default: :obj:`None`)
        """
        hidden = self.convolutions(x, edge_index, edge_weight)
        return self.head(global_mean_pool(hidden.relu(), batch))
