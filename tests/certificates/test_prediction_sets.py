from __future__ import annotations

import warnings
from fractions import Fraction
from itertools import product
from math import comb
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from pyg_hiersmooth.certificates import Certificate, PredictionSets
from pyg_hiersmooth.certificates.approval import ApprovalChoice
from pyg_hiersmooth.datasets import NodeSplit
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    LaplaceNoise,
    Noise,
    SparseFlipNoise,
    UniformNoise,
)
from pyg_hiersmooth.selection import (
    BernoulliSelection,
    FixedSizeSelection,
    PartitionSelection,
    Selection,
)

from .counted import exact, sampled

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


def ballots(num: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Approvals ``[num, C]`` in `n` samples, mostly of the labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, num)
    p = rng.beta(0.4, 2.0, (num, C))
    p[np.arange(num), y] = rng.beta(20.0, 1.0, num)
    return rng.binomial(n, p), y


def calibrated(noise: Noise, selection: Selection | None = None, **options: Any) -> PredictionSets:
    counts, y = ballots(200, N_SAMPLES)
    selection = BernoulliSelection(0.9) if selection is None else selection
    return PredictionSets.calibrate(sampled(counts, selection, noise, N_SAMPLES), y, **options)


def found(noise: Noise, selection: Selection | None = None, **kept: Any) -> Certificate:
    selection = BernoulliSelection(0.9) if selection is None else selection
    return sampled(ballots(60, N_SAMPLES, 1)[0], selection, noise, N_SAMPLES, start=1_000, **kept)


def test_exact_sets_by_hand() -> None:
    y = np.zeros(19, dtype=int)
    cal = exact(np.stack([np.arange(80, 99), np.zeros(19)], axis=1).astype(int))
    sets = PredictionSets.calibrate(cal, y, coverage=0.9)
    assert sets.clean_threshold.tolist() == [81]  # the second smallest of 19
    test = exact([[81, 80], [80, 100], [71, 70], [70, 71], [0, 0]], start=100)
    assert sets.sets(test).tolist() == [[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]
    assert sets.sets(test, r=1).tolist() == [[1, 1], [1, 1], [1, 0], [0, 1], [0, 0]]
    assert sets.threshold() == 0.81 and sets.threshold(r=3) == pytest.approx(0.51)
    assert sets.coverage(test, [0, 0, 0, 1, 1]) == 0.2
    assert sets.coverage(test, [0, 0, 0, 1, 1], r=1) == 0.8
    assert sets.size(test, r=1) == 6 / 5 and sets.singletons(test, r=1) == 2 / 5
    assert sets.exact and sets.eta == 0.0 and sets.nominal == 0.9


def test_nine_objects_will_do_for_nine_tenths() -> None:
    y = np.zeros(9, dtype=int)
    counts = np.stack([np.arange(90, 99), np.zeros(9)], axis=1).astype(int)
    assert PredictionSets.calibrate(exact(counts), y, 0.9).threshold() == 0.9
    with pytest.raises(ValueError, match=r"needs at least 9 objects .*got 8"):
        PredictionSets.calibrate(exact(counts[:8]), y[:8], 0.9)
    smoothing = BernoulliSelection(0.9), AblationNoise()
    with pytest.raises(ValueError, match=r"needs at least 11 objects .*got 9"):  # less eta: 0.09
        PredictionSets.calibrate(sampled(counts, *smoothing, n=100), y, 0.9)


def test_plain_votes_where_there_are_no_approvals() -> None:
    counts = np.stack([np.arange(80, 99), 20 - np.arange(19)], axis=1)
    kept: dict[str, Any] = {"approvals": None, "approve": None}
    sets = PredictionSets.calibrate(exact(counts, votes=counts, **kept), np.zeros(19, dtype=int))
    votes = np.array([[81, 19], [19, 81]])
    assert sets.sets(exact(votes, 100, votes=votes, **kept)).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"with approve=None \(got approve=0.1\)"):
        sets.sets(exact(votes, 100, votes=votes))


@pytest.mark.parametrize(("noise", "budget"), BUDGETS, ids=str)
def test_without_an_attack_they_are_plain_conformal_sets(
    noise: Noise, budget: dict[str, float]
) -> None:
    counts, y = ballots(200, N_SAMPLES)
    test, _ = ballots(60, N_SAMPLES, 1)
    own = counts[np.arange(200), y]
    lower = beta.ppf(0.005, own, N_SAMPLES - own + 1)
    upper = beta.ppf(0.995, test + 1, N_SAMPLES - test)
    plain = np.where(test == N_SAMPLES, 1.0, upper) >= np.sort(lower)[18 - 1] - 1e-9  # 0.09 * 201
    sets = calibrated(noise)
    assert np.array_equal(sets.sets(found(noise)), plain)
    assert np.array_equal(sets.sets(found(noise), r=0, **budget), plain)
    nothing = dict.fromkeys(budget, 0)
    assert not budget or np.array_equal(sets.sets(found(noise), r=3, **nothing), plain)
    assert 0.5 < plain.sum() / 60 < 2.0


@pytest.mark.filterwarnings("ignore:at r=")
@pytest.mark.parametrize(("noise", "budget"), BUDGETS, ids=str)
@pytest.mark.parametrize(
    "selection", [BernoulliSelection(0.95), FixedSizeSelection(40), PartitionSelection(15)], ids=str
)
@pytest.mark.parametrize("class_conditional", [False, True])
def test_sets_grow_with_r_and_with_the_budget(
    noise: Noise, budget: dict[str, float], selection: Selection, class_conditional: bool
) -> None:
    counts, y = ballots(200, N_SAMPLES)
    cal = sampled(counts, selection, noise, N_SAMPLES, num_entities=np.full(200, 42))
    sets = PredictionSets.calibrate(cal, y, class_conditional=class_conditional)
    test = found(noise, selection, num_entities=np.full(60, 42))
    before, threshold = sets.sets(test), sets.threshold()
    for r in range(1, 5):
        after = sets.sets(test, r, **budget)
        assert (after >= before).all()
        assert np.all(sets.threshold(r, **budget) <= threshold)
        for name in budget:
            larger = sets.sets(test, r, **{**budget, name: 2 * budget[name] + 1})
            assert (larger >= after).all()
        before, threshold = after, sets.threshold(r, **budget)
    assert before.sum() > sets.sets(test).sum()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_exact_thresholds_fall_by_the_outcomes_that_see_an_attack(data: st.DataObject) -> None:
    selection = PartitionSelection(data.draw(st.integers(2, 12)), data.draw(st.integers(1, 5)))
    counts = np.array(
        data.draw(st.lists(st.integers(0, selection.num_masks), min_size=9, max_size=30))
    )
    both = np.stack([counts, counts[::-1]], axis=1)
    cal = exact(both, selection=selection)
    sets = PredictionSets.calibrate(cal, np.zeros(len(counts), dtype=int), 0.9)
    test = exact(both, 100, selection)
    clean = sorted(counts)[(len(counts) + 1) // 10 - 1]
    r = data.draw(st.integers(0, 14))
    lost = selection.num_partitions * min(r, selection.num_groups)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert np.array_equal(sets.sets(test, r), both >= clean - lost)
    assert bool(told) == (clean <= lost)


def greedy_flips(p: Fraction, p_plus: Fraction, p_minus: Fraction, add: int, delete: int) -> Any:
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


def bincp_sets(counts: np.ndarray, y: np.ndarray, test: np.ndarray, worst: Any) -> np.ndarray:
    """BinCP's rule for sampled votes: one threshold, certified once (Zargarbashi & Bojchevski
    2025)."""
    own = counts[np.arange(len(y)), y]
    lower = np.sort(beta.ppf(0.005, own, N_SAMPLES - own + 1))[18 - 1]
    upper = np.where(test < N_SAMPLES, beta.ppf(0.995, test + 1, N_SAMPLES - test), 1.0)
    return upper >= worst(lower)


@pytest.mark.filterwarnings("ignore:at r=")
@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("delete", [0, 1, 2, 3])
def test_flips_against_the_threshold_of_bincp(add: int, delete: int) -> None:
    counts, y = ballots(200, N_SAMPLES)
    test, _ = ballots(60, N_SAMPLES, 1)
    flat = BernoulliSelection(1.0)
    sets = calibrated(FLIPS, flat)

    def worst(p: float) -> float:
        bound = greedy_flips(Fraction(p), Fraction("0.01"), Fraction("0.6"), add, delete)
        return float(bound)

    budget = {"additions": add, "deletions": delete}
    expected = worst(float(sets.clean_threshold[0]))
    assert sets.threshold(add + delete, **budget) == pytest.approx(expected, abs=3e-10)
    ours = sets.sets(found(FLIPS, flat), r=add + delete, **budget)
    assert np.array_equal(ours, bincp_sets(counts, y, test, worst))


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.25, 0.5, 0.8])
def test_gaussian_noise_against_the_threshold_of_bincp(eps: float) -> None:
    counts, y = ballots(200, N_SAMPLES)
    test, _ = ballots(60, N_SAMPLES, 1)
    noise, flat, normal = GaussianNoise(0.5), BernoulliSelection(1.0), NormalDist()
    sets = calibrated(noise, flat)

    def worst(p: float) -> float:
        return normal.cdf(normal.inv_cdf(p) - eps / 0.5)

    expected = worst(float(sets.clean_threshold[0]))
    assert sets.threshold(2, eps=eps) == pytest.approx(expected, abs=3e-10)
    ours = sets.sets(found(noise, flat), r=2, eps=eps)
    assert np.array_equal(ours, bincp_sets(counts, y, test, worst))


@pytest.mark.parametrize("r", [1, 2, 3])
def test_selection_mixes_in_what_is_lost(r: int) -> None:
    sets = calibrated(FLIPS, BernoulliSelection(0.97))
    q = Fraction("0.97") ** min(r, 2)  # two changed ones reach two rows at most
    clean = Fraction(float(sets.clean_threshold[0]))
    given_selected = (clean - (1 - q)) / q
    assert 0 < given_selected < 1
    expected = q * greedy_flips(given_selected, Fraction("0.01"), Fraction("0.6"), 0, 2)
    assert sets.threshold(r, deletions=2) == pytest.approx(float(expected), abs=3e-10)
    assert sets.threshold(r, deletions=2) <= float(expected)


def test_distances_in_other_norms() -> None:
    noise, counts = GaussianNoise(0.5), ballots(200, N_SAMPLES)
    kept = {"num_features": 9}
    cal = sampled(counts[0], BernoulliSelection(0.9), noise, N_SAMPLES, **kept)
    sets = PredictionSets.calibrate(cal, counts[1])
    test = found(noise, **kept)
    assert np.array_equal(
        sets.sets(test, 2, eps=0.05, norm="linf"), sets.sets(test, 2, eps=0.05 * 18**0.5)
    )
    assert sets.threshold(2, eps=0.05, norm="linf") == pytest.approx(
        sets.threshold(2, eps=0.05 * 18**0.5)
    )
    known = calibrated(noise).sets(test, 2, eps=0.05, norm="linf")  # from the test objects alone
    assert np.array_equal(known, sets.sets(test, 2, eps=0.05, norm="linf"))
    with pytest.raises(ValueError, match="needs the number of features"):
        calibrated(noise).sets(found(noise), 2, eps=0.05, norm="linf")
    with pytest.raises(ValueError, match="'norm' must be one of"):
        sets.sets(test, 2, eps=0.05, norm="l7")


@pytest.mark.filterwarnings("ignore:at r=")
def test_objects_of_different_sizes_have_thresholds_of_their_own() -> None:
    selection, noise = FixedSizeSelection(9), AblationNoise()
    counts, y = ballots(200, N_SAMPLES)
    sizes = np.arange(200) % 5 + 9
    cal = sampled(counts, selection, noise, N_SAMPLES, num_entities=sizes)
    sets = PredictionSets.calibrate(cal, y)
    test_sizes = np.arange(60) % 5 + 9
    together = sets.sets(found(noise, selection, num_entities=test_sizes), r=1)
    for size in range(9, 14):
        alone = sets.sets(found(noise, selection, num_entities=np.full(60, size)), r=1)
        rows = test_sizes == size
        assert np.array_equal(together[rows], alone[rows])
    with pytest.raises(ValueError, match="number of entities"):
        sets.threshold(1)


@pytest.mark.parametrize("of", ["messages", "nodes"])
def test_more_entities_than_there_were_may_be_changed_where_some_are_added(of: str) -> None:
    counts, y = ballots(200, N_SAMPLES)
    noise, sizes = AblationNoise(of=of), np.full(200, 2)
    selection = BernoulliSelection(0.9)
    cal = sampled(counts, selection, noise, N_SAMPLES, num_entities=sizes)
    sets = PredictionSets.calibrate(cal, y)
    assert sets.threshold(3) < sets.threshold(2)  # type: ignore[operator]
    q, clean = 0.9**3, float(sets.clean_threshold[0])
    assert sets.threshold(3) == pytest.approx(clean - (1 - q), abs=1e-9)
    test = found(noise, num_entities=sizes[:60])
    assert (sets.sets(test, 3) >= sets.sets(test, 2)).all()
    assert sets.sets(test, 3).sum() == sets.sets(found(noise), 3).sum()
    partition = PartitionSelection(10, 10)
    few = exact(counts // 5, num_entities=np.full(200, 2), noise=noise)
    exactly = PredictionSets.calibrate(few, y)
    assert exactly.threshold(2) - exactly.threshold(3) == pytest.approx(0.1)  # type: ignore
    assert partition.num_exposing(3, 2) == 20  # what features on a fixed graph would lose
    with pytest.raises(ValueError, match=r"leaves all other nodes as they were.*got FixedSize"):
        sampled(counts, FixedSizeSelection(2), noise, N_SAMPLES, num_entities=sizes)


def test_class_conditional_thresholds_are_those_of_each_class_alone() -> None:
    counts, y = ballots(200, 100)
    counts[y == 2] //= 2
    sets = PredictionSets.calibrate(exact(counts), y, 0.9, class_conditional=True)
    for c in range(C):
        rows = y == c
        alone = PredictionSets.calibrate(exact(counts[rows]), y[rows], 0.9)
        assert sets.threshold()[c] == alone.threshold()  # type: ignore[index]
        test = exact(ballots(60, 100, 1)[0], 1_000)
        assert np.array_equal(sets.sets(test, 2)[:, c], alone.sets(test, 2)[:, c])
    assert sets.class_conditional and not alone.class_conditional
    with pytest.raises(ValueError, match=r"at least 9 objects of class 0 .*got 8"):
        few = np.r_[np.flatnonzero(y == 0)[:8], np.flatnonzero(y > 0)]
        PredictionSets.calibrate(exact(counts[few]), y[few], 0.9, class_conditional=True)


def test_classes_in_every_set_are_told() -> None:
    counts, y = ballots(200, 100)
    test = exact(ballots(60, 100, 1)[0], 1_000)
    sets = PredictionSets.calibrate(exact(counts), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sets.sets(test, r=2)
    for ask in (sets.sets, sets.size, sets.singletons):
        with pytest.warns(UserWarning, match=r"at r=10 every class must be in a set whatever"):
            ask(test, 10)
    noise = GaussianNoise(0.5)
    with pytest.warns(UserWarning, match=r"at r=1, eps=9.0 every class"):
        assert calibrated(noise).sets(found(noise), 1, eps=9.0).all()
    counts[y == 1] = 0
    by_class = PredictionSets.calibrate(exact(counts), y, class_conditional=True)
    with pytest.warns(UserWarning, match=r"at r=0 the classes \[1\] must be in a set"):
        by_class.sets(test)


def test_a_bound_that_no_votes_cannot_miss_says_nothing() -> None:
    counts, y = np.full((200, 2), 8), np.zeros(200, dtype=int)
    smoothing = BernoulliSelection(0.9), AblationNoise()
    sets = PredictionSets.calibrate(sampled(counts, *smoothing, n=10), y)
    none = sampled(np.zeros((1, 2), dtype=int), *smoothing, n=10, start=500)
    assert sets.threshold() > 0.0
    with pytest.warns(UserWarning, match="every class"):
        assert sets.sets(none).all()


def test_numbers_of_samples() -> None:
    counts, y = ballots(200, N_SAMPLES)
    taken = np.full(200, N_SAMPLES)
    taken[3] += 1
    smoothing = BernoulliSelection(0.9), AblationNoise()
    with pytest.raises(ValueError, match=r"equally many samples .*got 500 to 501"):
        PredictionSets.calibrate(sampled(counts, *smoothing, n=N_SAMPLES, num_samples=taken), y)
    stopped = sampled(counts, *smoothing, n=N_SAMPLES, num_samples=taken, n0=None)
    wide = PredictionSets.calibrate(stopped, y)
    fixed = PredictionSets.calibrate(sampled(counts, *smoothing, n=N_SAMPLES), y)
    assert wide.threshold() < fixed.threshold()  # type: ignore[operator]


def test_what_was_used_cannot_be_asked_about() -> None:
    counts, y = ballots(200, 100)
    split = NodeSplit(*(torch.arange(n, n + 50) for n in (300, 400, 500)), torch.arange(200))
    chosen = ApprovalChoice(0.1, np.arange(400, 450), ())
    sets = PredictionSets.calibrate(exact(counts), y, approval=chosen, split=split)
    some = counts[:20]
    assert sets.sets(exact(some, 510)).shape == (20, C)
    with pytest.raises(ValueError, match=r"other objects than calibration used .*10 .*as 190"):
        sets.sets(exact(some, 190))
    with pytest.raises(ValueError, match=r"than the choice of 'approve' used .*got 20"):
        sets.sets(exact(some, 410))
    with pytest.raises(ValueError, match=r"of the split's 'test_index'.*got 1 others.*550"):
        sets.sets(exact(some, 531))
    with pytest.raises(ValueError, match=r"other objects than 'approval' was chosen on"):
        near = ApprovalChoice(0.1, np.arange(199, 300), ())
        PredictionSets.calibrate(exact(counts), y, approval=near)
    with pytest.raises(ValueError, match=r"at approve=0.2, as chosen \(got approve=0.1\)"):
        PredictionSets.calibrate(exact(counts), y, approval=ApprovalChoice(0.2, chosen.index, ()))
    with pytest.raises(ValueError, match=r"of the split's 'calibration_index'.*got 1 others"):
        PredictionSets.calibrate(exact(counts, 1), y, split=split)
    with pytest.raises(ValueError, match="hold each calibration object once"):
        PredictionSets.calibrate(exact(counts, index=np.zeros(200, dtype=int)), y)


def test_other_votes_are_refused() -> None:
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    with pytest.raises(ValueError, match="must have the smoothing of the calibration"):
        sets.sets(exact(counts, 500, PartitionSelection(10, 10, seed=1)))
    with pytest.raises(ValueError, match="must have the smoothing of the calibration"):
        sets.sets(exact(counts, 500, noise=AblationNoise(torch.ones(3))))
    with pytest.raises(ValueError, match=r"must hold exact votes, .*got sampled"):
        sets.sets(exact(counts, 500, largest_r=None))
    with pytest.raises(ValueError, match=r"with approve=0.1 \(got approve=0.2\)"):
        sets.sets(exact(counts, 500, approve=0.2))
    with pytest.raises(ValueError, match=r"about the 4 classes .*got 3"):
        sets.sets(exact(counts[:, :3], 500))
    with pytest.raises(ValueError, match="must be the one of the calibration"):
        sets.calibration_size(exact(counts, 500))


def test_a_noise_that_cannot_be_compared_is_the_same_only_as_itself() -> None:
    class Own(AblationNoise):
        def __init__(self, secret: object) -> None:
            super().__init__()
            self._secret = secret

    counts, y = ballots(200, 100)
    own = Own(object())
    sets = PredictionSets.calibrate(exact(counts, noise=own), y)
    sets.sets(exact(counts, 500, noise=own))
    with pytest.raises(ValueError, match="must have the smoothing"):
        sets.sets(exact(counts, 500, noise=Own(own._secret)))


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_bad_coverage(coverage: float) -> None:
    counts, y = ballots(200, 100)
    with pytest.raises(ValueError, match=r"'coverage' must be a number between 0 and 1"):
        PredictionSets.calibrate(exact(counts), y, coverage)


def test_bad_arguments() -> None:
    counts, y = ballots(200, N_SAMPLES)
    cal = sampled(counts, BernoulliSelection(0.9), FLIPS, N_SAMPLES)
    for eta in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="'eta' must be a number between"):
            PredictionSets.calibrate(cal, y, eta=eta)
    for eta in (0.1, 0.5):
        with pytest.raises(ValueError, match=r"'eta' must be less than 1 - coverage, .* 0.1 .got"):
            PredictionSets.calibrate(cal, y, eta=eta)
    for label in (-1, C):
        with pytest.raises(ValueError, match=rf"'y' must hold classes in \[0, 4\) \(got {label}"):
            PredictionSets.calibrate(cal, np.r_[y[:-1], label])
    with pytest.raises(ValueError, match=r"'y' must have the shape \[200\]"):
        PredictionSets.calibrate(cal, y[:-1])
    sets, test = PredictionSets.calibrate(cal, y), found(FLIPS)
    with pytest.raises(ValueError, match="'y' must hold classes"):
        sets.coverage(test, np.full(60, -1), 0)
    with pytest.raises(ValueError, match="'r' must be an integer"):
        sets.sets(test, r=-1, deletions=1)
    with pytest.raises(ValueError, match="'deletions' must be"):
        sets.sets(test, r=1, deletions=-1)
    for budget in ({"eps": 1.0}, {"norm": "l2", "deletions": 1}, {}):
        with pytest.raises(TypeError, match="a certificate for SparseFlipNoise"):
            sets.sets(test, r=1, **budget)  # type: ignore[arg-type]


def test_statements() -> None:
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    start = "With probability at least 0.9, over the random choice of calibration and test objects"
    assert sets.statement() == f"{start}, the right class is in the set, without an attack."
    assert sets.statement(3) == (
        f"{start}, the right class is in the set, under any change of at most 3 entities."
    )
    assert sets.statement(1).endswith("under any change of at most 1 entity.")
    messages = exact(counts, noise=AblationNoise(of="messages"))
    over = PredictionSets.calibrate(messages, y, class_conditional=True)
    assert over.statement(2) == (
        f"{start} of each class, the right class is in the set, or the object itself is taken "
        "over, under any change of at most 2 entities."
    )
    flips = calibrated(FLIPS).statement(3, deletions=2)
    assert flips.endswith("under any change of at most 2 entities, by 2 deletions in total.")


def test_shown() -> None:
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    assert repr(sets).startswith("PredictionSets(coverage=0.9, 200 calibration objects, Partition")
    assert repr(sets).endswith("AblationNoise(), approve=0.1)")
    assert "eta=0.01" in repr(calibrated(FLIPS))
    assert "200 objects" in sets._repr_html_() and "exact" in sets._repr_html_()


def test_frame_says_what_the_methods_say() -> None:
    pytest.importorskip("pandas")
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    test, labels = ballots(60, 100, 1)
    cert = exact(test, 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = sets.to_frame(cert, labels, changed=(0, 1, 9, 10))
    assert frame.r.tolist() == [0, 1, 9, 10]
    assert frame.uninformative.tolist() == [False, False, True, True]
    for r, size, single, covered in frame.iloc[:2, :4].itertuples(index=False):
        assert size == sets.size(cert, int(r)) and single == sets.singletons(cert, int(r))
        assert covered == sets.coverage(cert, labels, int(r))
    assert list(sets.to_frame(cert).columns) == ["r", "size", "singletons", "uninformative"]


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts), y)
    test = exact(ballots(60, 100, 1)[0], 500)
    figure = sets.plot(test, tmp_path / "sets.png", changed=range(4))
    assert (tmp_path / "sets.png").stat().st_size > 1_000
    drawn = figure.axes[0].lines[1]
    assert drawn.get_ydata().tolist() == [sets.size(test, r) for r in range(4)]
