r"""What is given up of accuracy for robustness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.study.budgets import Budget
from pyg_hiersmooth.study.results import Group, Result, Tally, tallies


@dataclass(frozen=True)
class Adversary:
    r"""An adversary who changes at most ``r`` nodes, by a total budget."""

    r: int
    budget: Budget

    def __str__(self) -> str:
        return f"r = {self.r}, {self.budget}"

    def certified_accuracy(self, tally: Tally) -> float:
        r"""Certified accuracy against this adversary."""
        return self.budget.certified_accuracy(tally, self.r)


ADVERSARIES = tuple(
    Adversary(r, Budget.of("flips", **budget))
    for r in (1, 3)
    for budget in ({"deletions": 5}, {"deletions": 20}, {"additions": 2})
)
r"""Those that methods are compared against."""


def outcomes(
    results: Iterable[Result], adversary: Adversary, kind: Kind, part: str = "test"
) -> dict[str, np.ndarray]:
    r"""Clean and certified accuracy of each result, float64 ``[num_results, 2]`` for each method.

    Args:
        results (list of Result): The results.
        adversary (Adversary): Whom the accuracy is certified against.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        tally = result.parts[part][kind]
        point = (tally.clean_accuracy, adversary.certified_accuracy(tally))
        points.setdefault(result.run.method.name, []).append(point)
    return {name: np.array(found) for name, found in points.items()}


def best_settings(group: Group, adversary: Adversary, kind: Kind) -> dict[str, list[Result]]:
    r"""For each kind of method, the results of the setting that certifies most validation nodes,
    and of these the one with the best clean accuracy on them.
    """

    def score(results: list[Result]) -> tuple[float, float]:
        seeds = tallies(results, "val", kind)
        return (
            sum(adversary.certified_accuracy(tally) for tally in seeds) / len(seeds),
            sum(tally.clean_accuracy for tally in seeds) / len(seeds),
        )

    best: dict[str, list[Result]] = {}
    for method, results in group.seeds.items():
        if method.name not in best or score(results) > score(best[method.name]):
            best[method.name] = results
    return best


def pareto_front(points: np.ndarray) -> np.ndarray:
    r"""The points that no other point beats in one coordinate without losing in the other.

    Args:
        points (numpy.ndarray): Points, float64 ``[N, 2]``, of which both coordinates are better
            if they are larger.

    Returns:
        numpy.ndarray: The front, float64 ``[M, 2]``, by falling first coordinate.
    """
    by_first = points[np.lexsort((-points[:, 1], -points[:, 0]))]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(by_first[:-1, 1])])
    return by_first[by_first[:, 1] > before]
