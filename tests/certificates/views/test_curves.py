from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.certificates.views.curves import CHANGED, MAX_COUNT
from pyg_hiersmooth.chart import Curve
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection

FLIPS = SparseFlipNoise(0.05, 0.8)
Y = np.arange(60) % 4


def make_certificate(noise: Any) -> Certificate:
    """60 objects of 4 classes, 45 of them predicted right, a few abstentions."""
    p_lower = 1 - np.random.default_rng(0).beta(0.5, 3, len(Y))
    prediction = np.where(np.arange(len(Y)) < 45, Y, (Y + 1) % 4)
    smoothing = SimpleNamespace(selection=BernoulliSelection(0.81), noise=noise)
    return Certificate.from_bounds(smoothing, prediction, p_lower, 1 - p_lower)


def value(curve: Curve, x: float) -> float:
    return float(curve.accuracy[np.searchsorted(curve.x, x, side="right") - 1])


def test_what_a_chart_says_besides_its_curves() -> None:
    certificate = make_certificate(FLIPS)
    chart = certificate.chart(Y)
    assert chart.smoothing == f"BernoulliSelection(p=0.81), {FLIPS}"
    assert chart.clean_accuracy == certificate.clean_accuracy(Y) < 0.75
    assert chart.budgets == (
        ("Deletions (no additions)", True),
        ("Additions (no deletions)", True),
    )


def test_every_count_of_flips() -> None:
    certificate = make_certificate(FLIPS)
    for name, panel in zip(("deletions", "additions"), certificate.chart(Y).panels, strict=True):
        assert tuple(curve.r for curve in panel.curves) == CHANGED
        for curve in panel.curves:
            assert curve.x.tolist() == list(range(len(curve.x))) and len(curve.x) > 2
            exact = [certificate.certified_accuracy(Y, curve.r, **{name: x}) for x in range(20)]
            assert [value(curve, x) for x in range(20)] == exact


def test_curves_end_where_they_reach_zero() -> None:
    for noise in (FLIPS, GaussianNoise(0.25), AblationNoise()):
        for panel in make_certificate(noise).chart(Y).panels:
            for curve in panel.curves:
                assert curve.accuracy[-1] == 0 < curve.accuracy[-2]


def test_curves_that_never_reach_zero_are_bounded() -> None:
    for panel in make_certificate(SparseFlipNoise(0.5, 0.5)).chart(Y).panels:
        assert panel.curves[0].x[-1] == MAX_COUNT and panel.curves[0].accuracy[-1] > 0


@pytest.mark.parametrize("noise", [GaussianNoise(0.25), LaplaceNoise(0.3), UniformNoise(0.3)])
def test_distances_are_exact(noise: Any) -> None:
    certificate = make_certificate(noise)
    (panel,) = certificate.chart(Y).panels
    assert not panel.whole and rf"$\ell_{noise.norm[1]}$" in panel.label
    for r, curve in zip(CHANGED, panel.curves, strict=True):
        radius = certificate.radius(r)
        right = radius[(certificate.prediction == Y) & (radius > 0)]
        for eps in [1e-9, 0.1, *(right * (1 - 1e-6)), *(right * (1 + 1e-6))]:
            assert value(curve, eps) == pytest.approx(certificate.certified_accuracy(Y, r, eps=eps))


def test_ablation_is_counted_in_entities() -> None:
    certificate = make_certificate(AblationNoise())
    (panel,) = certificate.chart(Y).panels
    (curve,) = panel.curves
    assert panel.whole and curve.r is None and panel.label == "Changed nodes $r$"
    assert [value(curve, r) for r in range(5)] == [
        certificate.certified_accuracy(Y, r) for r in range(5)
    ]


def test_nobody_is_certified() -> None:
    nothing = np.full(60, 0.3), np.full(60, 0.5)
    for noise in (FLIPS, GaussianNoise(0.25), AblationNoise()):
        smoothing = SimpleNamespace(selection=BernoulliSelection(0.81), noise=noise)
        for certificate in (
            Certificate.from_bounds(smoothing, Y, *nothing),
            Certificate.from_bounds(smoothing, [], [], []),
        ):
            for panel in certificate.chart(Y[: len(certificate)]).panels:
                assert not any(curve.accuracy.any() for curve in panel.curves)


def test_charts_need_no_picture() -> None:
    program = (
        "import sys; from types import SimpleNamespace;"
        "from pyg_hiersmooth.certificates import Certificate;"
        "from pyg_hiersmooth.noise import AblationNoise;"
        "from pyg_hiersmooth.selection import BernoulliSelection;"
        "smoothing = SimpleNamespace(selection=BernoulliSelection(0.8), noise=AblationNoise());"
        "Certificate.from_bounds(smoothing, [0], [0.9], [0.1]).chart([0]);"
        "assert not {'matplotlib', 'pyg_hiersmooth.plotting'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
