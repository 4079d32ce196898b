from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from pyg_hiersmooth.noise import UniformNoise
from pyg_hiersmooth.random import RandomStream

FALSE_ALARM = 1e-6  # of each statistical test here, were its seed not fixed


def test_draws_are_uniform() -> None:
    x = torch.full((200, 300), 0.5, dtype=torch.float64)
    out = UniformNoise(0.25).sample(x, torch.ones(200).bool(), RandomStream(0))
    noise = (out - x).flatten().numpy()
    assert abs(noise).max() <= 0.25
    assert stats.kstest(noise, stats.uniform(-0.25, 0.5).cdf).pvalue > FALSE_ALARM
    assert stats.spearmanr(noise[:-1], noise[1:]).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("scale", "eps"), [(0.25, 0.1), (1.0, 1.0), (0.5, 2.0), (2.0, 0.01)])
def test_least_mass_is_that_of_half_lines(scale: float, eps: float) -> None:
    def mass_below(cut: float, center: float) -> float:
        low, high = center - scale, min(center + scale, cut)
        return quad(lambda s: 1 / (2 * scale), low, high)[0] if high > low else 0.0

    for cut in np.linspace(-1, 1, 21) * scale:
        bound = UniformNoise(scale).lower_bound(mass_below(cut, 0.0), eps=eps)
        assert bound == pytest.approx(mass_below(cut, eps), abs=1e-12)


def test_shifts_beyond_the_support_lose_everything() -> None:
    assert UniformNoise(0.5).lower_bound(1.0, eps=1.0) == 0.0
    assert UniformNoise(0.5).lower_bound(1.0, eps=7.0) == 0.0


def test_repr() -> None:
    assert repr(UniformNoise(0.25)) == "UniformNoise(scale=0.25)"
