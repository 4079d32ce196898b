r"""What came out of runs, small enough to be committed, and sorted for comparison."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.experiment.setting_parts import Titled
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.noise import NOISES, Axis
from pyg_hiersmooth.study.methods import METHODS, Method
from pyg_hiersmooth.study.plan import Run

FORMAT = "pyg_hiersmooth benchmark 1"

MAX_R, MAX_R_AT_WILL = 5, 32
r"""Most changed nodes that are kept, and more of them where a node is changed at will."""


CHANGED_IN_ALL = (3, 10, 20)
r"""Numbers of changed nodes for which is kept what one attack on all nodes leaves."""


@dataclass(frozen=True)
class Tally:
    r"""How many nodes are right, abstained on and certified, in one kind of certificate.

    Attributes:
        num_nodes (int): Number of nodes.
        correct (int): Nodes predicted right; abstentions are not.
        abstained (int): Nodes without a prediction.
        certified (list): Nodes predicted right and robust, without zeros at the ends of lists:
            ``[r - 1]`` where a node is changed at will, else in a list for each budget of the
            noise, in their order, at the strengths that its axis keeps, such as
            ``[r - 1][additions][deletions]``.
        collective (list or None): Nodes predicted right of which at least so many stay, whichever
            :obj:`CHANGED_IN_ALL` nodes one attack changes at will; :obj:`None` where that was not
            asked.
    """

    num_nodes: int
    correct: int
    abstained: int
    certified: list[Any]
    collective: list[int] | None = None

    @classmethod
    def of(cls, certificate: Certificate, y: ArrayLike) -> Tally:
        r"""Counts the nodes of a certificate, given their labels.

        Raises:
            ValueError: If an axis of the noise does not say which strengths are kept.
        """
        noise = certificate.noise
        for axis in noise.axes:
            if axis.kept[:1] != (0,):
                raise ValueError(
                    f"axis '{axis.name}' of {noise} must say which strengths are 'kept', from 0 on "
                    f"(got {axis.kept})"
                )
        axes = sorted(noise.axes, key=lambda axis: axis.name)
        most = MAX_R if axes else MAX_R_AT_WILL
        return cls(
            len(certificate),
            round(certificate.clean_accuracy(y) * len(certificate)),
            int(certificate.abstained.sum()),
            _until_zero(_count(certificate, y, r, axes) for r in range(1, most + 1)),
        )

    @property
    def clean_accuracy(self) -> float:
        r"""Accuracy without an adversary; abstentions count as wrong."""
        return self.correct / self.num_nodes

    @property
    def abstained_share(self) -> float:
        r"""Share of nodes without a prediction."""
        return self.abstained / self.num_nodes

    def certified_accuracy(self, r: int, *cell: int) -> float:
        r"""Share of nodes that are right and robust.

        Beyond the cells that were kept nothing is certified. What holds where a node is changed at
        will holds for any budget.

        Args:
            r (int): Most nodes that the adversary changes, at least 1.
            *cell (int): Where its budgets stand in :attr:`certified`.

        Raises:
            ValueError: If these are budgets of another noise.
        """
        counts = _at(self.certified, r - 1)
        if isinstance(counts, list):
            for position in cell:
                counts = _at(counts, position)
        if not isinstance(counts, int):
            raise ValueError("'cell' must name each budget of the noise (got too few)")
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

    def as_record(self) -> dict[str, Any]:
        r"""The result as a JSON object."""
        content = {"format": FORMAT, **asdict(self), "run": self.run.options}
        for kinds in content["parts"].values():
            for kind, tally in kinds.items():
                kinds[kind] = _with_shares(tally)
        return content

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Result:
        r"""Reads what :meth:`as_record` made.

        Raises:
            ValueError: If it is something else.
        """
        try:
            content = copy.deepcopy(record)
            if content.pop("format") != FORMAT:
                raise ValueError("unknown format")
            parts = {
                part: {kind: _tally(**tally) for kind, tally in kinds.items()}
                for part, kinds in content.pop("parts").items()
            }
            run = content.pop("run")
            run["method"] = Method.of(**run["method"])
            return cls(Run.of(**run), parts, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not a result of a study: {error}") from error


def results_file(folder: Path) -> JsonLines:
    r"""The file with the results of a study, one run per line."""
    return JsonLines(folder / "results.jsonl")


def load_results(folder: Path) -> list[Result]:
    r"""All results of the study in a folder, by dataset, model, method and seed.

    Raises:
        ValueError: If its file holds something that is not a result.
        OSError: If it cannot be read.
    """
    file = results_file(folder)
    try:
        return sorted(map(Result.of_record, file.read()), key=_order)
    except ValueError as error:
        raise ValueError(f"'{file.path}' does not hold the results of a study: {error}") from error


@dataclass(frozen=True)
class Group(Titled):
    r"""Results on one dataset with one model, whose adversaries have one kind of budget.

    Attributes:
        dataset (str): The dataset.
        model (str): The model.
        noise (str): The kind of noise that has this budget.
        seeds (dict): For each method its results, one per seed.
    """

    dataset: str
    model: str
    noise: str
    seeds: dict[Method, list[Result]]


def groups(results: Iterable[Result]) -> Iterator[Group]:
    r"""Sorts results about changed features into groups; those that hold for any change, or none,
    go into every one.
    """
    for (dataset, model), methods in _by_model(results, "features").items():
        noises = {method.noise for method in methods}
        bounded = [name for name, kind in NOISES.items() if kind.axes]
        for noise in [name for name in bounded if name in noises] or bounded[:1]:
            chosen = {
                method: found
                for method, found in methods.items()
                if method.noise == noise or method.noise not in bounded
            }
            yield Group(dataset, model, noise, chosen)


def structure_groups(results: Iterable[Result], changes: str) -> Iterator[Group]:
    r"""The groups of results about one adversary who changes edges, too.

    Args:
        results (list of Result): All results.
        changes (str): What it changes, as :attr:`~pyg_hiersmooth.study.methods.Method.changes`.
    """
    for (dataset, model), methods in _by_model(results, changes).items():
        yield Group(dataset, model, "ablation", methods)


def _by_model(
    results: Iterable[Result], changes: str
) -> dict[tuple[str, str], dict[Method, list[Result]]]:
    seeds: dict[tuple[str, str], dict[Method, list[Result]]] = {}
    for result in results:
        run = result.run
        if run.method.changes == changes:
            own = seeds.setdefault((run.dataset, run.model), {})
            own.setdefault(run.method, []).append(result)
    return seeds


def tallies(results: Iterable[Result], part: str, kind: Kind) -> list[Tally]:
    r"""What the results count for one part of the split and one kind of certificate."""
    return [result.parts[part][kind] for result in results]


def _order(result: Result) -> tuple[str, str, int, int]:
    run = result.run
    return run.dataset, run.model, list(METHODS).index(run.method.name), run.seed


def _count(
    certificate: Certificate, y: ArrayLike, r: int, axes: Sequence[Axis], **budget: float
) -> Any:
    r"""Nodes right and robust, in a list for each axis."""
    if not axes:
        return round(certificate.certified_accuracy(y, r, **budget) * len(certificate))
    axis, *others = axes
    unit = 1 if axis.whole else certificate.noise.unit
    return _until_zero(
        _count(certificate, y, r, others, **budget, **{axis.name: strength * unit})
        for strength in axis.kept
    )


def _until_zero(counts: Iterable[Any]) -> list[Any]:
    r"""What comes before nothing is certified, as counts never rise with the adversary."""
    return list(takewhile(bool, counts))


def _at(counts: Any, position: int) -> Any:
    if isinstance(counts, list):
        return counts[position] if position < len(counts) else 0
    if counts > 0:
        raise ValueError("'cell' must name each budget of the noise (got too many)")
    return 0


def _with_shares(tally: dict[str, Any]) -> dict[str, Any]:
    r"""Accuracies beside the counts, for readers of the file."""
    counted = Tally(**tally)
    shares = {"clean_accuracy": counted.clean_accuracy, "abstained_share": counted.abstained_share}
    return {name: round(share, 4) for name, share in shares.items()} | tally


def _tally(clean_accuracy: float, abstained_share: float, **counts: Any) -> Tally:
    return Tally(**counts)
