r"""The pairs of nodes of a graph, numbered without listing them, and their groups."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_hiersmooth.selection import PartitionSelection


class NodePairs:
    r"""All pairs :math:`(i, j)` of nodes within each graph of a batch, also :math:`i = j`.

    A graph of :math:`n` nodes has :math:`n^2` directed pairs, number :math:`n i + j`, or
    :math:`n (n + 1) / 2` undirected ones, number :math:`j (j + 1) / 2 + i` for :math:`i \leq j`.
    Graphs follow each other.

    Args:
        num_nodes (torch.Tensor): Nodes of each graph, int64 ``[B]``.
        undirected (bool): Whether :math:`(i, j)` and :math:`(j, i)` are one pair.
    """

    def __init__(self, num_nodes: Tensor, undirected: bool) -> None:
        self.num_nodes, self.undirected = num_nodes, undirected
        self.first_node = cumsum(num_nodes)
        square = num_nodes * num_nodes
        self.first_pair = cumsum((square + num_nodes) // 2 if undirected else square)

    def __len__(self) -> int:
        return int(self.first_pair[-1])

    def graph_of(self, node: Tensor) -> Tensor:
        r"""The graph of each node, int64."""
        return torch.searchsorted(self.first_node, node, right=True) - 1

    def number(self, source: Tensor, target: Tensor) -> Tensor:
        r"""The pair of each edge, int64 ``[E]``.

        Raises:
            ValueError: If an edge joins two graphs of a batch, or a node that is not there.
        """
        source, target = source.long(), target.long()
        graph = self.graph_of(source)
        if source.numel() > 0:
            first, last = torch.stack([source, target]).aminmax()
            inside = int(first) >= 0 and int(last) < int(self.first_node[-1])
            if not inside or not torch.equal(graph, self.graph_of(target)):
                got = "some between two" if inside else "numbers of nodes that are not there"
                raise ValueError(f"edges must join nodes of one graph (got {got})")
        i, j = source - self.first_node[graph], target - self.first_node[graph]
        if self.undirected:
            low, high = torch.minimum(i, j), torch.maximum(i, j)
            return self.first_pair[graph] + _triangular(high) + low
        return self.first_pair[graph] + i * self.num_nodes[graph] + j

    def nodes(self, number: Tensor) -> tuple[Tensor, Tensor]:
        r"""Both nodes of pairs, int64; the smaller one first where they are undirected."""
        graph, i, j = self._within(number)
        return i + self.first_node[graph], j + self.first_node[graph]

    def groups(self, number: Tensor, selection: PartitionSelection) -> Tensor:
        r"""The groups of pairs in each partition of a selection, int32
        ``[num_partitions, len(number)]``.

        A group is a hash of the seed, the partition and both nodes as their graph numbers them, and
        of nothing else: a pair has the same group with an edge and without, and nodes that are
        appended move no other pair. Groups differ in size by chance. (The hash is the finalizer of
        SplitMix64, Steele, Lea & Flood, OOPSLA 2014, under a key from NumPy's ``SeedSequence``.)
        """
        _, i, j = self._within(number)
        first, second = (node.cpu().numpy().astype(np.uint64) + np.uint64(1) for node in (i, j))
        groups = np.empty((selection.num_partitions, number.numel()), dtype=np.int32)
        for partition, row in enumerate(groups):
            sequence = np.random.SeedSequence(selection.seed, spawn_key=(partition,))
            (key,) = sequence.generate_state(1, np.uint64)
            mixed = _mix(_mix(key + first * WEYL) + second * WEYL)
            row[:] = mixed % np.uint64(selection.num_groups)
        return torch.from_numpy(groups).to(number.device)

    def _within(self, number: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""The graph of each pair, and its nodes as the graph numbers them."""
        graph = torch.searchsorted(self.first_pair, number, right=True) - 1
        inside = number - self.first_pair[graph]
        if not self.undirected:
            size = self.num_nodes[graph]
            return graph, inside.div(size, rounding_mode="floor"), inside.remainder(size)
        high = ((8.0 * inside.double() + 1.0).sqrt().sub_(1.0) / 2.0).long()
        high -= (_triangular(high) > inside).long()  # floats may be off by one
        high += (_triangular(high + 1) <= inside).long()
        return graph, inside - _triangular(high), high


def _triangular(number: Tensor) -> Tensor:
    return (number * (number + 1)).div(2, rounding_mode="floor")


WEYL = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
