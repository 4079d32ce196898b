from __future__ import annotations

import torch

from pyg_hiersmooth.nn.isolation.probes import (
    constant_probes,
    enormous_probe,
    mixed_probe,
    shuffled_probe,
    stretched_probe,
    undefined_probe,
    unrelated_probe,
)

X = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))


def test_unrelated_features_have_nothing_to_do_with_real_ones() -> None:
    assert float((unrelated_probe(X, 0) - X).abs().min()) > 0
    assert unrelated_probe(X.double(), 0).dtype == torch.float64
    numbers = torch.arange(12).view(4, 3)
    for probe in (unrelated_probe(numbers, 0), shuffled_probe(numbers, 0)):
        assert sorted(probe[:, 0].tolist()) == [0, 3, 6, 9]


def test_enormous_features_stay_finite_through_a_product() -> None:
    for dtype in (torch.float32, torch.float64, torch.float16):
        strange = enormous_probe(X.to(dtype), 0)
        assert strange.dtype == dtype and bool(strange.square().isfinite().all())
        assert float(strange.abs().max()) > 50.0


def test_probes_move_minima_maxima_and_counts() -> None:
    smallest, largest, zeros = constant_probes(X)
    sums = X.sum(1)
    assert torch.equal(smallest, X[sums.argmin()].expand(4, 3))
    assert torch.equal(largest, X[sums.argmax()].expand(4, 3))
    assert not bool(zeros.any())
    assert torch.equal(stretched_probe(X), 1_000 * X)
    whole = torch.arange(12).view(4, 3)
    assert torch.equal(stretched_probe(whole), whole)
    mixed = mixed_probe(X, 0)
    assert float(mixed.max()) > 100 and bool((mixed == 0).all(1).any())
    assert mixed_probe(whole, 0).dtype == torch.int64
    assert bool(undefined_probe(X).isnan().all()) and torch.equal(undefined_probe(whole), whole)
