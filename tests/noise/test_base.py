from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pyg_hiersmooth.noise import (
    NOISES,
    AblationNoise,
    AdditiveNoise,
    Axis,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    Parameter,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.noise.parameter import POSITIVE
from pyg_hiersmooth.random import RandomStream

ADDITIVE: list[Any] = [GaussianNoise(0.5), LaplaceNoise(0.5), UniformNoise(0.5)]
LAWS = {
    GaussianNoise: lambda width: stats.norm(scale=width),
    LaplaceNoise: lambda width: stats.laplace(scale=width),
    UniformNoise: lambda width: stats.uniform(-width, 2 * width),
}

widths = st.floats(0.01, 10.0)
strengths = st.floats(0.0, 5.0)
probabilities = st.floats(0.0, 1.0)
counts = st.integers(0, 40)
masses = st.integers(0, 2**30).map(lambda n: n / 2**30)  # one minus these is exact


@st.composite
def noise_and_budgets(draw: st.DrawFn) -> tuple[Noise, dict[str, Any], dict[str, Any]]:
    """A noise, a budget, and one at least as large in every part."""
    kind = draw(st.sampled_from([GaussianNoise, LaplaceNoise, UniformNoise, SparseFlipNoise]))
    if kind is SparseFlipNoise:
        a, d = draw(counts), draw(counts)
        less, more = (a, d), (a + draw(counts), d + draw(counts))
        names = ("additions", "deletions")
        noise = SparseFlipNoise(draw(probabilities), draw(probabilities))
        return noise, dict(zip(names, less, strict=True)), dict(zip(names, more, strict=True))
    eps = draw(strengths)
    return kind(draw(widths)), {"eps": eps}, {"eps": eps + draw(strengths)}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(noise_and_budgets(), masses, masses, st.sampled_from([0.25, 0.5, 0.875]))
def test_least_mass_is_a_worst_case(
    case: tuple[Noise, dict[str, Any], dict[str, Any]], t: float, other: float, weight: float
) -> None:
    noise, less, more = case
    rounding = 1e-12
    low, high = min(t, other), max(t, other)
    between = low + weight * (high - low)
    at_low, at_between, at_high = noise.lower_bound([low, between, high], **less)
    for mass, least in ((low, at_low), (between, at_between), (high, at_high)):
        assert 0.0 <= least <= mass + rounding
        most = noise.upper_bound(mass, **less)
        assert mass - rounding <= most <= 1.0
        assert most == pytest.approx(1.0 - noise.lower_bound(1.0 - mass, **less), abs=rounding)
        assert noise.lower_bound(mass, **more) <= least + rounding
    assert at_low <= at_high + rounding
    assert at_between <= (1.0 - weight) * at_low + weight * at_high + rounding


@pytest.mark.parametrize("noise", [*ADDITIVE, SparseFlipNoise(0.05, 0.8), AblationNoise()])
def test_nothing_is_lost_without_a_change(noise: Noise) -> None:
    mass = np.linspace(0.0, 1.0, 101)
    nothing = dict.fromkeys(noise.budget, 0)
    assert noise.lower_bound(mass, **nothing) == pytest.approx(mass, abs=1e-15)
    assert noise.upper_bound(mass, **nothing) == pytest.approx(mass, abs=1e-15)


def test_noise_that_hides_everything_loses_nothing() -> None:
    mass = np.linspace(0.01, 0.99, 99)
    ablation = AblationNoise().lower_bound(mass)
    for p_plus in (0.0, 0.2, 0.5, 0.9, 1.0):
        flips = SparseFlipNoise(p_plus, 1.0 - p_plus).lower_bound(mass, additions=9, deletions=30)
        assert flips == pytest.approx(ablation, abs=1e-12)
    for kind in LAWS:
        assert kind(1e9).lower_bound(mass, eps=1.0) == pytest.approx(ablation, abs=1e-8)


SHIFTS = [(1.0,), (0.5, 0.5), (0.9, 0.1), (0.7, -0.3), (0.6, 0.3, 0.1)]


@pytest.mark.parametrize("noise", ADDITIVE, ids=str)
@pytest.mark.parametrize("shares", SHIFTS, ids=str)
@pytest.mark.parametrize("eps", [0.02, 0.3, 0.9, 2.5])
def test_no_shift_over_several_coordinates_does_worse(
    noise: AdditiveNoise, shares: tuple[float, ...], eps: float
) -> None:
    """Exact masses of the cells of a lattice: an adversary who sees only the cell of a draw has
    this least mass, so the bound must be below it."""
    order = {"l1": 1, "l2": 2}[noise.norm]
    shift = eps * np.array(shares) / np.linalg.norm(shares, order)
    law = LAWS[type(noise)](0.5)
    num_cells = {1: 4_001, 2: 201, 3: 41}[len(shares)]
    edges = np.concatenate([[-np.inf], np.linspace(-4.0, 5.0, num_cells), [np.inf]])
    clean, perturbed = np.ones(1), np.ones(1)
    for step in shift:
        clean = np.multiply.outer(clean, cell_masses(law, edges)).ravel()
        perturbed = np.multiply.outer(perturbed, cell_masses(law, edges - step)).ravel()
    order_of_ratio = np.argsort(perturbed / np.maximum(clean, 1e-300))
    order_of_ratio = order_of_ratio[clean[order_of_ratio] > 0]
    mass = np.concatenate([[0.0], clean[order_of_ratio].cumsum()])
    least = np.concatenate([[0.0], perturbed[order_of_ratio].cumsum()])

    t = np.linspace(0.001, 0.999, 400)
    bound, reached = noise.lower_bound(t, eps=eps), np.interp(t, mass, least)
    assert (bound <= reached + 1e-11).all()
    if len(shares) == 1:  # the lattice is fine, and the worst shift is along one axis
        assert bound == pytest.approx(reached, abs=3e-3)


def cell_masses(law: Any, edges: np.ndarray) -> np.ndarray:
    # The difference of the smaller tails, exact on both sides.
    return np.where(edges[:-1] > 0, -np.diff(law.sf(edges)), np.diff(law.cdf(edges)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(list(LAWS)), widths, st.floats(1e-9, 1 - 1e-9), st.floats(1e-9, 1 - 1e-9))
def test_radius_is_where_the_least_mass_falls_to_the_target(
    kind: type[Any], width: float, lost: float, target: float
) -> None:
    noise = kind(width)
    eps = float(noise.radius(np.array([lost]), np.array([target]))[0])
    if target < 1.0 - lost - 1e-12:
        assert eps > 0.0
        least = noise.worst_case_probability(np.array([1.0 - lost]), np.array([lost]), eps=eps)
        assert least == pytest.approx(target, abs=1e-12)
    elif target > 1.0 - lost + 1e-12:
        assert eps < 0.0


@pytest.mark.parametrize("noise", ADDITIVE, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_samples_leave_the_rest_alone(noise: AdditiveNoise, dtype: torch.dtype) -> None:
    x = torch.rand(6, 4).to(dtype)
    before, version = x.clone(), x._version
    selected = torch.tensor([True, False, True, True, False, False])
    out = noise.sample(x, selected, RandomStream(0))
    assert torch.equal(x, before) and x._version == version and out is not x
    assert out.dtype == dtype and out.shape == x.shape
    assert torch.equal(out[~selected], x[~selected])
    assert (out[selected] != x[selected]).any(dim=1).all()
    assert torch.equal(out, noise.sample(x, selected, RandomStream(0)))
    nothing = noise.sample(x, torch.zeros(6, dtype=torch.bool), RandomStream(0))
    assert torch.equal(nothing, x) and nothing is not x


@pytest.mark.parametrize("noise", ADDITIVE, ids=str)
def test_continuous_noise_needs_floating_point(noise: AdditiveNoise) -> None:
    with pytest.raises(ValueError, match="floating-point"):
        noise.sample(torch.ones(2, 2, dtype=torch.long), torch.ones(2).bool(), RandomStream(0))


@pytest.mark.parametrize("kind", list(LAWS))
@pytest.mark.parametrize("width", [0.0, -1.0, float("inf"), float("nan")])
def test_scales_are_positive_and_finite(kind: type[Any], width: float) -> None:
    with pytest.raises(ValueError, match="must be positive and finite"):
        kind(width)


@pytest.mark.parametrize("noise", ADDITIVE, ids=str)
def test_budgets_of_continuous_noise(noise: AdditiveNoise) -> None:
    with pytest.raises(TypeError, match=r"takes 'eps' \(got 'additions'\)"):
        noise.lower_bound(0.9, additions=1)
    with pytest.raises(TypeError, match="needs the budget 'eps'"):
        noise.lower_bound(0.9)
    for eps in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="'eps' must be a finite number"):
            noise.lower_bound(0.9, eps=eps)
    assert noise.reach(eps=0.0) == 0 and noise.reach(eps=0.1) == np.inf


@pytest.mark.parametrize("noise", [*ADDITIVE, SparseFlipNoise(0.05, 0.8), AblationNoise()])
def test_masses_are_probabilities(noise: Noise) -> None:
    budget = dict.fromkeys(noise.budget, 1)
    for bound, mass in product((noise.lower_bound, noise.upper_bound), (-0.1, 1.1, float("nan"))):
        with pytest.raises(ValueError, match="'mass' must lie in"):
            bound([0.5, mass], **budget)


@pytest.mark.parametrize("noise", [*ADDITIVE, AblationNoise()])
def test_features_are_finite(noise: Noise) -> None:
    noise.check_features(torch.rand(2, 3))
    noise.check_features(torch.full((2, 3), torch.finfo(torch.float32).max))  # the sum overflows
    for value in (float("nan"), float("inf"), float("-inf")):
        x = torch.tensor([[0.0, 1.0], [value, 0.0]])
        for features in (x, x.to_sparse(), x.to_sparse_csr()):
            with pytest.raises(ValueError, match="must be finite"):
                noise.check_features(features)


def test_the_kinds_and_their_names() -> None:
    assert list(NOISES) == ["flips", "gaussian", "ablation", "laplace", "uniform"]
    traits = {
        name: (kind.needs_binary, kind.keeps_sparse, kind.deterministic)
        for name, kind in NOISES.items()
    }
    plain = (False, False, False)
    assert traits == {
        "flips": (True, True, False),
        "gaussian": plain,
        "ablation": (False, False, True),
        "laplace": plain,
        "uniform": plain,
    }


def test_a_deterministic_noise_draws_nothing() -> None:
    x, selected = torch.linspace(0.0, 1.0, 24).view(6, 4), torch.arange(6) < 4
    for noise in (*ADDITIVE, SparseFlipNoise(0.5, 0.5), AblationNoise()):
        features = x.round() if noise.needs_binary else x
        draws = [noise.sample(features, selected, RandomStream(seed)) for seed in (0, 1)]
        assert torch.equal(*draws) == noise.deterministic


def test_reported_budgets() -> None:
    assert AblationNoise().reported_budgets() == [{}]
    assert GaussianNoise(0.5).reported_budgets() == [
        {"eps": eps} for eps in (0.125, 0.25, 0.5, 0.75, 1.0)
    ]
    assert LaplaceNoise(2.0).reported_budgets()[0] == {"eps": 0.5}
    flips = [
        (budget["additions"], budget["deletions"])
        for budget in SparseFlipNoise(0.05, 0.8).reported_budgets()
    ]
    assert flips == [(0, 0), (0, 5), (0, 10), (0, 20), (1, 0), (2, 0), (5, 0)]


def test_budgets_in_words() -> None:
    flips = SparseFlipNoise(0.05, 0.8)
    assert flips.describe(additions=0, deletions=0) == "nothing"
    assert flips.describe(additions=1, deletions=5) == "1 addition, 5 deletions"
    assert GaussianNoise(0.5).describe(eps=0.125) == "eps = 0.125"
    assert AblationNoise().describe() == "anything"


class TwoDistances(Noise):
    axes = (Axis("near", "near", "near", "l1"), Axis("far", "far", "far", "l2"))
    parameters = (Parameter("width", 1.0, POSITIVE, "Width"),)

    def sample(self, x: torch.Tensor, selected: torch.Tensor, stream: RandomStream) -> Any:
        return x

    def worst_case_probability(
        self, kept: np.ndarray, lost: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return np.zeros_like(kept)


def test_what_a_noise_does_not_say_is_not_made_up() -> None:
    noise = TwoDistances()
    assert noise.budget == ("far", "near") and noise.norm is None and noise.unit == 1.0
    assert noise.check_budget(near=1) == {"near": 1.0, "far": 0.0}
    assert noise.reach(near=0.0, far=0.0) == 0 and noise.reach(near=0.0, far=0.1) == np.inf
    with pytest.raises(TypeError, match=r"needs the budget 'far' or 'near' \(got none\)"):
        noise.check_budget()
    with pytest.raises(TypeError, match="TwoDistances has no radius"):
        noise.radius(np.zeros(1), np.zeros(1))
    with pytest.raises(TypeError, match="TwoDistances has no search space"):
        noise.search_space(near=1.0, far=0.0)
    with pytest.raises(TypeError, match="TwoDistances draws from dense features only"):
        noise.sample_sparse(torch.eye(2).to_sparse(), torch.ones(2).bool(), RandomStream(0))


def test_a_noise_says_what_bounds_its_adversary() -> None:
    with pytest.raises(TypeError, match=r"'axes' of Silent must say what bounds its adversary"):

        class Silent(Noise):
            sample = TwoDistances.sample
            worst_case_probability = TwoDistances.worst_case_probability

    class Base(Noise):  # not to be made, and so nothing to be said yet
        sample = TwoDistances.sample

    with pytest.raises(TypeError, match="'axes' of AlsoSilent"):

        class AlsoSilent(Base):
            worst_case_probability = TwoDistances.worst_case_probability


def test_methods_of_version_0_1_keep_their_names_for_one_version() -> None:
    with pytest.warns(DeprecationWarning, match="'least_mass' of Old is called 'worst_case"):

        class Old(Noise):
            axes = ()

            def sample(
                self, x: torch.Tensor, selected: torch.Tensor, stream: RandomStream
            ) -> torch.Tensor:
                return x

            def least_mass(self, kept: np.ndarray, lost: np.ndarray, **budget: Any) -> np.ndarray:
                return 0.5 * kept

    assert Old().lower_bound(0.5) == 0.25
