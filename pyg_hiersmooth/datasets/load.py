r"""The benchmark datasets, by name."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.datasets import CitationFull, Planetoid, TUDataset
from torch_geometric.transforms import LargestConnectedComponents
from torch_geometric.utils import remove_self_loops, to_undirected

from pyg_hiersmooth.choices import dataset_name, is_file
from pyg_hiersmooth.datasets.citation_sbm import CitationSBM
from pyg_hiersmooth.datasets.ogb import load_ogb
from pyg_hiersmooth.datasets.published import PublishedGraph
from pyg_hiersmooth.datasets.random_molecules import RandomMolecules


def load_dataset(
    name: str | os.PathLike[str], root: str | os.PathLike[str] = "data"
) -> InMemoryDataset:
    r"""Loads a benchmark dataset, ready to certify.

    Citation graphs are cleaned up as in `"Hierarchical Randomized Smoothing"
    <https://arxiv.org/abs/2310.16221>`_ (Scholten et al., NeurIPS 2023): edges undirected,
    self loops removed, and only the largest connected component kept. Node attributes, such as
    the masks of Planetoid's public split, are filtered along.

    Raw files are read from where PyG's own dataset classes keep them, and are downloaded to there
    if they are missing. They are processed outside of :obj:`root`, in a temporary folder: a
    read-only :obj:`root` will do, and files that PyG processed earlier, perhaps with other
    transforms, are neither read nor changed.

    .. list-table::
        :header-rows: 1

        * - Name
          - Raw files
          - Dataset
        * - :obj:`"CitationSBM"`
          - none
          - :class:`CitationSBM`, synthetic
        * - :obj:`"Cora"`, :obj:`"CiteSeer"`, :obj:`"PubMed"`
          - :obj:`root/Planetoid/<name>/raw`
          - :class:`torch_geometric.datasets.Planetoid`
        * - :obj:`"Cora_ML"`
          - :obj:`root/CitationFull/cora_ml/raw`
          - :class:`torch_geometric.datasets.CitationFull`
        * - :obj:`"RandomMolecules"`
          - none
          - :class:`RandomMolecules`, synthetic, many graphs
        * - :obj:`"MUTAG"`
          - :obj:`root/TUDataset/MUTAG/raw`
          - :class:`torch_geometric.datasets.TUDataset`, many graphs, as they are
        * - :obj:`"ogbn-arxiv"`, :obj:`"ogbg-molhiv"`
          - :obj:`root/ogbn_arxiv`, :obj:`root/ogbg_molhiv`
          - OGB's own, as it is and processed in that folder:
            :func:`~pyg_hiersmooth.datasets.ogb.load_ogb`
        * - the path of an ``.npz`` file
          - that file
          - :class:`~pyg_hiersmooth.datasets.PublishedGraph`

    Args:
        name (str): The name of the dataset, upper or lower case, with :obj:`"-"` or
            :obj:`"_"`; or the path of a published file.
        root (str or os.PathLike, optional): The folder of all datasets. (default: :obj:`"data"`)

    Returns:
        A dataset of a single graph, or of many graphs to classify, with :obj:`x`,
        :obj:`edge_index` and :obj:`y`.

    Raises:
        ImportError: If an OGB dataset is asked for and OGB is not installed.
        ValueError: If :obj:`name` is unknown, or if the raw files cannot be read.
        FileNotFoundError: If raw files are missing and cannot be downloaded.
    """
    name = dataset_name(name)
    if is_file(name):
        return PublishedGraph(name)
    return _LOADERS[name](name, Path(root).expanduser())


def _load_planetoid(name: str, root: Path) -> InMemoryDataset:
    parts = ["x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"]
    return _load_citations(
        name,
        raw_dir=root / "Planetoid" / name / "raw",
        raw_files=[f"ind.{name.lower()}.{part}" for part in parts],
        create=lambda folder: Planetoid(folder, name),
    )


def _load_citation_full(name: str, root: Path) -> InMemoryDataset:
    return _load_citations(
        name,
        raw_dir=root / "CitationFull" / name.lower() / "raw",
        raw_files=[f"{name.lower()}.npz"],
        create=lambda folder: CitationFull(folder, name),
    )


def _load_tu_dataset(name: str, root: Path) -> InMemoryDataset:
    parts = ["A", "graph_indicator", "graph_labels", "node_labels", "edge_labels"]
    return _create_from_raw(
        name,
        raw_dir=root / "TUDataset" / name / "raw",
        raw_files=[f"{name}_{part}.txt" for part in parts],
        create=lambda folder: TUDataset(folder, name),
    )


def _load_citations(
    name: str,
    raw_dir: Path,
    raw_files: list[str],
    create: Callable[[str], InMemoryDataset],
) -> InMemoryDataset:
    dataset = _create_from_raw(name, raw_dir, raw_files, create)
    dataset.data, dataset.slices = dataset.collate([_clean_up(dataset[0])])
    return dataset


def _create_from_raw(
    name: str,
    raw_dir: Path,
    raw_files: list[str],
    create: Callable[[str], InMemoryDataset],
) -> InMemoryDataset:
    r"""Creates a PyG dataset from a temporary copy of its raw files, or from a fresh download."""
    root = raw_dir.parent.parent
    missing = [file for file in raw_files if not (raw_dir / file).is_file()]
    with TemporaryDirectory() as temporary:
        temporary_raw_dir = Path(temporary) / raw_dir.relative_to(root)
        if missing:
            try:
                dataset = create(temporary)
                shutil.copytree(temporary_raw_dir, raw_dir, dirs_exist_ok=True)
            except Exception as error:
                raise FileNotFoundError(
                    f"The raw files of '{name}' are expected in '{raw_dir}', which lacks "
                    f"{', '.join(missing)}, and could not be downloaded to there ({error!r})"
                ) from error
        else:
            temporary_raw_dir.mkdir(parents=True)
            for file in raw_files:
                shutil.copyfile(raw_dir / file, temporary_raw_dir / file)
            try:
                with contextlib.redirect_stderr(io.StringIO()):  # PyG's progress messages
                    dataset = create(temporary)
            except Exception as error:
                raise ValueError(
                    f"The raw files of '{name}' in '{raw_dir}' cannot be read and may be corrupt; "
                    f"delete them to download them again ({error!r})"
                ) from error
    dataset.root = str(root)
    return dataset


def _clean_up(data: Data) -> Data:
    edge_index, _ = remove_self_loops(to_undirected(data.edge_index, num_nodes=data.num_nodes))
    data.edge_index = edge_index
    return LargestConnectedComponents()(data)


_LOADERS: dict[str, Callable[[str, Path], InMemoryDataset]] = {
    "CitationSBM": lambda name, root: CitationSBM(),
    "Cora": _load_planetoid,
    "CiteSeer": _load_planetoid,
    "PubMed": _load_planetoid,
    "Cora_ML": _load_citation_full,
    "RandomMolecules": lambda name, root: RandomMolecules(),
    "MUTAG": _load_tu_dataset,
    "ogbn-arxiv": load_ogb,
    "ogbg-molhiv": load_ogb,
}
