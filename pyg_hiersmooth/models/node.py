r"""Two-layer graph neural networks to be smoothed, with the paper's hyperparameters.

Each one is called as :obj:`model(x, edge_index)` and returns logits of shape
:obj:`[num_nodes, num_classes]`. Dropout acts on the hidden layer and not on :obj:`x`, so that
wherever the architecture allows it, :obj:`x` first meets a linear map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import APPNP as PersonalizedPageRank
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, Linear, MessagePassing, SAGEConv


class _TwoConvolutions(torch.nn.Module):
    r"""Convolution, activation, dropout, convolution; subclasses say which."""

    num_hops = 2
    r"""Message passing steps from a feature to a prediction."""

    conv_class: type[MessagePassing]
    conv1: MessagePassing
    conv2: MessagePassing
    dropout: float

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.conv1.reset_parameters()
        self.conv2.reset_parameters()

    def activation(self, x: Tensor) -> Tensor:
        r"""What follows the first convolution."""
        return x.relu()

    def convolve(self, x: Tensor, *edges: Tensor | None) -> Tensor:
        r"""Logits from features, and edges as the convolutions take them."""
        x = self.activation(self.conv1(x, *edges))
        x = F.dropout(x, p=self.dropout, training=self.training)
        return self.conv2(x, *edges)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        r"""Returns logits of shape :obj:`[num_nodes, num_classes]`.

        Args:
            x (torch.Tensor): Node features :obj:`[num_nodes, in_channels]`.
            edge_index (torch.Tensor): Edges, int64 :obj:`[2, num_edges]`.
        """
        return self.convolve(x, edge_index)


class _WithoutHeads(_TwoConvolutions):
    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.conv1 = self.conv_class(in_channels, hidden_channels)
        self.conv2 = self.conv_class(hidden_channels, num_classes)
        self.dropout = dropout


class GCN(_WithoutHeads):
    r"""The graph convolutional network of `Kipf and Welling (2017)
    <https://arxiv.org/abs/1609.02907>`_.

    Args:
        in_channels (int): The number of features of a node.
        num_classes (int): The number of classes.
        hidden_channels (int, optional): The size of the hidden layer. (default: :obj:`64`)
        dropout (float, optional): The dropout probability of the hidden layer, in
            :math:`[0, 1]`. (default: :obj:`0.5`)
    """

    conv_class = GCNConv

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        r"""Returns logits of shape :obj:`[num_nodes, num_classes]`.

        Args:
            x (torch.Tensor): Node features :obj:`[num_nodes, in_channels]`.
            edge_index (torch.Tensor): Edges, int64 :obj:`[2, num_edges]`.
            edge_weight (torch.Tensor, optional): Edge weights :obj:`[num_edges]`.
                (default: :obj:`None`)
        """
        return self.convolve(x, edge_index, edge_weight)


class _ProjectedSAGEConv(SAGEConv):
    r"""PyG's convolution, with features projected before they are averaged and not after: the same
    function, since means are linear, of fewer numbers per edge.
    """

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        projected = F.linear(x, self.lin_l.weight)
        mean = self.propagate(edge_index, x=(projected, projected), size=None)
        return mean + self.lin_l.bias + self.lin_r(x)


class GraphSAGE(_WithoutHeads):
    r"""The mean-aggregating network of `Hamilton et al. (2017)
    <https://arxiv.org/abs/1706.02216>`_, with the same arguments as :class:`GCN`.

    The layers are PyG's, but project features before they average them.
    """

    conv_class = _ProjectedSAGEConv


class GAT(_TwoConvolutions):
    r"""The graph attention network of `Veličković et al. (2018)
    <https://arxiv.org/abs/1710.10903>`_.

    Args:
        in_channels (int): The number of features of a node.
        num_classes (int): The number of classes.
        hidden_channels (int, optional): The hidden channels of a head; the heads of the first
            layer are concatenated. (default: :obj:`8`)
        heads (int, optional): The attention heads of the first layer; the second has one.
            (default: :obj:`8`)
        dropout (float, optional): The dropout probability of the hidden layer, in
            :math:`[0, 1]`. (default: :obj:`0.5`)
        attention_dropout (float, optional): The dropout probability of attention coefficients,
            in :math:`[0, 1]`. (default: :obj:`0.2`)
    """

    conv_class = GATConv

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: int = 8,
        heads: int = 8,
        dropout: float = 0.5,
        attention_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.conv1 = self.conv_class(
            in_channels, hidden_channels, heads=heads, dropout=attention_dropout
        )
        self.conv2 = self.conv_class(
            hidden_channels * heads, num_classes, heads=1, dropout=attention_dropout
        )
        self.dropout = dropout

    def activation(self, x: Tensor) -> Tensor:
        r"""What follows the first convolution."""
        return F.elu(x)


class GATv2(GAT):
    r"""The graph attention network of `Brody et al. (2022) <https://arxiv.org/abs/2105.14491>`_,
    with the same arguments as :class:`GAT`.
    """

    conv_class = GATv2Conv


class APPNP(torch.nn.Module):
    r"""The network of `Gasteiger et al. (2019) <https://arxiv.org/abs/1810.05997>`_: two linear
    layers predict from the features of a node, personalized PageRank propagates.

    Args:
        in_channels (int): The number of features of a node.
        num_classes (int): The number of classes.
        hidden_channels (int, optional): The size of the hidden layer. (default: :obj:`64`)
        dropout (float, optional): The dropout probability of the hidden layer, in
            :math:`[0, 1]`. (default: :obj:`0.5`)
        K (int, optional): The number of propagation steps. (default: :obj:`10`)
        alpha (float, optional): The teleport probability, in :math:`[0, 1]`.
            (default: :obj:`0.1`)
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden_channels: int = 64,
        dropout: float = 0.5,
        K: int = 10,
        alpha: float = 0.1,
    ) -> None:
        super().__init__()
        self.lin1 = Linear(in_channels, hidden_channels)
        self.lin2 = Linear(hidden_channels, num_classes)
        self.propagation = PersonalizedPageRank(K, alpha)
        self.num_hops = K
        self.dropout = dropout

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        r"""Returns logits :obj:`[num_nodes, num_classes]`; arguments as in :meth:`GCN.forward`."""
        x = self.lin1(x).relu()
        x = F.dropout(x, p=self.dropout, training=self.training)
        return self.propagation(self.lin2(x), edge_index, edge_weight)
