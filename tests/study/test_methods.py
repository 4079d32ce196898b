from __future__ import annotations

from typing import Any

import pytest

from pyg_hiersmooth.study.methods import (
    ABLATION,
    EXACT_ABLATION,
    FLAT_FLIPS,
    HIERARCHICAL_FLIPS,
    METHODS,
    UNPROTECTED,
    Method,
    random_methods,
)


def test_methods_of_the_reference() -> None:
    hierarchical = METHODS[HIERARCHICAL_FLIPS]
    assert (hierarchical.p, hierarchical.p_plus, hierarchical.p_minus) == (0.81, 0.05, 0.8)
    assert METHODS[ABLATION] == Method(ABLATION, "ablation", 0.81)
    flat = METHODS[FLAT_FLIPS]
    assert (flat.p, flat.p_plus, flat.p_minus) == (1.0, 0.05, 0.8)


def test_who_is_selected_is_shown_unless_all_are() -> None:
    assert METHODS[HIERARCHICAL_FLIPS].indicator and METHODS[ABLATION].indicator
    assert not METHODS[FLAT_FLIPS].indicator and not METHODS[UNPROTECTED].indicator


def test_settings_that_a_method_has() -> None:
    names = ("p", "p_plus", "p_minus", "std")
    assert [METHODS[HIERARCHICAL_FLIPS].has(name) for name in names] == [True, True, True, False]
    assert [METHODS[FLAT_FLIPS].has(name) for name in names] == [False, True, True, False]
    assert not any(METHODS[UNPROTECTED].has(name) for name in names)


def test_a_partition_takes_the_place_of_p() -> None:
    exact = METHODS[EXACT_ABLATION]
    assert exact == Method(EXACT_ABLATION, "ablation", None, groups=10, partitions=10)
    assert exact.selection == "partition" and exact.num_outcomes == 100
    assert exact.indicator and not exact.selects_all
    assert exact.title == "exact node ablation, groups=10, partitions=10"
    assert [exact.has(name) for name in ("p", "groups", "partitions")] == [False, True, True]
    sampled = Method("sampled", "gaussian", None, std=0.1, groups=5, partitions=2)
    assert sampled.selection == "partition" and sampled.num_outcomes is None
    others = [method for method in METHODS.values() if method != exact]
    assert {(method.selection, method.num_outcomes) for method in others} == {("bernoulli", None)}


@pytest.mark.parametrize(
    "selection", [{"p": 0.9, "groups": 3, "partitions": 2}, {"p": None}, {"p": None, "groups": 3}]
)
def test_two_selections_or_none_are_refused(selection: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'p' must be None for 'groups' and 'partitions'"):
        Method("mixed", "ablation", **selection)


def test_other_noises_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'noise' must be one of flips, .* \(got 'salt'\)"):
        Method("salt", "salt")


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
        assert method.p == 1.0 if method.name == FLAT_FLIPS else 0.65 <= method.p <= 0.98
        if method.noise == "flips":
            assert method.p_plus is not None and 2e-4 <= method.p_plus <= 0.1
            assert method.p_minus is not None and 0.3 <= method.p_minus <= 0.95
        else:
            assert method.p_plus is None and method.p_minus is None
