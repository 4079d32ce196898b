r"""Synthetic molecules, for examples and tests of graph classification without a download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected

_NUM_GRAPHS = 120
_NUM_NODES = (10, 20)
_NUM_ATOMS = 5
_RING_SIZE = 6
_ATOM_PREFERENCE = 3.0


class RandomMolecules(InMemoryDataset):
    r"""**Synthetic** molecules of two classes: trees, and trees with a ring.

    Nothing chemical is in them: they are drawn when the dataset is created, in a few
    milliseconds, and need no download. They are meant for experiments, tests and examples of graph
    classification without a download; results on them say nothing about real molecules.

    A graph is a random recursive tree; in class 1, its first six nodes are a ring instead. Each
    node is one of five atoms, and one of them is three times as frequent as each of the others: the
    first in class 0, the second in class 1. So both the edges and the features tell the class.

    Args:
        seed (int, optional): The seed, at least :obj:`0`. The same seed gives the same graphs.
            (default: :obj:`0`)
        transform (callable, optional): A function/transform that takes in a
            :class:`torch_geometric.data.Data` object and returns a transformed version, applied
            at every access. (default: :obj:`None`)

    The 120 graphs, of 10 to 20 nodes, have :obj:`x` (float32 one-hot rows
    :obj:`[num_nodes, 5]`), :obj:`edge_index` (int64 :obj:`[2, num_edges]`, both directions, no
    self loops) and :obj:`y` (int64 :obj:`[1]`, 0 or 1, equally many of each).

    Raises:
        ValueError: If :obj:`seed` is not a non-negative integer.
    """

    def __init__(self, seed: int = 0, transform: Callable[[Any], Any] | None = None) -> None:
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"'seed' must be a non-negative integer (got {seed!r})")
        super().__init__(None, transform)
        self.seed = seed
        rng = np.random.default_rng(seed)
        graphs = [_draw_graph(label, rng) for label in rng.permutation(_NUM_GRAPHS) % 2]
        self.data, self.slices = self.collate(graphs)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(seed={self.seed})"


def _draw_graph(label: int, rng: np.random.Generator) -> Data:
    num_nodes = int(rng.integers(_NUM_NODES[0], _NUM_NODES[1] + 1))
    node = np.arange(1, num_nodes)
    bonded = rng.integers(0, node)
    if label == 1:
        bonded[: _RING_SIZE - 1] = node[: _RING_SIZE - 1] - 1
        node, bonded = np.append(node, _RING_SIZE - 1), np.append(bonded, 0)
    frequency = np.ones(_NUM_ATOMS)
    frequency[label] = _ATOM_PREFERENCE
    atom = rng.choice(_NUM_ATOMS, size=num_nodes, p=frequency / frequency.sum())
    return Data(
        x=torch.eye(_NUM_ATOMS)[torch.from_numpy(atom)],
        edge_index=to_undirected(torch.from_numpy(np.stack([node, bonded]))),
        y=torch.tensor([int(label)]),
    )
