from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor, nn
from torch_geometric import nn as gnn

from pyg_hiersmooth import models
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, LaplaceNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.noise.base import Draw
from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.sampling.features import (
    DenseFeatures,
    FeatureSource,
    ProjectedFeatures,
    feature_source,
)
from pyg_hiersmooth.sampling.linear_input import NotLinearError
from pyg_hiersmooth.selection import FixedSizeSelection
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

N, D, C = 12, 9, 3
STACKED = 50
GENERATOR = torch.Generator().manual_seed(0)
X = (torch.rand(N, D, generator=GENERATOR) < 0.3).float()
EDGES = torch.randint(0, N, (2, 30), generator=GENERATOR)
STACKED_EDGES = torch.cat([EDGES + N * i for i in range(STACKED)], dim=1)
MODELS = {
    "GCN": models.GCN,
    "GAT": models.GAT,
    "GATv2": models.GATv2,
    "APPNP": models.APPNP,
    "pyg.GCN": lambda d, c: gnn.GCN(d, 8, 2, c),
    "pyg.GAT": lambda d, c: gnn.GAT(d, 8, 2, c, heads=2),
    "pyg.GATv2": lambda d, c: gnn.GAT(d, 8, 2, c, v2=True),
}


def make_model(name: str, num_features: int) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name](num_features, C).eval()


def draws(source: FeatureSource, seed: int, samples: range) -> Iterator[Tensor]:
    """Features of all samples, for ``STACKED`` copies of the graph at a time."""
    for start in samples[::STACKED]:
        yield source.draw([RandomStream(seed, start + i) for i in range(STACKED)])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "noise", [SparseFlipNoise(0.2, 0.6), AblationNoise(), AblationNoise(torch.rand(D))]
)
@pytest.mark.parametrize("append_indicator", [True, False])
def test_same_draw_same_logits_on_both_paths(
    name: str, noise: Noise, append_indicator: bool
) -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, noise, append_indicator)
    model = make_model(name, D + append_indicator)

    def run(x: Tensor) -> Tensor:
        return model(x, EDGES)

    fast = feature_source(transform, X, [N], run)
    dense = DenseFeatures(transform, X, [N], "as asked")
    assert isinstance(fast, ProjectedFeatures)
    assert "linear" in fast.description
    assert "dense" in dense.description
    with torch.no_grad():
        for sample in range(20):
            logits = run(fast.draw([RandomStream(7, sample)]))
            expected = run(dense.draw([RandomStream(7, sample)]))
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["GCN", "GATv2"])
def test_gaussian_noise_has_the_same_distribution_behind_the_maps(name: str) -> None:
    """False-alarm rate 1e-4: chi-square on the covariance directions of the hidden noise."""
    sigma, samples = 0.7, 4_000
    transform = HierarchicalNodeFeatureNoise(1.0, GaussianNoise(sigma))
    model = make_model(name, D + 1)
    weights = [layer.weight for layer in model.conv1.modules() if isinstance(layer, gnn.Linear)]

    def hidden(x: Tensor) -> Tensor:
        return torch.cat([nn.functional.linear(x, weight) for weight in weights], dim=1)

    def run(x: Tensor) -> Tensor:
        return model(x, EDGES)

    source = feature_source(transform, X, [N], run)
    assert isinstance(source, ProjectedFeatures)
    with torch.no_grad():
        drawn = [hidden(x) for x in draws(source, 1, range(samples))]
    weight = torch.cat(weights).t().double().detach()
    mean = torch.cat([X, torch.ones(N, 1)], dim=1).double() @ weight
    noise = torch.cat(drawn).view(samples, N, -1).double() - mean
    rank = torch.linalg.matrix_rank(weight[:D])
    # Whitened with the exact factor, the noise must be standard normal in every direction.
    whitened = noise.flatten(0, 1) @ torch.linalg.pinv(weight[:D]) / sigma
    projector = weight[:D] @ torch.linalg.pinv(weight[:D])
    energy = float(whitened.square().sum())
    degrees = samples * N * int(rank)
    assert chi2.ppf(2.5e-5, degrees) < energy < chi2.ppf(1 - 2.5e-5, degrees)
    covariance = whitened.t() @ whitened / (samples * N)
    assert (covariance - projector).abs().max() < 6 / (samples * N) ** 0.5
    assert whitened.mean(0).abs().max() < 6 / (samples * N) ** 0.5


@pytest.mark.one_in(2)
@pytest.mark.parametrize("noise", [SparseFlipNoise(0.2, 0.6), GaussianNoise(1.0), AblationNoise()])
@pytest.mark.parametrize("selection", [0.7, FixedSizeSelection(5)])
def test_vote_frequencies_do_not_tell_the_paths_apart(noise: Noise, selection: object) -> None:
    """Chi-square over the classes of every node, false-alarm rate 1e-3 in all (Bonferroni)."""
    transform = HierarchicalNodeFeatureNoise(selection, noise)
    model = make_model("GAT", D + 1)
    samples = 1_500

    def run(x: Tensor) -> Tensor:
        return model(x, EDGES)

    def count(source: FeatureSource, of: range) -> Tensor:
        with torch.no_grad():
            answers = [model(x, STACKED_EDGES).argmax(1) for x in draws(source, 5, of)]
        return nn.functional.one_hot(torch.cat(answers).view(-1, N), C).sum(0).double()

    first = count(feature_source(transform, X, [N], run), range(samples))
    second = count(DenseFeatures(transform, X, [N], "as asked"), range(samples, 2 * samples))
    statistic = ((first - second).square() / (first + second).clamp(min=1)).sum(1)
    assert float(statistic.max()) < chi2.ppf(1 - 1e-3 / N, C - 1)


def test_several_samples_are_stacked() -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, SparseFlipNoise(0.2, 0.6))
    model = make_model("GCN", D + 1)
    copies = torch.cat([EDGES, EDGES + N], dim=1)
    source = feature_source(transform, X, [N], lambda x: model(x, EDGES))
    with torch.no_grad():
        both = model(source.draw([RandomStream(0, 0), RandomStream(0, 1)]), copies)
        each = [model(source.draw([RandomStream(0, i)]), EDGES) for i in range(2)]
    torch.testing.assert_close(both, torch.cat(each))


def test_noise_without_a_shortcut_stays_dense() -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, LaplaceNoise(1.0))
    model = make_model("GCN", D + 1)
    source = feature_source(transform, X, [N], lambda x: model(x, EDGES))
    assert source.description == "dense features (LaplaceNoise has no shortcut)"


def test_integer_features_stay_dense() -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, SparseFlipNoise(0.2, 0.6))
    source = feature_source(transform, X.long(), [N], lambda x: x.float() @ torch.ones(D + 1, C))
    assert source.description == "dense features (torch.int64 features)"


def test_weights_that_change_after_the_dry_run_are_noticed() -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, SparseFlipNoise(0.2, 0.6))
    model = make_model("GCN", D + 1)
    source = feature_source(transform, X, [N], lambda x: model(x, EDGES))
    with torch.no_grad():
        model.conv1.lin.weight.mul_(2.0)
        with pytest.raises(NotLinearError):
            model(source.draw([RandomStream(0)]), EDGES)


def test_a_model_that_writes_into_its_hidden_features_is_safe() -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, SparseFlipNoise(0.2, 0.6))
    weight = torch.randn(D + 1, C)

    def run(x: Tensor) -> Tensor:
        first = (x @ weight).zero_()
        return first + x @ weight

    fast = feature_source(transform, X, [N], run)
    dense = DenseFeatures(transform, X, [N], "as asked")
    assert isinstance(fast, ProjectedFeatures)
    expected = run(dense.draw([RandomStream(0)]))
    torch.testing.assert_close(run(fast.draw([RandomStream(0)])), expected)


def test_more_hidden_units_than_features() -> None:
    """The factor of the Gaussian is then the weight itself; false-alarm rate below 1e-6."""
    transform = HierarchicalNodeFeatureNoise(1.0, GaussianNoise(1.0), append_indicator=False)
    weight = torch.randn(D, 4 * D, generator=GENERATOR)
    source = feature_source(transform, X, [N], lambda x: x @ weight)
    hidden = torch.stack([source.draw([RandomStream(0, i)]) @ weight for i in range(2_000)])
    noise = (hidden - X @ weight).flatten(0, 1) @ torch.linalg.pinv(weight)
    covariance = noise.t() @ noise / noise.size(0)
    assert (covariance - torch.eye(D)).abs().max() < 6 * (2 / noise.size(0)) ** 0.5


@torch.no_grad()
def test_what_was_prepared_is_taken_over_for_the_same_weights_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transform = HierarchicalNodeFeatureNoise(0.6, GaussianNoise(0.5))
    prepared, prepare = [], GaussianNoise.sample_projected

    def counted(noise: GaussianNoise, x: Tensor, weight: Tensor) -> Draw:
        prepared.append(1)
        return prepare(noise, x, weight)

    monkeypatch.setattr(GaussianNoise, "sample_projected", counted)

    def source(of: torch.nn.Module, former: FeatureSource | None = None) -> FeatureSource:
        return feature_source(transform, X, [N], lambda x: of(x, EDGES), former)

    model = make_model("GCN", D + 1)
    first, twin = source(model), copy.deepcopy(model)
    again = source(twin, first)
    assert len(prepared) == 1
    answers = [
        of(each.draw([RandomStream(0)]), EDGES) for of, each in ((twin, again), (model, first))
    ]
    assert torch.equal(*answers)
    twin.conv1.lin.weight.mul_(2.0)
    other = source(twin, first)
    assert len(prepared) == 2
    stream = RandomStream(0)
    dense = other.written_out(other.select(stream), stream)
    torch.testing.assert_close(twin(other.draw([RandomStream(0)]), EDGES), twin(dense, EDGES))
