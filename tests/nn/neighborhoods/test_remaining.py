from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import APPNP, GATConv, GCNConv, PairNorm, SAGEConv
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor
from torch_geometric.utils import degree

from pyg_hiersmooth.errors import AuditError, ImpureModelError
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn import node as node_module
from pyg_hiersmooth.nn.neighborhoods import remaining
from pyg_hiersmooth.nn.neighborhoods import voter as voter_module
from pyg_hiersmooth.nn.neighborhoods.remaining import RemainingVoter
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import FixedSizeSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

N, D, C = 4_000, 6, 3
TARGETS = torch.tensor([400, 2, 401, 650, 3_999, 2])
QUIET: dict[str, Any] = {"progress": False, "num_workers": 0}
SILENT = AblationNoise(of="messages")
SAMPLED = HierarchicalNodeFeatureNoise(0.6, SILENT)
EXACT = HierarchicalNodeFeatureNoise(PartitionSelection(3, 20), SILENT)


def make(num_nodes: int = N) -> Data:
    """Small worlds far from each other, with weights, self-loops and repeated edges."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(num_nodes, (4 * num_nodes,), generator=generator)
    destination = (source + torch.randint(1, 6, source.shape, generator=generator)) % num_nodes
    edge_index = torch.stack([source, destination])
    loops = torch.cat([TARGETS[:2], torch.arange(30)]).repeat(2, 1)
    edge_index = torch.cat([edge_index, edge_index[:, :40], loops], dim=1)
    weight = torch.rand(edge_index.size(1), generator=generator) + 0.1
    x = torch.randn(num_nodes, D, generator=generator)
    return Data(x=x, edge_index=edge_index, edge_weight=weight)


def bare(num_nodes: int = N) -> Data:
    data = make(num_nodes)
    return Data(x=data.x, edge_index=data.edge_index)


class Two(nn.Module):
    """Two layers; further ones, or something between them, if asked."""

    def __init__(
        self,
        conv: Callable[[int, int], nn.Module] = GCNConv,
        *between: nn.Module,
        width: int = D + 1,
    ) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.last = conv(width, 8), conv(8, C)
        self.between = nn.ModuleList(between)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        h = self.first(x, edge_index).tanh()
        for module in self.between:
            h = module(h)
        return self.last(h, edge_index)


class Weighted(Two):
    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor) -> Tensor:  # type: ignore[override]
        return self.last(self.first(x, edge_index, edge_weight).tanh(), edge_index, edge_weight)


class Propagated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.lin, self.steps = nn.Linear(D + 1, C), APPNP(2, 0.1)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return self.steps(self.lin(x), edge_index)


def classifier(model: nn.Module, transform: Any = SAMPLED, hops: int | None = 2) -> Any:
    return SmoothedNodeClassifier(model.eval(), transform, C, num_hops=hops)


def is_cut(smoothed: Any) -> bool:
    return "left around" in str(smoothed.neighborhoods)


def csr(data: Data) -> Data:
    row, col = data.edge_index
    coo = torch.sparse_coo_tensor(torch.stack([col, row]), data.edge_weight, (N, N))
    return Data(x=data.x, adj_t=coo.coalesce().to_sparse_csr())


def sparse_tensor(data: Data) -> Data:
    row, col = data.edge_index
    return Data(x=data.x, adj_t=SparseTensor(row=col, col=row, sparse_sizes=(N, N)))


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Data]]] = {
    "GCN": (Two, bare),
    "GCN, cached": (lambda: Two(lambda i, o: GCNConv(i, o, cached=True)), bare),
    "GCN, weighted": (Weighted, make),
    "GCN, CSR": (Two, lambda: csr(make())),
    "GAT": (lambda: Two(GATConv), bare),
    "SAGE": (lambda: Two(SAGEConv), bare),
    "SAGE, max": (lambda: Two(lambda i, o: SAGEConv(i, o, aggr="max")), bare),
    "APPNP": (Propagated, bare),
}
if WITH_TORCH_SPARSE:
    CASES["GCN, SparseTensor"] = (Two, lambda: sparse_tensor(make()))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", CASES)
def test_votes_are_those_of_the_whole_graph_sample_by_sample(name: str) -> None:
    build, made = CASES[name]
    data, votes = made(), []
    for hops in (2, None):
        smoothed = classifier(build(), hops=hops)
        voter = smoothed._voter(data, TARGETS, VoterOptions(0))[0]
        assert is_cut(smoothed) == isinstance(voter, RemainingVoter) == (hops == 2)
        votes.append(voter.predict(range(60)))
    assert (votes[1] != votes[1][0]).any(), "some votes differ from sample to sample"
    assert torch.equal(*votes)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", CASES)
def test_exact_certificates_are_those_of_the_whole_graph_mask_by_mask(name: str) -> None:
    build, made = CASES[name]
    data = made()
    certificates = [
        classifier(build(), EXACT, hops).certify(data, node_index=TARGETS, audit=1.0, **QUIET)
        for hops in (2, None)
    ]
    for part in ("prediction", "p_lower", "largest_r", "mask_predictions"):
        np.testing.assert_array_equal(*(getattr(each, part) for each in certificates))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "transform",
    [
        HierarchicalNodeFeatureNoise(FixedSizeSelection(N // 2), SILENT),
        HierarchicalNodeFeatureNoise(torch.linspace(0.2, 0.9, N), SILENT),
        HierarchicalNodeFeatureNoise(PartitionSelection(3, 4, dealing="shuffled"), SILENT),
        HierarchicalNodeFeatureNoise(0.6, SILENT, append_indicator=False),
    ],
    ids=["fixed size", "each p", "shuffled", "no indicator"],
)
def test_nodes_are_selected_as_on_the_whole_graph(transform: Any) -> None:
    width, votes = D + int(transform.append_indicator), []
    for hops in (2, None):
        smoothed = classifier(Two(width=width), transform, hops)
        votes.append(smoothed.sample_votes(bare(), 60, 1, TARGETS, audit=1.0, **QUIET))
        assert is_cut(smoothed) == (hops == 2)
    assert torch.equal(*votes)


def test_what_is_left_is_all_that_two_hops_read() -> None:
    data = bare()
    voter = classifier(Two())._voter(data, TARGETS, VoterOptions(0))[0]
    for number in range(5):
        selected = voter.real(number)
        left, inner = voter.around(selected), set(TARGETS.tolist())
        edges = [edge for edge in data.edge_index.t().tolist() if not selected[edge[0]]]
        for _ in range(2):
            inner |= {source for source, target in edges if target in inner}
        kept = [edge for edge in edges if edge[1] in inner]
        own = left.nodes[left.graph.edge_index].t().tolist()
        assert own == kept
        assert set(left.nodes.tolist()) == inner | {source for source, _ in kept}
        assert torch.equal(left.nodes[left.targets], TARGETS.unique())


@pytest.mark.slow
def test_some_targets_get_the_same_votes_until_they_are_decided() -> None:
    options = {"node_index": TARGETS, "n": 600, "until": {"r": 1}, **QUIET}
    own, whole, shared = (
        classifier(Two(), hops=hops).certify(bare(), **options | {"num_workers": workers})
        for hops, workers in ((2, 0), (None, 0), (2, 2))
    )
    assert own.num_samples.min() < own.num_samples.max()
    for other in (whole, shared):
        np.testing.assert_array_equal(own.num_samples, other.num_samples)
        np.testing.assert_array_equal(own.p_lower, other.p_lower)


def test_the_few_that_are_left_of_all_nodes_are_sampled_on_what_is_left() -> None:
    smoothed = classifier(Two())
    data, everything = bare(), torch.arange(N)
    voter = smoothed._voter(data, everything, VoterOptions(0))[0]
    assert smoothed.neighborhoods == "whole graph (cheaper)"
    few = smoothed._narrowed(voter, data, everything)(torch.tensor([3, 500]))
    assert isinstance(few, RemainingVoter)
    assert torch.equal(few.predict(range(9)), voter.predict(range(9))[:, [3, 500]])


def test_few_outcomes_are_not_worth_a_trial() -> None:
    few = HierarchicalNodeFeatureNoise(PartitionSelection(3, 6), SILENT)
    smoothed = classifier(Two(), few)
    smoothed.certify(bare(), node_index=TARGETS, **QUIET)
    assert smoothed.neighborhoods == "whole graph (cheaper)"


class Further(Two):
    """Looks one hop further than it says."""

    def __init__(self, conv: Callable[[int, int], nn.Module]) -> None:
        super().__init__(conv)
        self.more = conv(8, 8)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        h = self.more(self.first(x, edge_index).tanh(), edge_index).tanh()
        return self.last(h, edge_index)


class DegreesAround(Two):
    """Features go two hops, and degrees three."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        own = degree(edge_index[1], x.size(0), x.dtype)
        around = torch.zeros_like(own).index_add(0, edge_index[1], own[edge_index[0]])
        return super().forward(x + around.view(-1, 1), edge_index)


class Squeezes(Two):
    """Forgets that there may be one node."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return super().forward(x, edge_index).squeeze(0)


class NotOnFew(Two):
    """Does something else with few nodes."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits.flip(1) if x.size(0) < N // 2 else logits


class NotAlone(Two):
    """Does something else with targets that nobody sends to."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits.flip(1) if x.size(0) == len(TARGETS.unique()) else logits


class Numbers(Two):
    """Keeps the numbers of nodes as long as these are as many."""

    numbers = torch.arange(0)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        if len(self.numbers) != x.size(0):
            self.numbers = torch.arange(x.size(0))
        return super().forward(x, edge_index) + 0.0 * self.numbers.view(-1, 1)


ON_THE_WHOLE: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "one hop further": (lambda: Further(GCNConv), TARGETS),
    "one hop further, without degrees": (lambda: Further(SAGEConv), TARGETS),
    "one hop further, one target": (lambda: Further(GATConv), TARGETS[:1]),
    "degrees around": (DegreesAround, TARGETS),
    "one node": (Squeezes, TARGETS[:1]),
    "few nodes": (NotOnFew, TARGETS),
    "numbers of nodes": (Numbers, TARGETS),
    "targets alone": (NotAlone, TARGETS),
    "random": (lambda: Two(GCNConv, Random()), TARGETS),
}


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.rand_like(x)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("transform", [SAMPLED, HierarchicalNodeFeatureNoise(0.97, SILENT)])
@pytest.mark.parametrize("name", ON_THE_WHOLE)
def test_models_for_which_too_little_is_left_get_the_whole_graph(name: str, transform: Any) -> None:
    build, targets = ON_THE_WHOLE[name]
    votes = []
    for hops in (2, None):
        smoothed = classifier(build(), transform, hops)
        votes.append(smoothed.sample_votes(bare(), 40, 0, targets, block_size=1, **QUIET))
        assert "whole graph" in smoothed.neighborhoods
    assert torch.equal(*votes)


class Beside(Two):
    """Something of all nodes beside two convolutions."""

    def __init__(self, what: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return super().forward(x, edge_index) + self.what(x, edge_index)


REFUSED: dict[str, Callable[[], nn.Module]] = {
    "PairNorm": lambda: Two(GCNConv, PairNorm()),
    "number of nodes": lambda: Beside(lambda x, e: x.new_tensor([0.0, x.size(0), 0.0])),
    "number of edges": lambda: Beside(lambda x, e: x.new_tensor([0.0, e.size(1), 0.0])),
    "mean": lambda: Beside(lambda x, e: x.mean(0)[:C]),
    "largest": lambda: Beside(lambda x, e: x.amax(0)[:C]),
    "out-degrees": lambda: Beside(lambda x, e: degree(e[0], x.size(0), x.dtype).view(-1, 1)),
}


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_models_whose_silent_nodes_reach_others_are_refused(
    name: str, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(node_module, "MAX_WHOLE", 0)
        monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    smoothed = classifier(REFUSED[name]())
    with pytest.raises(ImpureModelError, match="sends no messages reach others"):
        smoothed.sample_votes(bare(), 20, 0, TARGETS, **QUIET)


class LeaksOnMany(Two):
    """Lets silent nodes reach others on many nodes alone, in what all classes share."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits + x.amax() if x.size(0) >= N else logits


@pytest.mark.parametrize("is_large", [False, True])
def test_silent_nodes_are_tried_on_the_whole_graph(
    is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What shows on it alone, and in no vote."""
    if is_large:
        monkeypatch.setattr(node_module, "MAX_WHOLE", 0)
        monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    with pytest.raises(ImpureModelError, match="sends no messages reach others"):
        classifier(LeaksOnMany()).sample_votes(bare(), 20, 0, TARGETS, **QUIET)


@pytest.mark.parametrize("is_large", [False, True])
def test_honest_models_on_graphs_that_are_large(
    is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = classifier(Two(), hops=None).sample_votes(bare(), 40, 0, TARGETS, dense=True, **QUIET)
    if is_large:
        monkeypatch.setattr(node_module, "MAX_WHOLE", 0)
        monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    smoothed = classifier(Two())
    votes = smoothed.sample_votes(bare(), 40, 0, TARGETS, audit=1.0, **QUIET)
    assert is_cut(smoothed) and torch.equal(votes, plain)


class Rarely(Two):
    """Does something else where so many nodes are left as in no trial."""

    sizes: frozenset[int] = frozenset()

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits.flip(1) if x.size(0) in self.sizes else logits


def test_audits_ask_the_whole_graph() -> None:
    model = Rarely().eval()
    smoothed = classifier(model)
    voter = smoothed._voter(bare(), TARGETS, VoterOptions(0))[0]
    real = {len(voter.around(voter.real(number)).nodes) for number in range(2)}
    seen = {len(voter.around(voter.model.source.select(voter.stream(i))).nodes) for i in range(40)}
    model.sizes = frozenset(seen - real)
    smoothed = classifier(model)
    with pytest.raises(AuditError, match=r"with neighborhoods \(pass num_hops=None\)"):
        smoothed.sample_votes(bare(), 40, 0, TARGETS, audit=1.0, **QUIET)


def test_pairs_of_nodes_are_drawn_on_the_whole_graph() -> None:
    edges = HierarchicalEdgeNoise(PartitionSelection(3, 2), AblationNoise(), undirected=False)
    smoothed = classifier(Two(width=D), edges)
    smoothed.certify(bare(), node_index=TARGETS, **QUIET)
    assert smoothed.neighborhoods == "whole graph (pairs of nodes get noise)"


class Linked(Two):
    """Reads numbers of nodes that nothing renumbers."""

    def forward(self, x: Tensor, edge_index: Any, link: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, edge_index) + 0 * link.size(0)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("shape", [(2, 5), (2, -1)], ids=["some", "as many as edges"])
def test_attributes_that_cannot_be_cut_are_left_on_the_whole_graph(shape: tuple[int, int]) -> None:
    data = bare()
    data.link_index = data.edge_index[:, : shape[1] if shape[1] > 0 else None].clone()
    smoothed = SmoothedNodeClassifier(
        Linked().eval(),
        SAMPLED,
        C,
        forward=lambda model, x, graph: model(x, graph.edge_index, x[graph.link_index[0]]),
        keep=("link_index",),
        num_hops=2,
    )
    smoothed.sample_votes(data, 20, 0, TARGETS, **QUIET)
    assert smoothed.neighborhoods.startswith("whole graph (the model answers differently")


def test_compiled_models_are_called_on_one_graph() -> None:
    model = torch.compile(Two().eval(), backend="eager")
    smoothed = SmoothedNodeClassifier(model, SAMPLED, C, num_hops=2)
    smoothed.sample_votes(bare(), 5, 0, TARGETS, **QUIET)
    assert smoothed.neighborhoods == "whole graph (the model is compiled)"


def test_a_second_call_samples_at_once_and_other_targets_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    answers = remaining._answers_the_same

    def counted(voter: RemainingVoter, draw: Tensor) -> bool:
        asked.append(voter.num_targets)
        return answers(voter, draw)

    monkeypatch.setattr(remaining, "_answers_the_same", counted)
    smoothed, data = classifier(Two()), bare()
    first = smoothed.sample_votes(data, 20, 0, TARGETS, **QUIET)
    assert torch.equal(smoothed.sample_votes(data, 20, 0, TARGETS, **QUIET), first)
    smoothed.sample_votes(data, 20, 0, TARGETS[:3], **QUIET)
    assert asked == [len(TARGETS), 3]
    data.edge_index = data.edge_index.flip(0)
    smoothed.sample_votes(data, 20, 0, TARGETS, **QUIET)
    assert asked == [len(TARGETS), 3, len(TARGETS)]


class NotOnVeryFew(Two):
    """Does something else with two to twelve nodes, or by less than single precision shows, or
    fails.
    """

    def __init__(self, does: str) -> None:
        super().__init__()
        self.does = does

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        if not 1 < x.size(0) <= 12:
            return logits
        if self.does == "fail":
            raise RuntimeError("few nodes")
        return logits.flip(1) if self.does == "flip" else logits + 1e-9 * logits.flip(1)


@pytest.mark.parametrize("does", ["flip", "fail", "a little"])
def test_few_of_the_targets_are_tried_again(does: str) -> None:
    targets = torch.arange(0, N, N // 80)
    whole, own = (
        classifier(model, hops=2)._voter(bare(), targets, VoterOptions(0))[0]
        for model in (NotOnVeryFew(does), Two())
    )
    assert isinstance(whole, RemainingVoter) and isinstance(own, RemainingVoter)
    some = torch.tensor([3, 50, 51])
    expected = whole.predict(range(30))[:, some]
    assert len(own.only(some).centers) == 3
    assert torch.equal(own.only(some).predict(range(30)), own.predict(range(30))[:, some])
    fewer = whole.only(some)
    assert len(fewer.centers) > 3 and torch.equal(fewer.predict(range(30)), expected)
    assert torch.equal(fewer.only(torch.tensor([1])).predict(range(30)), expected[:, 1:2])


@pytest.mark.parametrize("is_large", [False, True])
def test_clean_edges_that_a_model_holds_are_found(
    is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(node_module, "MAX_WHOLE", 0)
        monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    model = Two()
    model.register_buffer("own", bare().edge_index.flip(0))
    with pytest.raises(ImpureModelError, match="holds the clean edges"):
        classifier(model).sample_votes(bare(), 20, 0, TARGETS, **QUIET)


class KeepsEdges(Two):
    """Keeps the first edges that it sees among many nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        if x.size(0) < N:
            return super().forward(x, edge_index)
        if self.kept is None:
            self.kept = edge_index
        return super().forward(x, self.kept)


@pytest.mark.parametrize("hops", [2, None])
@pytest.mark.parametrize("is_large", [False, True])
def test_edges_that_a_model_keeps_are_found(
    hops: int | None, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(node_module, "MAX_WHOLE", 0)
        monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    with pytest.raises(ImpureModelError):
        classifier(KeepsEdges(), hops=hops).sample_votes(bare(), 20, 0, TARGETS, **QUIET)
