from __future__ import annotations

import pytest

from pyg_hiersmooth.noise import L1_DISTANCE, NOISES
from pyg_hiersmooth.study.budgets import Budget, kept_budgets, reported_budgets


@pytest.mark.parametrize(
    ("noise", "heads"),
    [
        ("flips", ["5 del.", "10 del.", "20 del.", "1 add.", "2 add.", "5 add."]),
        ("gaussian", ["0.5 std", "1 std", "1.5 std", "2 std"]),
        ("uniform", ["0.5 scale", "1 scale", "1.5 scale", "2 scale"]),
        ("ablation", []),
    ],
)
def test_columns_of_tables(noise: str, heads: list[str]) -> None:
    assert [budget.head for budget in reported_budgets(noise)] == heads


def test_all_that_is_kept_along_an_axis() -> None:
    first, second, *_, last = kept_budgets("laplace", L1_DISTANCE)
    assert (first.strengths, second.strengths, last.strengths) == ((0.0,), (0.1,), (4.0,))
    for axis in NOISES["flips"].axes:
        budgets = kept_budgets("flips", axis)
        assert [sum(budget.strengths) for budget in budgets] == list(axis.kept)
        assert str(budgets[1]) == f"1 {axis.name.removesuffix('s')}"


def test_the_vocabulary_is_that_of_the_noise() -> None:
    assert Budget.of("flips", deletions=3) == Budget.of("flips", additions=0, deletions=3)
    with pytest.raises(TypeError, match=r"GaussianNoise takes 'eps' \(got 'deletions'\)"):
        Budget.of("gaussian", deletions=3)
