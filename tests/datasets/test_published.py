"""Files as people publish them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch_geometric.utils import is_undirected

from pyg_hiersmooth.datasets import NodeSplit, PublishedGraph, load_dataset

ADJACENCY = sparse.csr_array(np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], dtype=np.float32))
FEATURES = sparse.csr_array(np.array([[0, 2, 0], [1, 0, 3], [0, 0, 0]], dtype=np.float32))
LABELS = np.array([1, 0, 1])


def csr(matrix: Any, name: str, dot: str) -> dict[str, np.ndarray]:
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    parts["shape"] = np.array(matrix.shape)
    return {f"{name}{dot}{part}": array for part, array in parts.items()}


NETTACK = {**csr(ADJACENCY, "adj", "_"), **csr(FEATURES, "attr", "_"), "labels": LABELS}
GRAPH_DATA = {
    **csr(ADJACENCY, "adj_matrix", "."),
    **csr(FEATURES, "attr_matrix", "."),
    "labels": LABELS,
}
DENSE = {
    **csr(ADJACENCY, "adj_matrix", "."),
    "attr_matrix": FEATURES.toarray(),
    "labels": LABELS.astype("i4"),
}
MASKS = {
    f"{part}_masks": np.array([[i == j for j in range(3)], [i != j for j in range(3)]])
    for i, part in enumerate(("train", "val", "test"))
}
HETEROPHILOUS = {
    "node_features": FEATURES.toarray(),
    "node_labels": LABELS,
    "edges": np.array([[0, 1], [1, 1], [1, 2]]),
    **MASKS,
}


def saved(folder: Path, arrays: dict[str, Any]) -> Path:
    np.savez(folder / "graph.npz", **arrays)
    return folder / "graph.npz"


@pytest.mark.parametrize("arrays", [NETTACK, GRAPH_DATA, DENSE, HETEROPHILOUS])
def test_all_layouts_hold_the_same_graph(arrays: dict[str, Any], tmp_path: Path) -> None:
    names = np.array([{"node": 1}], dtype=object)  # which nobody reads
    path = saved(tmp_path, {**arrays, "node_names": names})
    for name in (path, str(path)):
        dataset = load_dataset(name)
        data = dataset[0]
        assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
        assert data.x.dtype == torch.float32 and data.x.tolist() == FEATURES.toarray().tolist()
        assert data.y.tolist() == [1, 0, 1] and "edge_weight" not in data
        assert (dataset.num_classes, len(dataset)) == (2, 1)
    assert "graph.npz" in repr(dataset)


def test_splits_are_columns(tmp_path: Path) -> None:
    data = PublishedGraph(saved(tmp_path, HETEROPHILOUS))[0]
    split = NodeSplit.from_masks(data, column=1)
    assert split.train_index.tolist() == [1, 2] and split.test_index.tolist() == [0, 1]


def test_weights_of_edges_are_kept(tmp_path: Path) -> None:
    weighted = ADJACENCY.copy()
    weighted.data = np.array([0.5, 9, 2], dtype=np.float64)
    data = PublishedGraph(saved(tmp_path, {**NETTACK, **csr(weighted, "adj", "_")}))[0]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.edge_weight.tolist() == [0.5, 0.5, 2, 2]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in NETTACK.items() if not key.startswith(name)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (without("labels"), "the arrays adj_data"),
        (without("attr"), "the arrays adj_data"),
        ({**NETTACK, "labels": np.array([object()] * 3)}, "Object arrays cannot be loaded"),
        ({**NETTACK, "labels": LABELS[:2]}, "3 in total"),
        ({**NETTACK, "labels": LABELS - 1}, "got -1"),
        ({**NETTACK, "adj_indices": np.array([1, 1, 9])}, "got "),
        ({**NETTACK, "adj_shape": np.array([4, 4])}, "got "),
        ({**HETEROPHILOUS, "edges": np.array([[0, 3]])}, "edges of nodes other than the 3"),
        ({**HETEROPHILOUS, "edges": np.array([[0.0, 1.0]])}, "edges of float64"),
        ({**HETEROPHILOUS, "train_masks": np.ones((1, 4), dtype=bool)}, "a train_mask of shape"),
        ({**HETEROPHILOUS, "node_features": LABELS}, r"features int64 of shape \[3\]"),
        ({"x": LABELS}, "the arrays x"),
    ],
)
def test_what_is_no_graph(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"graph.npz' must be an .npz file of one .*{message}"):
        load_dataset(saved(tmp_path, arrays))


def test_nothing_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "boom"),)

    bomb = np.array([Bomb()], dtype=object)
    for arrays in ({**NETTACK, "labels": bomb}, {**HETEROPHILOUS, "edges": bomb}):
        with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
            load_dataset(saved(tmp_path, arrays))
    bomb.dump(tmp_path / "pickled.npz")
    with pytest.raises(ValueError, match="no zip archive"):
        load_dataset(tmp_path / "pickled.npz")
    assert not (tmp_path / "boom").exists()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load_dataset(tmp_path / "none.npz")


PUBLISHED = {  # nodes, undirected edges, features, classes; as in Shchur et al. and Platonov et al.
    "amazon_photo": (7_650, 119_081, 745, 8),
    "minesweeper": (10_000, 39_402, 7, 2),
    "squirrel_filtered_directed": (2_223, 46_998, 2_089, 5),
    "chameleon_filtered_directed": (890, 8_854, 2_325, 5),
    "wisconsin": (251, 450, 1_703, 5),
    "actor": (7_600, 26_659, 932, 5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_graphs(name: str, data_root: Path) -> None:
    path = data_root / "published" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"needs {path.name}")
    dataset = load_dataset(path)
    data = dataset[0]
    found = data.num_nodes, data.num_edges // 2, data.num_features, dataset.num_classes
    assert found == PUBLISHED[name] and is_undirected(data.edge_index)
    assert not data.has_self_loops()
    if "train_mask" in data:
        assert data.train_mask.shape == (data.num_nodes, 10)
        NodeSplit.from_masks(data, 9)


def test_the_file_of_cora_ml_is_the_dataset_before_its_largest_component(data_root: Path) -> None:
    whole = load_dataset(data_root / "CitationFull" / "cora_ml" / "raw" / "cora_ml.npz")[0]
    part = load_dataset("Cora_ML", data_root)[0]
    assert (whole.num_nodes, part.num_nodes) == (2_995, 2_810)
    assert whole.num_features == part.num_features
