from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyg_hiersmooth.study.budgets import Budget
from pyg_hiersmooth.study.methods import Method
from pyg_hiersmooth.study.pareto import Adversary, best_settings, outcomes, pareto_front
from pyg_hiersmooth.study.results import Tally, groups

FIVE = Budget.of("flips", deletions=5)
POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(POINTS)
def test_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a != b and a[0] >= b[0] and a[1] >= b[1]

    expected = {b for b in points if not any(beats(a, b) for a in points)}
    front = [tuple(point) for point in pareto_front(np.array(points, dtype=float)).tolist()]
    assert front == sorted(expected, reverse=True)


def test_outcomes_of_each_method(make_result) -> None:
    adversary = Adversary(1, Budget.of("flips", deletions=2))
    found = outcomes([make_result(), make_result("flat flips")], adversary, "binary")
    assert {name: points.tolist() for name, points in found.items()} == {
        "hierarchical flips": [[0.8, 0.5]],
        "flat flips": [[0.8, 0.5]],
    }


def test_adversaries_in_words() -> None:
    assert str(Adversary(1, FIVE)) == "r = 1, 5 deletions"
    assert str(Adversary(3, Budget.of("gaussian", eps=0.5))) == "r = 3, 0.5 std"
    both = Budget.of("flips", deletions=4, additions=1)
    assert str(Adversary(2, both)) == "r = 2, 1 addition, 4 deletions"


def test_equally_certified_settings_are_told_apart_by_clean_accuracy(make_result) -> None:
    tallies = [Tally(100, clean, 0, [50]) for clean in (70, 90, 80)]
    results = [
        make_result(Method.of("node ablation", "ablation", p=0.7 + 0.1 * i), val=tally)
        for i, tally in enumerate(tallies)
    ]
    (group,) = groups(results)
    best = best_settings(group, Adversary(1, FIVE), "multiclass")
    assert list(best) == ["node ablation"] and best["node ablation"] == [results[1]]


def test_seeds_count_together(make_result) -> None:
    even, mixed = (
        Method.of("node ablation", "ablation", p=0.7),
        Method.of("node ablation", "ablation", p=0.8),
    )
    results = [
        make_result(mixed, val=Tally(100, 80, 0, [70]), seed=1),
        make_result(mixed, val=Tally(100, 80, 0, [20]), seed=2),
        make_result(even, val=Tally(100, 80, 0, [50]), seed=1),
        make_result(even, val=Tally(100, 80, 0, [50]), seed=2),
    ]
    (group,) = groups(results)
    best = best_settings(group, Adversary(1, FIVE), "multiclass")
    assert best["node ablation"] == results[2:]
