"""The worst classifier, built outright, attains the bound: it is neither loose nor too bold."""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, Selection

NUM_ROWS = 4
OWN_P = torch.tensor([0.7, 0.8, 0.95, 1.0], dtype=torch.float64)  # the least likely come first

SELECTIONS = [
    BernoulliSelection(1.0),
    BernoulliSelection(0.81),
    BernoulliSelection(0.97),
    BernoulliSelection(OWN_P),
    FixedSizeSelection(3),
    FixedSizeSelection(4),
]
FLIPS = [
    SparseFlipNoise(0.05, 0.8),
    SparseFlipNoise(0.2, 0.3),
    SparseFlipNoise(0.25, 0.75),
    SparseFlipNoise(0.7, 0.9),
    SparseFlipNoise(0.0, 0.6),
    SparseFlipNoise(0.6, 0.0),
    SparseFlipNoise(0.0, 0.0),
    SparseFlipNoise(1.0, 0.4),
]
CELLS = [(1, 1, 0), (1, 0, 1), (1, 2, 3), (2, 1, 1), (2, 0, 4), (3, 2, 2), (3, 3, 0), (4, 1, 3)]


def indicators(selection: Selection) -> list[tuple[np.ndarray, float]]:
    everything = [np.array(tau) for tau in product((False, True), repeat=NUM_ROWS)]
    if isinstance(selection, FixedSizeSelection):
        chosen = list(combinations(range(NUM_ROWS), selection.size))
        return [(np.isin(np.arange(NUM_ROWS), rows), 1 / len(chosen)) for rows in chosen]
    assert isinstance(selection, BernoulliSelection)
    p = np.broadcast_to(np.asarray(selection.p), NUM_ROWS)
    return [(tau, float(np.where(tau, p, 1 - p).prod())) for tau in everything]


def outcomes(
    selection: Selection, noise: SparseFlipNoise, r: int, additions: int, deletions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Masses of all outcomes at an object and at the one that differs by these flips, spread over
    its first ``r`` rows. Positions that agree play no part."""
    clean_bits = np.array([0] * additions + [1] * deletions)
    row = np.arange(additions + deletions) % r
    bits = np.array(list(product((0, 1), repeat=len(clean_bits))))

    def masses(x: np.ndarray, selected: np.ndarray) -> np.ndarray:
        flip = np.where(selected[row], np.where(x == 1, noise.p_minus, noise.p_plus), 0.0)
        return np.where(bits != x, flip, 1.0 - flip).prod(1)

    both = [
        (weight * masses(clean_bits, tau), weight * masses(1 - clean_bits, tau))
        for tau, weight in indicators(selection)
    ]
    clean, perturbed = (np.concatenate(part) for part in zip(*both, strict=True))
    return clean, perturbed


class WorstClassifier:
    """Votes for a class on the outcomes that lose most, and by a coin on the last of them."""

    def __init__(self, clean: np.ndarray, perturbed: np.ndarray) -> None:
        seen = clean > 0
        clean, perturbed = clean[seen], perturbed[seen]
        order = np.argsort(perturbed / clean, kind="stable")
        self.before = np.concatenate([[0.0], clean[order].cumsum()])
        self.after = np.concatenate([[0.0], perturbed[order].cumsum()])

    def lower(self, p: np.ndarray) -> np.ndarray:
        return np.interp(p, self.before, self.after)

    def upper(self, p: np.ndarray) -> np.ndarray:
        return 1.0 - self.lower(1.0 - p)

    def reaching(self, value: float) -> float:
        """The least vote probability that still keeps this much; 2 where none does."""
        if value >= self.after[-1]:
            return 2.0
        last = int(np.flatnonzero(self.after <= max(value, 0.0))[-1])
        slope = (self.after[last + 1] - self.after[last]) / (
            self.before[last + 1] - self.before[last]
        )
        return float(self.before[last] + (value - self.after[last]) / slope)


def robust(
    selection: Selection,
    noise: Noise,
    lower: float,
    upper: float | None,
    r: int,
    **budget: Any,
) -> bool:
    certificate = Certificate.from_bounds(
        SimpleNamespace(selection=selection, noise=noise),
        [0],
        [lower],
        None if upper is None else [upper],
        "binary" if upper is None else "multiclass",
        num_entities=NUM_ROWS,
    )
    return bool(certificate.is_robust(r, **budget)[0])


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
@pytest.mark.parametrize("noise", FLIPS, ids=str)
def test_flips_attain_the_bound(selection: Selection, noise: SparseFlipNoise) -> None:
    p = np.concatenate([np.linspace(0.0, 1.0, 101), 1.0 - np.geomspace(1e-6, 0.1, 12)])
    for r, additions, deletions in CELLS:
        if additions + deletions < r:
            continue
        budget = {"additions": additions, "deletions": deletions}
        worst = WorstClassifier(*outcomes(selection, noise, r, **budget))
        q = float(selection.prob_all_selected(r, NUM_ROWS))
        if q > 0.0:
            kept = np.clip((p - (1.0 - q)) / q, 0.0, 1.0)
            lower = q * noise.lower_bound(kept, **budget)
            assert lower == pytest.approx(worst.lower(p), abs=1e-9)
            upper = q * noise.upper_bound(np.clip(p / q, 0.0, 1.0), **budget) + (1.0 - q)
            assert upper == pytest.approx(worst.upper(p), abs=1e-9)

        step = 1e-7
        least = worst.reaching(0.5)
        assert not robust(selection, noise, min(max(least - step, 0.0), 1.0), None, r, **budget)
        if least + step <= 1.0:
            assert robust(selection, noise, least + step, None, r, **budget)
        for rival in (0.0, 0.01, 0.2, 0.4):
            most = float(worst.upper(np.array(rival)))
            least = max(worst.reaching(most), rival)
            assert not robust(
                selection, noise, min(max(least - step, 0.0), 1.0), rival, r, **budget
            )
            if least + step <= 1.0 and worst.lower(np.array(least + step)) > most + 1e-9:
                assert robust(selection, noise, least + step, rival, r, **budget)


def test_a_budget_reaches_no_more_rows_than_it_has_flips() -> None:
    selection, noise = BernoulliSelection(0.81), SparseFlipNoise(0.05, 0.8)
    worst = WorstClassifier(*outcomes(selection, noise, 1, 0, 1))
    least = worst.reaching(0.5)
    for r in (1, 2, 4, 100):
        assert robust(selection, noise, least + 1e-7, None, r, deletions=1)
        assert not robust(selection, noise, least - 1e-7, None, r, deletions=1)


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_ablation_attains_the_bound(selection: Selection) -> None:
    """The class wins wherever a changed row shows itself, and by a coin where none does."""
    for r in range(1, NUM_ROWS + 1):
        hidden = sum(weight for tau, weight in indicators(selection) if tau[:r].all())
        least = (1.0 - hidden) + 0.5  # shown before and lost, half of all votes kept
        assert not robust(selection, AblationNoise(), min(least - 1e-7, 1.0), None, r)
        if least + 1e-7 <= 1.0 and hidden > 0.5:
            assert robust(selection, AblationNoise(), least + 1e-7, None, r)


CONTINUOUS: list[Any] = [
    (GaussianNoise(0.4), stats.norm(scale=0.4)),
    (LaplaceNoise(0.4), stats.laplace(scale=0.4)),
    (UniformNoise(0.4), stats.uniform(-0.4, 0.8)),
]


@pytest.mark.parametrize(("noise", "law"), CONTINUOUS, ids=lambda value: str(value)[:9])
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_half_spaces_attain_the_radius(noise: Any, law: Any, selection: Selection) -> None:
    """The class wins where a changed row shows its clean value, and where all are hidden and the
    noise in the direction of the shift is below ``c``; its rival where a row shows its changed
    value, and where that noise is above ``d``."""
    found = 0
    for r in (1, 2, 3):
        hidden = sum(weight for tau, weight in indicators(selection) if tau[:r].all())
        for below, above in product((0.8, 0.95, 0.999, 1 - 1e-6), (0.3, 0.05, 1e-4)):
            c, d = law.ppf(below), law.isf(above)
            certificate = Certificate.from_bounds(
                SimpleNamespace(selection=selection, noise=noise),
                [0],
                [(1 - hidden) + hidden * below],
                [hidden * above],
                num_entities=NUM_ROWS,
            )
            radius = float(certificate.radius(r)[0])
            ours = hidden * law.cdf(c - radius)
            theirs = (1 - hidden) + hidden * law.sf(d - radius)
            if np.isnan(radius) or radius == 0.0:
                assert hidden * below <= (1 - hidden) + hidden * above + 1e-9
            else:
                found += 1
                assert ours == pytest.approx(theirs, abs=1e-9)

            binary = Certificate.from_bounds(
                SimpleNamespace(selection=selection, noise=noise),
                [0],
                [(1 - hidden) + hidden * below],
                kind="binary",
                num_entities=NUM_ROWS,
            )
            radius = float(binary.radius(r)[0])
            if radius > 0.0:
                assert hidden * law.cdf(c - radius) == pytest.approx(0.5, abs=1e-9)
            else:
                assert hidden * below <= 0.5 + 1e-9
    assert found > 0
