from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_hiersmooth.datasets import CitationSBM, RandomMolecules, split_graphs, split_nodes
from pyg_hiersmooth.experiment import task
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.experiment.task import (
    GraphTask,
    NodeTask,
    choose_device,
)
from pyg_hiersmooth.models import GCN
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

SHORT = Settings.of(max_epochs=2, lr=0.01, seed=3, device="cpu")
GRAPHS = Settings.of(dataset="RandomMolecules", task="graph", device="cpu")


@pytest.fixture(scope="module")
def nodes() -> NodeTask:
    return NodeTask(SHORT)


def test_a_trained_model_is_that_of_the_library(nodes: NodeTask) -> None:
    transform = HierarchicalNodeFeatureNoise(0.5, GaussianNoise(0.1))
    data = CitationSBM()[0]
    torch.manual_seed(3)
    expected = GCN(data.num_features + 1, 7)
    train_node_classifier(
        expected,
        data,
        split_nodes(data.y, seed=3),
        transform,
        lr=0.01,
        max_epochs=2,
        seed=3,
        progress=False,
    )
    for found, weights in zip(
        nodes.new_trained_model(transform).parameters(), expected.parameters(), strict=True
    ):
        assert torch.equal(found, weights)


def test_calibration_nodes_are_apart_and_enough() -> None:
    own = NodeTask(SHORT.having(sets=0.9, calibration=30))
    y = CitationSBM()[0].y
    assert torch.equal(
        own.split.calibration_index, split_nodes(y, 20, 0.1, 3, 30).calibration_index
    )
    assert torch.equal(own.index, split_nodes(y, seed=3).test_index)
    enough = "needs at least 11 objects for this coverage .got 10"  # of 0.9, and 0.01 for bounds
    with pytest.raises(ValueError, match=f"'calibration' must be larger: calibration {enough}"):
        NodeTask(SHORT.having(sets=0.9, calibration=10))
    NodeTask(Settings.of(noise="ablation", selection="partition", sets=0.9, calibration=9))
    with pytest.raises(ValueError, match=r"less than 1 - coverage, which is 0\.005"):
        NodeTask(SHORT.having(sets=0.995))


@pytest.mark.parametrize(("part", "names"), [("val", ["val"]), ("val+test", ["val", "test"])])
def test_parts_come_one_after_another(part: str, names: list[str]) -> None:
    graphs = GraphTask(Settings.of(dataset="RandomMolecules", task="graph", part=part, seed=5))
    y = torch.cat([graph.y for graph in RandomMolecules()])
    split = split_graphs(y, seed=5)
    assert list(graphs.parts) == names
    assert torch.equal(graphs.index, torch.cat([getattr(split, f"{n}_index") for n in names]))
    assert torch.equal(graphs.labels, y[graphs.index])


def test_the_indicator_is_one_more_feature(nodes: NodeTask) -> None:
    noise = GaussianNoise(1.0)
    sizes = [
        next(p for p in nodes.new_model(transform).parameters() if p.dim() == 2).size(1)
        for transform in (
            HierarchicalNodeFeatureNoise(0.5, noise),
            HierarchicalNodeFeatureNoise(0.5, noise, append_indicator=False),
            HierarchicalEdgeNoise(0.5, AblationNoise()),
            Compose(
                [
                    HierarchicalNodeFeatureNoise(0.5, noise),
                    HierarchicalEdgeNoise(0.5, AblationNoise()),
                ]
            ),
            None,
        )
    ]
    assert sizes == [1434, 1433, 1433, 1434, 1433]


def test_predictions_without_noise(nodes: NodeTask) -> None:
    model = nodes.new_model(None).eval()
    logits = model(nodes.data.x, nodes.data.edge_index)[nodes.index]
    assert torch.equal(nodes.predict(model.train()), logits.argmax(dim=1))
    graphs = GraphTask(GRAPHS)
    model = graphs.new_model(None).eval()
    each = [model(g.x, g.edge_index).argmax(dim=1) for g in graphs.data[graphs.index]]
    assert torch.equal(graphs.predict(model.train()), torch.cat(each))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (NodeTask, {"dataset": "RandomMolecules"}, "'dataset' must hold one graph .*got 120 in"),
        (
            GraphTask,
            {"dataset": "CitationSBM"},
            "'dataset' must hold at least ten graphs .*got 1 in Cit",
        ),
        (
            GraphTask,
            {"dataset": "RandomMolecules", "task": "graph", "noise": "flips"},
            "'noise' must be one of gaussian, ablation, .* for the one-hot rows of .*got flips",
        ),
        (NodeTask, {"dataset": "Reddit"}, "'dataset' must be one of CitationSBM"),
    ],
)
def test_settings_that_do_not_fit_the_data(
    kind: type[task.Task], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(Settings.of(**options))


def test_features_that_do_not_fit_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = CitationSBM()
    dataset._data.x = dataset._data.x / 3
    monkeypatch.setattr(task, "load_dataset", lambda name, root: dataset)
    message = "'noise' must fit the features of 'dataset' CitationSBM .got flips.: .*binary"
    with pytest.raises(ValueError, match=message):
        NodeTask(Settings.of())
    NodeTask(Settings.of(noise="none"))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None) == choose_device("cpu") == "cpu"
    with pytest.raises(ValueError, match=r"'device' must be cpu, as .*got cuda"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(None) == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"


def test_normalized_features_sum_to_one_and_are_not_binary() -> None:
    task = NodeTask(Settings.of(noise="gaussian", std=0.01, normalize_features=True))
    sums = task.data.x.sum(dim=1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert torch.equal(task.data.x > 0, CitationSBM()[0].x > 0)
    with pytest.raises(ValueError, match="'noise' must fit the features"):
        NodeTask(Settings.of(noise="flips", normalize_features=True))


def test_negative_features_are_not_divided_by_their_sum(tmp_path: Path) -> None:
    x = np.array([[0.5, 2.0], [1.0, -0.25]])
    file = tmp_path / "graph.npz"
    arrays = {"node_features": x, "node_labels": np.array([0, 1]), "edges": np.array([[0, 1]])}
    np.savez(file, **arrays)
    settings = Settings.of(noise="gaussian", normalize_features=True, dataset=str(file))
    with pytest.raises(ValueError, match=r"'normalize_features' needs .* at least 0 \(got -0.25\)"):
        NodeTask(settings)
