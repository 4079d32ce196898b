r"""What came out of runs, small enough to be committed, and sorted for comparison."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.noise import GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.study.methods import METHODS, Method
from pyg_hiersmooth.study.plan import Run

FORMAT = "pyg_hiersmooth benchmark 1"

MAX_R, MAX_ADDITIONS, MAX_DELETIONS = 4, 41, 61
r"""Corner of the grid that is kept for flips, that of the paper's figure on Cora-ML."""

MAX_R_ABLATION = 32

EPS = tuple(round(0.1 * step, 1) for step in range(41))
r"""Distances that are kept for Gaussian noise, in standard deviations."""


@dataclass(frozen=True)
class Tally:
    r"""How many nodes are right, abstained on and certified, in one kind of certificate.

    Attributes:
        num_nodes (int): Number of nodes.
        correct (int): Nodes predicted right; abstentions are not.
        abstained (int): Nodes without a prediction.
        certified (list): Nodes predicted right and robust, without zeros at the ends of lists:
            ``[r - 1][additions][deletions]`` for flips, ``[r - 1][step]`` at the distance
            ``EPS[step] * std`` for Gaussian noise, ``[r - 1]`` for ablation.
    """

    num_nodes: int
    correct: int
    abstained: int
    certified: list[Any]

    @classmethod
    def of(cls, certificate: Certificate, y: ArrayLike) -> Tally:
        r"""Counts the nodes of a certificate, given their labels."""
        accuracies = _accuracies(certificate, np.asarray(y))
        return cls(
            len(certificate),
            round(certificate.clean_accuracy(y) * len(certificate)),
            int(certificate.abstained.sum()),
            _without_zeros(np.rint(accuracies * len(certificate)).astype(int).tolist()),
        )

    @property
    def clean_accuracy(self) -> float:
        r"""Accuracy without an adversary; abstentions count as wrong."""
        return self.correct / self.num_nodes

    @property
    def abstained_share(self) -> float:
        r"""Share of nodes without a prediction."""
        return self.abstained / self.num_nodes

    def certified_accuracy(self, r: int, *budget: int) -> float:
        r"""Share of nodes that are right and robust.

        Beyond the cells that were kept nothing is certified.

        Args:
            r (int): Most nodes that the adversary changes, at least 1.
            *budget (int): Additions and deletions in all, or the step of a distance, as in
                :attr:`certified`. Of what holds for any change of a node, additions and deletions
                count as many nodes as they can reach.
        """
        if len(budget) == 2:
            r = min(r, sum(budget))
        counts: Any = self.certified
        for position in (r - 1, *budget):
            if not isinstance(counts, list):
                break
            counts = counts[position] if position < len(counts) else 0
        return counts / self.num_nodes


@dataclass(frozen=True)
class Result:
    r"""What came out of a run.

    Attributes:
        run (Run): The run.
        parts (dict): For each certified part of the split, and each kind of certificate, a tally:
            ``parts["test"]["multiclass"]``.
        seconds (float): How long it took, on one core where there is no GPU.
        versions (dict): The libraries that it was made with.
    """

    run: Run
    parts: dict[str, dict[str, Tally]]
    seconds: float
    versions: dict[str, str]

    def save(self, path: Path) -> None:
        r"""Writes one line of JSON."""
        content = {"format": FORMAT, **asdict(self)}
        for kinds in content["parts"].values():
            for kind, tally in kinds.items():
                kinds[kind] = _with_shares(tally)
        with replace_atomically(path) as file:
            file.write((json.dumps(content) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Result:
        r"""Reads what :meth:`save` wrote.

        Raises:
            ValueError: If it is something else.
            OSError: If it cannot be read.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("unknown format")
            parts = {
                part: {kind: _tally(**tally) for kind, tally in kinds.items()}
                for part, kinds in content.pop("parts").items()
            }
            return cls(Run.from_dict(content.pop("run")), parts, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"'{path}' is not a result of a study: {error}") from error


def load_results(folder: Path) -> list[Result]:
    r"""All results in a folder, by dataset, model, method and seed.

    Raises:
        ValueError: If a file in it is not a result.
        OSError: If one cannot be read.
    """
    results = [Result.load(path) for path in sorted(folder.glob("*.json"))]
    return sorted(results, key=_order)


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


def _order(result: Result) -> tuple[str, str, int, int]:
    run = result.run
    return run.dataset, run.model, list(METHODS).index(run.method.name), run.seed


def _accuracies(certificate: Certificate, y: np.ndarray) -> np.ndarray:
    noise = certificate.noise
    if isinstance(noise, SparseFlipNoise):
        return certificate.certified_accuracy_grid(y, MAX_R, MAX_ADDITIONS, MAX_DELETIONS)[1:]
    if isinstance(noise, GaussianNoise):
        return np.array(
            [
                [certificate.certified_accuracy(y, r, eps=eps * noise.std) for eps in EPS]
                for r in range(1, MAX_R + 1)
            ]
        )
    return certificate.certified_accuracy_grid(y, MAX_R_ABLATION)[1:]


def _without_zeros(counts: list[Any]) -> list[Any]:
    kept = [_without_zeros(count) if isinstance(count, list) else count for count in counts]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _with_shares(tally: dict[str, Any]) -> dict[str, Any]:
    r"""Accuracies beside the counts, for readers of the file."""
    counted = Tally(**tally)
    shares = {"clean_accuracy": counted.clean_accuracy, "abstained_share": counted.abstained_share}
    return {name: round(share, 4) for name, share in shares.items()} | tally


def _tally(clean_accuracy: float, abstained_share: float, **counts: Any) -> Tally:
    return Tally(**counts)
