"""The transform on every container that PyG has for graphs and their features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader, NeighborLoader

from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

FLIPS = HierarchicalNodeFeatureNoise(0.6, SparseFlipNoise(0.3, 0.6))
GAUSSIAN = HierarchicalNodeFeatureNoise(0.6, GaussianNoise(1.0))


def make_graph(num_nodes: int = 30) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(num_nodes, 8, generator=generator) < 0.4).float()
    edges = torch.randint(0, num_nodes, (2, 60), generator=generator)
    return T.ToUndirected()(Data(x=x, edge_index=edges))


def make_hetero() -> HeteroData:
    data = HeteroData()
    for node_type, num_nodes in (("paper", 6), ("author", 4), ("venue", 3)):
        data[node_type].x = torch.rand(num_nodes, num_nodes)
    data["field"].num_nodes = 2
    data["author", "to", "paper"].edge_index = torch.randint(0, 4, (2, 9))
    return data


def noisy_x(data: Any, transform: Any = FLIPS) -> Any:
    torch.manual_seed(3)
    return transform(data).x


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize("append_indicator", [True, False])
def test_flips_keep_sparse_features_sparse(
    layout: Any, dtype: torch.dtype, append_indicator: bool
) -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, FLIPS.noise, append_indicator)
    data, expected = make_graph(), noisy_x(make_graph(), transform)
    data.x = data.x.to(dtype).to_sparse(layout=layout)
    clean = data.x
    sparse = noisy_x(data, transform)
    assert data.x is clean
    assert (sparse.layout, sparse.dtype) == (layout, dtype)
    assert torch.equal(sparse.to_dense(), expected.to(dtype))


@pytest.mark.parametrize("noise", [GaussianNoise(1.0), AblationNoise()])
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_other_noises_make_sparse_features_dense(noise: Any, layout: Any) -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, noise)
    data, expected = make_graph(), noisy_x(make_graph(), transform)
    data.x = data.x.to_sparse(layout=layout)
    assert torch.equal(noisy_x(data, transform), expected)


@pytest.mark.parametrize("noise", [SparseFlipNoise(0.3, 0.6), GaussianNoise(1.0), AblationNoise()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_floating_dtypes_are_kept(noise: Any, dtype: torch.dtype) -> None:
    data = make_graph()
    data.x = data.x.to(dtype)
    assert noisy_x(data, HierarchicalNodeFeatureNoise(0.6, noise)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64])
def test_flips_of_bool_and_int_features(dtype: torch.dtype) -> None:
    data, expected = make_graph(), noisy_x(make_graph())
    data.x = data.x.to(dtype)
    x = noisy_x(data)
    assert x.dtype == dtype
    assert torch.equal(x.float(), expected)


def test_continuous_noise_refuses_integers() -> None:
    data = make_graph()
    data.x = data.x.long()
    with pytest.raises(ValueError, match="GaussianNoise needs floating-point features 'x'"):
        GAUSSIAN(data)


@pytest.mark.parametrize("layout", [None, torch.sparse_csr, torch.sparse_coo])
def test_before_or_after_to_sparse_tensor(layout: Any) -> None:
    if layout is None:
        pytest.importorskip("torch_sparse")
    expected = noisy_x(make_graph())
    to_sparse = T.ToSparseTensor(layout=layout)
    for steps in ([to_sparse, FLIPS], [FLIPS, to_sparse]):
        torch.manual_seed(3)
        data = T.Compose(steps)(make_graph())
        assert torch.equal(data.x, expected)
        assert "adj_t" in data


def test_an_edge_index_of_its_own_class() -> None:
    data = make_graph()
    data.edge_index = EdgeIndex(data.edge_index, sparse_size=(30, 30))
    torch.manual_seed(3)
    noisy = FLIPS(data)
    assert torch.equal(noisy.x, noisy_x(make_graph()))
    assert isinstance(noisy.edge_index, EdgeIndex)


def test_batches_of_a_loader() -> None:
    transform = HierarchicalNodeFeatureNoise(FixedSizeSelection(4), GaussianNoise(1.0))
    for batch in DataLoader([make_graph(n) for n in (5, 9, 30)], batch_size=2):
        noisy = transform(batch)
        assert isinstance(noisy, Batch)
        for graph in noisy.to_data_list():
            assert int(graph.x[:, -1].sum()) == 4


def test_the_transform_of_a_neighbor_loader() -> None:
    pytest.importorskip("torch_sparse")
    loader = NeighborLoader(make_graph(), [4, 4], batch_size=6, transform=FLIPS)
    for batch in loader:
        assert batch.x.shape == (batch.num_nodes, 9)
        assert batch.batch_size == 6


def test_one_probability_for_all_node_types() -> None:
    data = make_hetero()
    noisy = GAUSSIAN(data)
    assert [noisy[t].x.size(1) for t in ("paper", "author", "venue")] == [7, 5, 4]
    assert "x" not in noisy["field"]


def test_a_probability_per_node_type_leaves_others_alone() -> None:
    data = make_hetero()
    p = {"paper": 1.0, "author": FixedSizeSelection(3)}
    transform = HierarchicalNodeFeatureNoise(p, GaussianNoise(1.0))
    assert repr(transform).startswith(
        "HierarchicalNodeFeatureNoise({'paper': BernoulliSelection(p=1.0), "
        "'author': FixedSizeSelection(size=3)}, GaussianNoise"
    )
    noisy = transform(data)
    assert int(noisy["paper"].x[:, -1].sum()) == 6
    assert int(noisy["author"].x[:, -1].sum()) == 3
    assert noisy["venue"].x is data["venue"].x
    assert data["paper"].x.shape == (6, 6)
    batch = transform(Batch.from_data_list([make_hetero(), make_hetero()]))
    assert int(batch["author"].x[:, -1].sum()) == 6


def test_messages_of_the_noisy_types_alone() -> None:
    data = make_hetero()
    data["paper", "by", "author"].edge_index = torch.randint(0, 4, (2, 9))
    noise = AblationNoise(of="messages")
    noisy = HierarchicalNodeFeatureNoise({"author": FixedSizeSelection(3)}, noise)(data)
    silent = noisy["author"].x[:, -1].bool()
    kept = ~silent[data["author", "to", "paper"].edge_index[0]]
    written = noisy["author", "to", "paper"].edge_index
    assert torch.equal(written, data["author", "to", "paper"].edge_index[:, kept])
    assert noisy["paper", "by", "author"].edge_index is data["paper", "by", "author"].edge_index
    assert torch.equal(noisy["author"].x[:, :-1], data["author"].x)
    both = HierarchicalNodeFeatureNoise(1.0, noise)(data)
    assert both["author", "to", "paper"].edge_index.numel() == 0
    assert both["paper", "by", "author"].edge_index.numel() == 0


def test_bad_node_types() -> None:
    def transform(p: Any) -> HierarchicalNodeFeatureNoise:
        return HierarchicalNodeFeatureNoise(p, GaussianNoise(1.0))

    with pytest.raises(ValueError, match="'p' names the node type 'editor', but the graph has"):
        transform({"editor": 0.5})(make_hetero())
    with pytest.raises(ValueError, match="'p' names the node type 'field', which has no features"):
        transform({"field": 0.5})(make_hetero())
    with pytest.raises(ValueError, match="but the graph is homogeneous"):
        transform({"paper": 0.5})(make_graph())
    with pytest.raises(ValueError, match="'p' as a dictionary must name at least one node type"):
        transform({})
    with pytest.raises(ValueError, match="'p' must be a probability in"):
        transform({"paper": 1.5})
    with pytest.raises(ValueError, match="cover the noise of one node type only"):
        transform({"paper": 0.5, "author": 0.5}).smooth(torch.rand(3, 3), None)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "data has no node features 'x'"),
        (torch.rand(3), r"features 'x' must be a matrix \[num_nodes, D\] \(got \[3\]\)"),
        ([1.0], r"features 'x' must be a matrix \[num_nodes, D\] \(got list\)"),
    ],
)
def test_bad_features(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GAUSSIAN(Data(x=x))
