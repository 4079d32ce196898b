from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from pyg_hiersmooth.noise import LaplaceNoise
from pyg_hiersmooth.random import RandomStream

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


def test_draws_are_laplacian() -> None:
    x = torch.full((200, 300), -2.0, dtype=torch.float64)
    out = LaplaceNoise(0.5).sample(x, torch.ones(200).bool(), RandomStream(0))
    noise = (out - x).flatten().numpy()
    assert stats.kstest(noise, stats.laplace(scale=0.5).cdf).pvalue > FALSE_ALARM
    assert stats.spearmanr(noise[:-1], noise[1:]).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("scale", "eps"), [(0.25, 0.1), (1.0, 1.0), (0.5, 2.0), (2.0, 0.01)])
def test_least_mass_is_that_of_half_lines(scale: float, eps: float) -> None:
    def density(s: float) -> float:
        return float(np.exp(-abs(s) / scale) / (2 * scale))

    def mass_below(cut: float, center: float) -> float:
        kinks = [-40 * scale, *[k for k in (0.0, center) if k < cut], cut]
        parts = pairwise(kinks)
        return sum(quad(lambda s: density(s - center), *part, epsabs=1e-13)[0] for part in parts)

    for cut in [*np.linspace(-5, 5, 11) * scale, eps / 2, eps, eps + scale, 0.0]:
        mass, least = mass_below(cut, 0.0), mass_below(cut, eps)
        bound = LaplaceNoise(scale).lower_bound(mass, eps=eps)
        assert bound == pytest.approx(least, rel=1e-7, abs=1e-12)


def test_ends() -> None:
    noise = LaplaceNoise(1.0)
    assert noise.lower_bound([0.0, 1.0], eps=1.0).tolist() == [0.0, 1.0]
    assert noise.lower_bound([0.0, 0.7, 1.0 - 1e-9], eps=1e6).tolist() == [0.0, 0.0, 0.0]


def test_repr() -> None:
    assert repr(LaplaceNoise(0.25)) == "LaplaceNoise(scale=0.25)"
