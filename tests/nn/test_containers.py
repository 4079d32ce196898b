"""The same votes from the same seed, whichever way graphs and features are held."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.loader import NeighborLoader

from pyg_hiersmooth import models
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

FLIPS = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.05, 0.6))
SIZES = (5, 9, 7)
GAUSSIAN = HierarchicalNodeFeatureNoise(0.7, GaussianNoise(0.5))


def as_sparse_tensor(data: Data) -> Data:
    pytest.importorskip("torch_sparse")
    return T.ToSparseTensor()(data)


def as_edge_index(data: Data) -> Data:
    size = (data.num_nodes, data.num_nodes)
    data.edge_index = EdgeIndex(data.edge_index, sparse_size=size)
    return data


FORMATS: dict[str, Callable[[Data], Data]] = {
    "torch_sparse": as_sparse_tensor,
    "csr": T.ToSparseTensor(layout=torch.sparse_csr),
    "coo": T.ToSparseTensor(layout=torch.sparse_coo),
    "EdgeIndex": as_edge_index,
}


def make_graph(num_nodes: int = 60, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(num_nodes, 9, generator=generator) < 0.3).float()
    edges = torch.randint(0, num_nodes, (2, 2 * num_nodes), generator=generator)
    return T.ToUndirected()(T.RemoveSelfLoops()(Data(x=x, edge_index=edges)))


class Centered(nn.Module):
    """A model whose classes are about equally likely, so that its votes tell features apart."""

    def __init__(self, model: nn.Module, data: Data, *arguments: Tensor) -> None:
        super().__init__()
        self.model = model.eval()
        x = torch.cat([data.x, torch.full((data.x.size(0), 1), 0.7)], dim=1)
        with torch.no_grad():
            self.register_buffer("center", model(x, data.edge_index, *arguments).mean(0))

    def forward(self, *arguments: Any) -> Tensor:
        return self.model(*arguments) - self.center


def without_edges(data: Data) -> Data:
    data.edge_index = data.edge_index[:, :0]
    return data


def distance(votes: Tensor, others: Tensor) -> float:
    """The total variation between two shares of votes, on average over targets."""
    return float((votes - others).abs().sum() / votes.sum() / 2)


def node_votes(
    data: Data,
    name: str = "gcn",
    transform: Any = FLIPS,
    dtype: torch.dtype = torch.float32,
    num_samples: int = 50,
    **options: Any,
) -> Tensor:
    torch.manual_seed(0)
    model = Centered(models.build_model(name, data.x.size(1) + 1, 3), make_graph()).to(dtype)
    classifier = SmoothedNodeClassifier(model, transform, 3)
    return classifier.sample_votes(data, num_samples, progress=False, num_workers=0, **options)


def graph_votes(data: list[Data], name: str) -> Tensor:
    torch.manual_seed(0)
    batch = Batch.from_data_list([make_graph(n, n) for n in SIZES])
    model = Centered(models.build_model(name, 10, 3, "graph"), batch, batch.batch)
    classifier = SmoothedGraphClassifier(model, FLIPS, 3)
    return classifier.sample_votes(data, 50, progress=False, num_workers=0)


@functools.cache
def plain_node_votes(name: str = "gcn") -> Tensor:
    """Of dense features and an ``edge_index``."""
    return node_votes(make_graph(), name)


@functools.cache
def plain_graph_votes(name: str) -> Tensor:
    return graph_votes([make_graph(n, n) for n in SIZES], name)


@pytest.mark.parametrize("name", ["gcn", "sage", "gat"])
def test_votes_of_nodes_tell_features_and_adjacencies_apart(name: str) -> None:
    """What the tests below compare could be different."""
    votes = plain_node_votes(name)
    assert float(((votes > 0).sum(1) > 1).float().mean()) > 0.9
    assert distance(votes, node_votes(without_edges(make_graph()), name)) > 0.2
    other = make_graph()
    other.x = 1 - other.x
    assert distance(votes, node_votes(other, name)) > 0.2


@pytest.mark.parametrize("name", ["gin", "gcn"])
def test_votes_of_graphs_tell_adjacencies_apart(name: str) -> None:
    votes = plain_graph_votes(name)
    assert bool(((votes > 0).sum(1) > 1).any())
    others = [without_edges(make_graph(n, n)) for n in SIZES]
    assert distance(votes, graph_votes(others, name)) > 0.2


@pytest.mark.parametrize("held", FORMATS)
@pytest.mark.parametrize("name", ["gcn", "sage", "gat"])
def test_adjacencies_of_a_node_classifier(held: str, name: str) -> None:
    if name == "gat" and held in ("csr", "coo"):
        pytest.skip("GATConv itself takes no torch sparse tensor")
    held_so = FORMATS[held](make_graph())
    assert torch.equal(node_votes(held_so, name), plain_node_votes(name))
    if name == "gcn":
        assert torch.equal(node_votes(held_so, name, block_size=1), plain_node_votes(name))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("held", FORMATS)
@pytest.mark.parametrize("name", ["gin", "gcn"])
def test_adjacencies_of_a_graph_classifier(held: str, name: str) -> None:
    held_so = [FORMATS[held](make_graph(n, n)) for n in SIZES]
    assert torch.equal(graph_votes(held_so, name), plain_graph_votes(name))


def test_a_batch_of_graphs_and_its_nodes() -> None:
    batch = Batch.from_data_list([make_graph(20, 0), make_graph(30, 1)])
    votes = node_votes(batch)
    assert torch.equal(votes, node_votes(Data(x=batch.x, edge_index=batch.edge_index)))
    assert torch.equal(votes, node_votes(batch, block_size=7))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8, torch.float32])
@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_coo, torch.sparse_csr])
def test_binary_features_of_any_dtype_and_layout(dtype: torch.dtype, layout: Any) -> None:
    data = make_graph()
    data.x = data.x.to(dtype)
    if layout != torch.strided:
        data.x = data.x.to_sparse(layout=layout)
    assert torch.equal(node_votes(data), plain_node_votes())


@pytest.mark.parametrize("transform", [GAUSSIAN, FLIPS])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_precision(dtype: torch.dtype, transform: Any) -> None:
    """The votes of single precision, but for close calls and the draws of normal numbers."""
    expected = node_votes(make_graph(), transform=transform, num_samples=200)
    data = make_graph()
    data.x = data.x.to(dtype)
    votes = node_votes(data, transform=transform, dtype=dtype, num_samples=200)
    assert distance(votes, expected) < 0.1


def test_sparse_features_under_continuous_noise_and_ablation() -> None:
    for transform in (GAUSSIAN, HierarchicalNodeFeatureNoise(0.7, AblationNoise())):
        data, expected = make_graph(), node_votes(make_graph(), transform=transform)
        data.x = data.x.to_sparse_csr()
        assert torch.equal(node_votes(data, transform=transform), expected)


def test_a_subgraph_of_a_neighbor_loader() -> None:
    pytest.importorskip("torch_sparse")
    loader = NeighborLoader(make_graph(300), num_neighbors=[5, 5], batch_size=10)
    subgraph = next(iter(loader))
    votes = node_votes(subgraph, node_index=torch.arange(10))
    plain = Data(x=subgraph.x, edge_index=subgraph.edge_index)
    assert 10 < subgraph.num_nodes < 300
    assert torch.equal(votes, node_votes(plain)[:10])


@pytest.mark.parametrize("adjacency", [{"adj": torch.eye(4)}, {"adj_t": torch.eye(4)}, {}])
def test_a_dense_or_missing_adjacency(adjacency: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"must have 'edge_index' \[2, num_edges\] or a sparse"):
        node_votes(Data(x=torch.ones(4, 9), **adjacency))
