"""Certificates with ballots of any numbers, without a smoothed classifier."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pyg_hiersmooth.certificates import (
    Certificate,
    PredictionSets,
    certify_counts,
    certify_votes,
)
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection

C = 4
N_SAMPLES = 500
FLIPS = SparseFlipNoise(0.01, 0.6)
BUDGETS: list[tuple[Noise, dict[str, float]]] = [
    (AblationNoise(), {}),
    (FLIPS, {"additions": 0, "deletions": 1}),
    (GaussianNoise(0.5), {"eps": 0.2}),
    (LaplaceNoise(0.5), {"eps": 0.2}),
    (UniformNoise(0.5), {"eps": 0.2}),
]


def exact(
    counts: Any,
    start: int = 0,
    selection: Any = None,
    noise: Noise | None = None,
    num_entities: Any = None,
    **kept: Any,
) -> Certificate:
    """Approvals under all outcomes of a partition, of objects from a number on; what else is kept
    replaces what this made."""
    selection = PartitionSelection(10, 10) if selection is None else selection
    smoothing = SimpleNamespace(selection=selection, noise=noise or AblationNoise())
    counts = np.asarray(counts)
    certificate = certify_counts(
        smoothing,
        all_for_the_first(counts, selection.num_masks),
        index=np.arange(start, start + len(counts)),
        num_entities=num_entities,
        approvals=counts,
        approve=0.1,
    )
    return replace(certificate, **kept)


def sampled(
    counts: Any,
    selection: Selection,
    noise: Noise,
    n: int,
    start: int = 0,
    num_entities: Any = None,
    **kept: Any,
) -> Certificate:
    """Approvals in a fixed number of samples, of objects from a number on; what else is kept
    replaces what this made."""
    counts = np.asarray(counts)
    votes = all_for_the_first(counts, n)
    certificate = certify_votes(
        SimpleNamespace(selection=selection, noise=noise),
        votes,
        votes,
        index=np.arange(start, start + len(counts)),
        num_entities=num_entities,
        approvals=counts,
        approve=0.1,
    )
    return replace(certificate, **kept)


def all_for_the_first(counts: np.ndarray, n: int) -> np.ndarray:
    """Votes that do not matter where there are approvals."""
    votes = np.zeros_like(counts)
    votes[:, 0] = n
    return votes


def ballots(num: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Approvals ``[num, C]`` in `n` samples, mostly of the labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, num)
    p = rng.beta(0.4, 2.0, (num, C))
    p[np.arange(num), y] = rng.beta(20.0, 1.0, num)
    return rng.binomial(n, p), y


def calibrated(noise: Noise, selection: Selection | None = None, **options: Any) -> PredictionSets:
    """Sets calibrated on 200 objects."""
    counts, y = ballots(200, N_SAMPLES)
    selection = BernoulliSelection(0.9) if selection is None else selection
    return PredictionSets.calibrate(sampled(counts, selection, noise, N_SAMPLES), y, **options)


def found(noise: Noise, selection: Selection | None = None, **kept: Any) -> Certificate:
    """Approvals of other objects than those that were calibrated on."""
    selection = BernoulliSelection(0.9) if selection is None else selection
    return sampled(ballots(60, N_SAMPLES, 1)[0], selection, noise, N_SAMPLES, start=1_000, **kept)
