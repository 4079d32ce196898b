from __future__ import annotations

import warnings
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_hiersmooth.certificates import PredictionSets, robustness
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.noise import (
    AblationNoise,
    GaussianNoise,
    Noise,
    SparseFlipNoise,
)
from pyg_hiersmooth.selection import (
    BernoulliSelection,
    FixedSizeSelection,
    PartitionSelection,
    Selection,
)
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise

from .bincp import bincp_sets, least_flips
from .counted import BUDGETS, FLIPS, N_SAMPLES, ballots, calibrated, exact, found, sampled
from .test_composed import (
    ABLATED,
    CLEAN,
    THINNED,
    Smoothings,
    ball,
    distribution,
    node_noise,
    worst_case,
)


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


@pytest.mark.filterwarnings("ignore:at r=")
@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("delete", [0, 1, 2, 3])
def test_flips_against_the_threshold_of_bincp(add: int, delete: int) -> None:
    counts, y = ballots(200, N_SAMPLES)
    test, _ = ballots(60, N_SAMPLES, 1)
    flat = BernoulliSelection(1.0)
    sets = calibrated(FLIPS, flat)

    def worst(p: float) -> float:
        bound = least_flips(Fraction(p), Fraction("0.01"), Fraction("0.6"), add, delete)
        return float(bound)

    budget = {"additions": add, "deletions": delete}
    expected = worst(float(sets.clean_threshold[0]))
    assert sets.threshold(add + delete, **budget) == pytest.approx(expected, abs=3e-10)
    ours = sets.sets(found(FLIPS, flat), r=add + delete, **budget)
    assert np.array_equal(ours, bincp_sets(counts, y, test, N_SAMPLES, worst))


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
    assert np.array_equal(ours, bincp_sets(counts, y, test, N_SAMPLES, worst))


@pytest.mark.parametrize("r", [1, 2, 3])
def test_selection_mixes_in_what_is_lost(r: int) -> None:
    sets = calibrated(FLIPS, BernoulliSelection(0.97))
    q = Fraction("0.97") ** min(r, 2)  # two changed ones reach two rows at most
    clean = Fraction(float(sets.clean_threshold[0]))
    given_selected = (clean - (1 - q)) / q
    assert 0 < given_selected < 1
    expected = q * least_flips(given_selected, Fraction("0.01"), Fraction("0.6"), 0, 2)
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


MIXED: list[tuple[Smoothings, dict[str, int]]] = [
    (Smoothings(HierarchicalEdgeNoise(0.9, AblationNoise())), {}),
    (Smoothings(HierarchicalEdgeNoise(0.8, SparseFlipNoise(0.2, 0.7))), {"deletions": 1}),
    (Smoothings(ABLATED, node_noise(0.95, AblationNoise())), {"edges": 1}),
    (
        Smoothings(ABLATED, node_noise(0.95, SparseFlipNoise(0.3, 0.6))),
        {"edges": 1, "deletions": 1},
    ),
    (Smoothings(THINNED, node_noise(0.95, AblationNoise())), {"additions": 1, "deletions": 1}),
]


@pytest.mark.filterwarnings("ignore:at r=")
@pytest.mark.parametrize(("smoothings", "budget"), MIXED, ids=str)
@pytest.mark.parametrize("r", [0, 1, 2])
def test_edges_alone_and_with_nodes_against_every_attack_of_a_small_world(
    smoothings: Smoothings, budget: dict[str, int], r: int
) -> None:
    counts, y = ballots(200, N_SAMPLES)
    smoothing = EdgeSmoothing(*smoothings)
    cal = sampled(counts, smoothing.selection, smoothing.noise, N_SAMPLES)
    sets = PredictionSets.calibrate(cal, y)
    a = float(sets.clean_threshold[0])
    if smoothings.nodes is None:  # r counts pairs, of which one has an edge
        attacks = ball(0, r) if not budget else ball(0, deletions=min(r, 1))
    elif "edges" in budget:  # one bit of the clean rows is set
        attacks = (
            world
            for world in ball(r, budget["edges"])
            if "deletions" not in budget or world[0][0] == 0
        )
    else:
        attacks = ball(r, **budget)
    clean = distribution(CLEAN, smoothings)
    least = min(worst_case(a, clean, distribution(world, smoothings)) for world in attacks)
    threshold = sets.threshold(r, **budget)
    assert threshold <= least + 1e-12
    if budget and "edges" not in budget:  # else a pair has one of two states only
        assert threshold == pytest.approx(least, abs=1e-8)
    test = sampled(ballots(60, N_SAMPLES, 1)[0], *vars(smoothing).values(), N_SAMPLES, 1_000)
    nothing = dict.fromkeys(budget, 0)
    assert np.array_equal(sets.sets(test, 0, **nothing), sets.sets(test))
    assert (sets.sets(test, r, **budget) >= sets.sets(test)).all()


def test_exact_votes_of_pairs() -> None:
    smoothing = EdgeSmoothing(HierarchicalEdgeNoise(PartitionSelection(10, 10), AblationNoise()))
    counts, y = ballots(200, 100)
    sets = PredictionSets.calibrate(exact(counts, noise=smoothing.noise), y)
    assert sets.clean_threshold[0] / 100 - sets.threshold(3) == pytest.approx(0.3)


def test_a_budget_alone_means_all_that_it_may_change() -> None:
    smoothing = EdgeSmoothing(HierarchicalEdgeNoise(0.9, FLIPS))
    sets = calibrated(smoothing.noise, smoothing.selection)
    assert sets.threshold(additions=1, deletions=2) == sets.threshold(3, additions=1, deletions=2)
    assert sets.threshold(additions=1) < sets.threshold() == sets.threshold(0)
    assert "1 added edge" in sets.statement(additions=1)
    for noise, budget in ((GaussianNoise(0.5), {"eps": 0.1}), (AblationNoise(of="nodes"), {})):
        only = {} if budget else {"only": "new_nodes"}
        with pytest.raises(TypeError, match="'r' is needed"):
            calibrated(noise).threshold(**budget, **only)


@pytest.mark.parametrize("of", ["messages", "nodes"])
def test_new_nodes_cost_less_than_old_ones(of: str) -> None:
    """What is kept where all new nodes are selected, independently of the vote: q p."""
    noise, selection = AblationNoise(of=of), BernoulliSelection(0.95)
    sets, test = calibrated(noise, selection), found(noise, selection)
    clean = float(sets.clean_threshold[0])
    for r in range(5):
        threshold = sets.threshold(r, only="new_nodes")
        assert threshold == pytest.approx(0.95**r * clean, abs=1e-9)
        assert threshold <= 0.95**r * clean - (robustness.MARGIN / 2 if r else 0.0)
        assert threshold >= sets.threshold(r)
        assert (sets.sets(test, r, only="new_nodes") <= sets.sets(test, r)).all()
    assert sets.size(test, 4, only="new_nodes") < sets.size(test, 4)


def test_new_nodes_of_exact_votes_are_as_bad_as_old_ones() -> None:
    counts, y = ballots(200, 100)
    noise = AblationNoise(of="messages")
    sets = PredictionSets.calibrate(exact(counts, noise=noise), y)
    test = exact(ballots(60, 100, 1)[0], 1_000, noise=noise)
    assert np.array_equal(sets.sets(test, 2, only="new_nodes"), sets.sets(test, 2))


def test_who_has_no_new_nodes() -> None:
    for noise, budget in BUDGETS:
        sets = calibrated(noise)
        with pytest.raises(TypeError, match=r"'only' is for AblationNoise\(of='messages'\)"):
            sets.sets(found(noise), 1, only="new_nodes", **budget)
    sets = calibrated(AblationNoise(of="nodes"))
    with pytest.raises(ValueError, match=r"'only' must be 'new_nodes' .got 'old_nodes'"):
        sets.threshold(1, only="old_nodes")
    with pytest.raises(TypeError, match=r"takes no budget besides 'r' .got 'exposure'"):
        sets.threshold(1, exposure=np.ones((60, 60)))
    sampled_partition = calibrated(AblationNoise(of="nodes"), PartitionSelection(10))
    with pytest.raises(ValueError, match=r"'only' needs nodes that are selected independently"):
        sampled_partition.threshold(1, only="new_nodes")
