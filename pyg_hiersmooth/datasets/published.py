r"""Attributed graphs in the ``.npz`` files in which people publish them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import remove_self_loops, to_undirected

from pyg_hiersmooth.datasets.labels import as_labels

Arrays = Mapping[str, np.ndarray]


class PublishedGraph(InMemoryDataset):
    r"""One graph from an ``.npz`` file, all nodes in the order of the file.

    Edges become undirected and self loops are removed; features stay as they are, float32, dense.
    Three layouts are known:

    * that of nettack, PyG's ``CitationFull`` and the Amazon and Coauthor graphs (``adj_data``,
      ``attr_data``, ``labels``; Zügner et al. 2018, Shchur et al. 2018);
    * that of ``GraphData`` (``adj_matrix.data``, ``attr_matrix.data`` or ``attr_matrix``,
      ``labels``; Geisler et al. 2021);
    * that of the heterophilous graphs (``node_features``, ``node_labels``, ``edges``; Platonov et
      al. 2023), with their splits as ``train_mask``, ``val_mask`` and ``test_mask``, bool
      ``[num_nodes, num_splits]``.

    Python objects in a file, such as the names of nodes, are neither read nor run.

    Args:
        path (str or os.PathLike): The file.
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an ``.npz`` file of one of these layouts, or its arrays do not fit
            each other.
    """

    def __init__(
        self, path: str | os.PathLike[str], transform: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(None, transform)
        self.path = Path(path).expanduser()
        self.data, self.slices = self.collate([_read(self.path)])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({str(self.path)!r})"


def _read(path: Path) -> Data:
    try:
        with path.open("rb") as file:
            if not is_zipfile(file):
                raise ValueError("no zip archive")
        with np.load(path, allow_pickle=False) as arrays:
            return _as_data(arrays)
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, OSError, BadZipFile) as error:
        raise ValueError(
            f"'{path}' must be an .npz file of one attributed graph as nettack, GraphData or the "
            f"heterophilous graphs have it (got {error})"
        ) from error


def _as_data(arrays: Arrays) -> Data:
    weight: Tensor | None = None
    masks: dict[str, Tensor] = {}
    if "node_features" in arrays:
        x, y = arrays["node_features"], arrays["node_labels"]
        edge_index = _integers(arrays["edges"]).view(-1, 2).t()
        for part in ("train", "val", "test"):
            if f"{part}_masks" in arrays:
                masks[f"{part}_mask"] = torch.from_numpy(arrays[f"{part}_masks"]).bool().t()
    else:
        adjacency = _matrix(arrays, "adj")
        features = _matrix(arrays, "attr")
        if adjacency is None or features is None or "labels" not in arrays:
            raise ValueError(f"the arrays {', '.join(sorted(arrays))}")
        x = features.toarray() if sparse.issparse(features) else features
        y = arrays["labels"]
        entries = sparse.coo_array(adjacency)
        entries.eliminate_zeros()
        edge_index = torch.from_numpy(np.stack(entries.coords).astype(np.int64))
        if not (entries.data == 1).all():
            weight = torch.from_numpy(entries.data.astype(np.float32))
    return _checked(x, y, edge_index, weight, masks)


def _checked(
    x: np.ndarray,
    y: np.ndarray,
    edge_index: Tensor,
    weight: Tensor | None,
    masks: dict[str, Tensor],
) -> Data:
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise ValueError(f"features {x.dtype} of shape {list(x.shape)}")
    num_nodes = x.shape[0]
    if (
        edge_index.numel() > 0
        and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes
    ):
        raise ValueError(f"edges of nodes other than the {num_nodes} with features")
    for name, mask in masks.items():
        if mask.dim() != 2 or mask.size(0) != num_nodes:
            raise ValueError(f"a {name} of shape {list(mask.shape)} for {num_nodes} nodes")
    edge_index, weight = to_undirected(edge_index, weight, num_nodes, "mean")
    edge_index, weight = remove_self_loops(edge_index, weight)
    data = Data(
        x=torch.from_numpy(x.astype(np.float32)),
        edge_index=edge_index.contiguous(),
        y=as_labels(torch.from_numpy(y.astype(y.dtype.newbyteorder("="))), num_nodes),
        **masks,
    )
    if weight is not None:
        data.edge_weight = weight
    return data


def _matrix(arrays: Arrays, name: str) -> Any:
    r"""A matrix in parts, as SciPy's CSR has them, or whole; :obj:`None` where there is none."""
    for prefix in (f"{name}_", f"{name}_matrix.", f"{name}_matrix_", f"{name}."):
        if f"{prefix}data" in arrays:
            parts = [arrays[f"{prefix}{part}"] for part in ("data", "indices", "indptr")]
            matrix = sparse.csr_array(tuple(parts), shape=tuple(arrays[f"{prefix}shape"]))
            matrix.check_format(full_check=True)
            return matrix
    return arrays.get(f"{name}_matrix")


def _integers(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "iu":
        raise ValueError(f"edges of {array.dtype}")
    return torch.from_numpy(array.astype(np.int64))
