r"""The parts of the settings of an experiment.

A new setting is a field of its part here, an option in :mod:`pyg_hiersmooth.cli.options`, and, if
it belongs to one selection or noise, a default in :obj:`OWN_DEFAULTS`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from pyg_hiersmooth.choices import (
    Ablated,
    AttackMethod,
    EdgesNoise,
    Part,
    SelectionName,
    TaskName,
    check_choice,
    short_name,
)
from pyg_hiersmooth.experiment.questions import parse_question
from pyg_hiersmooth.noise.kinds import NOISE_KINDS, NoiseKind

NOISES = {**NOISE_KINDS, "none": NoiseKind("none", ())}
r"""The noises of experiments; ``"none"`` leaves the model unprotected."""

TASK_DEFAULTS: dict[str, dict[str, Any]] = {
    "node": {"dataset": "CitationSBM", "noise": "flips"},
    "graph": {
        "dataset": "RandomMolecules",
        "noise": "ablation",
        "max_epochs": 300,
        "patience": 100,
        "lr": 1e-2,
        "calibration": 40,
    },
}
r"""The settings whose defaults depend on the task; those of training are the trainer's own."""

SELECTION_DEFAULTS: dict[str, dict[str, Any]] = {
    "bernoulli": {"p": 0.81},
    "partition": {"groups": 10, "partitions": 10},
}
r"""The settings of each selection, with their defaults."""

OF_SELECTION = ("selection", *(name for own in SELECTION_DEFAULTS.values() for name in own))
r"""All settings that say which nodes are selected."""

OWN_DEFAULTS = {
    "selection": SELECTION_DEFAULTS,
    "noise": {name: kind.defaults for name, kind in NOISES.items()}
    | {"ablation": {"ablate": "features"}},
}
r"""The settings that belong to one selection or noise, with their defaults."""

EDGES_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "edges_selection": {
        "bernoulli": {"edges_p": 0.9},
        "partition": {"edges_groups": 20, "edges_partitions": 10},
    },
    "edges": {"ablation": {}, "flips": {"edges_p_plus": 0.001, "edges_p_minus": 0.4}},
}
r"""The same for noise on edges."""


class Titled:
    r"""Something about one model on one dataset."""

    dataset: str
    model: str

    @property
    def title(self) -> str:
        r"""Dataset and model."""
        return f"{short_name(self.dataset)}, {self.model}"

    @property
    def slug(self) -> str:
        r"""Dataset and model as part of the name of a file."""
        return f"{short_name(self.dataset)}-{self.model.replace(':', '.')}"


@dataclass(frozen=True)
class DataSettings(Titled):
    r"""What is classified, and by which model.

    Attributes:
        dataset (str): A name that :func:`~pyg_hiersmooth.datasets.load_dataset` takes.
        model (str): A name of :obj:`~pyg_hiersmooth.models.MODELS`, or ``module:Class`` for one of
            the user's own.
        root (str): Folder of the datasets.
        task (str): What is classified, ``"node"`` or ``"graph"``.
        part (str): Part of the split that is certified, ``"test"``, ``"val"`` or ``"val+test"``.
        normalize_features (bool): Whether the features of each node, which must not be negative,
            are divided by their sum first, where that is above 1.

    Raises:
        ValueError: If the task or the part is unknown.
    """

    dataset: str = TASK_DEFAULTS["node"]["dataset"]
    model: str = "gcn"
    root: str = "data"
    task: TaskName = "node"
    part: Part = "test"
    normalize_features: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", os.fspath(self.root))
        check_choice("task", self.task, get_args(TaskName))
        check_choice("part", self.part, get_args(Part))

    @property
    def parts(self) -> list[str]:
        r"""The parts of the split that are certified, in order."""
        return self.part.split("+")


@dataclass(frozen=True)
class SmoothingSettings:
    r"""The noise, and where it acts. What is :obj:`None` takes the default of its selection or
    noise, and stays :obj:`None` where it belongs to another one.

    Attributes:
        noise (str): A name of :obj:`~pyg_hiersmooth.noise.NOISES`; ``"none"`` trains and tests the
            model as it is.
        selection (str): ``"bernoulli"`` selects every node independently, ``"partition"`` leaves
            out one group of a partition at a time.
        p (float or None): Probability to select a node, of the selection ``"bernoulli"``.
            (default: :obj:`0.81`)
        groups (int or None): Groups of a partition, at least 2. (default: :obj:`10`)
        partitions (int or None): Partitions, at least 1. (default: :obj:`10`)
        p_plus (float or None): Probability to add a one, of flips. (default: :obj:`0.05`)
        p_minus (float or None): Probability to delete a one, of flips. (default: :obj:`0.8`)
        std (float or None): Standard deviation, of Gaussian noise. (default: :obj:`0.25`)
        scale (float or None): Scale, of Laplace noise, or half width, of uniform noise.
            (default: :obj:`0.25`)
        ablate (str or None): What is ablated of selected nodes: ``"features"``, their
            ``"messages"`` to others, or the ``"nodes"`` of a graph that is classified. (default:
            ``"features"``)
        indicator (bool): Whether the model sees which nodes are selected, as one more feature.

    Raises:
        ValueError: If the noise or the selection is unknown, or does not have what is given.
    """

    noise: str = TASK_DEFAULTS["node"]["noise"]
    selection: SelectionName = "bernoulli"
    p: float | None = None
    groups: int | None = None
    partitions: int | None = None
    p_plus: float | None = None
    p_minus: float | None = None
    std: float | None = None
    scale: float | None = None
    ablate: Ablated | None = None
    indicator: bool = True

    def __post_init__(self) -> None:
        check_choice("selection", self.selection, SELECTION_DEFAULTS)
        if self.noise == "none":
            self._check_nothing_selected()
            _fill_in(self, {"noise": OWN_DEFAULTS["noise"]})
        else:
            _fill_in(self, OWN_DEFAULTS)
        if self.ablate is not None:
            check_choice("ablate", self.ablate, get_args(Ablated))

    def own(self, owner: Literal["selection", "noise"]) -> dict[str, Any]:
        r"""The settings that belong to the selection, or to the noise."""
        return {name: getattr(self, name) for name in OWN_DEFAULTS[owner][getattr(self, owner)]}

    @property
    def exact(self) -> bool:
        r"""Whether certificates for nodes alone are exact: all outcomes are enumerated."""
        return self.selection == "partition" and NOISES[self.noise].deterministic

    def _check_nothing_selected(self) -> None:
        given = None if self.selection == "bernoulli" else self.selection
        for name, value in {**vars(self), "selection": given}.items():
            if name in OF_SELECTION:
                reason = f"with 'noise' none (that of pairs of nodes is 'edges_{name}')"
                check_idle(name, value, reason)


@dataclass(frozen=True)
class EdgesSettings:
    r"""The noise on edges, and which pairs of nodes get it, as in
    :class:`~pyg_hiersmooth.transforms.HierarchicalEdgeNoise`. What is :obj:`None` is as in
    :class:`SmoothingSettings`.

    Attributes:
        edges (str): ``"ablation"``: selected pairs have no edge; ``"flips"``: they get or lose one.
        edges_selection (str): ``"bernoulli"`` or ``"partition"``.
            (default: ``"partition"`` if something of it is given)
        edges_p (float or None): Probability to select a pair.
            (default: :obj:`0.9`, and :obj:`1.0` for flips)
        edges_groups (int or None): Groups of a partition of pairs. (default: :obj:`20`)
        edges_partitions (int or None): Partitions. (default: :obj:`10`)
        edges_p_plus (float or None): Probability to add an edge, of flips. (default: :obj:`0.001`)
        edges_p_minus (float or None): Probability to delete one. (default: :obj:`0.4`)
        directed (bool): Whether :math:`(i, j)` and :math:`(j, i)` are two pairs.

    Raises:
        ValueError: If a name is unknown, or the noise or the selection does not have what is given.
    """

    edges: EdgesNoise
    edges_selection: SelectionName | None = None
    edges_p: float | None = None
    edges_groups: int | None = None
    edges_partitions: int | None = None
    edges_p_plus: float | None = None
    edges_p_minus: float | None = None
    directed: bool = False

    def __post_init__(self) -> None:
        if self.edges_selection is None:
            given = (self.edges_groups, self.edges_partitions) != (None, None)
            object.__setattr__(self, "edges_selection", "partition" if given else "bernoulli")
        if (self.edges, self.edges_selection, self.edges_p) == ("flips", "bernoulli", None):
            object.__setattr__(self, "edges_p", 1.0)
        _fill_in(self, EDGES_DEFAULTS)

    @property
    def exact(self) -> bool:
        r"""Whether certificates for edges alone are exact."""
        return (self.edges, self.edges_selection) == ("ablation", "partition")


@dataclass(frozen=True)
class TrainingSettings:
    r"""How a model is trained, as in :func:`~pyg_hiersmooth.training.train_node_classifier`."""

    max_epochs: int = 1_000
    patience: int = 50
    lr: float = 1e-3
    num_draws: int = 1
    consistency: float = 0.0
    consistency_rampup: int = 0


@dataclass(frozen=True)
class SamplingSettings:
    r"""How outcomes are sampled, unless they are enumerated.

    Attributes:
        n0 (int or None): Samples that select the class of an object. (default: :obj:`1_000`)
        n (int): Samples that bound its probability.
        alpha (float): Probability that the certificate of an object is wrong.
        simultaneous (bool): Whether all certificates hold at once with probability
            :obj:`1 - alpha`, not each.
        until (tuple of str or None): Questions such as ``"r=1,deletions=5"``: a node or graph is
            sampled until all are answered, at most :obj:`n` times, and :obj:`n0` does not apply.

    Raises:
        ValueError: If there are no questions, :obj:`n0` comes with some, or one is no list of names
            and numbers.
    """

    n0: int | None = None
    n: int = 10_000
    alpha: float = 0.01
    simultaneous: bool = False
    until: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.until is None:
            object.__setattr__(self, "n0", 1_000 if self.n0 is None else self.n0)
            return
        object.__setattr__(self, "until", tuple(self.until))
        if not self.questions:
            raise ValueError("'until' must hold at least one question (got none)")
        reason = "with 'until', where the votes that bound a class choose it as well"
        check_idle("n0", self.n0, reason)

    @property
    def questions(self) -> list[dict[str, Any]]:
        r"""The questions of :obj:`until`."""
        return [parse_question(text) for text in self.until or ()]

    @property
    def arguments(self) -> dict[str, Any]:
        r"""The settings as arguments of a smoothed classifier."""
        return asdict(self) | {"until": self.questions or None}


@dataclass(frozen=True)
class CollectiveSettings:
    r"""How the effect of one attack on all nodes is bounded, as in
    :class:`~pyg_hiersmooth.certificates.CollectiveCertificate`.

    Raises:
        ValueError: If the method is unknown.
    """

    method: AttackMethod = "milp"
    time_limit: float = 10.0

    def __post_init__(self) -> None:
        check_choice("method", self.method, get_args(AttackMethod))


@dataclass(frozen=True)
class SetsSettings:
    r"""How prediction sets are made, as in :class:`~pyg_hiersmooth.certificates.PredictionSets`.

    Attributes:
        sets (float): The probability, in :math:`(0, 1)`, that a set contains the right class.
        approve (float): The softmax probability, in :math:`[0, 1]`, from which on a sample approves
            a class.
        calibration (int): Random nodes or graphs to calibrate on, which are hidden from training.

    Raises:
        ValueError: If a number is out of its range.
    """

    sets: float
    approve: float = 0.1
    calibration: int = 200

    def __post_init__(self) -> None:
        if not 0.0 < self.sets < 1.0:
            raise ValueError(
                f"'sets' must be a number between 0 and 1, both excluded (got {self.sets})"
            )
        if not 0.0 <= self.approve <= 1.0:
            raise ValueError(f"'approve' must be a probability in [0, 1] (got {self.approve})")
        if self.calibration < 1:
            raise ValueError(
                f"'calibration' must be an integer of at least 1 (got {self.calibration})"
            )


def names(kind: type[Any]) -> list[str]:
    r"""The settings of a part."""
    return [each.name for each in fields(kind)]


def taken(kind: type[Any], options: dict[str, Any]) -> dict[str, Any]:
    r"""Takes the settings of a part out of all."""
    return {name: options.pop(name) for name in names(kind) if name in options}


def _fill_in(settings: Any, owners: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    r"""Gives settings of one selection or noise their defaults, and refuses those of others."""
    for owner, kinds in owners.items():
        kind = getattr(settings, owner)
        check_choice(owner, kind, kinds)
        for name in (name for defaults in kinds.values() for name in defaults):
            if name not in kinds[kind]:
                check_idle(name, getattr(settings, name), f"with {owner!r} {kind}")
            elif getattr(settings, name) is None:
                object.__setattr__(settings, name, kinds[kind][name])


def check_idle(name: str, value: Any, reason: str) -> None:
    r"""Rejects a setting that would have no effect."""
    if value is not None:
        raise ValueError(f"{name!r} does nothing {reason}: leave it out")
