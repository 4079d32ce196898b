from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import CitationFull, Planetoid
from torch_geometric.transforms import LargestConnectedComponents

from pyg_hiersmooth.datasets import CitationSBM, dataset_name, load_dataset
from pyg_hiersmooth.datasets.load import _clean_up


def write_raw_cora_ml(raw_dir: Path) -> None:
    """Nodes 2 -> 0, 2 -> 3, 3 -> 2 and a self loop on 0; 1 and 4 form a smaller component."""
    raw_dir.mkdir(parents=True, exist_ok=True)
    np.savez(
        raw_dir / "cora_ml.npz",
        attr_data=np.ones(5, dtype=np.float32),
        attr_indices=np.array([0, 1, 2, 3, 4]),
        attr_indptr=np.arange(6),
        attr_shape=np.array([5, 5]),
        adj_data=np.ones(5, dtype=np.float32),
        adj_indices=np.array([0, 4, 0, 3, 2]),
        adj_indptr=np.array([0, 1, 2, 4, 5, 5]),
        adj_shape=np.array([5, 5]),
        labels=np.array([0, 1, 2, 3, 4]),
    )


def files_under(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def no_network(self: object) -> None:
    raise OSError("no network here")


@pytest.mark.parametrize("name", ["CitationSBM", "citationsbm", "CITATIONSBM"])
def test_citation_sbm_needs_no_files(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(name, tmp_path)
    assert isinstance(dataset, CitationSBM)
    assert torch.equal(dataset[0].edge_index, CitationSBM(seed=0)[0].edge_index)
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize("name", ["nonsense", "", "Cora ML"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(
        ValueError, match="'name' must be one of CitationSBM, Cora, CiteSeer, PubMed, Cora_ML"
    ):
        load_dataset(name)


def test_clean_up_of_a_graph_with_everything_to_clean() -> None:
    edge_index = torch.tensor([[4, 3, 3, 1, 0, 0], [3, 4, 1, 1, 2, 0]])
    data = _clean_up(Data(x=torch.arange(5.0).view(5, 1), edge_index=edge_index))
    assert data.x.view(-1).tolist() == [1, 3, 4]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]


@pytest.mark.parametrize("name", ["Cora_ML", "cora-ml", "CORA_ML"])
def test_clean_up(name: str, tmp_path: Path) -> None:
    write_raw_cora_ml(tmp_path / "CitationFull" / "cora_ml" / "raw")
    dataset = load_dataset(name, str(tmp_path))
    data = dataset[0]
    assert data.y.tolist() == [0, 2, 3]
    assert data.x.argmax(dim=1).tolist() == [0, 2, 3]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    for key in ("x", "edge_index", "y"):
        assert torch.equal(getattr(dataset, key), data[key])
    assert len(dataset) == 1
    assert dataset.root == str(tmp_path / "CitationFull")


def test_root_is_not_written_to_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # PyG prints its progress outside of pytest only.
    folder = tmp_path / "CitationFull" / "cora_ml"
    write_raw_cora_ml(folder / "raw")
    before = files_under(tmp_path)
    folder.chmod(0o555)
    try:
        load_dataset("Cora_ML", tmp_path)
    finally:
        folder.chmod(0o755)
    assert files_under(tmp_path) == before
    assert capsys.readouterr().err == ""


def test_older_processed_files_are_ignored(tmp_path: Path) -> None:
    write_raw_cora_ml(tmp_path / "CitationFull" / "cora_ml" / "raw")

    def zero(data: Data) -> Data:
        data.x = torch.zeros_like(data.x)
        return data

    old = CitationFull(str(tmp_path / "CitationFull"), "Cora_ML", pre_transform=zero)
    assert old.x.sum() == 0
    assert load_dataset("Cora_ML", tmp_path).x.sum() == 3


@pytest.mark.parametrize(
    ("name", "folder", "file"),
    [
        ("Cora_ML", "CitationFull/cora_ml/raw", "cora_ml.npz"),
        ("Cora", "Planetoid/Cora/raw", "ind.cora.allx"),
        ("PubMed", "Planetoid/PubMed/raw", "ind.pubmed.test.index"),
    ],
)
def test_missing_files_that_cannot_be_downloaded(
    name: str, folder: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Planetoid, "download", no_network)
    monkeypatch.setattr(CitationFull, "download", no_network)
    with pytest.raises(FileNotFoundError, match="no network here") as error:
        load_dataset(name, tmp_path)
    assert str(tmp_path / folder) in str(error.value)
    assert file in str(error.value)
    assert files_under(tmp_path) == set()


def test_download_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: CitationFull) -> None:
        write_raw_cora_ml(Path(self.raw_dir))

    monkeypatch.setattr(CitationFull, "download", download)
    first = load_dataset("Cora_ML", tmp_path)
    assert (tmp_path / "CitationFull" / "cora_ml" / "raw" / "cora_ml.npz").is_file()

    monkeypatch.setattr(CitationFull, "download", no_network)
    assert torch.equal(load_dataset("Cora_ML", tmp_path).x, first.x)


def test_corrupt_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: CitationFull) -> None:
        Path(self.raw_dir, "cora_ml.npz").write_bytes(b"<html>not found</html>")

    monkeypatch.setattr(CitationFull, "download", download)
    with pytest.raises(FileNotFoundError, match="CitationFull"):
        load_dataset("Cora_ML", tmp_path)
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk"])
def test_corrupt_files(content: bytes, tmp_path: Path) -> None:
    raw_dir = tmp_path / "CitationFull" / "cora_ml" / "raw"
    raw_dir.mkdir(parents=True)
    (raw_dir / "cora_ml.npz").write_bytes(content)
    with pytest.raises(ValueError, match="may be corrupt") as error:
        load_dataset("Cora_ML", tmp_path)
    assert str(raw_dir) in str(error.value)


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raw_cora_ml(tmp_path / "data" / "CitationFull" / "cora_ml" / "raw")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_dataset("Cora_ML", os.path.join("~", "data"))[0].num_nodes == 3


@pytest.mark.parametrize(
    ("name", "num_nodes", "num_edges", "num_features", "num_classes"),
    [
        ("Cora", 2485, 10138, 1433, 7),
        ("CiteSeer", 2120, 7358, 3703, 6),
        ("Cora_ML", 2810, 15962, 2879, 7),
    ],
)
def test_real_graphs(
    data_root: Path,
    name: str,
    num_nodes: int,
    num_edges: int,
    num_features: int,
    num_classes: int,
) -> None:
    dataset = load_dataset(name, data_root)
    data = dataset[0]
    assert (data.num_nodes, data.num_edges) == (num_nodes, num_edges)
    assert (dataset.num_features, dataset.num_classes) == (num_features, num_classes)
    assert data.is_undirected()
    assert data.is_coalesced()
    assert not data.has_self_loops()
    assert torch.equal(dataset.x, data.x)
    data.validate()


def test_planetoid_masks_follow_their_nodes(data_root: Path) -> None:
    original = Planetoid(str(data_root / "Planetoid"), "Cora")[0]
    original.node = torch.arange(original.num_nodes)
    kept = LargestConnectedComponents()(original).node
    data = load_dataset("Cora", data_root)[0]
    for key in ("x", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(data[key], original[key][kept])


def test_mutag_is_what_pyg_says_it_is(data_root: Path) -> None:
    dataset = load_dataset("mutag", data_root)
    assert (len(dataset), dataset.num_classes, dataset.num_features) == (188, 2, 7)
    assert not (data_root / "TUDataset" / "MUTAG" / "processed").exists()
    y = torch.cat([graph.y for graph in dataset])
    assert y.bincount().tolist() == [63, 125]
    assert bool((dataset[0].x.sum(1) == 1).all())


@pytest.mark.parametrize("missing", ["A", "node_labels"])
def test_mutag_without_all_of_its_files(
    missing: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(self: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr("torch_geometric.datasets.TUDataset.download", no_network)
    raw = tmp_path / "TUDataset" / "MUTAG" / "raw"
    raw.mkdir(parents=True)
    for file in (data_root / "TUDataset" / "MUTAG" / "raw").iterdir():
        if missing not in file.stem.split("_", 1):
            (raw / file.name).write_bytes(file.read_bytes())
    with pytest.raises(FileNotFoundError, match=f"lacks MUTAG_{missing}.txt, and could not be"):
        load_dataset("MUTAG", tmp_path)


def test_names_as_we_spell_them() -> None:
    assert dataset_name("cora-ml") == "Cora_ML" and dataset_name("OGBN_arxiv") == "ogbn-arxiv"
    for argument in ("name", "dataset"):
        with pytest.raises(ValueError, match=rf"'{argument}' must be one of .* \(got 'Reddit'\)"):
            dataset_name("Reddit", argument)
