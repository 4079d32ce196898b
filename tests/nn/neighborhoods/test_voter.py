from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn import node as node_module
from pyg_hiersmooth.nn.neighborhoods import voter as voter_module
from pyg_hiersmooth.nn.neighborhoods.neighborhood import CSC
from pyg_hiersmooth.nn.neighborhoods.trial import HOPS_BEYOND, strangers
from pyg_hiersmooth.nn.neighborhoods.voter import NeighborhoodVoter
from pyg_hiersmooth.nn.voters.forward_voter import ForwardVoter
from pyg_hiersmooth.nn.voters.model_trial import ModelTrial
from pyg_hiersmooth.nn.voters.voter_options import VoterOptions
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.selection import FixedSizeSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 900, 6, 3
TARGETS = torch.tensor([400, 2, 401, 650])
FALSE_ALARM = 1e-4
r"""Probability that right votes fail a test here; seeds are fixed."""


def make(directed: bool = True) -> Data:
    """Small worlds far from each other, with weights, self-loops and repeated edges."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(N, (2 * N,), generator=generator)
    destination = (source + torch.randint(1, 6, (2 * N,), generator=generator)) % N
    edge_index = torch.stack([source, destination])
    edge_index = torch.cat([edge_index, edge_index[:, :20], torch.arange(30).repeat(2, 1)], dim=1)
    x = (torch.rand(N, D, generator=generator) < 0.4).float()
    return Data(x=x, edge_index=edge_index, y=torch.zeros(N, dtype=torch.long))


class Model(nn.Module):
    """Two convolutions."""

    def __init__(self, conv: type = GCNConv) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second = conv(D + 1, 8), conv(8, C)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        return self.second(self.first(x, edge_index).tanh(), edge_index)


def classifier(transform: Any, conv: type = GCNConv, num_hops: int | None = 2) -> Any:
    return SmoothedNodeClassifier(Model(conv).eval(), transform, C, num_hops=num_hops)


FLIPS = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.2, 0.5))
EXACT = HierarchicalNodeFeatureNoise(PartitionSelection(5, 4), AblationNoise())


@pytest.mark.parametrize("conv", [GCNConv, GATConv, SAGEConv])
def test_exact_certificates_are_those_of_the_whole_graph(conv: type) -> None:
    data, certificates = make(), []
    for hops in (2, None):
        smoothed = classifier(EXACT, conv, hops)
        certificate = smoothed.certify(data, node_index=TARGETS, progress=False, num_workers=0)
        certificates.append(certificate)
        assert ("for 4 targets" in str(smoothed.neighborhoods)) == (hops == 2)
    for name in ("prediction", "p_lower", "largest_r", "index"):
        np.testing.assert_array_equal(*(getattr(each, name) for each in certificates))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "transform",
    [
        FLIPS,
        HierarchicalNodeFeatureNoise(0.7, GaussianNoise(0.8)),
        HierarchicalNodeFeatureNoise(FixedSizeSelection(N // 2), AblationNoise()),
        HierarchicalNodeFeatureNoise(torch.linspace(0.2, 0.9, N), SparseFlipNoise(0.1, 0.5)),
    ],
    ids=["flips", "gaussian", "fixed_size", "each_p"],
)
def test_votes_are_distributed_as_on_the_whole_graph(transform: Any) -> None:
    data, n, votes = make(), 800, []
    for hops in (2, None):
        smoothed = classifier(transform, num_hops=hops)
        votes.append(
            smoothed.sample_votes(data, n, 1, TARGETS, False, num_workers=0).numpy().astype(float)
        )
    assert (votes[0].max(1) < n).any(), "some votes differ from sample to sample"
    for local, whole in zip(*votes, strict=True):
        seen = local + whole > 0
        if seen.sum() > 1:
            table = np.stack([local, whole])[:, seen]
            assert stats.chi2_contingency(table).pvalue > FALSE_ALARM


def test_votes_do_not_depend_on_workers_nor_blocks() -> None:
    data, votes = make(), []
    for options in ({"num_workers": 0}, {"num_workers": 2}):
        votes.append(classifier(FLIPS).sample_votes(data, 90, 0, TARGETS, False, **options))
    assert torch.equal(*votes)


def voter_of(transform: Any, targets: Tensor = TARGETS) -> NeighborhoodVoter:
    smoothed = classifier(transform)
    voter = smoothed._voter(make(), targets, VoterOptions(0))[0]
    assert isinstance(voter, NeighborhoodVoter)
    return voter


@pytest.mark.parametrize("positions", [[0], [1, 2], [0, 1, 2, 3]])
def test_a_voter_on_some_of_the_targets_casts_the_same_votes(positions: list[int]) -> None:
    voter = voter_of(FLIPS)
    some = voter.only(torch.tensor(positions))
    assert some.num_targets == len(positions)
    assert torch.equal(some.predict(range(7)), voter.predict(range(7))[:, positions])
    assert len(some.voters) <= len(voter.voters)


def test_repeated_targets_get_the_same_votes() -> None:
    targets = torch.tensor([400, 2, 400])
    voter = voter_of(FLIPS, targets)
    votes = voter.predict(range(9))
    assert torch.equal(votes[:, 0], votes[:, 2])
    assert torch.equal(voter.asked, targets)
    assert torch.equal(voter.only(torch.tensor([1, 2])).predict(range(9)), votes[:, 1:])


def test_rows_far_outside_are_never_read_in_a_large_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    data, poisoned = make(), make()
    edges = CSC(data)
    beside = edges.field(strangers(edges, 2), 2).nodes
    read = np.union1d(edges.field(TARGETS.numpy(), 2 + HOPS_BEYOND).nodes, beside)
    outside = torch.ones(N, dtype=torch.bool)
    outside[torch.from_numpy(read)] = False
    assert outside.sum() > 0
    poisoned.x[outside] = float("nan")
    votes = [
        classifier(FLIPS).sample_votes(each, 30, 0, TARGETS, False, num_workers=0)
        for each in (data, poisoned)
    ]
    assert torch.equal(*votes)


def test_memory_mapped_features(tmp_path: Any) -> None:
    data = make()
    torch.save(data.x, tmp_path / "x.pt")
    mapped = make()
    mapped.x = torch.load(tmp_path / "x.pt", mmap=True, weights_only=True)
    votes = [
        classifier(FLIPS).sample_votes(each, 30, 0, TARGETS, False, num_workers=0)
        for each in (data, mapped)
    ]
    assert torch.equal(*votes)


def test_sampling_until_it_is_known() -> None:
    data = make()
    options = {"node_index": TARGETS, "progress": False, "until": {"r": 1, "deletions": 1}}
    certificates = [
        classifier(FLIPS).certify(data, n=600, num_workers=workers, **options) for workers in (0, 2)
    ]
    taken = [each.num_samples for each in certificates]
    np.testing.assert_array_equal(*taken)
    assert taken[0].min() < 600
    np.testing.assert_array_equal(*(each.p_lower for each in certificates))


def test_a_checkpoint_names_what_differs(tmp_path: Any) -> None:
    data, path = make(), tmp_path / "votes.npz"
    options = {"progress": False, "num_workers": 0, "checkpoint": path}
    smoothed = classifier(FLIPS)
    smoothed.sample_votes(data, 20, node_index=TARGETS, **options)
    with pytest.raises(ValueError, match="another 'targets'"):
        smoothed.sample_votes(data, 40, node_index=TARGETS + 1, **options)
    data.x[voter_of(FLIPS).nodes[0][0]] = 0.5 * 2 - data.x[voter_of(FLIPS).nodes[0][0]]
    with pytest.raises(ValueError, match="another 'features'"):
        smoothed.sample_votes(data, 40, node_index=TARGETS, **options)


def test_clean_features_that_a_model_holds_are_found() -> None:
    data = make()
    model = Model()
    model.kept = nn.Parameter(torch.cat([data.x, data.x], dim=1), requires_grad=False)
    smoothed = SmoothedNodeClassifier(model, FLIPS, C, num_hops=2)
    with pytest.raises(ValueError, match="holds the clean features"):
        smoothed.sample_votes(data, 10, node_index=TARGETS, progress=False, num_workers=0)


@pytest.mark.slow
def test_the_few_that_are_left_are_sampled_on_their_neighborhoods(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All nodes are sampled on the whole graph, and the last undecided ones on small parts; an
    interruption anywhere changes nothing.
    """
    data, made, drawn = make(), [], []
    init, count = NeighborhoodVoter.__init__, ForwardVoter.count

    def watched(self: NeighborhoodVoter, voters: list[Any], *args: Any) -> None:
        made.append(sum(voter.num_targets for voter in voters))
        init(self, voters, *args)

    def stopped(self: Any, samples: range, audited: Any) -> Tensor:
        drawn.append(samples)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return count(self, samples, audited)

    monkeypatch.setattr(NeighborhoodVoter, "__init__", watched)
    options: dict[str, Any] = {"progress": False, "num_workers": 0, "n": 2_000}
    options["until"] = {"r": 1, "deletions": 1}
    smoothed = classifier(FLIPS)
    whole = smoothed.certify(data, **options)
    assert "whole graph" in smoothed.neighborhoods
    assert made and max(made) < N / 2
    assert whole.num_samples.max() == 2_000

    for voter in (ForwardVoter, NeighborhoodVoter):
        count, folder = voter.count, tmp_path / voter.__name__
        drawn.clear()
        with monkeypatch.context() as interrupted:
            interrupted.setattr(voter, "count", stopped)
            with pytest.raises(KeyboardInterrupt):
                classifier(FLIPS).certify(data, checkpoint=folder, **options)
        again = classifier(FLIPS).certify(data, checkpoint=folder, **options)
        np.testing.assert_array_equal(again.num_samples, whole.num_samples)
        np.testing.assert_array_equal(again.p_lower, whole.p_lower)


class LooksUp(Model):
    """Adds what it knows of each node by its number: made from clean features."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.known = known

    def forward(self, x: Tensor, edge_index: Any, number: Tensor) -> Tensor:
        known = self.known.index_select(0, number)
        return super().forward(x, edge_index) + 9.0 * known.to_dense()[:, :C]


@pytest.mark.parametrize("kind", ["propagated", "sparse", "permuted"])
def test_nothing_gets_around_the_noise_by_the_numbers_of_nodes(kind: str) -> None:
    """Numbers of nodes are cut out with a neighborhood, so a table of all nodes can be read."""
    data = make()
    data.number = torch.arange(N)
    known = {
        "propagated": (data.x + data.x.roll(1, 0))[:, :C],
        "sparse": data.x.to_sparse(),
        "permuted": data.x.flip(0),
    }[kind]
    model = LooksUp(data.x)
    if kind == "propagated":
        model.known = known
    else:
        del model.known
        model.register_buffer("known", known)
    smoothed = SmoothedNodeClassifier(
        model,
        FLIPS,
        C,
        lambda model, x, graph: model(x, graph.edge_index, graph.number),
        keep=("number",),
        num_hops=2,
    )
    with pytest.raises(ValueError, match="clean features"):
        smoothed.sample_votes(data, 10, node_index=TARGETS, progress=False, num_workers=0)


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Graphs are too large to be tried on; how many nodes those have that models are tried on."""
    sizes: list[int] = []
    run = ModelTrial.run

    def recorded(trial: ModelTrial) -> None:
        sizes.append(trial.model.x.size(0))
        run(trial)

    monkeypatch.setattr(ModelTrial, "run", recorded)
    monkeypatch.setattr(node_module, "MAX_WHOLE", 0)
    monkeypatch.setattr(voter_module, "MAX_WHOLE", 0)
    monkeypatch.setattr(voter_module, "TARGETS_OF_PART", 16)
    return sizes


QUIET: dict[str, Any] = {"num_samples": 60, "progress": False, "num_workers": 0}


class First(Model):
    """Keeps something of the first features of many nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor | None = None

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        if x.size(0) < N:
            return logits
        if self.mean is None:
            self.mean = x.mean(0)
        return logits + 1e-3 * self.mean[:C]


def test_what_is_kept_of_the_first_features_of_a_large_graph_is_found(
    all_are_large: list[int],
) -> None:
    smoothed = SmoothedNodeClassifier(First().eval(), FLIPS, C, num_hops=None)
    with pytest.raises(ValueError, match=r"'model\.mean' changes from call to call"):
        smoothed.sample_votes(make(), **QUIET)


class Random(Model):
    """Draws random numbers on many nodes."""

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        return logits if x.size(0) < N else logits + torch.rand_like(logits)


def test_random_numbers_on_a_large_graph_alone_are_found(all_are_large: list[int]) -> None:
    smoothed = SmoothedNodeClassifier(Random().eval(), EXACT, C, num_hops=None)
    with pytest.raises(ValueError, match="draws random numbers"):
        smoothed.certify(make(), progress=False, num_workers=0)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("conv", [GCNConv, GATConv, SAGEConv])
@pytest.mark.parametrize("num_hops", [2, None])
def test_on_a_large_graph_a_model_is_tried_on_a_part(
    conv: type, num_hops: int | None, all_are_large: list[int]
) -> None:
    smoothed, data = classifier(FLIPS, conv, num_hops), make()
    votes = smoothed.sample_votes(data, **QUIET, audit=1.0)
    assert all(size < N for size in all_are_large)
    plain = classifier(FLIPS, conv, None).sample_votes(data, **QUIET, dense=True)
    assert all_are_large[-1] == N and torch.equal(votes, plain)
    tried = len(all_are_large)
    assert torch.equal(smoothed.sample_votes(data, **QUIET), votes)
    assert len(all_are_large) == tried, "and not again"


class NotEverywhere(Model):
    """Answers otherwise on matrices, fails, or never answers alike, on graphs of many nodes."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.calls = what, 0

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        logits = super().forward(x, edge_index)
        if x.size(0) < N:
            return logits
        is_matrix = not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided
        if self.what == "matrix" and is_matrix:
            return logits.flip(1)
        if self.what == "offset":  # single precision rounds more behind it than matrices change
            return logits + 1e-3 * is_matrix * logits.flip(1) + 1e4
        if self.what == "calls":
            self.calls += 1
            return logits + self.calls
        if self.what == "nothing":
            return torch.zeros_like(logits)
        return logits


def test_what_shows_on_all_of_a_large_graph_alone_is_found(all_are_large: list[int]) -> None:
    def votes(model: Any, **options: Any) -> Tensor:
        smoothed = SmoothedNodeClassifier(model.eval(), FLIPS, C, num_hops=None)
        return smoothed.sample_votes(make(), **QUIET, **options)

    plain = votes(Model(), dense=True)
    all_are_large.clear()
    assert torch.equal(votes(NotEverywhere("matrix")), plain) and all_are_large[-1] == N
    all_are_large.clear()
    votes(NotEverywhere("offset"))
    assert all_are_large[-1] == N
    with pytest.raises(ValueError, match="changes from call to call"):
        votes(NotEverywhere("calls"))
    with pytest.raises(ValueError, match="does not depend on the noisy features"):
        votes(NotEverywhere("nothing"))


def test_features_of_a_large_graph_are_found_in_a_model(all_are_large: list[int]) -> None:
    model = Model()
    model.register_buffer("table", make().x.nonzero())
    with pytest.raises(ValueError, match="holds the clean features"):
        SmoothedNodeClassifier(model, FLIPS, C).sample_votes(make(), **QUIET)


def test_hops_are_tried_on_parts_of_a_large_graph(all_are_large: list[int]) -> None:
    smoothed = classifier(FLIPS, GCNConv, 1)
    with pytest.raises(ValueError, match=r"2 would do; got 1"):
        smoothed.sample_votes(make(), **QUIET)
