from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_hiersmooth.datasets import GraphSplit, load_dataset, split_graphs
from pyg_hiersmooth.graph_models import GRAPH_MODELS, build_graph_model
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.training import train_graph_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


def make_graphs(num_graphs: int = 40) -> list[Data]:
    """Graphs of two classes, told apart by the mean of their features."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for i in range(num_graphs):
        num_nodes = 4 + i % 5
        x = torch.randn(num_nodes, 3, generator=generator) + 2 * (i % 2)
        edges = torch.randint(0, num_nodes, (2, 8), generator=generator)
        graphs.append(Data(x=x, edge_index=edges, y=torch.tensor([i % 2])))
    return graphs


@pytest.mark.parametrize("name", GRAPH_MODELS)
def test_one_row_a_graph_and_no_influence_of_others(name: str) -> None:
    model, graphs = build_graph_model(name, 3, 4).eval(), make_graphs(6)
    batch = Batch.from_data_list(graphs)
    together = model(batch.x, batch.edge_index, batch.batch)
    assert together.shape == (6, 4)
    apart = torch.cat([model(graph.x, graph.edge_index) for graph in graphs])
    torch.testing.assert_close(together, apart)


def test_unknown_model() -> None:
    with pytest.raises(ValueError, match="'name' must be one of gin, gcn, got 'gat'"):
        build_graph_model("gat", 3, 2)


@pytest.mark.parametrize("name", GRAPH_MODELS)
@pytest.mark.parametrize("smooth", [True, False])
def test_training_learns_and_is_reproducible(name: str, smooth: bool) -> None:
    graphs = make_graphs()
    split = split_graphs(torch.cat([graph.y for graph in graphs]), num_folds=4)
    transform = HierarchicalNodeFeatureNoise(0.5, GaussianNoise(0.5), False) if smooth else None
    weights, histories = [], []
    for _ in range(2):
        torch.manual_seed(1)
        model = build_graph_model(name, 3, 2)
        history = train_graph_classifier(
            model, graphs, split, transform, batch_size=8, max_epochs=25, progress=False
        )
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        histories.append(history)
    assert histories[0] == histories[1]
    assert torch.equal(weights[0], weights[1])
    assert histories[0].best_val_accuracy >= 0.9
    assert graphs[0].x.size(1) == 3


def test_folds_are_stratified_and_disjoint() -> None:
    y = torch.tensor([0] * 30 + [1] * 60)
    splits = [split_graphs(y, fold, 10, seed=3) for fold in range(10)]
    assert sorted(torch.cat([split.test_index for split in splits]).tolist()) == list(range(90))
    for i, split in enumerate(splits):
        assert y[split.test_index].bincount().tolist() == [3, 6]
        assert torch.equal(split.val_index, splits[(i + 1) % 10].test_index)
        parts = torch.cat([split.train_index, split.val_index, split.test_index])
        assert sorted(parts.tolist()) == list(range(90))
    assert not torch.equal(split_graphs(y, seed=4).test_index, split_graphs(y).test_index)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fold": 10}, r"'fold' must be in \[0, 10\), got 10"),
        ({"num_folds": 2}, "'num_folds' must be at least 3"),
        ({"num_folds": 21}, "'num_folds' must be at least 3 and at most the 20 graphs"),
    ],
)
def test_bad_folds(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_graphs(torch.zeros(20, dtype=torch.long), **arguments)


def test_bad_training() -> None:
    graphs, model = make_graphs(), build_graph_model("gin", 3, 2)
    split = split_graphs(torch.cat([graph.y for graph in graphs]))
    none = torch.empty(0, dtype=torch.long)
    with pytest.raises(ValueError, match="'split' must have graphs in 'val_index'"):
        train_graph_classifier(model, graphs, GraphSplit(split.train_index, none, none))
    with pytest.raises(ValueError, match="'batch_size' must be at least 1, got 0"):
        train_graph_classifier(model, graphs, split, batch_size=0)
    with pytest.raises(ValueError, match="'lr' must be positive, got 0"):
        train_graph_classifier(model, graphs, split, lr=0)
    del graphs[int(split.train_index[0])].y
    with pytest.raises(ValueError, match="'graphs' must have 'y'"):
        train_graph_classifier(model, graphs, split)


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
