r"""Datasets of the Open Graph Benchmark, through its own PyG classes and evaluators.

Needs the extra ``ogb``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch_geometric.data import InMemoryDataset
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from pyg_hiersmooth.datasets.graph_splits import GraphSplit
from pyg_hiersmooth.datasets.splits import NodeSplit
from pyg_hiersmooth.extras import require

MODULES = {"ogbn": "nodeproppred", "ogbg": "graphproppred"}


def load_ogb(
    name: str,
    root: str | os.PathLike[str] = "data",
    meta_dict: dict[str, Any] | None = None,
) -> InMemoryDataset:
    r"""Loads a dataset for node or graph property prediction as OGB gives it, but for the labels
    of a single task, which become :obj:`[num_objects]` from :obj:`[num_objects, 1]`.

    OGB keeps it in its own folder, such as :obj:`root/ogbn_arxiv`, and processes it there.

    Args:
        name (str): The name, :obj:`"ogbn-..."` or :obj:`"ogbg-..."`.
        root (str or os.PathLike, optional): The folder of all datasets. (default: :obj:`"data"`)
        meta_dict (dict, optional): What :class:`ogb.io.DatasetSaver` says about a dataset of
            one's own. (default: :obj:`None`)

    Raises:
        ImportError: If OGB is not installed.
        ValueError: If OGB has no such dataset of nodes or graphs.
        FileNotFoundError: If it is missing and cannot be downloaded.
    """
    module = _module(name)
    classes = {"ogbn": "PygNodePropPredDataset", "ogbg": "PygGraphPropPredDataset"}
    create = getattr(module, classes[name[:4]])
    try:
        with _safe_to_load():
            dataset = create(name, str(Path(root).expanduser()), meta_dict=meta_dict)
    except (OSError, EOFError) as error:
        raise FileNotFoundError(
            f"'{name}' is not in '{root}' as OGB keeps it, and could not be downloaded to there "
            f"({error!r})"
        ) from error
    data = dataset._data
    if data.y is not None and data.y.dim() == 2 and data.y.size(1) == 1:
        data.y = data.y.view(-1)
    return dataset


def ogb_split(dataset: Any) -> NodeSplit | GraphSplit:
    r"""The split that OGB prescribes for a dataset of :func:`load_ogb`."""
    with _safe_to_load():
        parts = dataset.get_idx_split()
    indices = [torch.as_tensor(parts[part]).long() for part in ("train", "valid", "test")]
    return NodeSplit(*indices) if dataset.name.startswith("ogbn") else GraphSplit(*indices)


def ogb_score(name: str, y_true: ArrayLike, y_pred: ArrayLike) -> dict[str, float]:
    r"""The score of OGB's own evaluator.

    Args:
        name (str): The name of the dataset.
        y_true (array_like): Labels ``[M]``.
        y_pred (array_like): What its metric takes, ``[M]``: classes for accuracy (such as
            ogbn-arxiv), scores of class 1 for ROC-AUC (such as ogbg-molhiv), such as shares of
            votes.

    Raises:
        ImportError: If OGB is not installed.
        ValueError: If OGB has no such dataset of nodes or graphs.
    """
    evaluator = _module(name).Evaluator(name)
    columns = {"y_true": y_true, "y_pred": y_pred}
    result = evaluator.eval({key: np.asarray(y).reshape(-1, 1) for key, y in columns.items()})
    return {metric: float(value) for metric, value in result.items()}


def _module(name: str) -> Any:
    if name[:5] not in ("ogbn-", "ogbg-"):
        raise ValueError(f"'name' must begin with 'ogbn-' or 'ogbg-' (got {name!r})")
    return require(f"ogb.{MODULES[name[:4]]}", extra="ogb")


@contextmanager
def _safe_to_load() -> Iterator[None]:
    r"""Lets :func:`torch.load` read what OGB saves, graphs and index arrays, and nothing else."""
    if not hasattr(torch.serialization, "safe_globals"):  # PyTorch 2.4 allows everything
        yield
        return
    count = np.int64(0)  # OGB keeps numbers of nodes as NumPy scalars, and splits as arrays
    of_numpy = [count.__reduce__()[0], np.array([count]).__reduce__()[0]]
    of_numpy += [np.ndarray, np.dtype, type(count.dtype)]
    of_graphs = [DataEdgeAttr, DataTensorAttr, GlobalStorage]
    with torch.serialization.safe_globals([*of_graphs, *of_numpy]):
        yield
