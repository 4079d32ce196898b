from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.transforms import LargestConnectedComponents
from torch_geometric.utils import degree, homophily

from pyg_hiersmooth.datasets import CitationSBM, split_nodes
from pyg_hiersmooth.models import build_model

SEEDS = [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def graphs() -> dict[int, Data]:
    return {seed: CitationSBM(seed)[0] for seed in SEEDS}


def test_dataset() -> None:
    dataset = CitationSBM()
    data = dataset[0]
    assert str(dataset) == "CitationSBM(seed=0)"
    assert len(dataset) == 1
    assert dataset.num_features == 1433
    assert dataset.num_classes == 7
    assert set(data.keys()) == {"x", "edge_index", "y"}
    assert (data.x.dtype, data.edge_index.dtype, data.y.dtype) == (
        torch.float32,
        torch.int64,
        torch.int64,
    )
    assert torch.equal(dataset.x, data.x)
    data.validate()


@pytest.mark.parametrize("seed", SEEDS)
def test_graph_is_simple_connected_and_as_large_as_cora(graphs: dict[int, Data], seed: int) -> None:
    data = graphs[seed]
    assert data.num_nodes == 2708
    assert data.num_edges == 2 * 5278
    assert data.is_undirected()
    assert data.is_coalesced()
    assert not data.has_self_loops()
    assert not data.has_isolated_nodes()
    assert LargestConnectedComponents()(data).num_nodes >= 2700
    assert data.y.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]


@pytest.mark.parametrize("seed", SEEDS)
def test_degrees_and_homophily_are_like_coras(graphs: dict[int, Data], seed: int) -> None:
    data = graphs[seed]
    assert 0.79 < homophily(data.edge_index, data.y) < 0.83
    degrees = degree(data.edge_index[0], data.num_nodes)
    assert degrees.median() == 3
    assert 100 < degrees.max() < 200
    assert degrees.std() > degrees.mean()  # A graph without hubs has sqrt(mean).


@pytest.mark.parametrize("seed", SEEDS)
def test_words_are_like_coras(graphs: dict[int, Data], seed: int) -> None:
    x, y = graphs[seed].x, graphs[seed].y
    assert x.shape == (2708, 1433)
    assert x.unique().tolist() == [0, 1]
    assert x.sum(dim=1).mean().item() == pytest.approx(18.17, abs=0.3)
    assert x.sum(dim=1).std().item() == pytest.approx(5.76, abs=0.5)
    assert x.sum(dim=0).max() > 0.25 * len(x)

    shared = x @ x.t()
    same = y[:, None] == y
    other_node = ~torch.eye(len(y), dtype=torch.bool)
    assert shared[same & other_node].mean() > 1.2 * shared[~same].mean()


def test_docstring_reports_the_measured_statistics(graphs: dict[int, Data]) -> None:
    data, text = graphs[0], CitationSBM.__doc__ or ""
    degrees = degree(data.edge_index[0], data.num_nodes)
    words = data.x.sum(dim=1)
    assert f"{degrees.median():.0f} ({degrees.max():.0f})" in text
    assert f"{words.mean():.1f} ({words.std():.1f})" in text
    assert f"{homophily(data.edge_index, data.y):.2f}" in text
    assert LargestConnectedComponents()(data).num_nodes == 2708
    assert "synthetic" in text


def test_seed_determines_the_graph(graphs: dict[int, Data]) -> None:
    again = CitationSBM(seed=1)[0]
    for key in ("x", "edge_index", "y"):
        assert torch.equal(again[key], graphs[1][key])
        assert not torch.equal(again[key], graphs[0][key])


def test_global_random_states_are_left_alone() -> None:
    torch_state, numpy_state = torch.get_rng_state(), copy.deepcopy(np.random.get_state())
    CitationSBM()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])


def test_transform_is_applied_at_every_access() -> None:
    calls = []

    def transform(data: Data) -> Data:
        calls.append(data)
        data.x = data.x[:, :3]
        return data

    dataset = CitationSBM(transform=transform)
    for access in (1, 2):
        assert dataset[0].x.shape == (2708, 3)
        assert len(calls) == access
    assert dataset.x.shape == (2708, 1433)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_bad_seed(seed: object) -> None:
    with pytest.raises(ValueError, match="'seed' must be a non-negative integer"):
        CitationSBM(seed=seed)  # type: ignore[arg-type]


def accuracy(model: torch.nn.Module, data: Data, edge_index: torch.Tensor) -> float:
    split = split_nodes(data.y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(100):
        optimizer.zero_grad()
        logits = model(data.x, edge_index)[split.train_index]
        F.cross_entropy(logits, data.y[split.train_index]).backward()
        optimizer.step()
    model.eval()
    other = torch.ones(len(data.y), dtype=torch.bool)
    other[split.train_index] = other[split.val_index] = False
    with torch.no_grad():
        return (model(data.x, edge_index).argmax(dim=1) == data.y)[other].float().mean().item()


@pytest.mark.slow
def test_both_words_and_citations_matter(graphs: dict[int, Data]) -> None:
    torch.manual_seed(0)
    data = graphs[0]
    no_edges = data.edge_index[:, :0]
    gcn = accuracy(build_model("gcn", 1433, 7), data, data.edge_index)
    mlp = accuracy(build_model("gcn", 1433, 7), data, no_edges)
    assert 0.75 < gcn < 0.90
    assert 0.50 < mlp < 0.65
