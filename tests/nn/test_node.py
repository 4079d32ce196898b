from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GraphNorm

from pyg_hiersmooth import models
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.sampling import workers
from pyg_hiersmooth.sampling.checkpoint import read_votes
from pyg_hiersmooth.selection import FixedSizeSelection, PartitionSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 40, 9, 3
FLIPS = HierarchicalNodeFeatureNoise(0.7, SparseFlipNoise(0.1, 0.6))


def make_graph(num_nodes: int = N, num_features: int = D) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(num_nodes, num_features, generator=generator) < 0.3).float()
    edges = torch.randint(0, num_nodes, (2, 4 * num_nodes), generator=generator)
    return Data(x=x, edge_index=edges, test_mask=torch.arange(num_nodes) % 3 == 0)


def make_model(num_features: int = D + 1, num_classes: int = C) -> nn.Module:
    torch.manual_seed(0)
    return models.GCN(num_features, num_classes)


def smoothed(transform: HierarchicalNodeFeatureNoise = FLIPS) -> SmoothedNodeClassifier:
    return SmoothedNodeClassifier(make_model(), transform, C)


def test_votes_have_the_shape_of_the_targets() -> None:
    data = make_graph()
    for node_index in (None, data.test_mask, torch.tensor([3, 1]), [0, 5], np.array([2])):
        votes = smoothed().sample_votes(data, 30, node_index=node_index, progress=False)
        if node_index is None:
            size = N
        elif isinstance(node_index, Tensor) and node_index.dtype == torch.bool:
            size = int(node_index.sum())
        else:
            size = len(node_index)
        assert votes.shape == (size, C)
        assert votes.dtype == torch.int64
        assert bool((votes.sum(1) == 30).all())


@pytest.mark.one_in(4)
@pytest.mark.parametrize("noise", [SparseFlipNoise(0.1, 0.6), GaussianNoise(0.5), AblationNoise()])
@pytest.mark.parametrize("selection", [0.7, FixedSizeSelection(20), torch.linspace(0.1, 0.9, N)])
def test_same_votes_for_any_workers_and_ranges(noise: object, selection: object) -> None:
    data, classifier = make_graph(), smoothed(HierarchicalNodeFeatureNoise(selection, noise))
    quiet: dict[str, Any] = {"progress": False, "num_workers": 0}
    votes = classifier.sample_votes(data, 200, seed=4, **quiet)
    for num_workers in (1, 3) if isinstance(selection, float) else (2,):
        again = classifier.sample_votes(data, 200, seed=4, progress=False, num_workers=num_workers)
        assert torch.equal(votes, again)
    parts = [
        classifier.sample_votes(data, count, seed=4, start=start, **quiet)
        for start, count in ((0, 77), (77, 100), (177, 23))
    ]
    assert torch.equal(sum(parts), votes)
    assert not torch.equal(classifier.sample_votes(data, 200, seed=5, **quiet), votes)


def test_block_size_changes_nothing() -> None:
    data, classifier = make_graph(), smoothed()
    votes = [
        classifier.sample_votes(data, 100, progress=False, block_size=size)
        for size in (None, 1, 7, 64)
    ]
    assert all(torch.equal(votes[0], other) for other in votes[1:])


def test_dense_features_give_the_same_votes_for_flips() -> None:
    data, classifier = make_graph(), smoothed()
    fast = classifier.sample_votes(data, 100, progress=False)
    assert classifier.feature_path == "noise drawn behind the first linear layer"
    dense = classifier.sample_votes(data, 100, progress=False, dense=True)
    assert classifier.feature_path == "dense features (as asked)"
    assert torch.equal(fast, dense)


def test_sparse_features_give_the_same_votes() -> None:
    data, classifier = make_graph(), smoothed()
    votes = classifier.sample_votes(data, 100, progress=False)
    for sparse in (data.x.to_sparse_coo(), data.x.to_sparse_csr()):
        other = Data(x=sparse, edge_index=data.edge_index)
        assert torch.equal(classifier.sample_votes(other, 100, progress=False), votes)


class TableModel(nn.Module):
    """Reads a class for every node from a table over all binary features of a tiny graph."""

    def __init__(self, num_nodes: int, num_features: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.shape = (num_nodes, num_features)
        size = 2 ** (num_nodes * num_features)
        self.table = torch.randint(0, C, (size, num_nodes), generator=generator)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        code = x.view(-1, self.shape[0] * self.shape[1]) > 0.5
        index = (code.long() << torch.arange(code.size(1))).sum(1)
        return nn.functional.one_hot(self.table[index].view(-1), C).float()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("selection", [0.6, FixedSizeSelection(1), torch.tensor([0.3, 0.9])])
def test_vote_probabilities_equal_exact_enumeration(selection: object) -> None:
    """Every count lies within exact binomial bounds, false-alarm rate 1e-6 in all."""
    p_plus, p_minus, samples = 0.2, 0.7, 4_000
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    transform = HierarchicalNodeFeatureNoise(selection, SparseFlipNoise(p_plus, p_minus))
    model = TableModel(2, 3)
    votes = SmoothedNodeClassifier(model, transform, C).sample_votes(
        Data(x=x, edge_index=torch.tensor([[0], [1]])), samples, progress=False, num_workers=0
    )
    exact = np.zeros((2, C))
    for tau in itertools.product([0, 1], repeat=2):
        if isinstance(selection, FixedSizeSelection):
            weight = 0.5 if sum(tau) == 1 else 0.0
        else:
            p = np.broadcast_to(np.asarray(selection, dtype=float), 2)
            weight = float(np.prod([p[i] if tau[i] else 1 - p[i] for i in range(2)]))
        for bits in itertools.product([0, 1], repeat=4):
            z = torch.tensor(bits, dtype=torch.float).view(2, 2)
            mass = weight
            for i, j in itertools.product(range(2), range(2)):
                flip = p_minus if x[i, j] else p_plus
                flipped = bool(z[i, j] != x[i, j])
                mass *= (flip if flipped else 1 - flip) if tau[i] else float(not flipped)
            if mass > 0:
                features = torch.cat([z, torch.tensor(tau).float().view(-1, 1)], dim=1)
                prediction = model(features, torch.empty(2, 0)).argmax(1)
                exact[np.arange(2), prediction.numpy()] += mass
    np.testing.assert_allclose(exact.sum(1), 1.0)
    error = 1e-6 / (2 * C)
    assert (votes.numpy() >= binom.ppf(error / 2, samples, exact)).all()
    assert (votes.numpy() <= binom.ppf(1 - error / 2, samples, exact)).all()


def test_a_model_that_mixes_all_nodes_gets_one_graph_at_a_time() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lin, self.norm = nn.Linear(D + 1, C), GraphNorm(C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.norm(self.lin(x))

    classifier = SmoothedNodeClassifier(Mixing(), FLIPS, C)
    votes = classifier.sample_votes(make_graph(), 100, progress=False)
    alone = classifier.sample_votes(make_graph(), 100, progress=False, block_size=1)
    assert torch.equal(votes, alone)
    with pytest.raises(ValueError, match=r"'block_size' must be 1 .* \(got 2\)"):
        classifier.sample_votes(make_graph(), 100, progress=False, block_size=2)


def test_a_row_normalization_inside_the_model_is_right() -> None:
    class Normalizing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gcn = make_model()

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.gcn(x / x.sum(dim=1, keepdim=True).clamp(min=1), edge_index)

    classifier = SmoothedNodeClassifier(Normalizing(), FLIPS, C)
    votes = classifier.sample_votes(make_graph(), 100, progress=False)
    assert "dense" in (classifier.feature_path or "")
    assert torch.equal(
        votes, classifier.sample_votes(make_graph(), 100, progress=False, dense=True)
    )


class Router(nn.Module):
    """Looks at a first map of its features to choose the next; rarely the second."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([make_model(), make_model()])
        self.count = nn.Parameter(torch.ones(D + 1, 1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        num_ones = float((x @ self.count).sum())
        return self.experts[int(num_ones > 122)](x, edge_index)


def test_a_use_that_depends_on_the_sample_is_refused_not_drawn_anew() -> None:
    """To draw only such samples anew would bias the votes."""
    classifier = SmoothedNodeClassifier(Router(), FLIPS, C)
    with pytest.raises(ValueError, match="pass dense=True"):
        classifier.sample_votes(make_graph(), 200, progress=False, num_workers=0, block_size=1)
    votes = classifier.sample_votes(make_graph(), 200, progress=False, dense=True, block_size=1)
    assert bool((votes.sum(1) == 200).all())


def test_weights_made_anew_in_every_call_stay_dense() -> None:
    model = nn.Module()
    model.lin = nn.utils.parametrizations.weight_norm(nn.Linear(D + 1, C))
    classifier = SmoothedNodeClassifier(model, FLIPS, C, lambda model, x, data: model.lin(x))
    votes = classifier.sample_votes(make_graph(), 100, progress=False)
    assert "dense" in (classifier.feature_path or "")
    dense = classifier.sample_votes(make_graph(), 100, progress=False, dense=True)
    assert torch.equal(votes, dense)


def test_a_model_that_catches_exceptions_takes_the_same_way() -> None:
    class Catching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(D + 1, C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            with contextlib.suppress(Exception):
                x = x - 9 * x.mean(1, keepdim=True)
            return self.lin(x)

    classifier = SmoothedNodeClassifier(Catching(), FLIPS, C)
    votes = classifier.sample_votes(make_graph(), 100, progress=False)
    dense = classifier.sample_votes(make_graph(), 100, progress=False, dense=True)
    assert torch.equal(votes, dense)


def test_a_large_logit_elsewhere_does_not_hide_that_copies_mix() -> None:
    class Hub(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lin = nn.Linear(D + 1, C)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            hidden = self.lin(x)
            logits = hidden - hidden.mean(0)
            return torch.cat([1e5 * hidden[:1], logits[1:]])

    classifier = SmoothedNodeClassifier(Hub(), FLIPS, C)
    with pytest.raises(ValueError, match="'block_size' must be 1"):
        classifier.sample_votes(make_graph(), 10, progress=False, block_size=4)


def test_passes_on_what_the_graph_has_and_the_model_takes() -> None:
    data = make_graph()
    data.edge_weight = torch.rand(data.num_edges)
    data.edge_attr = torch.rand(data.num_edges, 2)
    sums = [float(data[name].sum()) for name in ("edge_index", "edge_weight", "edge_attr")]

    class Checks(nn.Module):
        def forward(
            self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, edge_attr: Tensor
        ) -> Tensor:
            assert [float(each.sum()) for each in (edge_index, edge_weight, edge_attr)] == sums
            return x[:, :C]

    votes = SmoothedNodeClassifier(Checks(), FLIPS, C).sample_votes(
        data, 1, progress=False, block_size=1
    )
    assert votes.shape == (data.num_nodes, C)


def test_a_forward_callable_takes_another_signature() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gcn = make_model()

        def forward(self, graph: Data) -> Tensor:
            return self.gcn(graph.features, graph.edge_index)

    def forward(model: nn.Module, x: Tensor, data: Data) -> Tensor:
        data = data.clone()
        data.features = x
        return model(data)

    data = make_graph()
    votes = SmoothedNodeClassifier(Other(), FLIPS, C, forward).sample_votes(
        data, 50, progress=False
    )
    assert torch.equal(votes, smoothed().sample_votes(data, 50, progress=False))


def test_the_model_runs_in_evaluation_mode_and_gets_its_mode_back() -> None:
    classifier = smoothed()
    classifier.model.train()
    classifier.model.conv2.eval()
    votes = classifier.sample_votes(make_graph(), 50, progress=False)
    assert classifier.model.training
    assert not classifier.model.conv2.training
    classifier.eval()
    assert torch.equal(votes, classifier.sample_votes(make_graph(), 50, progress=False))


def test_calling_it_estimates_vote_probabilities() -> None:
    data, classifier = make_graph(), smoothed()
    probabilities = classifier(data, num_samples=50, node_index=data.test_mask)
    votes = classifier.sample_votes(data, 50, node_index=data.test_mask, progress=False)
    torch.testing.assert_close(probabilities, votes / 50)
    assert not probabilities.requires_grad


def test_certify_selects_and_bounds_with_different_samples() -> None:
    data, classifier = make_graph(), smoothed()
    certificate = classifier.certify(
        data, n0=60, n=200, seed=2, node_index=data.test_mask, progress=False
    )
    pre_votes = classifier.sample_votes(data, 60, 2, data.test_mask, False)
    votes = classifier.sample_votes(data, 200, 2, data.test_mask, False, start=60)
    from pyg_hiersmooth.certificates import certify_votes

    expected = certify_votes(FLIPS, pre_votes, votes)
    np.testing.assert_array_equal(certificate.prediction, expected.prediction)
    np.testing.assert_array_equal(certificate.p_lower, expected.p_lower)
    np.testing.assert_array_equal(certificate.index, data.test_mask.nonzero().view(-1))
    assert certificate.num_features == D
    assert set(certificate.num_entities) == {N}


def test_certify_continues_from_its_folder(tmp_path: Path) -> None:
    data, classifier = make_graph(), smoothed()
    first = classifier.certify(data, 20, 50, progress=False, checkpoint=tmp_path)
    again = classifier.certify(data, 20, 50, progress=False, checkpoint=tmp_path)
    np.testing.assert_array_equal(first.p_lower, again.p_lower)
    assert read_votes(tmp_path / "pre_votes.npz")[1] == 20
    assert read_votes(tmp_path / "votes.npz")[1] == 50


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (dict(seed=1), "seed"),
        (dict(data="features"), "features"),
        (dict(data="graph"), "objects"),
        (dict(model="weights"), "model weights"),
        (dict(transform="p"), "transform"),
        (dict(node_index=[0]), "targets"),
        (dict(start=10), "start"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_the_difference(
    change: dict[str, object], name: str, tmp_path: Path
) -> None:
    path = tmp_path / "votes.npz"
    arguments = dict(num_samples=20, seed=0, node_index=[1], start=0, progress=False)
    data, classifier = make_graph(), smoothed()
    classifier.sample_votes(data, checkpoint=path, **arguments)
    if change.get("data") == "features":
        data.x[1, 0] = 1 - data.x[1, 0]
    if change.get("data") == "graph":
        data.edge_index = data.edge_index.flip(0)
    if change.get("model") == "weights":
        with torch.no_grad():
            next(classifier.model.parameters()).add_(1e-6)
    if change.get("transform") == "p":
        classifier.transform = HierarchicalNodeFeatureNoise(0.71, SparseFlipNoise(0.1, 0.6))
    arguments.update({k: v for k, v in change.items() if k in arguments})
    with pytest.raises(ValueError, match=f"made with another '{name}'"):
        classifier.sample_votes(data, checkpoint=path, **arguments)


def test_a_checkpoint_of_another_call_of_the_model_is_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "votes.npz", make_graph()
    one, other = (
        SmoothedNodeClassifier(make_model(), FLIPS, C, forward)
        for forward in (
            lambda model, x, graph: model(x, graph.edge_index),
            lambda model, x, graph: -model(x, graph.edge_index),
        )
    )
    one.sample_votes(data, 20, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="made with another 'trial logits'"):
        other.sample_votes(data, 30, checkpoint=path, progress=False)


SLOW_RUN = """
import sys, torch
from pyg_hiersmooth.sampling import checkpoint
checkpoint.SECONDS_BETWEEN_SAVES = 0.1
sys.path.insert(0, sys.argv[2])
from test_node import make_graph, smoothed
classifier = smoothed()
votes = classifier.sample_votes(
    make_graph(400), 20_000, num_workers=int(sys.argv[3]), progress=False, checkpoint=sys.argv[1]
)
torch.save(votes, sys.argv[1] + ".pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_at_any_moment_it_continues_to_the_same_votes(
    num_workers: int, tmp_path: Path
) -> None:
    path, here = tmp_path / "votes.npz", str(Path(__file__).parent)
    command = [sys.executable, "-c", SLOW_RUN, str(path), here, str(num_workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    done = 0
    while done == 0 and time.monotonic() < deadline:
        time.sleep(0.2)
        done = read_votes(path)[1] if path.exists() else 0
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, done, _ = read_votes(path)
    assert 0 < done < 20_000
    wanted = done + 100
    data, classifier = make_graph(400), smoothed()
    resumed = classifier.sample_votes(data, wanted, progress=False, checkpoint=path)
    begun_anew = classifier.sample_votes(data, wanted, progress=False, num_workers=0)
    assert torch.equal(resumed, begun_anew)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_samples=0), r"'num_samples' must be an integer of at least 1 \(got 0\)"),
        (dict(num_samples=1.5), "'num_samples' must be an integer"),
        (dict(seed=-1), "'seed' must be an integer of at least 0"),
        (dict(start=-1), "'start' must be an integer of at least 0"),
        (dict(block_size=0), "'block_size' must be an integer of at least 1"),
        (dict(num_workers=-1), "'num_workers' must be at least 0"),
        (dict(node_index=[]), "'node_index' must name at least one node"),
        (dict(node_index=torch.zeros(N, dtype=torch.bool)), "must name at least one node"),
        (dict(node_index=[N]), f"must lie between 0 and {N - 1}"),
        (dict(node_index=[-1]), f"must lie between 0 and {N - 1}"),
        (dict(node_index=[0.5]), "must be a mask or integers"),
        (dict(node_index=torch.ones(N, dtype=torch.uint8)), "must be a mask or integers"),
        (dict(num_samples=float("nan")), "'num_samples' must be an integer"),
        (dict(num_samples="a"), "'num_samples' must be an integer"),
        (dict(node_index=torch.ones(3, dtype=torch.bool)), rf"must have the shape \[{N}\]"),
    ],
)
def test_bad_arguments_of_sample_votes(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smoothed().sample_votes(make_graph(), **{"num_samples": 10, "progress": False, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n0=0), "'n0' must be an integer of at least 1"),
        (dict(n=0), "'n' must be an integer of at least 1"),
        (dict(alpha=0.0), r"'alpha' must be a probability in \(0, 1\)"),
        (dict(alpha=1.0), r"'alpha' must be a probability in \(0, 1\)"),
        (dict(kind="multi"), "'kind' must be one of"),
    ],
)
def test_bad_arguments_of_certify_fail_before_any_sampling(
    arguments: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        smoothed().certify(make_graph(), checkpoint=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_bad_features_models_and_transforms() -> None:
    data = make_graph()
    with pytest.raises(TypeError, match="'data' must be a Data or HeteroData"):
        smoothed().sample_votes([data], 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'model' must be a torch"):
        SmoothedNodeClassifier(None, FLIPS, C)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"failed on features of shape \[40, 10\] \(the last is"):
        SmoothedNodeClassifier(make_model(D), FLIPS, C).sample_votes(data, 1)
    with pytest.raises(ValueError, match=r"logits of shape \[40, 3\] \(got \[40, 4\]\)"):
        SmoothedNodeClassifier(make_model(D + 1, 4), FLIPS, C).sample_votes(data, 1)
    with pytest.raises(ValueError, match=r"logits of shape \[40, 3\] \(got tuple\)"):
        SmoothedNodeClassifier(make_model(), FLIPS, C, lambda m, x, d: (x, x)).sample_votes(data, 1)
    nans = SmoothedNodeClassifier(
        make_model(), FLIPS, C, lambda m, x, d: torch.full((x.size(0), C), float("nan"))
    )
    with pytest.raises(ValueError, match="NaN or infinite"):
        nans.sample_votes(data, 1, progress=False, block_size=1)
    data.x[0, 0] = 0.5
    with pytest.raises(ValueError, match="binary features"):
        smoothed().sample_votes(data, 1)
    data.x[0, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        smoothed().sample_votes(data, 1)
    with pytest.raises(ValueError, match="no node features 'x'"):
        smoothed().sample_votes(Data(edge_index=data.edge_index), 1)
    with pytest.raises(TypeError, match="'transform' must be a HierarchicalNodeFeatureNoise"):
        SmoothedNodeClassifier(make_model(), None, C)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'num_classes' must be an integer of at least 2"):
        SmoothedNodeClassifier(make_model(), FLIPS, 1)


def test_says_what_it_is_going_to_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrapper, data = smoothed(), make_graph()
    options: dict[str, Any] = {"n0": 20, "num_workers": 0, "checkpoint": tmp_path / "votes"}
    wrapper.certify(data, n=30, progress=False, **options)
    assert wrapper.cost is None and capsys.readouterr().err == ""
    wrapper.certify(data, n=30, **options)  # all is there already
    assert wrapper.cost is None and "forward passes" not in capsys.readouterr().err
    fresh = options | {"checkpoint": None}
    told = wrapper.certify(data, n=30, **fresh)
    assert wrapper.cost is not None and wrapper.cost.num_samples == 50
    assert "50 forward passes, about a second" in capsys.readouterr().err
    np.testing.assert_array_equal(
        told.p_lower, wrapper.certify(data, n=30, progress=False, **fresh).p_lower
    )
    question = {"r": 1, "additions": 1}
    wrapper.certify(data, n=30, num_workers=0, until=question)
    assert wrapper.cost is not None and wrapper.cost.num_samples == 30
    assert not any("until" in hint for hint in wrapper.cost.hints)
    ablation = smoothed(HierarchicalNodeFeatureNoise(0.7, AblationNoise()))
    ablation.certify(data, n=30, **fresh)
    assert ablation.cost is not None
    assert [hint.split()[0] for hint in ablation.cost.hints] == [
        "'until',",
        "PartitionSelection,",
        "fewer",
    ]


def test_exposures_are_those_of_the_models_own_edges() -> None:
    torch.manual_seed(0)
    data = Data(x=torch.rand(30, 4), edge_index=torch.randint(30, (2, 80)), num_nodes=30)
    transform = HierarchicalNodeFeatureNoise(PartitionSelection(5, 3), AblationNoise(of="messages"))
    smoothed = SmoothedNodeClassifier(GCN(5, 8, 2, 3).eval(), transform, 3, num_hops=2)
    targets = torch.tensor([7, 3])
    found = smoothed.exposure(data, targets).toarray()
    for row, target in enumerate(targets.tolist()):
        for node in range(30):
            through = 0
            for outcome in range(transform.selection.num_masks):
                sends = ~transform.selection.mask(outcome, [30])
                step = torch.eye(30)
                step[data.edge_index[1], data.edge_index[0]] = 1.0
                step *= sends | torch.eye(30, dtype=torch.bool)
                reached = torch.linalg.matrix_power(step, 2)[target, node] > 0
                through += int(reached and bool(sends[node])) if node != target else 1
            assert found[row, node] == through
    with pytest.raises(ValueError, match=r"3 would do|2 would do"):
        smoothed.num_hops = 1
        smoothed.exposure(data, targets)
    ablated = HierarchicalNodeFeatureNoise(0.5, AblationNoise())
    with pytest.raises(ValueError, match="an exposure is about AblationNoise"):
        SmoothedNodeClassifier(GCN(5, 8, 2, 3), ablated, 3).exposure(data)


class ReadsMore(nn.Module):
    """Reads its features beyond its first map where that maps to large numbers."""

    def __init__(self, far: bool) -> None:
        super().__init__()
        self.far, self.map = far, nn.Linear(D + 1, C)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.map(x)
        logits = hidden.index_add(0, edge_index[1], hidden[edge_index[0]])
        if bool(hidden.abs().max() > 100.0):
            squares = x.square().sum(1, keepdim=True)
            logits = logits + (squares.mean(0) if self.far else torch.where(squares > 0, 0.0, 0.0))
        return logits


def test_hops_are_tried_on_features_where_products_are_not_enough() -> None:
    for far in (False, True):
        torch.manual_seed(0)
        wrapper = SmoothedNodeClassifier(ReadsMore(far).eval(), FLIPS, C, num_hops=1)
        refused = pytest.raises(ValueError, match="features further away move logits")
        with refused if far else contextlib.nullcontext():
            wrapper.sample_votes(make_graph(), 3, progress=False)
            assert str(wrapper.feature_path).startswith("noise drawn behind")
            assert str(wrapper.neighborhoods).startswith("whole graph")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of processes that were started at a time."""
    numbers: list[int] = []

    class Counted(workers.Workers):
        def __init__(self, voter: Any, num_workers: int) -> None:
            numbers.append(num_workers)
            super().__init__(voter, num_workers)

    monkeypatch.setattr(workers, "Workers", Counted)
    return numbers


def test_the_rounds_of_a_certificate_share_their_workers(started: list[int]) -> None:
    options: dict[str, Any] = {"until": {"r": 1, "deletions": 1}, "n": 1_500, "progress": False}
    found = smoothed().certify(make_graph(), num_workers=2, audit=0.05, **options)
    assert found.votes is not None and len({*found.votes.sum(1)}) > 2  # not all stay to the end
    assert started == [2]
    alone = smoothed().certify(make_graph(), num_workers=0, **options)
    assert (found.votes == alone.votes).all()


def test_the_parts_of_a_certificate_share_their_workers(started: list[int]) -> None:
    options: dict[str, Any] = {"n0": 70, "n": 130, "progress": False}
    wrapper = smoothed()
    first = wrapper.certify(make_graph(), num_workers=1, **options)
    assert started == [1]
    assert (first.votes == smoothed().certify(make_graph(), num_workers=0, **options).votes).all()
    with torch.no_grad():  # another call never asks the processes of this one
        for parameter in wrapper.model.parameters():
            parameter.neg_()
    other = wrapper.certify(make_graph(), num_workers=1, **options)
    assert started == [1, 1]
    assert (other.votes == wrapper.certify(make_graph(), num_workers=0, **options).votes).all()
    assert not (other.votes == first.votes).all()
