from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch.utils.data import SubsetRandomSampler
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphNorm, global_add_pool

from pyg_hiersmooth import models
from pyg_hiersmooth.datasets import load_dataset
from pyg_hiersmooth.nn import SmoothedGraphClassifier
from pyg_hiersmooth.nn.calls.forward import OneByOne
from pyg_hiersmooth.nn.calls.inputs.graphs import stacked_features
from pyg_hiersmooth.nn.voters import sharded_voter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

SIZES = [3, 7, 4, 12, 5, 5]
D = 4
GAUSSIAN = HierarchicalNodeFeatureNoise(0.7, GaussianNoise(1.0))


def make_graph(num_nodes: int, seed: int = 0, num_features: int = D) -> Data:
    generator = torch.Generator().manual_seed(100 * num_nodes + seed)
    x = (torch.rand(num_nodes, num_features, generator=generator) < 0.4).float()
    edges = torch.randint(0, num_nodes, (2, 2 * num_nodes), generator=generator)
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], dim=1), y=torch.tensor([seed]))


def make_graphs() -> list[Data]:
    return [make_graph(size, i) for i, size in enumerate(SIZES)]


class Undecided(nn.Module):
    """An untrained model whose logits are centered, so that noise decides."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = models.build_model(name, D + 1, 3, "graph").eval()
        batch = Batch.from_data_list(make_graphs())
        x = torch.cat([torch.rand(len(batch.x), 1).round() * batch.x, torch.ones(36, 1)], dim=1)
        with torch.no_grad():
            self.register_buffer("offset", self.model(x, batch.edge_index, batch.batch).mean(0))

    def forward(self, x: Tensor, edge_index: Any, batch: Tensor) -> Tensor:
        return self.model(x, edge_index, batch) - self.offset


def smoothed(
    transform: HierarchicalNodeFeatureNoise = GAUSSIAN, name: str = "gcn"
) -> SmoothedGraphClassifier:
    return SmoothedGraphClassifier(Undecided(name), transform, 3)


def votes(classifier: SmoothedGraphClassifier, data: Any, num: int = 60, **options: Any) -> Tensor:
    return classifier.sample_votes(data, num, progress=False, num_workers=0, **options)


@pytest.mark.parametrize("name", ["gin", "gcn"])
def test_same_votes_from_every_container(name: str) -> None:
    graphs, classifier = make_graphs(), smoothed(name=name)
    expected = votes(classifier, graphs)
    assert expected.shape == (6, 3)
    assert expected.dtype == torch.int64
    assert bool((expected.sum(1) == 60).all())
    containers = [
        tuple(graphs),
        Batch.from_data_list(graphs),
        DataLoader(graphs, batch_size=2),
        DataLoader(graphs, batch_size=4, shuffle=True),
    ]
    for data in containers:
        assert torch.equal(votes(classifier, data), expected)
    assert votes(classifier, graphs[0]).shape == (1, 3)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("noise", [GaussianNoise(1.0), SparseFlipNoise(0.2, 0.5), AblationNoise()])
@pytest.mark.parametrize("selection", [0.7, FixedSizeSelection(2)])
def test_votes_do_not_depend_on_batches_workers_ranges_or_targets(
    noise: Any, selection: Any
) -> None:
    graphs = make_graphs()
    classifier = smoothed(HierarchicalNodeFeatureNoise(selection, noise))
    expected = votes(classifier, graphs, seed=3)
    assert torch.equal(votes(classifier, graphs, seed=3, block_size=1), expected)
    assert torch.equal(votes(classifier, graphs, seed=3, block_size=50), expected)
    if isinstance(selection, float):
        two = classifier.sample_votes(graphs, 60, 3, progress=False, num_workers=2)
        assert torch.equal(two, expected)
    parts = votes(classifier, graphs, 23, seed=3) + votes(classifier, graphs, 37, seed=3, start=23)
    assert torch.equal(parts, expected)
    for index in ([4, 0, 4], torch.arange(6) % 2 == 0):
        assert torch.equal(votes(classifier, graphs, seed=3, index=index), expected[index])
    assert not torch.equal(votes(classifier, graphs, seed=4), expected)


def test_shards_have_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded_voter, "ENTITIES_PER_SHARD", 8)
    assert list(sharded_voter.shards(SIZES)) == [
        range(0, 1),
        range(1, 2),
        range(2, 3),
        range(3, 4),
        range(4, 5),
        range(5, 6),
    ]
    assert list(sharded_voter.shards([4, 4, 1, 20, 3])) == [
        range(0, 2),
        range(2, 3),
        range(3, 4),
        range(4, 5),
    ]
    classifier, twins = smoothed(), [make_graph(7, 0), make_graph(7, 0), make_graph(3)]
    expected = votes(classifier, twins, 500)
    assert not torch.equal(expected[0], expected[1])
    for index in ([2], [1, 0], [2, 1]):
        assert torch.equal(votes(classifier, twins, 500, index=index), expected[index])
    certificate = classifier.certify(twins, 20, 50, progress=False, index=[2, 1])
    assert certificate.index.tolist() == [2, 1]
    assert certificate.num_entities.tolist() == [3, 7]


class ReadsRows(nn.Module):
    """Decides by a table over all bits of a graph of two nodes with one feature."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.table = torch.randint(0, num_classes, (256,), generator=generator)
        self.num_classes = num_classes

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        code = x @ x.new_tensor([1.0, 2.0])
        first = torch.ones(len(code), dtype=torch.bool)
        first[1:] = batch[1:] != batch[:-1]
        start = first.nonzero().view(-1)
        position = torch.arange(len(code)) - start[batch]
        key = global_add_pool((code * 4.0**position).view(-1, 1), batch).view(-1).long()
        return nn.functional.one_hot(self.table[key], self.num_classes).float()


def exact_votes(x: list[int], selection: Any, flips: SparseFlipNoise) -> np.ndarray:
    """Vote probabilities of a graph of two or three nodes, over all outcomes."""
    model = ReadsRows()
    n, probabilities = len(x), np.zeros(3)
    edge_index, batch = torch.empty(2, 0, dtype=torch.long), torch.zeros(n, dtype=torch.long)
    for tau in itertools.product((0, 1), repeat=n):
        if isinstance(selection, FixedSizeSelection):
            subsets = len(list(itertools.combinations(range(n), selection.size)))
            p_tau = (sum(tau) == selection.size) / subsets
        else:
            p_tau = float(np.prod([selection if t else 1 - selection for t in tau]))
        for z in itertools.product((0, 1), repeat=n):
            p = p_tau
            for t, clean, noisy in zip(tau, x, z, strict=True):
                flip = (flips.p_minus if clean else flips.p_plus) if t else 0.0
                p *= flip if noisy != clean else 1 - flip
            rows = torch.tensor([z, tau], dtype=torch.float).t()
            probabilities[int(model(rows, edge_index, batch).argmax())] += p
    assert probabilities.sum() == pytest.approx(1.0)
    return probabilities


@pytest.mark.parametrize(
    "selection",
    [0.6, FixedSizeSelection(2), pytest.param(FixedSizeSelection(1), marks=pytest.mark.slow)],
)
def test_vote_probabilities_equal_exact_enumeration(selection: Any) -> None:
    flips, num = SparseFlipNoise(0.3, 0.6), 2000
    rows = [[0, 1], [1, 1, 0], [0, 0]]
    edges = torch.empty(2, 0, dtype=torch.long)
    graphs = [Data(x=torch.tensor(x).float().view(-1, 1), edge_index=edges) for x in rows]
    classifier = SmoothedGraphClassifier(
        ReadsRows(), HierarchicalNodeFeatureNoise(selection, flips), 3
    )
    sampled = votes(classifier, graphs, num, seed=1)
    # 27 two-sided tests in all, each wrong once in a million: a false alarm in 3e-5 of seeds.
    for counts, x in zip(sampled.tolist(), rows, strict=True):
        for count, p in zip(counts, exact_votes(x, selection, flips), strict=True):
            low, high = binom.ppf([0.5e-6, 1 - 0.5e-6], num, np.clip(p, 0, 1))
            assert low <= count <= high


def test_a_fixed_number_of_nodes_in_every_graph() -> None:
    class CountsSelected(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            selected = global_add_pool(x[:, -1:], batch).view(-1).long()
            features = 1e-3 * global_add_pool(x[:, :1], batch)  # the same for all classes
            return nn.functional.one_hot(selected, 6) + features

    transform = HierarchicalNodeFeatureNoise(FixedSizeSelection(3), AblationNoise())
    classifier = SmoothedGraphClassifier(CountsSelected(), transform, 6)
    assert votes(classifier, make_graphs(), 40)[:, 3].tolist() == [40] * 6
    certificate = classifier.certify(make_graphs(), 50, 1000, progress=False)
    assert certificate.num_entities.tolist() == SIZES
    # Ablation of m of N nodes: q(1) = m / N, and an indicator-only vote is certain.
    assert certificate.is_robust(r=1).tolist() == [3 / size > 0.5 for size in SIZES]


class Mixes(nn.Module):
    """Normalizes over all nodes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.norm = Undecided("gcn"), GraphNorm(D + 1)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.model(self.norm(x), edge_index, batch)


def test_a_model_that_mixes_graphs_gets_one_at_a_time() -> None:
    graphs, classifier = make_graphs(), SmoothedGraphClassifier(Mixes(), GAUSSIAN, 3)
    voter, _ = classifier._voter(graphs, None, VoterOptions(seed=0))
    assert isinstance(voter.voters[0].model.prepared.forward, OneByOne)
    together = votes(classifier, graphs)
    x = stacked_features(graphs)
    apart = torch.zeros_like(together)
    prepared = GAUSSIAN.prepare(x, SIZES)
    with torch.no_grad():
        for sample in range(60):
            stream = RandomStream(0, 0, sample)  # of seed 0, shard 0
            for i, rows in enumerate(prepared(stream).split(SIZES)):
                one = torch.zeros(SIZES[i], dtype=torch.long)
                logits = classifier.model(rows, graphs[i].edge_index, one)
                apart[i, int(logits.argmax())] += 1
    assert torch.equal(together, apart)
    plain, _ = smoothed()._voter(graphs, None, VoterOptions(seed=0))
    assert not isinstance(plain.voters[0].model.prepared.forward, OneByOne)


class OneAtATime(nn.Module):
    """Fails on more than one graph."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        if int(batch.max()) > 0:
            raise ValueError("one graph, please")
        return self.model(x, edge_index, batch)


def test_a_model_that_fails_on_several_graphs_gets_one_at_a_time() -> None:
    graphs, plain = make_graphs(), smoothed()
    picky = SmoothedGraphClassifier(OneAtATime(plain.model), GAUSSIAN, 3)
    assert torch.equal(votes(picky, graphs), votes(plain, graphs))


def test_small_graphs_go_through_the_model_by_the_hundred() -> None:
    voter, _ = smoothed()._voter([make_graph(5)], None, VoterOptions(seed=0))
    assert voter.block_size >= 100


def test_certify_continues_from_its_folder(tmp_path: Path) -> None:
    classifier, graphs = smoothed(), make_graphs()
    options = {"n0": 20, "n": 50, "progress": False, "num_workers": 0}
    plain = classifier.certify(graphs, **options)
    for _ in range(2):
        kept = classifier.certify(graphs, checkpoint=tmp_path, **options)
        assert np.array_equal(plain.p_lower, kept.p_lower)
    graphs[0].x = 1 - graphs[0].x
    with pytest.raises(ValueError, match="another 'features'"):
        classifier.certify(graphs, checkpoint=tmp_path, **options)


@pytest.mark.parametrize("name", ["gin", "gcn"])
def test_mutag(name: str, data_root: Path) -> None:
    dataset = load_dataset("MUTAG", data_root)
    assert (len(dataset), dataset.num_features) == (188, 7)
    torch.manual_seed(0)
    model = models.build_model(name, 8, 2, "graph")
    transform = HierarchicalNodeFeatureNoise(0.8, AblationNoise())
    certificate = SmoothedGraphClassifier(model, transform, 2).certify(
        dataset[:30], 20, 100, progress=False
    )
    assert len(certificate) == 30
    assert certificate.num_entities.tolist() == [graph.num_nodes for graph in dataset[:30]]


def without(graph: Data, name: str) -> Data:
    del graph[name]
    return graph


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ValueError, "'data' must hold at least one graph (got none)"),
        (DataLoader([]), ValueError, "'data' must hold at least one graph (got none)"),
        (3, TypeError, "'data' must be a Data, a list of Data, a Dataset or a DataLoader"),
        ([make_graph(3), HeteroData()], TypeError, "(graph 1 is HeteroData)"),
        ([make_graph(3), without(make_graph(3), "x")], ValueError, "graph 1 has no node features"),
        (
            [Data(x=torch.ones(0, 4), edge_index=torch.ones(2, 0).long())],
            ValueError,
            "graph 0 has no nodes",
        ),
        (
            [make_graph(3), make_graph(3, 0, 2)],
            ValueError,
            "all graphs must have features of one size and dtype (graph 0 has 4 of "
            "torch.float32, graph 1 has 2 of torch.float32)",
        ),
        ([Data(x=torch.ones(3))], ValueError, "a matrix [num_nodes, D] (got [3] in graph 0)"),
        (
            DataLoader([make_graph(3)] * 4, sampler=SubsetRandomSampler([0])),
            ValueError,
            "'data' as a DataLoader must go through all of its dataset (got the sampler Subset",
        ),
        (
            Data(x=torch.ones(3, 4), edge_index=torch.eye(3)),
            ValueError,
            "'edge_index' must be integers [2, num_edges] (got torch.float32 of shape [3, 3] in "
            "graph 0): a sparse matrix goes in 'adj_t'",
        ),
        (Data(x=torch.ones(3, 4), adj=torch.eye(3)), ValueError, "(got a dense adj)"),
        (make_graph(3, 0, 6), ValueError, "the model failed on features of shape [3, 7]"),
        (
            make_graph(3, 0, D + 1),
            ValueError,
            f". It takes {D + 1} features, those without the indicator: pass "
            "append_indicator=False to HierarchicalNodeFeatureNoise, or give the model one input",
        ),
    ],
)
def test_bad_graphs(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        votes(smoothed(), data)
    assert message in str(caught.value)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="'index' must lie between 0 and 5"):
        votes(smoothed(), make_graphs(), index=[6])
    with pytest.raises(ValueError, match="must not exceed the number of entities"):
        few = HierarchicalNodeFeatureNoise(FixedSizeSelection(5), GaussianNoise(1.0))
        votes(smoothed(few), make_graphs())
    node_level = SmoothedGraphClassifier(nn.Linear(D + 1, 3), GAUSSIAN, 3, lambda m, x, _: m(x))
    with pytest.raises(ValueError, match=r"must return logits of shape \[6, 3\] \(got \[36, 3\]"):
        votes(node_level, make_graphs())
    with pytest.raises(ValueError, match=r"binary features .*: binarize them, as in"):
        weights = make_graph(4)
        weights.x = weights.x / 3
        votes(smoothed(HierarchicalNodeFeatureNoise(0.5, SparseFlipNoise(0.1, 0.1))), weights)
