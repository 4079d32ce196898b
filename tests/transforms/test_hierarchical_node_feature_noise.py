from __future__ import annotations

import copy

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.data.datapipes import DatasetAdapter
from torch_geometric.loader import DataLoader

from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, LaplaceNoise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def binary_graph(num_nodes: int = 6, num_features: int = 5) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(num_nodes, num_features, generator=generator) < 0.4).float()
    return Data(x=x, edge_index=EDGES, y=torch.arange(num_nodes))


class Graphs(InMemoryDataset):
    def __init__(self, transform: object = None, size: int = 8) -> None:
        super().__init__(None, transform)
        self.data, self.slices = self.collate([binary_graph() for _ in range(size)])


def test_appends_the_indicator_of_the_rows_that_changed() -> None:
    data = binary_graph()
    torch.manual_seed(1)
    noisy = HierarchicalNodeFeatureNoise(0.5, SparseFlipNoise(1.0, 1.0))(data)
    indicator = noisy.x[:, -1].bool()
    assert 0 < indicator.sum() < data.num_nodes
    assert torch.equal(noisy.x[indicator, :-1], 1 - data.x[indicator])
    assert torch.equal(noisy.x[~indicator, :-1], data.x[~indicator])
    assert torch.equal(noisy.y, data.y)
    assert noisy.edge_index is data.edge_index


def test_without_the_indicator_keeps_the_width() -> None:
    data = binary_graph()
    transform = HierarchicalNodeFeatureNoise(1.0, AblationNoise(), append_indicator=False)
    assert torch.equal(transform(data).x, torch.zeros_like(data.x))


def test_leaves_its_input_untouched() -> None:
    data = binary_graph()
    before = copy.deepcopy(data)
    for noise in (SparseFlipNoise(0.5, 0.5), GaussianNoise(1.0), AblationNoise()):
        HierarchicalNodeFeatureNoise(0.9, noise)(data)
    assert torch.equal(data.x, before.x)
    assert data.keys() == before.keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("noise", [SparseFlipNoise(0.3, 0.3), GaussianNoise(0.5), AblationNoise()])
def test_keeps_the_dtype(dtype: torch.dtype, noise: object) -> None:
    data = binary_graph()
    data.x = data.x.to(dtype)
    assert HierarchicalNodeFeatureNoise(0.5, noise)(data).x.dtype == dtype


def test_ablated_messages_leave_features_and_drop_edges_of_selected_sources() -> None:
    data = binary_graph()
    data.edge_weight = torch.arange(4.0)
    transform = HierarchicalNodeFeatureNoise(0.5, AblationNoise(of="messages"))
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        noisy = transform(data)
        silent = noisy.x[:, -1].bool()
        assert torch.equal(noisy.x[:, :-1], data.x)
        kept = [i for i, source in enumerate(EDGES[0].tolist()) if not silent[source]]
        assert torch.equal(noisy.edge_index, EDGES[:, kept])
        assert noisy.edge_weight.tolist() == kept
        seen.add(tuple(kept))
    assert len(seen) > 3 and data.edge_index is EDGES and data.x.size(1) == 5


def test_ablated_nodes_leave_the_graph_with_their_rows() -> None:
    batch = Batch.from_data_list([binary_graph(3), binary_graph(7)])
    transform = HierarchicalNodeFeatureNoise(FixedSizeSelection(2), AblationNoise(of="nodes"))
    noisy = transform(batch)
    assert noisy.num_graphs == 2 and noisy.ptr.tolist() == [0, 1, 6]
    assert not noisy.x[:, -1].any()  # of those that stay, none is selected
    rows = {tuple(row) for row in batch.x.tolist()}
    assert {tuple(row) for row in noisy.x[:, :-1].tolist()} <= rows
    assert batch.x.shape == (10, 5)


@pytest.mark.parametrize("of", ["features", "messages", "nodes"])
def test_the_same_seed_selects_the_same_nodes_whatever_is_ablated(of: str) -> None:
    data, selection = binary_graph(), BernoulliSelection(0.5)
    torch.manual_seed(7)
    expected = HierarchicalNodeFeatureNoise(selection, AblationNoise())(data).x[:, -1]
    torch.manual_seed(7)
    noisy = HierarchicalNodeFeatureNoise(selection, AblationNoise(of=of))(data)
    assert noisy.num_nodes == (int((expected == 0).sum()) if of == "nodes" else 6)
    assert torch.equal(noisy.x[:, -1], expected if of != "nodes" else expected[expected == 0])


def test_draws_given_the_indicator_are_those_of_smooth() -> None:
    x = binary_graph().x
    for noise in (GaussianNoise(1.0), SparseFlipNoise(0.4, 0.4), AblationNoise()):
        transform = HierarchicalNodeFeatureNoise(0.5, noise)
        stream = RandomStream(5)
        selected = transform.selection.sample_batch([6], stream)
        drawn = transform.prepare_given(x)(selected, stream)
        assert torch.equal(drawn, transform.smooth(x, RandomStream(5)))


@pytest.mark.parametrize("of", ["messages", "nodes"])
def test_features_alone_are_no_sample_where_structure_is_ablated(of: str) -> None:
    transform = HierarchicalNodeFeatureNoise(0.5, AblationNoise(of=of))
    with pytest.raises(ValueError, match="features alone are no sample of it"):
        transform.smooth(binary_graph().x, RandomStream(0))
    given = transform.prepare_given(binary_graph().x)
    selected = torch.tensor([1, 0, 1, 0, 0, 0]).bool()
    assert given(selected, RandomStream(0))[:, -1].tolist() == [1, 0, 1, 0, 0, 0]


def test_follows_the_seed_of_torch() -> None:
    data, transform = binary_graph(), HierarchicalNodeFeatureNoise(0.5, GaussianNoise(1.0))
    torch.manual_seed(3)
    first, second = transform(data).x, transform(data).x
    torch.manual_seed(3)
    assert torch.equal(transform(data).x, first)
    assert not torch.equal(first, second)


def test_works_as_the_transform_of_a_dataset_and_in_compose() -> None:
    transform = T.Compose(
        [T.ToUndirected(), HierarchicalNodeFeatureNoise(0.5, SparseFlipNoise(0.1, 0.5))]
    )
    dataset = Graphs(transform)
    assert dataset[0].x.shape == (6, 6)
    assert not torch.equal(dataset[0].x, dataset[0].x)


def test_draws_differ_between_workers_and_epochs() -> None:
    dataset = Graphs(HierarchicalNodeFeatureNoise(1.0, GaussianNoise(1.0)))
    loader = DataLoader(dataset, batch_size=1, num_workers=2)
    torch.manual_seed(0)
    draws = [batch.x.flatten() for _ in range(2) for batch in loader]
    assert torch.unique(torch.stack(draws), dim=0).size(0) == len(draws) == 16
    torch.manual_seed(0)
    again = [batch.x.flatten() for _ in range(2) for batch in loader]
    assert torch.equal(torch.stack(draws), torch.stack(again))


def test_selects_a_fixed_number_of_nodes_in_every_graph_of_a_batch() -> None:
    batch = Batch.from_data_list([binary_graph(3), binary_graph(7), binary_graph(4)])
    noisy = HierarchicalNodeFeatureNoise(FixedSizeSelection(2), AblationNoise())(batch)
    indicator = noisy.x[:, -1]
    assert [int(indicator[noisy.batch == i].sum()) for i in range(3)] == [2, 2, 2]


def test_has_a_functional_name() -> None:
    pipe = DatasetAdapter(Graphs()).hierarchical_node_feature_noise(
        p=0.5, noise=GaussianNoise(1.0), append_indicator=True
    )
    assert next(iter(pipe)).x.shape == (6, 6)


def test_repr_names_the_smoothing() -> None:
    transform = HierarchicalNodeFeatureNoise(0.81, SparseFlipNoise(0.05, 0.8))
    assert repr(transform) == (
        "HierarchicalNodeFeatureNoise(BernoulliSelection(p=0.81), "
        "SparseFlipNoise(p_plus=0.05, p_minus=0.8), append_indicator=True)"
    )
    assert isinstance(transform.selection, BernoulliSelection)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, float("nan")])
def test_refuses_probabilities_out_of_range(p: float) -> None:
    with pytest.raises(ValueError, match=r"'p' must be a probability in \(0, 1\]"):
        HierarchicalNodeFeatureNoise(p, GaussianNoise(1.0))


def test_refuses_what_is_not_a_noise() -> None:
    with pytest.raises(TypeError, match=r"'noise' must be a Noise .* \(got float\)"):
        HierarchicalNodeFeatureNoise(0.5, 0.25)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "noise", "message"),
    [
        (torch.full((2, 2), 0.5), SparseFlipNoise(0.1, 0.1), "binary"),
        (torch.tensor([[0.0, float("nan")]]), GaussianNoise(1.0), "finite"),
        (torch.tensor([[0.0, float("inf")]]), SparseFlipNoise(0.1, 0.1), "finite"),
        (torch.tensor([[1, 0]]), GaussianNoise(1.0), "floating-point"),
        (torch.tensor([[1, 0]]), LaplaceNoise(1.0), "floating-point"),
        (torch.zeros(3), GaussianNoise(1.0), r"matrix \[num_nodes, D\]"),
    ],
)
def test_refuses_features_that_do_not_fit(x: torch.Tensor, noise: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HierarchicalNodeFeatureNoise(0.5, noise)(Data(x=x, edge_index=EDGES))


def test_refuses_data_without_features() -> None:
    with pytest.raises(ValueError, match="no node features 'x'"):
        HierarchicalNodeFeatureNoise(0.5, GaussianNoise(1.0))(Data(edge_index=EDGES))


def test_refuses_a_probability_per_node_of_another_graph() -> None:
    transform = HierarchicalNodeFeatureNoise(torch.full((4,), 0.5), GaussianNoise(1.0))
    with pytest.raises(ValueError, match="one probability for each of 4 entities"):
        transform(binary_graph(6))
