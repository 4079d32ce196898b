"""Noise on edges through the classifiers: every attack on the edges of small graphs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv, global_add_pool
from torch_geometric.transforms import Compose, ToSparseTensor

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import RandomMolecules
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

N, D, C = 5, 3, 2
QUIET: dict[str, Any] = {"progress": False, "num_workers": 0}
CONVOLUTIONS = {"gcn": GCNConv, "gat": GATConv, "sage": SAGEConv}


class Net(nn.Module):
    """Two convolutions, and weights that let edges matter."""

    def __init__(self, conv: str = "gcn", width: int = D, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.one, self.two = CONVOLUTIONS[conv](width, 8), CONVOLUTIONS[conv](8, C)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(3.0)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.two(self.one(x, edge_index).tanh(), edge_index)


class Isomorphism(nn.Module):
    """A GIN that counts what it finds."""

    def __init__(self, width: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.out = GINConv(nn.Linear(width, 8)), nn.Linear(8, C)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.out(global_add_pool(self.conv(x, edge_index).tanh(), batch))


def both_ways(pairs: set[tuple[int, int]]) -> Tensor:
    ends = sorted({(i, j) for i, j in pairs} | {(j, i) for i, j in pairs})
    return torch.tensor(ends, dtype=torch.long).view(-1, 2).t().contiguous()


def world(seed: int) -> tuple[Tensor, set[tuple[int, int]]]:
    rng = np.random.default_rng(seed)
    pairs = {pair for pair in combinations(range(N), 2) if rng.random() < 0.5}
    return torch.from_numpy(rng.normal(size=(N, D))).float(), pairs


def rewired(pairs: set[tuple[int, int]], r: int) -> Iterator[set[tuple[int, int]]]:
    """All graphs in which at most r pairs differ, self-loops among them."""
    every = [(i, j) for i in range(N) for j in range(i, N)]
    for count in range(1, r + 1):
        for changed in combinations(every, count):
            yield pairs ^ set(changed)


def votes_of(model: nn.Module, x: Tensor, edge_index: Tensor, edges: Any) -> Tensor:
    """The class that each outcome votes for, int64 [num_outcomes, N], in one call."""
    noisy = edges.prepare(Data(x=x, edge_index=edge_index))
    graphs = [noisy.outcome(index) for index in range(edges.num_outcomes)]
    batch = Batch.from_data_list(graphs)
    with torch.no_grad():
        return model(batch.x, batch.edge_index).argmax(-1).view(len(graphs), -1)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("conv", CONVOLUTIONS)
@pytest.mark.parametrize("seed", range(2))
def test_no_attack_on_edges_contradicts_an_exact_certificate(conv: str, seed: int) -> None:
    x, pairs = world(seed)
    edges = HierarchicalEdgeNoise(PartitionSelection(7, 3, seed=seed), AblationNoise())
    model = Net(conv, seed=seed)
    smoothed = SmoothedNodeClassifier(model, edges, C)
    certificate = smoothed.certify(Data(x=x, edge_index=both_ways(pairs)), audit=1.0, **QUIET)
    assert certificate.exact and certificate.num_entities is None
    clean = votes_of(model.eval(), x, both_ways(pairs), edges)
    counts = torch.nn.functional.one_hot(clean, C).sum(0)
    assert (certificate.votes == counts.numpy()).all()
    assert smoothed.certify(Data(x=x, edge_index=both_ways(pairs)), **QUIET).exact
    moved = 0
    for r in (1, 2):
        robust = certificate.is_robust(r)
        for attacked in rewired(pairs, r):
            votes = votes_of(model, x, both_ways(attacked), edges)
            changed = len(attacked ^ pairs)
            assert ((votes != clean).sum(0) <= 3 * changed).all()  # K votes per pair
            predicted = torch.nn.functional.one_hot(votes, C).sum(0).argmax(1).numpy()
            assert (predicted == certificate.prediction)[robust].all()
            moved += int((votes != clean).sum())
    assert moved > 0 and certificate.is_robust(1).any()


def test_a_model_attains_the_bound_of_changed_edges() -> None:
    """A degree that turns the vote: as many votes as a pair can turn."""

    class Degree(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            degree = torch.zeros(len(x)).index_add(0, edge_index[1], torch.ones(len(edge_index[1])))
            return torch.stack([0.5 - degree, degree - 0.5], dim=1)

    x = torch.ones(N, D)
    edges = HierarchicalEdgeNoise(PartitionSelection(4, 5), AblationNoise())
    smoothed = SmoothedNodeClassifier(Degree(), edges, C)  # reads no feature, and need not
    empty = Data(x=x, edge_index=torch.empty(2, 0, dtype=torch.long))
    certificate = smoothed.certify(empty, **QUIET)
    assert certificate.largest_r.tolist() == [1] * N  # 20 > 2 * 5 r
    attacked = Data(x=x, edge_index=both_ways({(0, 1), (0, 2), (1, 2)}))
    votes = smoothed.sample_votes(attacked, 1, **QUIET)  # calls it at all
    assert votes.sum() == N
    counts = smoothed.certify(attacked, **QUIET).votes
    groups = edges.prepare(attacked)._groups  # of pairs (0, 1), (0, 2), (1, 2)
    expected = [sum(len({int(g) for g in row[list(own)]}) for row in groups) for own in [(0, 1)]]
    assert counts[0, 1] == expected[0] and counts[3, 1] == 0


SMOOTHINGS: dict[str, Any] = {
    "ablation": HierarchicalEdgeNoise(0.8, AblationNoise()),
    "flips": HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.05, 0.6)),
    "fewer flips": HierarchicalEdgeNoise(0.7, SparseFlipNoise(0.05, 0.6)),
    "flips outside a group": HierarchicalEdgeNoise(
        PartitionSelection(4, 2), SparseFlipNoise(0.05, 0.6)
    ),
}
NODES: dict[str, Any] = {
    "nothing": None,
    "ablation": HierarchicalNodeFeatureNoise(0.7, AblationNoise()),
    "messages": HierarchicalNodeFeatureNoise(0.7, AblationNoise(of="messages")),
    "gaussian": HierarchicalNodeFeatureNoise(0.7, GaussianNoise(0.5)),
}


def composed(nodes: str, edges: str) -> Any:
    smoothing, noise = NODES[nodes], SMOOTHINGS[edges]
    return noise if smoothing is None else Compose([smoothing, noise])


PAIRS = [(nodes, edges) for nodes in NODES for edges in SMOOTHINGS]
FITTING = [pair for pair in PAIRS if pair[0] in ("nothing", "ablation") or pair[1] == "ablation"]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("nodes", "edges"), FITTING)
def test_samples_do_not_depend_on_how_they_are_drawn(nodes: str, edges: str) -> None:
    x, pairs = world(3)
    data = Data(x=x, edge_index=both_ways(pairs))
    width = D if nodes == "nothing" else D + 1
    smoothed = SmoothedNodeClassifier(Net("gcn", width), composed(nodes, edges), C)
    options: dict[str, Any] = {"audit": 1.0, **QUIET}
    votes = smoothed.sample_votes(data, 30, block_size=1, **options)
    assert smoothed.adjacency is not None and "change from sample" in smoothed.adjacency
    assert torch.equal(votes, smoothed.sample_votes(data, 30, block_size=7, **options))
    assert torch.equal(votes, smoothed.sample_votes(data, 30, dense=True, **options))
    parts = smoothed.sample_votes(data, 12, **options)
    parts += smoothed.sample_votes(data, 18, start=12, **options)
    assert torch.equal(votes, parts)
    few = smoothed.sample_votes(data, 30, index=torch.tensor([3, 1]), **options)
    assert torch.equal(votes[[3, 1]], few)


@pytest.mark.parametrize("edges", ["ablation", "flips"])
def test_a_sample_is_the_model_on_a_draw_of_the_graph(edges: str) -> None:
    x, pairs = world(4)
    data = Data(x=x, edge_index=both_ways(pairs))
    transform, model = SMOOTHINGS[edges], Net("gcn")
    smoothed = SmoothedNodeClassifier(model, transform, C)
    noisy = transform.prepare(data)
    by_hand = torch.zeros(N, C, dtype=torch.long)
    for sample in range(50):
        drawn = noisy.draw(RandomStream(0, sample, 2**16))
        with torch.no_grad():
            by_hand[range(N), model(x, drawn.edge_index).argmax(-1)] += 1
    assert torch.equal(smoothed.sample_votes(data, 50, **QUIET), by_hand)
    as_matrix = ToSparseTensor()(data.clone())
    assert torch.equal(smoothed.sample_votes(as_matrix, 50, **QUIET), by_hand)


def mass_kept(p: float, additions: int, deletions: int, p_plus: float, p_minus: float) -> float:
    """The least mass under changed edges of a set with mass p: regions of constant likelihood ratio
    in increasing order (Bojchevski et al. 2020, Section 4), one for each number of additions and of
    deletions that come out different, with nothing merged.
    """
    regions = []
    for a in range(additions + 1):
        for d in range(deletions + 1):
            many = comb(additions, a) * comb(deletions, d)
            added = p_plus**a * (1 - p_plus) ** (additions - a)
            deleted = p_minus**d * (1 - p_minus) ** (deletions - d)
            clean = many * added * deleted
            added = (1 - p_minus) ** a * p_minus ** (additions - a)
            deleted = (1 - p_plus) ** d * p_plus ** (deletions - d)
            regions.append((many * added * deleted / clean, clean))
    kept, left = 0.0, p
    for ratio, clean in sorted(regions):
        taken = min(left, clean)
        kept, left = kept + taken * ratio, left - taken
    return kept


def test_the_grid_of_flipped_edges_is_that_of_sparse_smoothing() -> None:
    x, pairs = world(5)
    smoothed = SmoothedNodeClassifier(Net("gcn"), SMOOTHINGS["flips"], C)
    data = Data(x=x, edge_index=both_ways(pairs))
    certificate = smoothed.certify(data, n0=50, n=2_000, kind="binary", **QUIET)
    bounds = np.array([0.501, 0.6, 0.8, 0.95, 0.99, 0.9999])
    more = Certificate.from_bounds(
        smoothed.smoothing, np.zeros(6, dtype=int), bounds, kind="binary"
    )
    for own in (certificate, more):
        grid = own.grid(12, 5, 6)
        for target, p in enumerate(own.p_lower):
            for additions in range(6):
                for deletions in range(7):
                    if additions + deletions == 0:
                        continue
                    kept = mass_kept(p, additions, deletions, 0.05, 0.6)
                    if abs(kept - 0.5) > 1e-9:
                        expected = kept > 0.5 and own.prediction[target] >= 0
                        assert grid[target, 12, additions, deletions] == expected
                    worst = own.noise.worst_case_probability(
                        np.array(p), np.array(1 - p), additions=additions, deletions=deletions
                    )
                    assert float(worst) == pytest.approx(kept, abs=1e-9)


SMALL = 3
ENDS = [(i, j) for i in range(SMALL) for j in range(i, SMALL)]
COMPOSED: dict[str, Any] = {
    "features": (AblationNoise(), AblationNoise()),
    "messages": (AblationNoise(of="messages"), AblationNoise()),
    "flips": (AblationNoise(), SparseFlipNoise(0.02, 0.4)),
}
P_NODES, P_EDGES = 0.85, 0.9


def chances(pairs: set[tuple[int, int]], noise: Any) -> Iterator[tuple[float, set[Any]]]:
    """Every noisy set of pairs, with its probability."""
    p_plus, p_minus = (noise.p_plus, noise.p_minus) if noise.axes else (0.0, 1.0)
    flip = [P_EDGES * (p_minus if pair in pairs else p_plus) for pair in ENDS]
    for kept in product((False, True), repeat=len(ENDS)):
        share = float(np.prod([1 - f if k else f for f, k in zip(flip, kept, strict=True)]))
        if share > 0:
            yield share, {e for e, k in zip(ENDS, kept, strict=True) if (e in pairs) == k}


def outcomes_of(x: Tensor, pairs: set[tuple[int, int]], kind: str) -> tuple[Tensor, Data]:
    """All noisy graphs, and the probabilities of them."""
    nodes, edges = COMPOSED[kind]
    shares, graphs = [], []
    for hidden in product((False, True), repeat=SMALL):
        own = float(np.prod([P_NODES if h else 1 - P_NODES for h in hidden]))
        selected = torch.tensor(hidden)
        seen = x if nodes.of == "messages" else torch.where(selected.view(-1, 1), 0.0, x)
        seen = torch.cat([seen, selected.view(-1, 1).float()], dim=1)
        for share, left in chances(pairs, edges):
            edge_index = both_ways(left)
            if nodes.of == "messages":
                edge_index = edge_index[:, ~selected[edge_index[0]]]
            shares.append(own * share)
            graphs.append(Data(x=seen, edge_index=edge_index))
    return torch.tensor(shares, dtype=torch.float64), Batch.from_data_list(graphs)


def vote_shares(model: nn.Module, x: Tensor, pairs: set[tuple[int, int]], kind: str) -> Tensor:
    """The vote probabilities, float64 [SMALL, C]."""
    shares, batch = outcomes_of(x, pairs, kind)
    with torch.no_grad():
        classes = model(batch.x, batch.edge_index).argmax(-1).view(len(shares), SMALL)
    return torch.einsum("s,snc->nc", shares, torch.nn.functional.one_hot(classes, C).double())


def small_world(seed: int) -> tuple[Tensor, set[tuple[int, int]]]:
    rng = np.random.default_rng(seed)
    pairs = {pair for pair in ENDS if rng.random() < 0.5 and pair[0] != pair[1]}
    return torch.from_numpy(rng.normal(size=(SMALL, D))).float(), pairs


def smoothed_small(model: nn.Module, kind: str) -> SmoothedNodeClassifier:
    nodes, edges = COMPOSED[kind]
    noises = [
        HierarchicalNodeFeatureNoise(P_NODES, nodes),
        HierarchicalEdgeNoise(P_EDGES, edges),
    ]
    return SmoothedNodeClassifier(model, Compose(noises), C)


@pytest.mark.parametrize("kind", COMPOSED)
def test_votes_have_the_probabilities_of_both_noises(kind: str) -> None:
    """Votes within 5 standard deviations: six of them fail by chance once in 300,000 seeds."""
    x, pairs = small_world(1)
    model = Net("gcn", D + 1, seed=1)
    num_samples = 4_000
    data = Data(x=x, edge_index=both_ways(pairs))
    votes = smoothed_small(model, kind).sample_votes(data, num_samples, **QUIET)
    shares = vote_shares(model, x, pairs, kind)
    deviation = (shares * (1 - shares) / num_samples).sqrt() + 1e-12
    assert ((votes / num_samples - shares).abs() <= 5 * deviation).all()
    assert (shares.min(1).values > 0.01).any()


@pytest.mark.one_in(3)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", COMPOSED)
def test_no_attack_on_nodes_and_edges_contradicts_a_certificate(kind: str, seed: int) -> None:
    x, pairs = small_world(seed)
    model = Net("gcn", D + 1, seed=seed)
    clean = vote_shares(model, x, pairs, kind)
    smoothing = smoothed_small(model, kind).smoothing
    best = clean.max(1)
    certificate = Certificate.from_bounds(
        smoothing, best.indices, best.values.numpy(), 1 - best.values.numpy(), kind="binary"
    )
    rng = np.random.default_rng(seed)
    claims = 0
    for r, changed in product((0, 1), (0, 1)):
        budget: dict[str, int] = {"edges": changed}
        if kind == "flips":
            budget = {"additions": changed, "deletions": changed}
        robust = certificate.is_robust(r, **budget)
        claims += int(robust.sum()) * (r + changed)
        for node in range(SMALL) if r else (None,):
            others = np.array([target != node or kind != "messages" for target in range(SMALL)])
            for pair in [None, *ENDS] if changed else [None]:
                rewired_pairs, other_x = set(pairs), x.clone()
                if pair is not None:
                    rewired_pairs ^= {pair}
                if node is not None:
                    other_x[node] = torch.from_numpy(rng.normal(size=D) * 5)
                    if kind == "messages":
                        own = [end for end in ENDS if node in end and rng.random() < 0.5]
                        rewired_pairs ^= set(own)
                attacked = vote_shares(model, other_x, rewired_pairs, kind)
                holds = (attacked.argmax(1) == best.indices).numpy()
                assert holds[robust & others].all()
    assert claims > 0


@pytest.mark.one_in(3)
@pytest.mark.parametrize("seed", range(3))
def test_no_attack_on_edges_of_molecules_contradicts_a_certificate(seed: int) -> None:
    graphs = small_molecules(4)
    edges = HierarchicalEdgeNoise(PartitionSelection(5, 2, seed=seed), AblationNoise())
    model = Isomorphism(graphs[0].num_features, seed)
    smoothed = SmoothedGraphClassifier(model, edges, C)
    certificate = smoothed.certify(graphs, audit=1.0, **QUIET)
    assert certificate.exact and certificate.num_entities is None
    robust = certificate.is_robust(1)
    for target, graph in enumerate(graphs):
        attacks = [
            Data(x=graph.x, edge_index=with_pair_changed(graph, i, j))
            for i in range(graph.num_nodes)
            for j in range(i, graph.num_nodes)
        ]
        after = smoothed.certify(attacks, **QUIET)
        lost = certificate.votes[target] - after.votes
        assert (np.abs(lost) <= 2).all()  # K votes
        if robust[target]:
            assert (after.votes.argmax(1) == certificate.prediction[target]).all()
    assert robust.any()


@pytest.mark.parametrize("seed", range(3))
def test_no_taken_over_node_of_molecules_contradicts_a_certificate(seed: int) -> None:
    graphs = small_molecules(3)
    width = graphs[0].num_features
    nodes = HierarchicalNodeFeatureNoise(
        PartitionSelection(5, 2, seed=seed), AblationNoise(of="nodes"), append_indicator=False
    )
    smoothed = SmoothedGraphClassifier(Isomorphism(width, seed), nodes, C)
    certificate = smoothed.certify(graphs, audit=1.0, **QUIET)
    rng = np.random.default_rng(seed)
    for target, graph in enumerate(graphs):
        attacks = []
        for node in range(graph.num_nodes + 1):
            for _ in range(3):
                attacks.append(taken_over(graph, node, rng))
        after = smoothed.certify(attacks, **QUIET)
        lost = certificate.votes[target] - after.votes
        assert (np.abs(lost) <= 2).all()
        if certificate.is_robust(1)[target]:
            assert (after.votes.argmax(1) == certificate.prediction[target]).all()


def small_molecules(count: int) -> list[Data]:
    found = (Data(x=graph.x.float(), edge_index=graph.edge_index) for graph in RandomMolecules())
    return [graph for graph in found if 4 <= graph.num_nodes <= 14][:count]


def with_pair_changed(graph: Data, i: int, j: int) -> Tensor:
    ends = set(map(tuple, graph.edge_index.t().tolist())) ^ {(i, j), (j, i)}
    return both_ways(ends)


def taken_over(graph: Data, node: int, rng: np.random.Generator) -> Data:
    """The graph in which one node, perhaps a new one, has other features and edges."""
    size = max(graph.num_nodes, node + 1)
    x = torch.zeros(size, graph.num_features)
    x[: graph.num_nodes] = graph.x
    x[node] = torch.from_numpy(rng.normal(size=graph.num_features) * 10)
    ends = {pair for pair in map(tuple, graph.edge_index.t().tolist()) if node not in pair}
    ends |= {(node, int(other)) for other in np.flatnonzero(rng.random(size) < 0.5)}
    return Data(x=x, edge_index=both_ways(ends))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("edges", SMOOTHINGS)
@pytest.mark.parametrize("nodes", ["nothing", "nodes"])
def test_graphs_get_noise_on_their_own_pairs(edges: str, nodes: str) -> None:
    graphs = small_molecules(6)
    width = graphs[0].num_features
    transform = SMOOTHINGS[edges]
    if nodes == "nodes":
        removed = HierarchicalNodeFeatureNoise(0.4, AblationNoise(of="nodes"), False)
        transform = Compose([removed, transform])
    smoothed = SmoothedGraphClassifier(Isomorphism(width), transform, C)
    options: dict[str, Any] = {"audit": 1.0, **QUIET}
    votes = smoothed.sample_votes(graphs, 24, block_size=1, **options)
    assert torch.equal(votes, smoothed.sample_votes(graphs, 24, block_size=5, **options))
    some = smoothed.sample_votes(graphs, 24, index=torch.tensor([4, 0]), **options)
    assert torch.equal(votes[[4, 0]], some)


def test_a_run_is_taken_up_again_and_not_with_other_noise(tmp_path: Any) -> None:
    x, pairs = world(6)
    data = Data(x=x, edge_index=both_ways(pairs))
    smoothed = SmoothedNodeClassifier(Net("gcn"), SMOOTHINGS["flips"], C)
    file = tmp_path / "votes.npz"
    smoothed.sample_votes(data, 10, checkpoint=file, **QUIET)
    votes = smoothed.sample_votes(data, 20, checkpoint=file, **QUIET)
    assert torch.equal(votes, smoothed.sample_votes(data, 20, **QUIET))
    for other in ("fewer flips", "ablation"):
        with pytest.raises(ValueError, match="checkpoint"):
            SmoothedNodeClassifier(Net("gcn"), SMOOTHINGS[other], C).sample_votes(
                data, 20, checkpoint=file, **QUIET
            )


def test_questions_about_edges_end_sampling() -> None:
    x, pairs = world(7)
    data = Data(x=x, edge_index=both_ways(pairs))
    both = SmoothedNodeClassifier(Net("gcn", D + 1), composed("ablation", "ablation"), C)
    asked = both.certify(data, n=3_000, until={"r": 0, "edges": 1}, **QUIET)
    assert (asked.num_samples <= 3_000).all() and (asked.num_samples < 3_000).any()
    assert asked.num_entities is None


def test_what_is_refused() -> None:
    x, pairs = world(8)
    data = Data(x=x, edge_index=both_ways(pairs))
    smoothed = SmoothedNodeClassifier(Net("gcn"), SMOOTHINGS["ablation"], C, num_hops=2)
    with pytest.raises(ValueError, match="'receptive_field' is about features on a fixed graph"):
        smoothed.receptive_field(data)
    smoothed.sample_votes(data, 2, **QUIET)
    assert smoothed.neighborhoods == "whole graph (pairs of nodes get noise)"
    for nodes, edges in set(PAIRS) - set(FITTING):
        with pytest.raises(ValueError, match=r"may draw noise|would carry their messages"):
            SmoothedNodeClassifier(Net("gcn", D + 1), composed(nodes, edges), C)
    one_way = Data(x=x, edge_index=torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="use ToUndirected first"):
        smoothed.sample_votes(one_way, 2, **QUIET)
    with pytest.raises(ValueError, match="is certified exactly"):
        exact = HierarchicalEdgeNoise(PartitionSelection(4, 2), AblationNoise())
        SmoothedNodeClassifier(Net("gcn"), exact, C).certify(data, n=10, **QUIET)
