from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph

from pyg_hiersmooth.attacks.attacked_model import AttackedModel
from pyg_hiersmooth.nn.isolation.logits import logits_match
from pyg_hiersmooth.noise.base import Draw
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.transforms.hierarchical_edge_noise import NoisyEdges

PATH = 0xA77AC4
r"""Tells streams of attacks apart from those that a certificate was sampled with."""

NUM_ROWS = 4_096
r"""Rows of features in a forward pass, or one draw if that has more."""


class PlainVotes:
    r"""The votes for one node of a graph, counted the plain way: the smoothing as it is defined,
    and the model called on each draw, a few of them side by side. Nothing of the engine that
    certificates come from is used.

    A draw is cut to the nodes that lead to the node in one step more than :obj:`num_hops`, since a
    last sender may be normalized by its in-degree. It is the whole graph where the number of hops
    is not known, or where the whole graph gives another answer.

    Args:
        model (AttackedModel): The model, and its smoothing.
        graph (Data): The graph, of ``x`` and ``edge_index``.
        node (int): The node.
        seed (int): Seed of the draws, where they are not listed.
        *path (int): Tells draws of one seed apart.
    """

    def __init__(
        self, model: AttackedModel, graph: Data, node: int, seed: int = 0, *path: int
    ) -> None:
        self.model, self.graph, self.node = model, graph, node
        self._seed, self._path = seed, (PATH, node, *path)
        hops = model.smoothed.num_hops
        self._hops = None if hops is None else hops + 1
        self._side_by_side = True

    @property
    def reach(self) -> Tensor:
        r"""The nodes of a draw where edges get no noise, int64 ``[P]``."""
        return self._neighborhood[0]

    def count(self, draws: range) -> np.ndarray:
        r"""The votes of some draws, or of some of the listed outcomes: int64 ``[C]``."""
        with torch.no_grad():
            if not self._is_right():
                self._hops, self._side_by_side = None, False
                for cut in ("_neighborhood", "_smooth"):
                    self.__dict__.pop(cut, None)
            classes = torch.cat([self.logits(block).argmax(1) for block in self.blocks(draws)])
        return np.bincount(classes.cpu().numpy(), minlength=self.model.smoothed.num_classes)

    def blocks(self, draws: range) -> Iterator[range]:
        r"""Draws that fit in a forward pass."""
        size = max(1, NUM_ROWS // len(self.reach)) if self._side_by_side else 1
        for start in range(0, len(draws), size):
            yield draws[start : start + size]

    def logits(self, draws: range, x: Tensor | None = None) -> Tensor:
        r"""What the model answers under some draws, ``[len(draws), C]``.

        Args:
            draws (range): Their numbers.
            x (torch.Tensor, optional): Features of :attr:`reach`, to be differentiated by: noise
                passes gradients on as they are, ablation none. (default: those of the graph)
        """
        return self._answers([self._drawn(draw, x) for draw in draws])

    def _answers(self, graphs: list[tuple[Tensor, Tensor, int]]) -> Tensor:
        r"""What the model answers at a place of each of some graphs, side by side."""
        edges, places, first = [], [], 0
        for x, edge_index, place in graphs:
            edges.append(edge_index + first)
            places.append(place + first)
            first += len(x)
        return self.model(torch.cat([x for x, _, _ in graphs]), torch.cat(edges, dim=1))[places]

    def _drawn(self, draw: int, x: Tensor | None) -> tuple[Tensor, Tensor, int]:
        r"""What the model sees under a draw: features, edges and the place of the node."""
        smoothed, device = self.model.smoothed, self.graph.x.device
        stream = RandomStream(self._seed, *self._path, draw, device=device)
        selection, noise = smoothed.transform.selection, smoothed.transform.noise
        num_nodes, edge_index = len(self.graph.x), self.graph.edge_index
        if self.model.exact and smoothed.edges is None:
            selected = selection.mask(draw, [num_nodes]).to(device)
        else:
            selected = selection.sample(num_nodes, stream)
        if smoothed.edges is not None:
            noisy = self._edges.outcome(draw) if self.model.exact else self._edges.draw(stream)
            edge_index = noisy.edge_index
        elif noise.of == "messages":
            edge_index = edge_index[:, ~selected[edge_index[0]]]
        fixed = edge_index is self.graph.edge_index
        nodes, edge_index, place = self._neighborhood if fixed else self._around(edge_index)
        if x is None and fixed:
            seen = self._smooth(selected[nodes], stream)
        else:
            clean = self.graph.x[nodes] if x is None else x.detach()
            seen = smoothed.transform.prepare_given(clean)(selected[nodes], stream)
        if x is not None:
            passed = x - x.detach()
            if noise.deterministic and noise.of == "features":
                passed = passed * ~selected[nodes].view(-1, 1)
            seen = seen + F.pad(passed, (0, seen.size(1) - x.size(1)))
        return seen, edge_index, place

    @cached_property
    def _edges(self) -> NoisyEdges:
        graph = Data(edge_index=self.graph.edge_index, num_nodes=len(self.graph.x))
        return self.model.edges.prepare(graph)

    @cached_property
    def _smooth(self) -> Draw:
        r"""Draws features of :attr:`reach`."""
        return self.model.smoothed.transform.prepare_given(self.graph.x[self.reach])

    @cached_property
    def _neighborhood(self) -> tuple[Tensor, Tensor, int]:
        return self._around(self.graph.edge_index)

    def _around(self, edge_index: Tensor) -> tuple[Tensor, Tensor, int]:
        r"""The nodes of a draw, int64 ``[P]``, the edges among them, and the place of the node."""
        num_nodes = len(self.graph.x)
        if self._hops is None:
            return torch.arange(num_nodes, device=edge_index.device), edge_index, self.node
        nodes, edges, place, _ = k_hop_subgraph(
            self.node, self._hops, edge_index, relabel_nodes=True, num_nodes=num_nodes
        )
        return nodes, edges, int(place)

    def _is_right(self) -> bool:
        r"""Whether a draw beside another one is answered like the whole graph on its own, where
        nothing is selected.
        """
        nodes, edge_index, place = self._neighborhood
        x = self.graph.x[nodes]
        draws = [(self.model.unselected(each), edge_index, place) for each in (x, 1.0 - 2.0 * x)]
        whole = self.model.unselected(self.graph.x), self.graph.edge_index, self.node
        here, there = self._answers(draws)[:1], self._answers([whole])
        return logits_match(here, there)
