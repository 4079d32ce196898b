from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from pyg_hiersmooth.certificates import Certificate, robustness
from pyg_hiersmooth.noise import (
    AblationNoise,
    AdditiveNoise,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection

ADDITIVE: list[Any] = [GaussianNoise(0.5), LaplaceNoise(0.5), UniformNoise(0.5)]
LAWS = [stats.norm(scale=0.5), stats.laplace(scale=0.5), stats.uniform(-0.5, 1.0)]
FLIPS = SparseFlipNoise(0.05, 0.8)

shares = st.floats(0.5, 1.0)
small = st.floats(0.0, 0.5)
selected = st.floats(0.5, 1.0, exclude_min=True)


def certify(noise: Noise, p: float, lower: Any, upper: Any = None, **sizes: Any) -> Certificate:
    lower = np.atleast_1d(lower)
    kind = "binary" if upper is None else "multiclass"
    upper = None if upper is None else np.broadcast_to(upper, lower.shape)
    smoothing = SimpleNamespace(selection=BernoulliSelection(p), noise=noise)
    return Certificate.from_bounds(smoothing, np.zeros(len(lower)), lower, upper, kind, **sizes)


def worst_case(
    noise: Noise, p_lower: float, p_upper: float, q: float, budget: dict[str, Any]
) -> tuple[float, float]:
    """Both bounds as the theory states them."""
    kept = min(max((p_lower - (1.0 - q)) / q, 0.0), 1.0)
    gained = min(p_upper / q, 1.0)
    lower = q * float(noise.lower_bound(kept, **budget))
    return lower, q * float(noise.upper_bound(gained, **budget)) + (1.0 - q)


@st.composite
def noise_and_budgets(draw: st.DrawFn) -> tuple[Noise, dict[str, Any], dict[str, Any]]:
    kind = draw(st.sampled_from([*ADDITIVE, FLIPS, SparseFlipNoise(0.4, 0.7), AblationNoise()]))
    if isinstance(kind, AblationNoise):
        return kind, {}, {}
    if isinstance(kind, SparseFlipNoise):
        a, d = draw(st.integers(0, 5)), draw(st.integers(0, 9))
        more = {"additions": a + draw(st.integers(0, 5)), "deletions": d + draw(st.integers(0, 5))}
        return kind, {"additions": a, "deletions": d}, more
    eps = draw(st.floats(0.0, 1.0))
    return kind, {"eps": eps}, {"eps": eps + draw(st.floats(0.0, 1.0))}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(noise_and_budgets(), selected, selected, shares, small, st.floats(0.0, 0.2))
def test_more_of_anything_bad_never_helps(
    case: Any, q: float, other_q: float, p_lower: float, p_upper: float, slack: float
) -> None:
    noise, less, more = case
    p_upper = min(p_upper, 1.0 - p_lower)
    lower, upper = worst_case(noise, p_lower, p_upper, q, less)
    for worse in (
        worst_case(noise, p_lower, p_upper, q, more),
        worst_case(noise, p_lower, p_upper, min(q, other_q), less),
        worst_case(noise, max(p_lower - slack, 0.0), min(p_upper + slack, 1.0), q, less),
    ):
        assert worse[0] <= lower + 1e-11
        assert worse[1] >= upper - 1e-11
    # What is decided agrees with both bounds, save within the margin.
    decided = robustness.is_robust(
        noise, np.array([p_lower]), np.array([p_upper]), np.array(q), **less
    )
    if abs(lower - upper) > 1e-8:
        assert decided[0] == (lower > upper)


@pytest.mark.parametrize("eps", [0.1, 0.7])
def test_claims_shrink_with_the_number_of_entities(eps: float) -> None:
    lower = np.linspace(0.5, 1.0, 200)
    for noise, budget in ((GaussianNoise(0.5), {"eps": eps}), (FLIPS, {"deletions": 4})):
        for upper in (None, 0.1):
            certificate = certify(noise, 0.9, lower, upper)
            claims = np.array([certificate.is_robust(r, **budget) for r in range(9)])
            assert (claims[1:] <= claims[:-1]).all()
            assert claims[1].sum() > claims[8].sum()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(0.5001, 0.999), st.floats(0.01, 1.0), st.floats(0.05, 5.0))
def test_selecting_everything_gives_the_flat_radii_back(
    p_lower: float, split: float, std: float
) -> None:
    p_upper = split * (1.0 - p_lower)
    certificate = certify(GaussianNoise(std), 1.0, p_lower, p_upper)
    norm = stats.norm
    cohen = std / 2 * (norm.ppf(p_lower) - norm.ppf(p_upper))
    assert certificate.radius(3)[0] == pytest.approx(cohen, rel=1e-7, abs=1e-7)
    binary = certify(GaussianNoise(std), 1.0, p_lower).radius(3)[0]
    assert binary == pytest.approx(std * norm.ppf(p_lower), rel=1e-7, abs=1e-7)


def test_flat_laplace_and_uniform_radii() -> None:
    p_lower, p_upper = 0.9, 0.05
    laplace = certify(LaplaceNoise(0.5), 1.0, p_lower).radius(1)[0]
    assert laplace == pytest.approx(-0.5 * np.log(2 * (1 - p_lower)), abs=1e-8)
    uniform = certify(UniformNoise(0.5), 1.0, p_lower, p_upper).radius(1)[0]
    assert uniform == pytest.approx(0.5 * (p_lower - p_upper), abs=1e-8)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(selected, st.integers(1, 3), st.floats(0.5, 1 - 1e-9))
def test_binary_hierarchical_radius_in_closed_form(p: float, r: int, p_lower: float) -> None:
    q = p**r
    certificate = certify(GaussianNoise(0.7), p, p_lower)
    lost = (1 - p_lower) / q
    radius = 0.0
    if lost < 1.0 and 1 / (2 * q) < 1.0:
        radius = max(0.7 * (stats.norm.isf(lost) - stats.norm.ppf(1 / (2 * q))), 0.0)
    certified = certificate.radius(r)[0]
    if np.isnan(certified):
        assert p_lower <= 0.5 + 1e-9
    else:
        assert certified == pytest.approx(radius, rel=1e-6, abs=1e-7)
        assert certified <= radius + 1e-12


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(range(3)), st.floats(0.7, 1.0), shares, st.floats(0.0, 1.0), st.integers(1, 2)
)
def test_multiclass_radius_against_bisection(
    which: int, p: float, p_lower: float, split: float, r: int
) -> None:
    """Half-lines of the noise's own distribution, and a root finder of SciPy."""
    noise, law = ADDITIVE[which], LAWS[which]
    q = p**r
    p_upper = split * min(1.0 - p_lower, 0.4)
    certified = certify(noise, p, p_lower, p_upper).radius(r)[0]

    def difference(eps: float) -> float:
        lost, gained = min((1.0 - p_lower) / q, 1.0), min(p_upper / q, 1.0)
        ours = q * law.cdf(law.isf(lost) - eps)
        theirs = q * law.sf(law.isf(gained) - eps)
        return float(ours - theirs - (1.0 - q))

    if np.isnan(certified) or certified == 0.0:
        assert difference(0.0) <= 1e-9 or p_lower - p_upper <= 1e-9
        return
    assert difference(certified) >= 0.0

    def with_margin(eps: float) -> float:
        return difference(eps) - 2.0 * robustness.MARGIN

    if with_margin(50.0) < 0.0 < with_margin(0.0):
        exact = brentq(with_margin, 0.0, 50.0, xtol=1e-14, rtol=1e-14)
        # Where the curve is flat, a rounding in probability is a step in distance.
        step = 1e-6
        slope = (difference(max(exact - step, 0.0)) - difference(exact + step)) / (2 * step)
        assert certified == pytest.approx(exact, rel=1e-9, abs=1e-9 + 1e-11 / max(slope, 1e-11))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from(ADDITIVE),
    selected,
    st.floats(0.5, 1 - 1e-6),
    st.one_of(st.none(), st.floats(1e-6, 0.5)),
    st.integers(1, 4),
)
def test_radius_agrees_with_is_robust(
    noise: AdditiveNoise, p: float, p_lower: float, p_upper: float | None, r: int
) -> None:
    certificate = certify(noise, p, p_lower, p_upper)
    radius = float(certificate.radius(r)[0])
    if np.isnan(radius):
        assert not certificate.is_robust(r, eps=0.0)
        return
    assert radius >= 0.0 and np.isfinite(radius)
    if radius > 0.0:
        assert certificate.is_robust(r, eps=radius)
    assert not certificate.is_robust(r, eps=radius * (1 + 1e-6) + 1e-6)


def test_a_flat_curve_does_not_hide_the_radius() -> None:
    """Half of the votes and no rival: certified until almost all of that half is lost."""
    for lower, upper in ((0.5, 0.0), (1.0, 0.5)):
        radius = certify(GaussianNoise(0.5), 1.0, lower, upper).radius(1)[0]
        assert radius == pytest.approx(0.5 * stats.norm.isf(2.0 * robustness.MARGIN), rel=1e-3)


def test_certainty_has_a_finite_radius() -> None:
    for noise in ADDITIVE:
        certificate = certify(noise, 0.9, [1.0, 1.0], [0.0, 0.3])
        assert np.isfinite(certificate.radius(1)).all() and (certificate.radius(1) > 0).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([FLIPS, SparseFlipNoise(0.3, 0.2), SparseFlipNoise(0.6, 0.7)]),
    st.sampled_from([0.6, 0.81, 0.95, 1.0]),
    st.lists(st.tuples(shares, small), min_size=1, max_size=5),
    st.booleans(),
)
def test_the_grid_is_every_cell_by_itself(
    noise: SparseFlipNoise, p: float, pairs: list[tuple[float, float]], binary: bool
) -> None:
    lower, upper = np.array(pairs).T
    certificate = certify(noise, p, lower, None if binary else upper, num_entities=3)
    grid = certificate.grid(4, 3, 5)
    assert grid.shape == (len(pairs), 5, 4, 6) and grid.dtype == bool
    for r, a, d in np.ndindex(5, 4, 6):
        alone = certificate.is_robust(r, additions=a, deletions=d)
        assert np.array_equal(grid[:, r, a, d], alone), (r, a, d)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_exact_ties_are_not_claimed(kind: str) -> None:
    """Cases whose two bounds are equal on paper."""
    for p in (0.75, 0.8, 0.9, 1.0):
        for r in (1, 2):
            q = p**r
            tie = (1 - q) + 0.5
            upper = None if kind == "binary" else 1.0 - min(tie, 1.0)
            for nudge in (0.0, 1e-12, -1e-12):
                lower = min(tie + nudge, 1.0)
                assert not certify(AblationNoise(), p, lower, upper).is_robust(r)
            if tie + 1e-8 < 1.0:
                assert certify(AblationNoise(), p, tie + 1e-8, upper).is_robust(r)
    upper = None if kind == "binary" else 0.5
    assert certify(AblationNoise(), 1.0, 0.5, upper).abstained


@pytest.mark.parametrize("noise", ADDITIVE, ids=str)
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_other_norms_claim_no_more_than_the_own_norm_proves(
    noise: AdditiveNoise, norm: str
) -> None:
    """Random shifts of the certified length over the rows that may change."""
    generator = np.random.default_rng(0)
    order = {"l1": 1, "l2": 2, "linf": np.inf}
    certificate = certify(noise, 0.95, [0.99, 0.9], num_entities=3, num_features=4)
    for r in (1, 2, 3, 7):
        radius, own = certificate.radius(r, norm=norm), certificate.radius(r)
        assert (radius > 0).any() and (radius <= own).all()
        coordinates = 4 * min(r, 3)
        longest = 0.0
        extremes = [np.ones(coordinates), np.eye(coordinates)[0]]
        for shift in [*extremes, *generator.normal(size=(200, coordinates))]:
            shift = shift / np.linalg.norm(shift, order[norm])
            longest = max(longest, float(np.linalg.norm(shift, order[noise.norm])))
        assert (radius * longest <= own * (1 + 1e-12)).all()
        assert (radius * longest >= own * (1 - 1e-9)).all()  # the extremes are among the shifts
        for i in np.flatnonzero(radius > 0):
            assert certificate.is_robust(r, eps=radius[i], norm=norm)[i]
            assert not certificate.is_robust(r, eps=radius[i] * 1.001, norm=norm)[i]


def test_norms_are_checked() -> None:
    certificate = certify(GaussianNoise(0.5), 0.95, 0.99)
    with pytest.raises(ValueError, match="num_features"):
        certificate.radius(1, norm="linf")
    with pytest.raises(ValueError, match="num_features"):
        certificate.is_robust(1, eps=0.1, norm="linf")
    for known in (certificate, certify(GaussianNoise(0.5), 0.95, 0.99, num_features=3)):
        with pytest.raises(ValueError, match="'norm' must be one of"):
            known.radius(1, norm="l3")
        assert known.radius(1, norm="l2") == known.radius(1)
        assert known.radius(1, norm="l1") == known.radius(1)


def test_no_warning_where_nothing_can_be_certified() -> None:
    """More changed entities than are ever selected together: q is zero."""
    for noise in (*ADDITIVE, FLIPS, AblationNoise()):
        smoothing = SimpleNamespace(selection=FixedSizeSelection(2), noise=noise)
        certificate = Certificate.from_bounds(smoothing, [0], [1.0], [0.0], num_entities=5)
        budget = dict.fromkeys(noise.budget, 5)
        with np.errstate(all="raise"):
            assert not certificate.is_robust(3, **budget)
            if isinstance(noise, AdditiveNoise):
                assert certificate.radius(3) == 0.0


@given(noise_and_budgets(), st.floats(0.0, 1.0), st.floats(1e-3, 1.0))
@example((GaussianNoise(0.5), {"eps": 1.0}, {"eps": 1.0}), 1.0, 0.2714150854883984)
@example((FLIPS, {"additions": 0, "deletions": 0}, {"additions": 2, "deletions": 0}), 1.0, 1.0)
@settings(max_examples=300, deadline=None)
def test_what_an_event_keeps_is_what_the_theory_states(
    case: tuple[Noise, dict[str, Any], dict[str, Any]], p: float, q: float
) -> None:
    noise, budget, more = case
    budget = noise.check_budget(**budget) if budget else {}
    kept = float(robustness.worst_case(noise, np.asarray(p), np.asarray(q), **budget))
    expected = worst_case(noise, p, 0.0, q, budget)[0]
    given_selected = min(max(1.0 - (1.0 - p) / q, 0.0) + 4e-16, 1.0)  # the theory, rounded up
    assert 0.0 <= kept <= min(q * float(noise.lower_bound(given_selected, **budget)), p)
    assert kept >= expected - 1e-6 * (1.0 + expected)
    more = noise.check_budget(**more) if more else {}
    of_more = float(robustness.worst_case(noise, np.asarray(p), np.asarray(q), **more))
    assert of_more <= kept + 1e-12
    less = float(robustness.worst_case(noise, np.asarray(p), np.asarray(0.9 * q), **budget))
    assert less <= kept + 1e-12


def test_scales_of_distances() -> None:
    assert robustness.distance_scale("l2", None, 3, None) == 1.0
    assert robustness.distance_scale("l2", "l1", 3, None) == 1.0
    assert robustness.distance_scale("l2", "linf", 3, 4) == pytest.approx(12**0.5)
    assert robustness.distance_scale("l1", "linf", np.array([0, 2]), 4).tolist() == [4, 8]
    with pytest.raises(ValueError, match="needs the number of features"):
        robustness.distance_scale("l1", "l2", 3, None)
