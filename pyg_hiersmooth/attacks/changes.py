from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class Changes:
    r"""What an attack changes of a graph of :math:`N` nodes with :math:`D` features.

    Attributes:
        nodes (torch.Tensor): Nodes with other features, int64 ``[k]``; those from :math:`N` on are
            added, all of them.
        x (torch.Tensor): Their features, ``[k, D]``.
        removed (torch.Tensor): Columns of ``edge_index`` that go, int64 ``[a]``.
        added (torch.Tensor): Edges that come, int64 ``[2, b]``.
    """

    nodes: Tensor
    x: Tensor
    removed: Tensor
    added: Tensor

    @classmethod
    def of(
        cls,
        graph: Data,
        nodes: Tensor | None = None,
        x: Tensor | None = None,
        removed: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Changes:
        r"""Changes of a graph; nothing where nothing is given."""
        none = graph.edge_index.new_empty(0)
        return cls(
            none if nodes is None else nodes,
            graph.x[:0] if x is None else x,
            none if removed is None else removed,
            graph.edge_index[:, :0] if added is None else added,
        )

    def applied(self, graph: Data) -> Data:
        r"""The attacked graph, of ``x`` and ``edge_index``; the one given stays as it is."""
        num_nodes = max([len(graph.x), *(self.nodes + 1).tolist()])
        x = torch.cat([graph.x, graph.x.new_zeros(num_nodes - len(graph.x), graph.x.size(1))])
        x[self.nodes] = self.x
        stays = torch.ones(graph.edge_index.size(1), dtype=torch.bool, device=x.device)
        stays[self.removed] = False
        return Data(x=x, edge_index=torch.cat([graph.edge_index[:, stays], self.added], dim=1))
