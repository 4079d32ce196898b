r"""Which results are compared with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pyg_hiersmooth.benchmark.methods import Method
from pyg_hiersmooth.benchmark.result import Result, Tally


@dataclass(frozen=True)
class Group:
    r"""Results on one dataset with one model, whose adversaries have one kind of budget.

    Attributes:
        dataset (str): The dataset.
        model (str): The model.
        noise (str): ``"flips"`` or ``"gaussian"``, which names the budget.
        seeds (dict): For each method its results, one a seed.
    """

    dataset: str
    model: str
    noise: str
    seeds: dict[Method, list[Result]]

    @property
    def title(self) -> str:
        r"""Dataset and model."""
        return f"{self.dataset}, {self.model}"

    @property
    def slug(self) -> str:
        r"""The title as part of the name of a file."""
        return f"{self.dataset}-{self.model.replace(':', '.')}"


def groups(results: Iterable[Result]) -> Iterator[Group]:
    r"""Sorts results into groups; those that hold for any change, or none, go into every one."""
    seeds: dict[tuple[str, str], dict[Method, list[Result]]] = {}
    for result in results:
        run = result.run
        seeds.setdefault((run.dataset, run.model), {}).setdefault(run.method, []).append(result)
    for (dataset, model), methods in seeds.items():
        noises = {method.noise for method in methods}
        for noise in [name for name in ("flips", "gaussian") if name in noises] or ["flips"]:
            chosen = {
                method: found
                for method, found in methods.items()
                if method.noise in (noise, "ablation", None)
            }
            yield Group(dataset, model, noise, chosen)


def tallies(results: Iterable[Result], part: str, kind: str) -> list[Tally]:
    r"""What the results count for one part of the split and one kind of certificate."""
    return [result.parts[part][kind] for result in results]
