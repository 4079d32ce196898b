"""Row 18: a model is trained by the call that it is certified by."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.utils import remove_self_loops

from pyg_hiersmooth.datasets import GraphSplit, NodeSplit
from pyg_hiersmooth.training import train_graph_classifier, train_node_classifier

from .small import ABLATION, C, D, Linear, N, make_graph, seeded

SPLIT = NodeSplit(torch.arange(0, 8), torch.arange(8, 13), torch.arange(13, N))


class Records(Linear):
    """Remembers what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        self.seen.append({"edge_weight": edge_weight, "edge_attr": edge_attr})
        logits = super().forward(x, edge_index)
        for value in (edge_weight, edge_attr):
            if value is not None:
                assert value.size(0) == edge_index.size(1)
                logits = logits * (1 + value.mean())
        return logits


def labeled() -> Data:
    """A graph with labels."""
    data = make_graph()
    data.y = torch.arange(N) % C
    return data


def train(model: nn.Module, data: Data, **options: Any) -> Any:
    """Two epochs."""
    return train_node_classifier(
        model, data, SPLIT, ABLATION, max_epochs=2, progress=False, **options
    )


@pytest.mark.parametrize("name", ["edge_weight", "edge_attr"])
def test_what_belongs_to_the_edges_reaches_the_model_in_training(name: str) -> None:
    data, model = labeled(), seeded(Records)
    value = data.edge_weight
    del data.edge_weight
    data[name] = value if name == "edge_weight" else value.view(-1, 1)
    train(model, data)
    assert len(model.seen) >= 4
    values = [call[name] for call in model.seen]
    assert all(value is not None for value in values), f"trained without {name}"
    expected = set(data[name].view(-1).tolist())
    assert all(set(value.view(-1).tolist()) <= expected for value in values)


def test_a_wrapper_is_trained_with_weights_too() -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, *args: Any, **kwargs: Any) -> Tensor:
            return self.module(*args, **kwargs)

    model = seeded(Records)
    try:
        train(Wrapper(model), labeled())
    except ValueError as error:
        assert "edge_weight" in str(error)
    else:
        assert all(call["edge_weight"] is not None for call in model.seen)


def test_weights_change_what_is_learned() -> None:
    data, learned = labeled(), []
    for weight in (data.edge_weight, data.edge_weight.flip(0)):
        data.edge_weight = weight
        model = seeded(GCN, D + 1, 8, 2, C)
        train(model, data, lr=0.1)
        learned.append(torch.cat([p.detach().view(-1) for p in model.parameters()]))
    assert not torch.allclose(*learned)


class OfAdjacency(nn.Module):
    """A model of a sparse adjacency."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.other = nn.Linear(D + 1, C), nn.Linear(D + 1, C)

    def forward(self, x: Tensor, adj_t: Tensor) -> Tensor:
        assert not isinstance(adj_t, Tensor) or adj_t.layout != torch.strided
        return self.own(x) + adj_t @ self.other(x)


def test_a_graph_with_a_sparse_adjacency_alone_can_be_trained() -> None:
    data = labeled()
    adjacency = torch.sparse_coo_tensor(data.edge_index.flip(0), data.edge_weight, (N, N))
    graph = Data(x=data.x, y=data.y, adj_t=adjacency.coalesce().to_sparse_csr())
    model = seeded(OfAdjacency)
    weight = model.other.weight.detach().clone()
    history = train(model, graph)
    assert history.num_epochs == 2
    assert not torch.equal(model.other.weight, weight)


def test_a_sparse_adjacency_is_trained_as_its_edges_are() -> None:
    data = labeled()
    unique = remove_self_loops(data.edge_index)[0].unique(dim=1)  # PyG adds to them in adj_t
    weight = torch.linspace(0.5, 2, unique.size(1))
    adjacency = torch.sparse_coo_tensor(unique.flip(0), weight, (N, N)).coalesce()
    losses = []
    for graph in (
        Data(x=data.x, y=data.y, edge_index=unique, edge_weight=weight),
        Data(x=data.x, y=data.y, adj_t=adjacency.to_sparse_csr()),
    ):
        history = train(seeded(GCN, D + 1, 8, 2, C), graph)
        losses.append(torch.tensor(history.train_losses + history.val_losses))
    assert torch.allclose(*losses, atol=1e-5)


def test_a_model_that_needs_its_own_call_can_be_trained() -> None:
    class OfData(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gnn = GCN(D + 1, 8, 2, C)

        def forward(self, data: Data) -> Tensor:
            return self.gnn(data.x, data.edge_index, data.edge_weight)

    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        data.x = x
        return model(data)

    model, data = seeded(OfData), labeled()
    before = data.x.clone()
    history = train(model, data, forward=forward)
    assert history.num_epochs == 2
    assert torch.equal(data.x, before)


def test_graphs_are_trained_with_weights_and_their_own_call() -> None:
    graphs = [make_graph(seed=seed) for seed in range(6)]
    for number, graph in enumerate(graphs):
        graph.y = torch.tensor([number % C])
    model = seeded(Records)

    def forward(model: nn.Module, x: Tensor, batch: Any) -> Tensor:
        logits = model(x, batch.edge_index, batch.edge_weight)
        return logits.new_zeros(batch.num_graphs, C).index_add(0, batch.batch, logits)

    split = GraphSplit(torch.arange(4), torch.arange(4, 6), torch.arange(0))
    history = train_graph_classifier(
        model, graphs, split, ABLATION, max_epochs=2, progress=False, forward=forward
    )
    assert history.num_epochs == 2
    assert all(call["edge_weight"] is not None for call in model.seen)
