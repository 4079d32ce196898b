from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.random import RandomStream

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_gaussian(dtype: torch.dtype) -> None:
    x = torch.full((200, 300), 3.0, dtype=dtype)
    out = GaussianNoise(0.5).sample(x, torch.ones(200).bool(), RandomStream(0))
    noise = (out - x).double().flatten().numpy()
    assert stats.kstest(noise, stats.norm(scale=0.5).cdf).pvalue > FALSE_ALARM
    assert stats.pearsonr(noise[:-1], noise[1:]).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("std", "eps"), [(0.25, 0.1), (1.0, 1.0), (0.5, 2.0), (2.0, 0.01)])
def test_least_mass_is_that_of_half_lines(std: float, eps: float) -> None:
    def density(s: float) -> float:
        return float(np.exp(-(s**2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi)))

    for cut in np.linspace(-2.5, 2.5, 11) * std:
        mass = quad(density, cut - 30 * std, cut, epsabs=1e-13)[0]
        least = quad(lambda s: density(s - eps), cut - 30 * std, cut, epsabs=1e-13)[0]
        bound = GaussianNoise(std).lower_bound(mass, eps=eps)
        assert bound == pytest.approx(least, rel=1e-8, abs=1e-12)


def test_both_ends_keep_their_precision() -> None:
    noise = GaussianNoise(1.0)
    tiny = 1e-30
    assert noise.worst_case_probability(np.array([1.0]), np.array([tiny]), eps=1.0) == 1.0
    radius = noise.radius(np.array([tiny]), np.array([0.5]))[0]
    assert radius == pytest.approx(stats.norm.isf(tiny), rel=1e-12)
    shifted = noise.worst_case_probability(np.array([1.0]), np.array([tiny]), eps=12.0)[0]
    assert shifted == pytest.approx(stats.norm.sf(12.0 - stats.norm.isf(tiny)), rel=1e-9)
    assert noise.lower_bound([0.0, 1.0], eps=1.0).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("shape", [(9, 4), (3, 5), (4, 4)])
def test_after_linear_has_the_mean_and_covariance_of_the_dense_draw(shape: tuple[int, int]) -> None:
    """Means and covariances within 5.5 standard errors each: about 30 comparisons at 4e-8."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(*shape, generator=generator, dtype=torch.float64)
    x = torch.randn(3, shape[0], generator=generator, dtype=torch.float64)
    selected = torch.tensor([True, False, True])
    before = (x.clone(), weight.clone())
    draw = GaussianNoise(0.7).sample_projected(x, weight)
    stream, runs = RandomStream(2), 20_000
    hidden = torch.stack([draw(selected, stream) for _ in range(runs)])
    assert torch.equal(x, before[0]) and torch.equal(weight, before[1])
    assert torch.equal(hidden[:, 1], (x @ weight)[1].expand(runs, -1))

    covariance = 0.49 * weight.T @ weight
    scale = covariance.diagonal().sqrt()
    for row in (0, 2):
        noise = hidden[:, row] - (x @ weight)[row]
        assert (noise.mean(0).abs() < 5.5 * scale / runs**0.5).all()
        error = (2.0 / runs) ** 0.5 * scale.outer(scale)  # the largest of any correlation
        assert ((noise.T @ noise / runs - covariance).abs() < 5.5 * error).all()
        assert stats.kstest(noise[:, 0] / scale[0], "norm").pvalue > FALSE_ALARM
    between = (hidden[:, 0] - (x @ weight)[0]).T @ (hidden[:, 2] - (x @ weight)[2]) / runs
    assert (between.abs() < 5.5 * scale.outer(scale) / runs**0.5).all()


def test_repr() -> None:
    assert repr(GaussianNoise(0.25)) == "GaussianNoise(std=0.25)"
