"""L(t) of flips from all pairs of differing additions and deletions, with the 400 digits that
masses within 1e-300 of one need."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp, mpf

from pyg_hiersmooth.noise import SparseFlipNoise


class Exact:
    """Clean and perturbed masses of the outcomes, in the order of their likelihood ratio."""

    def __init__(self, p_plus: float, p_minus: float, additions: int, deletions: int) -> None:
        added = binomial(additions, p_plus), binomial(additions, 1 - mpf(p_minus))
        deleted = binomial(deletions, p_minus), binomial(deletions, 1 - mpf(p_plus))
        outcomes = []
        for i in range(additions + 1):
            for j in range(deletions + 1):
                clean = added[0][i] * deleted[0][j]
                if clean > 0:
                    perturbed = added[1][i] * deleted[1][j]
                    outcomes.append((perturbed / clean, clean, perturbed))
        outcomes.sort(key=lambda outcome: outcome[0])
        self.ratio = [outcome[0] for outcome in outcomes]
        self.clean = cumulative(outcome[1] for outcome in outcomes)
        self.perturbed = cumulative(outcome[2] for outcome in outcomes)

    def worst_case_probability(self, t: mpf) -> mpf:
        low, high = 0, len(self.ratio)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.clean[middle] <= t else (low, middle)
        return self.perturbed[low] + (t - self.clean[low]) * self.ratio[low]


def binomial(n: int, p: float | mpf) -> list[mpf]:
    p = mpf(p)
    return [mp.binomial(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def cumulative(values: object) -> list[mpf]:
    total, sums = mpf(0), [mpf(0)]
    for value in values:  # type: ignore[attr-defined]
        total += value
        sums.append(total)
    return sums


PROBABILITIES = [
    (0.05, 0.8),
    (1e-6, 1e-6),
    (1e-6, 0.999),
    (0.999, 1e-6),
    (0.01, 0.6),
    (0.25, 0.75),  # the sum is exactly 1
    (0.3, 0.7),
    (0.6, 0.8),
    (0.999, 0.999),
    (0.5, 0.500001),
]
BUDGETS = [(0, 1), (1, 0), (1, 1), (2, 5), (0, 17), (41, 0), (12, 9)]
LARGE = [((0.05, 0.8), (41, 61)), ((1e-3, 0.6), (80, 100)), ((0.05, 0.8), (300, 300))]
CASES = [(p, budget) for p in PROBABILITIES for budget in BUDGETS] + LARGE


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("p", "budget"), CASES, ids=str)
def test_least_mass_to_many_digits(p: tuple[float, float], budget: tuple[int, int]) -> None:
    """Every value is within 1e-9 of that of a mass some roundings away, and never above the true
    one by more than rounding."""
    noise = SparseFlipNoise(*p)
    generator = np.random.default_rng(0)
    with mp.workdps(400):
        exact = Exact(*p, *budget)
        corners = [exact.clean[i] for i in generator.integers(0, len(exact.clean), 8)]
        kept = [mpf(k) for k in [0.0, 1e-12, 1e-5, 0.1, 0.3, 0.5, *generator.random(8)]]
        lost = [mpf(k) for k in [0.0, 1e-300, 1e-100, 1e-18, 1e-9, 1e-3, *generator.random(8)]]
        for t in kept + [1 - k for k in lost] + corners:
            rest = 1 - t
            if 0 < min(t, rest) < mpf("1e-300"):
                continue  # less than certificates ever ask for
            computed = noise.worst_case_probability(
                np.array([float(t)]),
                np.array([float(rest)]),
                additions=budget[0],
                deletions=budget[1],
            )
            value = mpf(float(computed[0]))
            # The nearer end is the one that is known to a relative precision.
            room = mpf("1e-12") * min(t, rest)
            least, most = (
                exact.worst_case_probability(t - room),
                exact.worst_case_probability(t + room),
            )
            assert least * (1 - mpf("1e-9")) - mpf("1e-300") <= value
            assert value <= most * (1 + mpf("1e-9")) + mpf("1e-300")
            assert value - exact.worst_case_probability(t) <= mpf("2e-12")


@pytest.mark.parametrize("p", PROBABILITIES[:6], ids=str)
def test_relative_error_inside_the_regions(p: tuple[float, float]) -> None:
    """Where no likelihood ratio jumps nearby, 1e-9 holds without allowance."""
    noise = SparseFlipNoise(*p)
    with mp.workdps(400):
        exact = Exact(*p, 7, 10)
        for left, right in zip(exact.clean[:-1], exact.clean[1:], strict=True):
            t = (left + right) / 2
            if (right - left) < mpf("1e-4") * min(t, 1 - t):
                continue
            computed = noise.worst_case_probability(
                np.array([float(t)]), np.array([float(1 - t)]), additions=7, deletions=10
            )
            assert float(computed[0]) == pytest.approx(
                float(exact.worst_case_probability(t)), rel=1e-9
            )
