"""BinCP's rule, derived once more in scalars: no formula of the package is used."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
from scipy.stats import beta


def least_flips(
    p: Fraction, p_plus: Fraction, p_minus: Fraction, add: int, delete: int
) -> Fraction:
    """The least perturbed mass of a set of clean mass p, region after region."""

    def binomial(n: int, k: int, p: Fraction) -> Fraction:
        return comb(n, k) * p**k * (1 - p) ** (n - k)

    regions = []
    for i, j in product(range(add + 1), range(delete + 1)):
        clean = binomial(add, i, p_plus) * binomial(delete, j, p_minus)
        perturbed = binomial(add, i, 1 - p_minus) * binomial(delete, j, 1 - p_plus)
        regions.append((perturbed / clean, clean, perturbed))
    mass = Fraction(0)
    for ratio, clean, _ in sorted(regions):
        taken = min(p, clean)
        mass, p = mass + taken * ratio, p - taken
    return mass


def bincp_sets(
    counts: np.ndarray, y: np.ndarray, test: np.ndarray, n: int, worst: Callable[[float], float]
) -> np.ndarray:
    """Sets from binary ballots in ``n`` samples, coverage 90 %, of which 1 % is left to bounds on
    the samples: one threshold, certified once (Zargarbashi & Bojchevski, ICLR 2025, *Robust
    conformal prediction with a single binary certificate*)."""
    own = counts[np.arange(len(y)), y]
    lower = np.where(own > 0, beta.ppf(0.005, own, n - own + 1), 0.0)
    upper = np.where(test < n, beta.ppf(0.995, test + 1, n - test), 1.0)
    threshold = np.sort(lower)[9 * (len(y) + 1) // 100 - 1]
    return upper >= worst(float(threshold))
