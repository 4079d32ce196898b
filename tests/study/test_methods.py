from __future__ import annotations

import pytest

from pyg_hiersmooth.experiment.setting_parts import SmoothingSettings
from pyg_hiersmooth.study.methods import (
    ABLATION,
    EXACT_ABLATION,
    EXACT_EDGES,
    EXACT_MESSAGES,
    FLAT_FLIPS,
    HIERARCHICAL_FLIPS,
    HIERARCHICAL_GAUSSIAN,
    METHODS,
    UNPROTECTED,
    Method,
    random_methods,
)


def test_methods_of_the_reference() -> None:
    flips = {"p_plus": 0.05, "p_minus": 0.8}
    assert METHODS[HIERARCHICAL_FLIPS].smoothing == SmoothingSettings("flips", p=0.81, **flips)
    assert METHODS[ABLATION] == Method.of(ABLATION, "ablation", p=0.81)
    flat = SmoothingSettings("flips", p=1.0, **flips, indicator=False)
    assert METHODS[FLAT_FLIPS].smoothing == flat


def test_who_is_selected_is_shown_unless_all_are() -> None:
    shown = {name for name, method in METHODS.items() if method.smoothing.indicator}
    sampled = {HIERARCHICAL_FLIPS, ABLATION, HIERARCHICAL_GAUSSIAN}
    assert shown == {*sampled, EXACT_ABLATION, EXACT_MESSAGES}


def test_settings_that_a_method_has() -> None:
    names = ("p", "p_plus", "p_minus", "std")
    assert [METHODS[HIERARCHICAL_FLIPS].has(name) for name in names] == [True, True, True, False]
    assert [METHODS[FLAT_FLIPS].has(name) for name in names] == [False, True, True, False]
    assert not any(METHODS[UNPROTECTED].has(name) for name in names)


def test_a_partition_takes_the_place_of_p() -> None:
    exact = METHODS[EXACT_ABLATION]
    assert exact == Method.of(EXACT_ABLATION, "ablation", groups=10, partitions=10)
    assert exact.smoothing.exact and exact.num_outcomes == 100
    assert exact.smoothing.indicator and not exact.selects_all
    assert exact.title == "exact node ablation, groups=10, partitions=10"
    assert [exact.has(name) for name in ("p", "groups", "partitions")] == [False, True, True]
    sampled = Method.of("sampled", "gaussian", std=0.1, groups=5, partitions=2)
    assert sampled.smoothing.selection == "partition" and sampled.num_outcomes is None
    assert {name for name, method in METHODS.items() if method.num_outcomes is not None} == {
        *(EXACT_ABLATION, EXACT_MESSAGES, EXACT_EDGES)
    }


def test_two_selections_are_refused() -> None:
    with pytest.raises(ValueError, match="'p' does nothing with 'selection' partition"):
        Method.of("mixed", "ablation", p=0.9, groups=3)


def test_other_noises_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'noise' must be one of flips, .* \(got 'salt'\)"):
        Method.of("salt", "salt")


def test_title_and_slug() -> None:
    method = METHODS[HIERARCHICAL_FLIPS]
    assert method.title == "hierarchical flips, p=0.81, p_plus=0.05, p_minus=0.8"
    assert method.slug == "hierarchical-flips-p0.81-p_plus0.05-p_minus0.8"
    assert METHODS[UNPROTECTED].title == "unprotected"


@pytest.mark.parametrize("seed", [0, 1])
def test_random_settings(seed: int) -> None:
    methods = random_methods(30, seed)
    assert [method.name for method in methods] == (
        [HIERARCHICAL_FLIPS] * 30 + [FLAT_FLIPS] * 30 + [ABLATION] * 30
    )
    assert len({method.slug for method in methods}) == 90
    assert methods == random_methods(30, seed) and methods != random_methods(30, seed + 1)
    for method in methods:
        smoothing = method.smoothing
        assert smoothing.p == 1.0 if method.name == FLAT_FLIPS else 0.65 <= smoothing.p <= 0.98
        if method.noise == "flips":
            assert smoothing.p_plus is not None and 2e-4 <= smoothing.p_plus <= 0.1
            assert smoothing.p_minus is not None and 0.3 <= smoothing.p_minus <= 0.95
        else:
            assert smoothing.p_plus is None and smoothing.p_minus is None


def test_ablated_edges_take_the_place_of_nodes() -> None:
    exact, coins = METHODS["exact edge ablation"], METHODS["edge ablation"]
    assert exact.title == "exact edge ablation, edges_groups=20, edges_partitions=10"
    assert coins.title == "edge ablation, edges_p=0.9"
    assert (exact.num_outcomes, coins.num_outcomes) == (200, None)
    assert {exact.changes, coins.changes} == {"edges"} and exact.smoothing.noise == "none"
    assert exact.has("edges_groups") and not exact.has("edges_p") and coins.has("edges_p")
    assert not exact.has("p") and not METHODS["node ablation"].has("edges_p")
    assert exact.having(edges_groups=30).title.count("edges_groups=30") == 1
    assert METHODS["exact message ablation"].changes == "messages"
    assert METHODS["unprotected"].changes == METHODS["node ablation"].changes == "features"
    for method in METHODS.values():
        assert Method.of(**method.options) == method
    with pytest.raises(ValueError, match="'edges' of a study must be ablation, without noise"):
        Method.of("both", "ablation", edges="ablation")
    with pytest.raises(ValueError, match="'edges' of a study must be ablation, without noise"):
        Method.of("flipped", edges="flips")


def test_what_is_ablated_is_told_unless_it_is_features() -> None:
    messages = Method.of("taken over", "ablation", groups=5, ablate="messages")
    assert messages.title == "taken over, groups=5, partitions=10, ablated messages"
    assert "ablated" not in METHODS[ABLATION].title
    assert Method.of(**messages.options) == messages
