r"""Which nodes a model is trained, validated and tested on."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.datasets.labels import as_labels


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    r"""What a model is trained, validated and tested on, as indices.

    Args:
        train_index (torch.Tensor): What a model is fitted on, int64 :obj:`[num_train]`.
        val_index (torch.Tensor): What decides when training stops, int64 :obj:`[num_val]`.
        test_index (torch.Tensor): What a result is reported on, int64 :obj:`[num_test]`.
    """

    train_index: Tensor
    val_index: Tensor
    test_index: Tensor

    def __repr__(self) -> str:
        sizes = (len(self.train_index), len(self.val_index), len(self.test_index))
        return f"{type(self).__name__}(train={sizes[0]}, val={sizes[1]}, test={sizes[2]})"


class NodeSplit(Split):
    r"""The labelled and the evaluated nodes of a graph, with the arguments of :class:`Split`.

    Nodes in none of the three sets are unlabelled: their features and edges are known during
    training, their classes are not used.
    """

    @classmethod
    def from_masks(cls, data: Data, column: int = 0) -> NodeSplit:
        r"""The split that PyG's datasets come with.

        Args:
            data (torch_geometric.data.Data): A graph with :obj:`train_mask`, :obj:`val_mask` and
                :obj:`test_mask`, bool :obj:`[num_nodes]`, or :obj:`[num_nodes, num_splits]` where
                there are several splits.
            column (int): The split to take where there are several. (default: :obj:`0`)

        Raises:
            ValueError: If a mask is missing or no mask of the nodes, or :obj:`column` is none.
        """
        indices = []
        for name in ("train_mask", "val_mask", "test_mask"):
            mask = data.get(name)
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
                kind = "nothing" if mask is None else getattr(mask, "dtype", type(mask).__name__)
                raise ValueError(f"'data' must have a bool tensor '{name}' (got {kind})")
            if mask.size(0) != data.num_nodes:
                raise ValueError(
                    f"'{name}' must have a row for each of {data.num_nodes} nodes (got "
                    f"{mask.size(0)})"
                )
            if mask.dim() == 2 and not 0 <= column < mask.size(1):
                raise ValueError(f"'column' must be in [0, {mask.size(1)}) (got {column})")
            mask = mask[:, column] if mask.dim() == 2 else mask
            indices.append(mask.nonzero().view(-1))
        return cls(*indices)


def split_nodes(
    y: Tensor,
    num_per_class: int = 20,
    test_ratio: float = 0.1,
    seed: int = 0,
) -> NodeSplit:
    r"""Splits the nodes of a graph as in `"Hierarchical Randomized Smoothing"
    <https://arxiv.org/abs/2310.16221>`_ (Scholten et al., NeurIPS 2023).

    Of every class, :obj:`num_per_class` random nodes are for training and as many others for
    validation. A random fraction :obj:`test_ratio` of all remaining nodes (rounded up) is for
    testing, and the rest stays unlabelled. The draws follow the reference protocol node for node:
    they are those of NumPy's legacy :class:`numpy.random.RandomState` and, for the test nodes,
    those of scikit-learn's :obj:`train_test_split` with the same seed.

    Args:
        y (torch.Tensor): The class of every node, integers :obj:`[num_nodes]` or
            :obj:`[num_nodes, 1]` from :obj:`0` on.
        num_per_class (int, optional): The number of training nodes, and of validation nodes, of
            each class, at least :obj:`1`. (default: :obj:`20`)
        test_ratio (float, optional): The fraction of the remaining nodes to test on, in
            :math:`(0, 1)`. (default: :obj:`0.1`)
        seed (int, optional): The seed, in :math:`[0, 2^{32})`. (default: :obj:`0`)

    Raises:
        ValueError: If an argument is out of range, if a class has fewer than
            :obj:`2 * num_per_class` nodes, or if no nodes remain to test on.
    """
    _check_arguments(num_per_class, test_ratio, seed)
    labels = as_labels(y).cpu().numpy()
    rng = np.random.RandomState(seed)

    train, val = [], []
    for label in range(int(labels.max()) + 1):
        nodes = np.flatnonzero(labels == label)
        if nodes.size < 2 * num_per_class:
            raise ValueError(
                f"'y' must have at least 2 * num_per_class = {2 * num_per_class} nodes of every "
                f"class (got {nodes.size} of class {label})"
            )
        nodes = rng.permutation(nodes)
        train.append(nodes[:num_per_class])
        val.append(nodes[num_per_class : 2 * num_per_class])
    train_index = rng.permutation(np.concatenate(train))
    val_index = rng.permutation(np.concatenate(val))

    rest = np.setdiff1d(np.arange(labels.size), np.concatenate([train_index, val_index]))
    if rest.size == 0:
        raise ValueError(
            f"'y' must leave nodes to test on, besides the {num_per_class} of every class for "
            f"training and as many for validation (got {labels.size} in all)"
        )
    # scikit-learn shuffles with a fresh stream and takes the test nodes from the front.
    num_test = math.ceil(test_ratio * rest.size)
    test_index = rest[np.random.RandomState(seed).permutation(rest.size)[:num_test]]

    return NodeSplit(
        train_index=torch.from_numpy(train_index),
        val_index=torch.from_numpy(val_index),
        test_index=torch.from_numpy(test_index),
    )


def inductive_subgraph(data: Data, excluded_index: Tensor) -> tuple[Data, Tensor]:
    r"""Removes nodes and all of their edges from a graph, to train or validate without them.

    Args:
        data (torch_geometric.data.Data): The graph. It is not changed.
        excluded_index (torch.Tensor): The nodes to remove, int64 :obj:`[num_excluded]`.

    Returns:
        The graph of the remaining nodes in their old order, and the position of every old node
        in it: int64 :obj:`[num_nodes]`, :obj:`-1` for removed nodes.

    Raises:
        ValueError: If :obj:`excluded_index` is not one-dimensional int64 or has entries outside
            :obj:`[0, num_nodes)`.
    """
    num_nodes = int(data.num_nodes or 0)
    if excluded_index.dtype != torch.int64 or excluded_index.dim() != 1:
        raise ValueError(
            "'excluded_index' must be a one-dimensional int64 tensor (got "
            f"{excluded_index.dtype} of shape {list(excluded_index.shape)})"
        )
    if excluded_index.numel() > 0:
        low, high = int(excluded_index.min()), int(excluded_index.max())
        if low < 0 or high >= num_nodes:
            raise ValueError(
                f"'excluded_index' must be in [0, {num_nodes}), the graph's nodes (got entries "
                f"from {low} to {high})"
            )

    keep = torch.ones(num_nodes, dtype=torch.bool)
    keep[excluded_index.cpu()] = False
    position = torch.full_like(keep, -1, dtype=torch.int64)
    position[keep] = torch.arange(int(keep.sum()))
    rest = copy.copy(data)
    if "adj_t" in data:
        del rest.adj_t
    some = data.edge_index if data.edge_index is not None else data.x
    rest = rest.subgraph(keep.to(some.device))
    if "adj_t" in data:
        rest.adj_t = _rows_and_columns(data.adj_t, keep)
    return rest, position.to(some.device)


def _rows_and_columns(adjacency: Any, keep: Tensor) -> Any:
    r"""What is left of a sparse adjacency between some nodes, in the same form."""
    index = keep.nonzero().view(-1)
    if not isinstance(adjacency, Tensor):  # a SparseTensor
        index = index.to(adjacency.device())
        return adjacency.index_select(0, index).index_select(1, index)
    index = index.to(adjacency.device)
    rest = adjacency.to_sparse_coo().index_select(0, index).index_select(1, index).coalesce()
    return rest if adjacency.layout == torch.sparse_coo else rest.to_sparse_csr()


def _check_arguments(num_per_class: int, test_ratio: float, seed: int) -> None:
    if num_per_class < 1:
        raise ValueError(f"'num_per_class' must be at least 1 (got {num_per_class})")
    if not 0 < test_ratio < 1:
        raise ValueError(f"'test_ratio' must be between 0 and 1, both excluded (got {test_ratio})")
    if not 0 <= seed < 2**32:
        raise ValueError(f"'seed' must be in [0, 2**32) (got {seed})")
