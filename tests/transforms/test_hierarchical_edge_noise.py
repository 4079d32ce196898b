from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.transforms as T
from scipy.stats import chisquare, poisson
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.data.datapipes import DatasetAdapter

from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed
TRIANGLE = torch.tensor([[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]])  # a path and a self-loop


def graph(edge_index: Tensor = TRIANGLE, num_nodes: int = 3, **attributes: Any) -> Data:
    return Data(x=torch.rand(num_nodes, 2), edge_index=edge_index, **attributes)


def adjacency(data: Data) -> tuple[int, ...]:
    dense = torch.zeros(data.num_nodes, data.num_nodes, dtype=torch.long)
    dense.index_put_(tuple(data.edge_index), torch.tensor(1), accumulate=True)
    return tuple(dense.flatten().tolist())


def enumerated(transform: HierarchicalEdgeNoise, data: Data) -> dict[tuple[int, ...], float]:
    """The probability of each adjacency, selection by selection and pair by pair."""
    size = data.num_nodes
    edges = set(zip(*data.edge_index.tolist(), strict=True))
    pairs = [(i, j) for i in range(size) for j in range(size)]
    if transform.undirected:
        pairs = [(i, j) for i, j in pairs if i <= j]
    noise = transform.noise
    p_plus, p_minus = 0.0, 1.0
    if isinstance(noise, SparseFlipNoise):
        p_plus, p_minus = noise.p_plus, noise.p_minus
    selections: list[tuple[float, tuple[bool, ...]]] = []
    if isinstance(transform.selection, PartitionSelection):
        from pyg_hiersmooth.transforms.node_pairs import NodePairs

        numbered = NodePairs(torch.tensor([size]), transform.undirected)
        numbers = numbered.number(*torch.tensor(pairs).t())
        for groups in numbered.groups(numbers, transform.selection).tolist():
            for group in range(transform.selection.num_groups):
                taus = tuple(own != group for own in groups)
                selections.append((1 / transform.selection.num_masks, taus))
    else:
        assert isinstance(transform.selection, BernoulliSelection)
        p = float(transform.selection.p)
        for taus in product((False, True), repeat=len(pairs)):
            share = np.prod([p if tau else 1 - p for tau in taus])
            selections.append((float(share), taus))
    found: dict[tuple[int, ...], float] = {}
    for share, taus in selections:
        for states in product((0, 1), repeat=len(pairs)):
            probability = share
            for pair, tau, state in zip(pairs, taus, states, strict=True):
                flip = (p_minus if pair in edges else p_plus) if tau else 0.0
                probability *= flip if state != (pair in edges) else 1.0 - flip
            if probability > 0.0:
                dense = np.zeros((size, size), dtype=int)
                for (i, j), state in zip(pairs, states, strict=True):
                    dense[i, j] = state
                    if transform.undirected:
                        dense[j, i] = state
                key = tuple(dense.flatten().tolist())
                found[key] = found.get(key, 0.0) + probability
    return found


ONE_WAY = torch.tensor([[0, 1], [1, 1]])
SMOOTHINGS = [
    (HierarchicalEdgeNoise(0.6, AblationNoise()), graph()),
    (HierarchicalEdgeNoise(0.6, AblationNoise(), undirected=False), graph(ONE_WAY, 2)),
    (HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.2, 0.6)), graph()),
    (HierarchicalEdgeNoise(0.7, SparseFlipNoise(0.3, 0.6)), graph()),
    (HierarchicalEdgeNoise(0.7, SparseFlipNoise(0.3, 0.6), undirected=False), graph(ONE_WAY, 2)),
    (HierarchicalEdgeNoise(0.7, SparseFlipNoise(0.0, 0.6)), graph()),
    (HierarchicalEdgeNoise(PartitionSelection(3, 2), AblationNoise()), graph()),
    (HierarchicalEdgeNoise(PartitionSelection(3, 2), SparseFlipNoise(0.2, 0.6)), graph()),
    (HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.3, 0.1)), graph(torch.empty(2, 0).long())),
]


@pytest.mark.parametrize(("transform", "data"), SMOOTHINGS, ids=[str(t) for t, _ in SMOOTHINGS])
def test_every_adjacency_is_drawn_with_its_probability(
    transform: HierarchicalEdgeNoise, data: Data
) -> None:
    expected = enumerated(transform, data)
    assert sum(expected.values()) == pytest.approx(1.0)
    prepared, stream, num_draws = transform.prepare(data), RandomStream(11), 2_500
    counts = dict.fromkeys(expected, 0)
    for _ in range(num_draws):
        counts[adjacency(prepared.draw(stream))] += 1  # a KeyError is an impossible one
    likely = [key for key, share in expected.items() if share * num_draws > 5]
    observed = [counts[key] for key in likely]
    shares = [expected[key] for key in likely]
    if len(likely) < len(expected):
        observed.append(num_draws - sum(observed))
        shares.append(1.0 - sum(shares))
    pvalue = chisquare(observed, np.asarray(shares) * num_draws / sum(shares)).pvalue
    assert len(observed) == 1 or pvalue > FALSE_ALARM


def test_a_draw_costs_edges_and_flips_and_not_pairs() -> None:
    num_nodes, p_plus = 2_000_000, 1e-9  # 2e12 pairs, of which 2,000 get an edge
    edges = torch.randint(num_nodes, (2, 1_000), generator=torch.Generator().manual_seed(0))
    data = T.ToUndirected()(Data(edge_index=edges, num_nodes=num_nodes))
    transform = HierarchicalEdgeNoise(1.0, SparseFlipNoise(p_plus, 0.5))
    prepared, stream = transform.prepare(data), RandomStream(0)
    start = time.perf_counter()
    drawn = [prepared.draw(stream).edge_index for _ in range(10)]
    assert time.perf_counter() - start < 60.0
    added = [index.size(1) / 2 - 500 for index in drawn]
    mean = p_plus * num_nodes * (num_nodes + 1) / 2
    assert abs(np.mean(added) - mean) < 6 * np.sqrt((mean + 250) / 10)
    assert poisson.sf(num_nodes, mean) == 0.0
    for index in drawn:
        assert torch.equal(index, index.unique(dim=1))  # sorted, and each once


def test_one_coin_for_repeated_edges_and_both_directions() -> None:
    index = torch.tensor([[0, 1, 0, 0, 2], [1, 0, 1, 1, 2]])
    data = graph(index, edge_weight=torch.arange(5.0), edge_attr=torch.rand(5, 2))
    prepared = HierarchicalEdgeNoise(0.5, AblationNoise()).prepare(data)
    stream, seen = RandomStream(0), set()
    for _ in range(40):
        out = prepared.draw(stream)
        kept = out.edge_weight.long()
        assert torch.equal(out.edge_index, index[:, kept])
        assert torch.equal(out.edge_attr, data.edge_attr[kept])
        seen.add(tuple(kept.tolist()))
    assert seen == {(), (0, 1, 2, 3), (4,), (0, 1, 2, 3, 4)}
    one_way = HierarchicalEdgeNoise(0.5, AblationNoise(), undirected=False).prepare(data)
    drawn = {tuple(one_way.draw(stream).edge_weight.long().tolist()) for _ in range(200)}
    assert len(drawn) == 8 and (1,) in drawn and (0, 2, 3) in drawn
    assert data.edge_index is index


def test_listed_outcomes_expose_each_pair_once_in_a_partition() -> None:
    selection = PartitionSelection(4, 3, seed=1)
    prepared = HierarchicalEdgeNoise(selection, AblationNoise()).prepare(graph())
    masks = [prepared.outcome(i).edge_index for i in range(selection.num_masks)]
    for k in range(3):
        shown = [edge for index in masks[4 * k : 4 * k + 4] for edge in index.t().tolist()]
        assert sorted(shown) == sorted(TRIANGLE.t().tolist())
    grown = graph(torch.cat([TRIANGLE, torch.tensor([[0, 3], [3, 0]])], 1), 4)
    more = HierarchicalEdgeNoise(selection, AblationNoise()).prepare(grown)
    exposing = 0
    for i, before in enumerate(masks):  # an added edge moves no other
        after = more.outcome(i).edge_index
        exposing += after.size(1) > before.size(1)
        assert torch.equal(after[:, (after < 3).all(0)], before)
    assert exposing == 3  # of the masks of each partition one
    for index in (-1, 12, 0.5):
        with pytest.raises(ValueError, match=r"'index' must be an integer in \[0, 12\)"):
            prepared.outcome(index)  # type: ignore[arg-type]
    for p, noise in ((0.5, AblationNoise()), (selection, SparseFlipNoise(0.1, 1.0))):
        with pytest.raises(ValueError, match="lists its outcomes for ablation under a partition"):
            HierarchicalEdgeNoise(p, noise).prepare(graph()).outcome(0)


@pytest.mark.parametrize("noise", [AblationNoise(), SparseFlipNoise(0.3, 0.5)])
def test_graphs_of_a_batch_keep_to_themselves(noise: Any) -> None:
    graphs = [graph(), graph(torch.tensor([[0], [0]]), 1), graph(), graph(num_nodes=5)]
    batch = Batch.from_data_list(graphs)
    prepared, stream = HierarchicalEdgeNoise(0.5, noise).prepare(batch), RandomStream(3)
    for _ in range(20):
        out = prepared.draw(stream)
        assert torch.equal(out.batch[out.edge_index[0]], out.batch[out.edge_index[1]])
        parts = out.to_data_list()
        assert [part.num_nodes for part in parts] == [3, 1, 3, 5]
        assert sum(part.num_edges for part in parts) == out.num_edges
        for part in parts:
            assert part.num_edges == 0 or int(part.edge_index.max()) < part.num_nodes
            assert int(part.edge_index.numel() and part.edge_index.min()) >= 0
    assert torch.equal(batch[0].edge_index, TRIANGLE)


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "SparseTensor", "row", "col"])
@pytest.mark.parametrize("noise", [AblationNoise(), SparseFlipNoise(0.3, 0.5)])
def test_other_forms_of_the_graph_get_the_same_draws(layout: str, noise: Any) -> None:
    data = graph()
    other = Data(x=data.x)
    weight = torch.ones(TRIANGLE.size(1))
    matrix = torch.sparse_coo_tensor(TRIANGLE.flip(0), weight, (3, 3)).coalesce()
    if layout in ("row", "col"):
        order = TRIANGLE[0 if layout == "row" else 1].argsort(stable=True)
        other.edge_index = EdgeIndex(TRIANGLE[:, order], sparse_size=(3, 3), sort_order=layout)
    elif layout == "SparseTensor":
        sparse = pytest.importorskip("torch_sparse").SparseTensor
        other.adj_t = sparse(row=TRIANGLE[1], col=TRIANGLE[0], sparse_sizes=(3, 3))
    else:
        kinds = {"coo": torch.sparse_coo, "csr": torch.sparse_csr, "csc": torch.sparse_csc}
        other.adj_t = matrix.to_sparse(layout=kinds[layout]) if layout != "coo" else matrix
    transform = HierarchicalEdgeNoise(0.8, noise)
    for seed in range(20):
        out = transform.prepare(other).draw(RandomStream(seed))
        expected = transform.prepare(data).draw(RandomStream(seed))
        if layout in ("row", "col"):
            out.edge_index.validate()
            assert out.edge_index.sort_order == other.edge_index.sort_order
            assert adjacency(Data(x=data.x, edge_index=out.edge_index.as_tensor())) == adjacency(
                expected
            )
        else:
            dense = out.adj_t.to_dense().t().long()
            assert tuple(dense.flatten().tolist()) == adjacency(expected)
            assert type(out.adj_t) is type(other.adj_t)


def test_both_forms_at_once_lose_the_same_pairs() -> None:
    data = graph(edge_weight=torch.arange(5.0))
    data.adj_t = torch.sparse_coo_tensor(TRIANGLE.flip(0), torch.ones(5), (3, 3)).to_sparse_csr()
    prepared, stream = HierarchicalEdgeNoise(0.5, AblationNoise()).prepare(data), RandomStream(0)
    for _ in range(20):
        out = prepared.draw(stream)
        dense = out.adj_t.to_dense().t().long()
        assert tuple(dense.flatten().tolist()) == adjacency(out)
        assert torch.equal(TRIANGLE[:, out.edge_weight.long()], out.edge_index)


class Graphs(InMemoryDataset):
    def __init__(self, transform: object = None) -> None:
        super().__init__(None, transform)
        self.data, self.slices = self.collate([graph() for _ in range(3)])


def test_in_a_pipeline() -> None:
    both = T.Compose(
        [
            HierarchicalNodeFeatureNoise(0.5, GaussianNoise(1.0)),
            HierarchicalEdgeNoise(0.5, AblationNoise()),
        ]
    )
    dataset = Graphs(both)
    torch.manual_seed(0)
    drawn = [dataset[0] for _ in range(20)]
    assert all(each.x.size(1) == 3 for each in drawn)
    assert len({adjacency(each) for each in drawn}) > 3
    torch.manual_seed(0)
    again = [dataset[0] for _ in range(20)]
    assert [adjacency(each) for each in drawn] == [adjacency(each) for each in again]
    pipe = DatasetAdapter(Graphs()).hierarchical_edge_noise(p=1.0, noise=AblationNoise())
    assert next(iter(pipe)).num_edges == 0


def test_never_changes_its_input() -> None:
    data = graph()
    for noise in (AblationNoise(), SparseFlipNoise(0.5, 0.5)):
        HierarchicalEdgeNoise(0.9, noise)(data)
    assert data.edge_index is TRIANGLE and TRIANGLE.tolist() == [[0, 1, 1, 2, 2], [1, 0, 2, 1, 2]]


def test_what_certificates_are_made_with() -> None:
    selection, noise = HierarchicalEdgeNoise(0.9, AblationNoise()).certified_as
    assert str(noise) == "SparseFlipNoise(p_plus=0.0, p_minus=0.9)"
    assert str(selection) == "BernoulliSelection(p=1.0)"
    _, noise = HierarchicalEdgeNoise(0.5, SparseFlipNoise(0.2, 0.6)).certified_as
    assert str(noise) == "SparseFlipNoise(p_plus=0.1, p_minus=0.3)"
    partition = HierarchicalEdgeNoise(PartitionSelection(5), AblationNoise())
    assert partition.certified_as == (partition.selection, partition.noise)


def test_repr() -> None:
    assert repr(HierarchicalEdgeNoise(0.9, AblationNoise())) == (
        "HierarchicalEdgeNoise(BernoulliSelection(p=0.9), AblationNoise(), undirected=True)"
    )


@pytest.mark.parametrize(
    "noise",
    [GaussianNoise(1.0), AblationNoise(torch.zeros(2)), AblationNoise(of="messages"), 0.5],
    ids=str,
)
def test_refuses_other_noises(noise: Any) -> None:
    with pytest.raises(TypeError, match=r"'noise' of edges must be AblationNoise\(\) or Sparse"):
        HierarchicalEdgeNoise(0.5, noise)


def test_refuses_selections_that_know_no_pairs_without_an_edge() -> None:
    for p in (torch.tensor([0.5]), FixedSizeSelection(2), BernoulliSelection(torch.ones(3))):
        with pytest.raises(TypeError, match="'p' must be one probability for all pairs"):
            HierarchicalEdgeNoise(p, AblationNoise())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'p' must be a probability in \(0, 1\]"):
        HierarchicalEdgeNoise(0.0, AblationNoise())


def test_refuses_graphs_that_do_not_fit() -> None:
    ablation = HierarchicalEdgeNoise(0.5, AblationNoise())
    flips = HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.1, 0.5))
    with pytest.raises(TypeError, match="takes homogeneous graphs"):
        ablation(HeteroData())
    with pytest.raises(ValueError, match="needs them in 'edge_index' or 'adj_t'"):
        ablation(Data(x=torch.rand(3, 2)))
    batch = Batch.from_data_list([graph(), graph()])
    batch.edge_index = torch.tensor([[0], [4]])
    with pytest.raises(ValueError, match="edges must join nodes of one graph"):
        ablation(batch)
    for name in ("edge_weight", "edge_attr"):
        with pytest.raises(ValueError, match=f"edges with '{name}' cannot be added: an edge that"):
            flips(graph(**{name: torch.rand(5)}))
    with pytest.raises(ValueError, match=r"where there are none twice .*: use torch_geometric"):
        flips(graph(torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])))
    for transform in (ablation, flips):
        with pytest.raises(ValueError, match=r"both directions \(got edges with one\): use ToUnd"):
            transform(graph(torch.tensor([[0], [1]])))
    data = graph()
    data.adj_t = torch.sparse_coo_tensor(TRIANGLE.flip(0), 2 * torch.ones(5), (3, 3)).coalesce()
    with pytest.raises(ValueError, match="edges with 'adj_t' cannot be added"):
        flips(data)
    data.adj_t = torch.sparse_coo_tensor(TRIANGLE.flip(0), torch.ones(5), (3, 3)).coalesce()
    with pytest.raises(ValueError, match=r"got a graph with both\): drop one"):
        flips(data)
    weighted = graph(edge_weight=torch.rand(5))
    assert HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.0, 0.5))(weighted).num_edges <= 5


def test_edges_get_noise_after_messages_were_ablated() -> None:
    """As in training: what is left of a pair has one direction only."""
    pairs = torch.combinations(torch.arange(12)).t()
    data = Data(x=torch.rand(12, 2), edge_index=torch.cat([pairs, pairs.flip(0)], dim=1))
    silent = HierarchicalNodeFeatureNoise(0.5, AblationNoise(of="messages"))
    edges = HierarchicalEdgeNoise(0.5, AblationNoise())
    torch.manual_seed(0)
    kept = {tuple(pair) for pair in edges(silent(data)).edge_index.t().tolist()}
    senders = {i for i, _ in kept}
    assert 0 < len(senders) < 12
    for i in senders:
        for j in senders - {i}:
            assert ((i, j) in kept) == ((j, i) in kept)  # one coin a pair
