r"""Which nodes a model is trained, validated and tested on."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.storage import NodeStorage

from pyg_hiersmooth.datasets.labels import as_labels


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    r"""What a model is trained, validated and tested on, as indices; masks become indices.

    Args:
        train_index (torch.Tensor): What a model is fitted on, int64 :obj:`[num_train]`.
        val_index (torch.Tensor): What decides when training stops, int64 :obj:`[num_val]`.
        test_index (torch.Tensor): What a result is reported on, int64 :obj:`[num_test]`.
        calibration_index (torch.Tensor, optional): What
            :class:`~pyg_hiersmooth.certificates.PredictionSets` are calibrated on, int64
            :obj:`[num_calibration]`, and used for nothing else. (default: nothing)

    Raises:
        ValueError: If something to calibrate on is used elsewhere, or comes twice.
    """

    train_index: Tensor
    val_index: Tensor
    test_index: Tensor
    calibration_index: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def __post_init__(self) -> None:
        for name, index in vars(self).items():
            if index.dtype == torch.bool:
                object.__setattr__(self, name, index.nonzero().view(-1))
        own = self.calibration_index.view(-1).cpu()
        if own.unique().numel() < own.numel():
            raise ValueError("'calibration_index' must not hold an object twice (got a duplicate)")
        for name, index in self.parts():
            both = 0 if index is self.calibration_index else int(torch.isin(own, index.cpu()).sum())
            if both:
                raise ValueError(
                    "'calibration_index' must hold objects that are used for nothing else "
                    f"(got {both} of '{name}_index')"
                )

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        r"""What it splits into, by name; ``"calibration"`` only where there is some."""
        yield from (("train", self.train_index), ("val", self.val_index))
        yield "test", self.test_index
        if self.calibration_index.numel() > 0:
            yield "calibration", self.calibration_index

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={len(index)}" for name, index in self.parts())
        return f"{type(self).__name__}({sizes})"


class NodeSplit(Split):
    r"""The labeled and the evaluated nodes of a graph, with the arguments of :class:`Split`.

    Nodes in none of the sets are unlabeled: their features and edges are known during
    training, their classes are not used.
    """

    @classmethod
    def from_masks(cls, data: Data | NodeStorage, column: int = 0) -> NodeSplit:
        r"""The split that PyG's datasets come with.

        Args:
            data (Data or NodeStorage): A graph, or one node type of a heterogeneous one such as
                :obj:`data["paper"]`, with :obj:`train_mask`, :obj:`val_mask` and
                :obj:`test_mask`, bool :obj:`[num_nodes]`, or :obj:`[num_nodes, num_splits]` where
                there are several splits; :obj:`calibration_mask` may be one more.
            column (int): The split to take where there are several. (default: :obj:`0`)

        Raises:
            ValueError: If a mask is missing or does not fit the nodes, or there is no split
                :obj:`column`.
        """
        if isinstance(data, HeteroData):
            raise ValueError(
                "'data' must be one node type of a heterogeneous graph, as in "
                f"data[{data.node_types[0]!r}] (got a HeteroData)"
            )
        indices = []
        names = ["train_mask", "val_mask", "test_mask"]
        if data.get("calibration_mask") is not None:
            names.append("calibration_mask")
        for name in names:
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

    def to_masks(self, data: Data) -> Data:
        r"""A copy of a graph with the split as PyG's masks, :obj:`train_mask` and so on, bool
        :obj:`[num_nodes]`, to be read with :meth:`from_masks`.

        Raises:
            ValueError: If a node of the split is not in the graph.
        """
        num_nodes = int(data.num_nodes or 0)
        masked = copy.copy(data)
        masked.pop("calibration_mask", None)
        for name, index in self.parts():
            if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < num_nodes):
                raise ValueError(
                    f"'data' must have the nodes of '{name}_index' (got {num_nodes} nodes and "
                    f"entries from {int(index.min())} to {int(index.max())})"
                )
            mask = torch.zeros(num_nodes, dtype=torch.bool, device=index.device)
            mask[index] = True
            masked[f"{name}_mask"] = mask
        return masked


def split_nodes(
    y: Tensor,
    num_per_class: int = 20,
    test_ratio: float = 0.1,
    seed: int = 0,
    calibration: int = 0,
) -> NodeSplit:
    r"""Splits the nodes of a graph as in `"Hierarchical Randomized Smoothing"
    <https://arxiv.org/abs/2310.16221>`_ (Scholten et al., NeurIPS 2023).

    Of every class, :obj:`num_per_class` random nodes are for training and as many others for
    validation. A random fraction :obj:`test_ratio` of all remaining nodes (rounded up) is for
    testing, :obj:`calibration` of what then remains are for the calibration of prediction sets, and
    the rest stays unlabeled. So calibration and test nodes are a random split of random nodes,
    which is what their coverage is about. The draws follow the reference protocol node for node:
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
        calibration (int, optional): The number of calibration nodes, at least :obj:`0`; the other
            sets are the same for any number of them. (default: :obj:`0`)

    Raises:
        ValueError: If an argument is out of range, if a class has fewer than
            :obj:`2 * num_per_class` nodes, or if too few nodes remain to test and calibrate on.
    """
    _check_arguments(num_per_class, test_ratio, seed, calibration)
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
            f"training and as many for validation (got {labels.size} in total)"
        )
    # scikit-learn shuffles with a fresh stream and takes the test nodes from the front.
    num_test = math.ceil(test_ratio * rest.size)
    if num_test + calibration > rest.size:
        raise ValueError(
            f"'calibration' must be at most the {rest.size - num_test} nodes that are neither for "
            f"training nor for validation nor for testing (got {calibration})"
        )
    shuffled = rest[np.random.RandomState(seed).permutation(rest.size)]

    return NodeSplit(
        train_index=torch.from_numpy(train_index),
        val_index=torch.from_numpy(val_index),
        test_index=torch.from_numpy(shuffled[:num_test]),
        calibration_index=torch.from_numpy(shuffled[num_test : num_test + calibration]),
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


def _check_arguments(num_per_class: int, test_ratio: float, seed: int, calibration: int) -> None:
    if num_per_class < 1:
        raise ValueError(f"'num_per_class' must be at least 1 (got {num_per_class})")
    if not 0 < test_ratio < 1:
        raise ValueError(f"'test_ratio' must be between 0 and 1, both excluded (got {test_ratio})")
    if not 0 <= seed < 2**32:
        raise ValueError(f"'seed' must be in [0, 2**32) (got {seed})")
    if not (calibration >= 0 and calibration % 1 == 0):
        raise ValueError(f"'calibration' must be an integer of at least 0 (got {calibration})")
