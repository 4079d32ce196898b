from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.transforms as T
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GAT, GCN, GraphNorm, HeteroConv, SAGEConv

from pyg_hiersmooth.models import APPNP, build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.neighborhoods.receptive_field import reached_from, receptive_field
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 14, 5, 3
TRANSFORM = HierarchicalNodeFeatureNoise(0.6, AblationNoise())


def make_graph(directed: bool = True) -> Data:
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(0, N, (2, 16), generator=generator)
    if not directed:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    return Data(x=torch.randn(N, D, generator=generator), edge_index=edges.unique(dim=1))


def by_hand(edges: Tensor, hops: int) -> np.ndarray:
    """Follows edges backwards, one target and one step after another."""
    frontier = np.eye(N, dtype=bool)
    for _ in range(hops):
        wider = frontier.copy()
        for source, destination in edges.t().tolist():
            wider[:, source] |= frontier[:, destination]
        frontier = wider
    return frontier


def smoothed(model: nn.Module, **options: Any) -> SmoothedNodeClassifier:
    return SmoothedNodeClassifier(model, TRANSFORM, C, **options)


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_fields_are_those_found_by_hand(directed: bool, hops: int) -> None:
    data = make_graph(directed)
    torch.manual_seed(0)
    model: nn.Module = nn.Linear(D + 1, C)
    forward: Any = lambda model, x, data: model(x)  # noqa: E731
    if hops > 0:
        model, forward = GCN(D + 1, 8, hops, C), None
    field = smoothed(model, num_hops=hops, forward=forward).receptive_field(data)
    assert field.dtype == bool and field.shape == (N, N)
    assert np.array_equal(field.toarray(), by_hand(data.edge_index, hops))
    some = smoothed(model, num_hops=hops, forward=forward).receptive_field(data, [7, 2])
    assert np.array_equal(some.toarray(), by_hand(data.edge_index, hops)[[7, 2]])


@pytest.mark.parametrize("layout", [None, torch.sparse_csr])
def test_adjacencies_hold_the_same_edges(layout: Any) -> None:
    if layout is None:
        pytest.importorskip("torch_sparse")
    data = make_graph()
    sparse = T.ToSparseTensor(layout=layout)(make_graph())
    torch.manual_seed(0)
    model = GCN(D + 1, 8, 2, C)
    field = smoothed(model, num_hops=2).receptive_field(sparse)
    assert np.array_equal(field.toarray(), by_hand(data.edge_index, 2))


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_what_entities_reach_is_who_has_them_in_the_field(hops: int) -> None:
    data, heterogeneous = make_graph(), HeteroData()
    heterogeneous["paper"].num_nodes, heterogeneous["author"].num_nodes = N, 5
    for source, target in (("author", "paper"), ("paper", "author"), ("paper", "paper")):
        ends = [heterogeneous[name].num_nodes for name in (source, target)]
        edges = torch.stack([torch.randint(0, end, (9,)) for end in ends])
        heterogeneous[source, "to", target].edge_index = edges
    for graph, types in ((data, (None, None)), (heterogeneous, ("author", "paper"))):
        field = receptive_field(graph, torch.arange(N), hops, *types).toarray()
        for seed in range(5):
            some = np.random.default_rng(seed).random(field.shape[1]) < 0.3
            reached = reached_from(graph, some, hops, *types)
            assert np.array_equal(reached, field[:, some].any(1))


def test_too_few_hops_are_refused_with_the_number_that_would_do() -> None:
    torch.manual_seed(0)
    model = GAT(D + 1, 8, 3, C)
    with pytest.raises(ValueError, match=r"'num_hops' must be .* \(3 would do; got 1\)"):
        smoothed(model, num_hops=1).receptive_field(make_graph())
    assert smoothed(model, num_hops=4).receptive_field(make_graph()).nnz > 0  # claims less


def test_models_that_look_everywhere_have_no_number_of_hops() -> None:
    class Everywhere(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.gnn = GraphNorm(D + 1), GCN(D + 1, 8, 1, C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.gnn(self.norm(x), edge_index)

    torch.manual_seed(0)
    sparse = make_graph()
    sparse.edge_index = sparse.edge_index[:, :3]
    with pytest.raises(ValueError, match=r"no number of hops would do; got 2"):
        smoothed(Everywhere(), num_hops=2).receptive_field(sparse)


def test_unknown_hops_reach_everything() -> None:
    assert smoothed(GCN(D + 1, 8, 2, C)).receptive_field(make_graph(), [0]).toarray().all()


def test_our_models_know_their_hops() -> None:
    for name, hops in (("gcn", 2), ("gat", 2), ("gatv2", 2), ("sage", 2), ("appnp", 10)):
        model = build_model(name, D + 1, C)
        classifier = smoothed(model)
        assert classifier.num_hops == hops
        classifier.receptive_field(make_graph())
    assert smoothed(APPNP(D + 1, C, K=3)).num_hops == 3
    assert smoothed(build_model("gcn", D + 1, C), num_hops=5).num_hops == 5


@pytest.mark.parametrize("hops", [-1, 1.5])
def test_hops_are_counted(hops: Any) -> None:
    with pytest.raises(ValueError, match="'num_hops' must be an integer of at least 0"):
        smoothed(GCN(D + 1, 8, 2, C), num_hops=hops)


def test_of_heterogeneous_graphs_the_noisy_types_nodes() -> None:
    data = HeteroData()
    generator = torch.Generator().manual_seed(0)
    data["author"].x = torch.randn(4, 3, generator=generator)
    data["paper"].x = torch.randn(5, 6, generator=generator)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]])
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1, 4], [3, 3, 1]])

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.ModuleList(
                HeteroConv(
                    {
                        ("author", "writes", "paper"): SAGEConv(sizes, width),
                        ("paper", "cites", "paper"): SAGEConv(sizes[1], width),
                    }
                )
                for sizes, width in (((4, 6), 8), ((4, 8), C))
            )

        def forward(self, x: Any, edges: Any) -> Any:
            for layer in self.layers:
                x = {"author": x["author"], **layer(x, edges)}
            return x["paper"]

    transform = HierarchicalNodeFeatureNoise({"author": 0.6}, AblationNoise())
    classifier = SmoothedNodeClassifier(Two(), transform, C, node_type="paper", num_hops=2)
    expected = np.zeros((5, 4), dtype=bool)
    expected[0, [0, 1]] = expected[1, 2] = expected[2, 3] = True  # its own authors
    expected[3, [0, 1, 2]] = True  # those of what it cites, none of its own
    assert np.array_equal(classifier.receptive_field(data).toarray(), expected)


def test_a_model_that_looks_further_shows_wherever_something_lies_there() -> None:
    """Of two hundred nodes, but twelve have neighbors."""
    path = torch.arange(1, 12)
    edge_index = torch.cat([torch.stack([path, path + 1]), torch.stack([path + 1, path])], 1)
    data = Data(x=torch.rand(200, D), edge_index=edge_index)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"3 would do; got 1"):
        smoothed(GCN(D + 1, 8, 3, C), num_hops=1).receptive_field(data)


@pytest.mark.parametrize("alpha", [0.5, 0.9])
def test_what_comes_from_far_away_counts_however_small_its_share(alpha: float) -> None:
    """An adversary who changes features at will can make it as large as needed."""
    model = APPNP(D + 1, C, K=6, alpha=alpha)
    graph = make_path()
    with pytest.raises(ValueError, match=r"6 would do; got 5"):
        smoothed(model, num_hops=5).receptive_field(graph)
    smoothed(model, num_hops=6).receptive_field(graph)


class CutOff(nn.Module):
    """Knows its own features, and those of all nodes cut off, behind a weight of 0."""

    def __init__(self, cut_off: Any) -> None:
        super().__init__()
        self.cut_off, self.own, self.all = cut_off, nn.Linear(D + 1, C), nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.own(x) + 0 * self.cut_off(self.all(x)).sum(0)


@pytest.mark.parametrize("cut_off", [torch.tanh, torch.sigmoid, nn.Hardtanh()])
def test_what_is_no_number_shows_behind_a_weight_of_0(cut_off: Any) -> None:
    with pytest.raises(ValueError, match="no number of hops would do"):
        smoothed(CutOff(cut_off), num_hops=0).receptive_field(make_graph())


def make_path() -> Data:
    nodes = torch.arange(29)
    both = torch.stack([torch.cat([nodes, nodes + 1]), torch.cat([nodes + 1, nodes])])
    return Data(x=torch.rand(30, D), edge_index=both)
