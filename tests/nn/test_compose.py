"""Noise at the end of PyG's ``Compose``: what comes before it is done to the clean data, once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, global_mean_pool
from torch_geometric.transforms import (
    AddRandomWalkPE,
    AddSelfLoops,
    BaseTransform,
    Compose,
    GCNNorm,
    LocalDegreeProfile,
    NormalizeFeatures,
)

from pyg_hiersmooth.nn import (
    SmoothedGraphClassifier,
    SmoothedImageClassifier,
    SmoothedNodeClassifier,
)
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

N, D, C = 30, 4, 3
NOISE = HierarchicalNodeFeatureNoise(0.7, GaussianNoise(0.5))
KINDS: tuple[Any, ...] = (SmoothedNodeClassifier, SmoothedGraphClassifier)
COMPOSED = Compose([NormalizeFeatures(), AddSelfLoops(), NOISE])


class Model(nn.Module):
    """A convolution, of nodes or pooled."""

    num_hops = 1

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = GCNConv(D + 1, C)

    def forward(self, x: Any, edge_index: Any, batch: Any = None) -> Any:
        h = self.conv(x, edge_index)
        return h if batch is None else global_mean_pool(h, batch)


def make(seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(N, D, generator=generator) * 9
    x[torch.rand(N, D, generator=generator) < 0.3] = 0  # the smallest number, which many rows have
    return Data(x=x, edge_index=torch.randint(N, (2, 60), generator=generator))


def cleaned(data: Data) -> Data:
    return AddSelfLoops()(NormalizeFeatures()(data.clone()))


def test_nodes_are_certified_as_on_cleaned_data() -> None:
    data, given = make(), make()
    composed = SmoothedNodeClassifier(Model(), COMPOSED, C)
    alone = SmoothedNodeClassifier(Model(), NOISE, C)
    options: dict[str, Any] = {"progress": False, "num_workers": 0}
    votes = [composed.sample_votes(data, 50, **options)]
    votes.append(alone.sample_votes(cleaned(data), 50, **options))
    assert torch.equal(*votes)
    assert torch.equal(data.x, given.x) and torch.equal(data.edge_index, given.edge_index)
    fields = composed.receptive_field(data, [3]), alone.receptive_field(cleaned(data), [3])
    assert (fields[0] != fields[1]).nnz == 0
    until = {"until": {"r": 1, "eps": 0.1}, "n": 300, **options}
    certificates = composed.certify(data, **until), alone.certify(cleaned(data), **until)
    assert certificates[0].p_lower.tolist() == certificates[1].p_lower.tolist()


def test_graphs_are_certified_as_cleaned_ones() -> None:
    graphs = [make(1), make(2)]
    options: dict[str, Any] = {"progress": False, "num_workers": 0}
    composed = SmoothedGraphClassifier(Model(), COMPOSED, C).sample_votes(graphs, 50, **options)
    alone = SmoothedGraphClassifier(Model(), NOISE, C)
    assert torch.equal(composed, alone.sample_votes([*map(cleaned, graphs)], 50, **options))


class Jitter(BaseTransform):
    def forward(self, data: Data) -> Data:
        data.x = data.x + torch.rand(())
        return data


def test_what_draws_random_numbers_before_the_noise_is_refused() -> None:
    composed = Compose([Jitter(), NOISE])
    nodes, graphs = (kind(Model(), composed, C) for kind in KINDS)
    for ask in (
        lambda: nodes.certify(make(), n=50, progress=False),
        lambda: nodes.receptive_field(make()),
        lambda: graphs.predict([make(1), make(2)]),
    ):
        with pytest.raises(ValueError, match=r"the same .* every time \(got .* in Jitter\)"):
            ask()


def test_what_comes_before_the_noise_is_done_once_a_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = []
    normalize = NormalizeFeatures.forward
    monkeypatch.setattr(
        NormalizeFeatures, "forward", lambda self, data: done.append(1) or normalize(self, data)
    )
    composed = SmoothedNodeClassifier(Model(), COMPOSED, C)
    composed.certify(make(), until={"r": 1, "eps": 0.01}, n=2_000, progress=False, num_workers=0)
    assert len(done) == 7  # once, and six times to try it


def test_what_comes_after_the_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="'transform' must end with the noise"):
        SmoothedNodeClassifier(Model(), Compose([NOISE, NormalizeFeatures()]), C)


@pytest.mark.parametrize("transform", [Compose([]), Compose([NormalizeFeatures()])])
def test_without_noise_there_is_nothing_to_smooth(transform: Compose) -> None:
    with pytest.raises(TypeError, match="'transform' must be a HierarchicalNodeFeatureNoise"):
        SmoothedNodeClassifier(Model(), transform, C)


def test_images_take_the_noise_alone() -> None:
    with pytest.raises(TypeError, match="got Compose"):
        SmoothedImageClassifier(Model(), COMPOSED, C)  # type: ignore[arg-type]


def test_the_classes_of_most_votes() -> None:
    smoothed, data = SmoothedNodeClassifier(Model(), NOISE, C), make()
    votes = smoothed.sample_votes(data, 40, 3, [2, 5], False)
    assert torch.equal(smoothed.predict(data, 40, 3, [2, 5]), votes.argmax(1))
    assert smoothed.predict(data, 40, node_index=5).shape == (1,)


EDGES = HierarchicalEdgeNoise(0.9, AblationNoise(), undirected=False)
PLAIN: dict[str, Any] = {"progress": False, "num_workers": 0}


class WithoutIndicator(Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(D, C)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_on_edges_comes_last(kind: Any) -> None:
    data = make()
    smoothed = kind(WithoutIndicator(), Compose([NormalizeFeatures(), AddSelfLoops(), EDGES]), C)
    alone = kind(WithoutIndicator(), EDGES, C)
    votes = smoothed.sample_votes([data] if kind is KINDS[1] else data, 40, **PLAIN)
    clean = cleaned(data)
    given = [clean] if kind is KINDS[1] else clean
    assert torch.equal(votes, alone.sample_votes(given, 40, **PLAIN))
    both = kind(Model(), Compose([NormalizeFeatures(), AddSelfLoops(), NOISE, EDGES]), C)
    again = kind(Model(), Compose([NOISE, EDGES]), C)
    votes = both.sample_votes([data] if kind is KINDS[1] else data, 40, **PLAIN)
    assert torch.equal(votes, again.sample_votes(given, 40, **PLAIN))
    with pytest.raises(ValueError, match="first of nodes and then of edges"):
        kind(Model(), Compose([EDGES, NOISE]), C)
    with pytest.raises(ValueError, match="must end with the noise"):
        kind(Model(), Compose([EDGES, EDGES]), C)


@pytest.mark.parametrize(
    "before", [LocalDegreeProfile(), GCNNorm(), AddRandomWalkPE(3, attr_name=None)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_makes_something_of_edges_is_refused_where_they_change(kind: Any, before: Any) -> None:
    messages = HierarchicalNodeFeatureNoise(0.9, AblationNoise(of="messages"))
    nodes = HierarchicalNodeFeatureNoise(0.9, AblationNoise(of="nodes"))
    data = make()
    given = [data] if kind is KINDS[1] else data
    for noise in (EDGES, nodes if kind is KINDS[1] else messages):
        smoothed = kind(Model(), Compose([before, noise]), C)
        with pytest.raises(ValueError, match="make each edge of those between its ends alone"):
            smoothed.sample_votes(given, 2, **PLAIN)


def test_images_have_no_edges() -> None:
    with pytest.raises(TypeError, match="must be a HierarchicalNodeFeatureNoise"):
        SmoothedImageClassifier(nn.Flatten(), EDGES, C)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_ablation_behind_rows_that_may_mix_says_of_what_it_is(kind: Any) -> None:
    """One negative number in one row moves all rows behind ``NormalizeFeatures``."""
    data, attacked = make(), make()
    attacked.x[0, 0] = -5.0
    assert (cleaned(attacked).x != cleaned(data).x).any(1).all()
    ablation = HierarchicalNodeFeatureNoise(0.7, AblationNoise())
    smoothed = kind(Model(), Compose([NormalizeFeatures(), ablation]), C)
    with pytest.warns(UserWarning, match="features within their present range alone"):
        smoothed.certify(data, n0=2, n=10, progress=False)
