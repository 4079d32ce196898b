from __future__ import annotations

import gzip
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.datasets import GraphSplit, NodeSplit, load_dataset
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

pytest.importorskip("ogb")

from pyg_hiersmooth.datasets.ogb import load_ogb, ogb_score, ogb_split


class Uncalled(torch.nn.Module):
    """Stands for code that a pickle would run."""


def make_graph(num_nodes: int, seed: int, integers: bool = False) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 3, (num_nodes, 4)) if integers else generator.random((num_nodes, 4))
    edge_index = generator.integers(0, num_nodes, (2, 3 * num_nodes))
    features = x if integers else x.astype(np.float32)
    return {"edge_index": edge_index, "num_nodes": num_nodes, "node_feat": features}


def save(
    name: str, folder: Path, graphs: list[dict[str, Any]], labels: np.ndarray, metric: str
) -> dict[str, Any]:
    """Writes graphs as OGB does; returns what it says about them."""
    from ogb.io import DatasetSaver

    saver = DatasetSaver(name, is_hetero=False, version=1, root=str(folder / "submission"))
    saver.save_graph_list(graphs)
    saver.save_target_labels(labels)
    thirds = np.array_split(np.arange(len(labels)), 3)
    split = dict(zip(("train", "valid", "test"), thirds, strict=True))
    saver.save_split(split, split_name="random")
    (folder / "mapping").mkdir()
    (folder / "mapping" / "README.md").write_text("none")
    saver.copy_mapping_dir(str(folder / "mapping"))
    saver.save_task_info("classification", metric, num_classes=2)
    return saver.get_meta_dict()


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, Any]:
    labels = np.arange(12).reshape(-1, 1) % 2
    return save("ogbn-tiny", tmp_path, [make_graph(12, 0)], labels, "acc")


@pytest.fixture
def graphs(tmp_path: Path) -> dict[str, Any]:
    many = [make_graph(size, size, integers=True) for size in range(3, 9)]
    return save("ogbg-tiny", tmp_path, many, np.arange(6).reshape(-1, 1) % 2, "rocauc")


def test_a_dataset_of_nodes(nodes: dict[str, Any]) -> None:
    for _ in range(2):  # processed, then read again
        dataset = load_ogb("ogbn-tiny", meta_dict=nodes)
    data = dataset[0]
    assert data.x.shape == (12, 4)
    assert data.y.tolist() == [i % 2 for i in range(12)]
    split = ogb_split(dataset)
    assert isinstance(split, NodeSplit)
    assert split.test_index.tolist() == [8, 9, 10, 11]
    model = torch.nn.Linear(5, 2)
    smoothed = SmoothedNodeClassifier(
        model,
        HierarchicalNodeFeatureNoise(0.8, GaussianNoise(0.5)),
        dataset.num_classes,
        forward=lambda model, x, data: model(x),
    )
    votes = smoothed.sample_votes(data, 20, node_index=split.test_index, progress=False)
    assert votes.shape == (4, 2)


def test_a_dataset_of_graphs(graphs: dict[str, Any]) -> None:
    for _ in range(2):
        dataset = load_ogb("ogbg-tiny", meta_dict=graphs)
    assert len(dataset) == 6
    assert [int(graph.y) for graph in dataset] == [0, 1, 0, 1, 0, 1]
    assert dataset[2].x.dtype == torch.int64
    split = ogb_split(dataset)
    assert isinstance(split, GraphSplit)
    model = torch.nn.EmbeddingBag(3, 2)
    smoothed = SmoothedGraphClassifier(
        model,
        HierarchicalNodeFeatureNoise(0.5, AblationNoise()),
        dataset.num_classes,
        forward=lambda model, x, batch: model(x.flatten(), batch.ptr[:-1] * x.size(1)),
    )
    votes = smoothed.sample_votes(dataset[split.test_index], 20, progress=False)
    assert votes.sum(1).tolist() == [20, 20]


def test_arxiv_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "ogbn_arxiv"
    tables = {
        "raw/edge": [[0, 1], [2, 0]],
        "raw/node-feat": [[0.5, 0.0], [1.0, -1.0], [0.25, 2.0]],
        "raw/num-node-list": [[3]],
        "raw/num-edge-list": [[2]],
        "raw/node-label": [[39], [0], [7]],
        "raw/node_year": [[2017], [2018], [2019]],
        **{f"split/time/{part}": [[i]] for i, part in enumerate(("train", "valid", "test"))},
    }
    for name, rows in tables.items():
        path = folder / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("\n".join(",".join(map(str, r)) for r in rows).encode()))
    (folder / "RELEASE_v1.txt").touch()
    dataset = load_dataset("ogbn-arxiv", tmp_path)
    assert dataset.num_classes == 40
    assert dataset[0].y.tolist() == [39, 0, 7]
    assert dataset[0].edge_index.tolist() == [[0, 2], [1, 0]]
    assert ogb_split(dataset).val_index.tolist() == [1]


def test_only_what_ogb_saves_is_read(nodes: dict[str, Any]) -> None:
    dataset = load_ogb("ogbn-tiny", meta_dict=nodes)
    with pytest.raises(Exception, match="Weights only load failed"):
        dataset.get_idx_split()  # index arrays are allowed only while this package reads
    torch.save((Uncalled(), None), dataset.processed_paths[0])
    with pytest.raises(Exception, match="Uncalled"):
        load_ogb("ogbn-tiny", meta_dict=nodes)


def test_the_evaluators_of_ogb() -> None:
    assert ogb_score("ogbn-arxiv", torch.tensor([1, 2, 3, 3]), [1, 2, 3, 0]) == {"acc": 0.75}
    assert ogb_score("ogbg-molhiv", [0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8]) == {"rocauc": 0.75}


@pytest.mark.parametrize("name", ["ogbn-arxiv", "ogbg_molhiv", "OGBN-ARXIV"])
def test_missing_data_and_no_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str) -> None:
        raise OSError("no network here")

    for module in ("nodeproppred", "graphproppred"):
        dataset = importlib.import_module(f"ogb.{module}.dataset_pyg")
        monkeypatch.setattr(dataset, "decide_download", no_network)
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded .*no network here"):
        load_dataset(name, tmp_path)


def test_names_that_ogb_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"must begin with 'ogbn-' or 'ogbg-' .got 'ogbl-collab'"):
        load_ogb("ogbl-collab")


def test_the_extra_is_named_where_ogb_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("pyg_hiersmooth.extras.import_module", missing)
    with pytest.raises(ImportError, match=r"pip install ogb, or"):
        load_dataset("ogbn-arxiv")
