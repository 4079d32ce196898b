from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import global_add_pool

from pyg_hiersmooth.datasets import GraphSplit, split_graphs
from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
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


@pytest.mark.parametrize("name", MODELS["graph"])
@pytest.mark.parametrize("smooth", [True, False])
def test_training_learns_and_is_reproducible(name: str, smooth: bool) -> None:
    graphs = make_graphs()
    split = split_graphs(torch.cat([graph.y for graph in graphs]), num_folds=4)
    transform = HierarchicalNodeFeatureNoise(0.5, GaussianNoise(0.5), False) if smooth else None
    weights, histories = [], []
    for _ in range(2):
        torch.manual_seed(1)
        model = build_model(name, 3, 2, "graph")
        history = train_graph_classifier(
            model, graphs, split, transform, batch_size=8, max_epochs=25, progress=False
        )
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        histories.append(history)
    assert histories[0] == histories[1]
    assert torch.equal(weights[0], weights[1])
    assert histories[0].best_val_accuracy >= 0.9
    assert graphs[0].x.size(1) == 3


@pytest.mark.parametrize("of", ["messages", "nodes"])
@pytest.mark.parametrize("num_draws", [1, 2])
def test_training_where_structure_is_ablated(of: str, num_draws: int) -> None:
    """Half of the nodes of small graphs are gone in a draw, and often all of a graph's."""
    graphs = make_graphs()
    split = split_graphs(torch.cat([graph.y for graph in graphs]), num_folds=4)
    transform = HierarchicalNodeFeatureNoise(0.5, AblationNoise(of=of), append_indicator=False)
    torch.manual_seed(1)
    model = build_model("gin", 3, 2, "graph")
    consistency = 0.5 * (num_draws - 1)
    history = train_graph_classifier(
        *(model, graphs, split, transform),
        batch_size=4,
        max_epochs=25,
        progress=False,
        num_draws=num_draws,
        consistency=consistency,
    )
    assert history.best_val_accuracy >= 0.8


class Sums(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(4, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        pooled: Tensor = self.out(global_add_pool(x, batch))
        return pooled


def test_graphs_without_nodes_are_answered_alike() -> None:
    graphs = make_graphs()
    split = split_graphs(torch.cat([graph.y for graph in graphs]), num_folds=4)
    transform = HierarchicalNodeFeatureNoise(1.0, AblationNoise(of="nodes"))
    history = train_graph_classifier(
        Sums(), graphs, split, transform, max_epochs=3, progress=False, batch_size=8
    )
    assert history.val_accuracies[-1] == 0.5  # one class for all


def test_bad_training() -> None:
    graphs, model = make_graphs(), build_model("gin", 3, 2, "graph")
    split = split_graphs(torch.cat([graph.y for graph in graphs]))
    none = torch.empty(0, dtype=torch.long)
    with pytest.raises(ValueError, match=r"'split\.val_index' must name at least one graph"):
        train_graph_classifier(model, graphs, GraphSplit(split.train_index, none, none))
    with pytest.raises(ValueError, match=r"'batch_size' must be at least 1 \(got 0\)"):
        train_graph_classifier(model, graphs, split, batch_size=0)
    with pytest.raises(ValueError, match=r"'lr' must be positive \(got 0\)"):
        train_graph_classifier(model, graphs, split, lr=0)
    with pytest.raises(ValueError, match=r"It takes 3 features.*: pass append_indicator=False"):
        transform = HierarchicalNodeFeatureNoise(0.5, GaussianNoise(0.5))
        train_graph_classifier(model, graphs, split, transform, progress=False)
    del graphs[int(split.train_index[0])].y
    with pytest.raises(ValueError, match="'graphs' must have labels 'y'"):
        train_graph_classifier(model, graphs, split)
