"""Rows 1 and 2: what a convolution of PyG keeps from one call to the next."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Data
from torch_geometric.nn import APPNP, GCN, FAConv, GCN2Conv, GCNConv, SGConv, SSGConv
from torch_geometric.utils import remove_self_loops

from pyg_hiersmooth.nn import SmoothedNodeClassifier

from .plain import plain_votes, pyg_call
from .small import ABLATION, FLIPS, SAMPLES, C, D, N, make_graph, seeded, votes_of
from .verdict import assert_votes, right_or_refused


class Propagated(nn.Module):
    """A propagation of features, alone or behind a linear map."""

    def __init__(self, kind: str, cached: bool, behind: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(D + 1, 8) if behind else nn.Identity()
        width = 8 if behind else D + 1
        if kind == "SGConv":
            self.conv: nn.Module = SGConv(width, C, K=2, cached=cached)
        else:
            self.conv = SSGConv(width, C, alpha=0.1, K=2, cached=cached)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(self.first(x), edge_index)


class Adjacent(nn.Module):
    """A model of convolutions that may keep the normalized adjacency."""

    def __init__(self, kind: str, cached: bool) -> None:
        super().__init__()
        self.first = nn.Linear(D + 1, 8)
        self.last = nn.Linear(8, C, bias=False)
        self.kind = kind
        if kind == "GCNConv":
            self.conv: nn.Module = GCNConv(8, 8, cached=cached)
        elif kind == "APPNP":
            self.conv = APPNP(4, 0.1, cached=cached)
        elif kind == "GCN2Conv":
            self.conv = GCN2Conv(8, 0.2, cached=cached)
        else:
            self.conv = FAConv(8, cached=cached)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.first(x).tanh()
        with_start = self.kind in ("GCN2Conv", "FAConv")
        return self.last(self.conv(h, h, edge_index) if with_start else self.conv(h, edge_index))


def adjacent(kind: str, cached: bool) -> Adjacent:
    """A model whose votes the noise changes on every graph below."""
    return seeded(Adjacent, kind, cached, seed=2)


ADJACENT = ("GCNConv", "APPNP", "GCN2Conv", "FAConv")


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("behind", [False, True], ids=["first", "behind_linear"])
@pytest.mark.parametrize("kind", ["SGConv", "SSGConv"])
def test_cached_features_give_right_votes_or_are_refused(
    kind: str, behind: bool, warm: bool
) -> None:
    data = make_graph()
    model = seeded(Propagated, kind, True, behind)
    truth = plain_votes(
        pyg_call, seeded(Propagated, kind, False, behind), ABLATION, data, SAMPLES, C
    )
    if warm:
        model(torch.cat([data.x, torch.zeros(N, 1)], dim=1), data.edge_index)
    right_or_refused(lambda: votes_of(model, data), truth, kind, "conv")
    kept = [value for name, value in vars(model.conv).items() if name.startswith("_cached")]
    assert any(value is not None for value in kept) is warm


def test_a_certificate_of_a_cached_model_claims_nothing_more() -> None:
    data = make_graph()
    robust = []
    for cached in (False, True):
        classifier = SmoothedNodeClassifier(seeded(Propagated, "SGConv", cached), ABLATION, C)
        try:
            certificate = classifier.certify(data, 100, 500, progress=False, num_workers=0)
        except ValueError:
            return
        robust.append(certificate.is_robust(r=1))
    assert not bool((robust[1] & ~robust[0]).any())


@pytest.mark.parametrize("num_nodes", [N, 31], ids=["same_size", "other_size"])
@pytest.mark.parametrize("kind", ADJACENT)
def test_an_adjacency_of_another_graph_is_not_used(kind: str, num_nodes: int) -> None:
    data, other = make_graph(), make_graph(num_nodes, seed=5)
    truth = plain_votes(pyg_call, adjacent(kind, False), ABLATION, data, SAMPLES, C)
    model = adjacent(kind, True)
    model(torch.cat([other.x, torch.zeros(num_nodes, 1)], dim=1), other.edge_index)
    kept = copy.deepcopy(vars(model.conv))
    assert_votes(votes_of(model, data), truth)
    for name in ("_cached_edge_index", "_cached_adj_t"):
        for before, after in zip(kept[name] or (), vars(model.conv)[name] or (), strict=True):
            assert before is None or torch.equal(before, after), "the user's cache was touched"


@pytest.mark.parametrize("kind", ADJACENT)
def test_one_classifier_serves_one_graph_after_the_other(kind: str) -> None:
    classifier = SmoothedNodeClassifier(adjacent(kind, True), ABLATION, C)
    plain = adjacent(kind, False)
    for data in (make_graph(), make_graph(seed=7), make_graph(13, seed=2), make_graph()):
        votes = classifier.sample_votes(data, SAMPLES, progress=False, num_workers=0)
        assert_votes(votes, plain_votes(pyg_call, plain, ABLATION, data, SAMPLES, C))


@pytest.mark.parametrize("block_size", [1, 3, None])
@pytest.mark.parametrize("kind", ADJACENT)
def test_a_cache_knows_how_many_copies_it_was_made_of(kind: str, block_size: int | None) -> None:
    data, model = make_graph(), adjacent(kind, True)
    truth = plain_votes(pyg_call, adjacent(kind, False), ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(model, data, block_size=block_size), truth)


def test_caches_inside_a_wrapper_and_a_model_of_pyg_are_found() -> None:
    data, other = make_graph(), make_graph(seed=5)
    del data.edge_weight
    model = AveragedModel(seeded(GCN, D + 1, 8, 2, C, seed=4, cached=True)).eval()
    model(torch.cat([other.x, torch.zeros(N, 1)], dim=1), other.edge_index)
    truth = plain_votes(pyg_call, seeded(GCN, D + 1, 8, 2, C, seed=4), ABLATION, data, SAMPLES, C)
    assert_votes(votes_of(model, data), truth)


def test_a_sparse_adjacency_takes_the_place_of_a_cached_edge_index() -> None:
    data, other = make_graph(), make_graph(seed=5)
    model = adjacent("GCNConv", True)
    model(torch.cat([other.x, torch.zeros(N, 1)], dim=1), other.edge_index)
    # A sparse matrix would add up edges that occur twice.
    edges, _ = remove_self_loops(data.edge_index.unique(dim=1))
    plain = adjacent("GCNConv", False)
    graph = Data(x=data.x, edge_index=edges)
    truth = plain_votes(pyg_call, plain, ABLATION, graph, SAMPLES, C)
    sparse = torch.sparse_coo_tensor(edges.flip(0), torch.ones(edges.size(1)), (N, N))
    graph = Data(x=data.x, adj_t=sparse.coalesce().to_sparse_csr())
    assert_votes(votes_of(model, graph), truth)


class KeepsItsFirstHidden(nn.Module):
    """A user's own cache, of features."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(D + 1, C)
        self.memo: Tensor | None = None

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.memo is None:
            self.memo = self.lin(x)
        return self.memo


class KeepsByShape(KeepsItsFirstHidden):
    """The same, a memo for each number of rows, so that a try with one copy fills another."""

    def __init__(self) -> None:
        super().__init__()
        self.memos: dict[int, Tensor] = {}

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.memos.setdefault(x.size(0), self.lin(x))


class KeepsInOneOfTwo(KeepsItsFirstHidden):
    """Half of the logits come from a memo: two draws of noise still change them."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + 0.2 * self.lin(x)


@pytest.mark.parametrize("model_class", [KeepsItsFirstHidden, KeepsByShape, KeepsInOneOfTwo])
def test_a_users_own_cache_of_features_is_right_or_refused(model_class: type) -> None:
    data, model = make_graph(), seeded(model_class)
    truth = plain_votes(pyg_call, model, ABLATION, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data), truth, "memo", "memos")
    assert model.memo is None and not getattr(model, "memos", None)


class KeepsDegrees(nn.Module):
    """A user's own cache, of the graph alone: harmless."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(D + 1, C)
        self.degree: Tensor | None = None

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.degree is None or self.degree.numel() != x.size(0):
            self.degree = edge_index[0].bincount(minlength=x.size(0)).view(-1, 1)
        return self.lin(x) * self.degree


def test_a_users_own_cache_of_the_graph_is_right_or_refused() -> None:
    data, model = make_graph(binary=True), seeded(KeepsDegrees)
    truth = plain_votes(pyg_call, model, FLIPS, data, SAMPLES, C)
    right_or_refused(lambda: votes_of(model, data, FLIPS), truth, "degree")
