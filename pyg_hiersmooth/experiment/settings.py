r"""What an experiment was asked to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from pyg_hiersmooth.choices import (
    AttackMethod,
    Kind,
    Part,
    SelectionName,
    TaskName,
    check_choice,
)
from pyg_hiersmooth.experiment.questions import parse_question
from pyg_hiersmooth.noise.kinds import NOISE_KINDS, NoiseKind

NOISES = {**NOISE_KINDS, "none": NoiseKind("none", ())}
r"""The noises of experiments; ``"none"`` leaves the model unprotected."""

DRAWS_DEFAULTS: dict[str, Any] = {"num_draws": 1, "consistency": 0.0, "consistency_rampup": 0}
r"""The draws of noise in a step of training."""

TASK_DEFAULTS: dict[TaskName, dict[str, Any]] = {
    "node": {"noise": "flips", "max_epochs": 1_000, "patience": 50, "lr": 1e-3} | DRAWS_DEFAULTS,
    "graph": {"noise": "ablation", "max_epochs": 300, "patience": 100, "lr": 1e-2} | DRAWS_DEFAULTS,
}
r"""The settings whose defaults depend on the task; those of training are the trainer's own."""

SELECTION_DEFAULTS: dict[SelectionName, dict[str, Any]] = {
    "bernoulli": {"p": 0.81},
    "partition": {"groups": 10, "partitions": 10},
}
r"""The settings of each selection, with their defaults."""

SAMPLING_DEFAULTS: dict[str, Any] = {"n0": 1_000, "n": 10_000, "alpha": 0.01, "simultaneous": False}
r"""The settings of sampling, which do not apply where all outcomes are listed."""

COLLECTIVE_DEFAULTS: dict[str, Any] = {"method": "milp", "time_limit": 10.0}
r"""The settings of collective certificates."""

TRAINING = ("max_epochs", "patience", "lr", *DRAWS_DEFAULTS)
r"""Settings of training, which do not apply to weights that are loaded."""

UNIMPORTANT = ("root", "num_workers", "collective", *COLLECTIVE_DEFAULTS)
r"""Settings that do not alter a single vote."""

RECENT = (
    *("task", "part", "selection", "groups", "partitions", "collective", "until"),
    "normalize_features",
    *COLLECTIVE_DEFAULTS,
    *DRAWS_DEFAULTS,
)
r"""Settings that older folders do not name."""


class Titled:
    r"""Something about one model on one dataset."""

    dataset: str
    model: str

    @property
    def title(self) -> str:
        r"""Dataset and model."""
        return f"{self.dataset}, {self.model}"

    @property
    def slug(self) -> str:
        r"""Dataset and model as part of the name of a file."""
        return f"{self.dataset}-{self.model.replace(':', '.')}"


@dataclass(frozen=True)
class Settings(Titled):
    r"""All that decides the outcome of an experiment.

    What is :obj:`None` by default takes the value that belongs to the task, the selection or the
    noise, and stays :obj:`None` where it does not apply.

    Attributes:
        dataset (str): A name that :func:`~pyg_hiersmooth.datasets.load_dataset` takes.
        root (str): Folder of the datasets.
        model (str): A name of :obj:`~pyg_hiersmooth.models.MODELS`, or ``module:Class`` for one of
            the user's own.
        noise (str): A name of :obj:`~pyg_hiersmooth.noise.NOISES`; ``"none"`` trains and tests the
            model as it is. (default: ``"flips"`` for nodes, ``"ablation"`` for graphs)
        p (float or None): Probability to select a node, of the selection ``"bernoulli"``.
            (default: :obj:`0.81`)
        p_plus (float or None): Probability to add a one, of flips. (default: :obj:`0.05`)
        p_minus (float or None): Probability to delete a one, of flips. (default: :obj:`0.8`)
        std (float or None): Standard deviation, of Gaussian noise. (default: :obj:`0.25`)
        scale (float or None): Scale, of Laplace noise, or half width, of uniform noise.
            (default: :obj:`0.25`)
        indicator (bool): Whether the model sees which nodes are selected, as one more feature.
        normalize_features (bool): Whether the features of each node are divided by their sum
            first, as PyG's ``NormalizeFeatures`` does.
        n0 (int or None): Samples that select the class of an object. (default: :obj:`1_000`)
        n (int or None): Samples that bound its probability. (default: :obj:`10_000`)
        until (tuple of str or None): Questions such as ``"r=1,deletions=5"``: a node or graph is
            sampled until all are answered, at most :obj:`n` times, and :obj:`n0` does not apply.
        alpha (float or None): Probability that the certificate of an object is wrong.
            (default: :obj:`0.01`)
        kind (str): ``"multiclass"`` or ``"binary"``.
        simultaneous (bool or None): Whether all certificates hold at once with probability
            :obj:`1 - alpha`, not each. (default: :obj:`False`)
        seed (int): Seed of the split, the model, its training, the samples and the partitions.
        max_epochs, patience, lr, num_draws, consistency, consistency_rampup: As in
            :func:`~pyg_hiersmooth.training.train_node_classifier` or
            :func:`~pyg_hiersmooth.training.train_graph_classifier`, with their defaults;
            :obj:`None` with a checkpoint.
        checkpoint (str or None): Weights to load instead of training.
        num_workers (int or None): Processes that sample on a CPU. (default: one a core)
        device (str or None): ``"cpu"`` or ``"cuda"``. (default: ``"cuda"`` where available)
        task (str): What is classified, ``"node"`` or ``"graph"``.
        part (str): Part of the split that is certified, ``"test"``, ``"val"`` or ``"val+test"``.
        selection (str): ``"bernoulli"`` selects every node by itself, ``"partition"`` leaves out
            one group of a partition at a time: with a noise that draws nothing, certificates are
            exact then, and :obj:`n0`, :obj:`n`, :obj:`alpha` and :obj:`simultaneous` do not apply.
        groups (int or None): Groups of a partition, at least 2. (default: :obj:`10`)
        partitions (int or None): Partitions, at least 1. (default: :obj:`10`)
        collective (bool): Whether to certify as well how many nodes no single attack can change.
        method, time_limit: As in :class:`~pyg_hiersmooth.certificates.CollectiveCertificate`, with
            its defaults; :obj:`None` where nothing is certified collectively.

    Raises:
        ValueError: If the noise, the selection, the kind, the task, the part or the method is
            unknown, a setting is given that would do nothing, or :obj:`collective` asks for
            certificates that hold at once and there are none.
    """

    dataset: str = "CitationSBM"
    root: str = "data"
    model: str = "gcn"
    noise: str | None = None
    p: float | None = None
    p_plus: float | None = None
    p_minus: float | None = None
    std: float | None = None
    scale: float | None = None
    indicator: bool = True
    normalize_features: bool = False
    n0: int | None = None
    n: int | None = None
    alpha: float | None = None
    kind: Kind = "multiclass"
    simultaneous: bool | None = None
    seed: int = 0
    max_epochs: int | None = None
    patience: int | None = None
    lr: float | None = None
    num_draws: int | None = None
    consistency: float | None = None
    consistency_rampup: int | None = None
    checkpoint: str | None = None
    num_workers: int | None = None
    device: str | None = None
    task: TaskName = "node"
    part: Part = "test"
    selection: SelectionName = "bernoulli"
    groups: int | None = None
    partitions: int | None = None
    collective: bool = False
    method: AttackMethod | None = None
    time_limit: float | None = None
    until: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for path in ("root", "checkpoint"):
            if getattr(self, path) is not None:
                object.__setattr__(self, path, os.fspath(getattr(self, path)))
        if self.until is not None:
            object.__setattr__(self, "until", tuple(self.until))
            if not self.questions:
                raise ValueError("'until' must hold at least one question (got none)")
        for choice, choices in (
            ("task", TaskName),
            ("part", Part),
            ("kind", Kind),
            ("selection", SelectionName),
        ):
            check_choice(choice, getattr(self, choice), get_args(choices))
        defaults = dict(TASK_DEFAULTS[self.task])
        if self.noise is None:
            object.__setattr__(self, "noise", defaults["noise"])
        check_choice("noise", self.noise, NOISES)
        defaults |= NOISES[str(self.noise)].defaults | SELECTION_DEFAULTS[self.selection]
        defaults |= SAMPLING_DEFAULTS | COLLECTIVE_DEFAULTS
        for name, reason in self._idle().items():
            if getattr(self, name) is not None:
                raise ValueError(f"{name!r} does nothing {reason}: leave it out")
            defaults.pop(name, None)
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.collective:
            self._check_collective()

    @property
    def questions(self) -> list[dict[str, Any]]:
        r"""The questions of :obj:`until`."""
        return [parse_question(text) for text in self.until or ()]

    @property
    def exact(self) -> bool:
        r"""Whether certificates are exact: all outcomes of the smoothing are listed."""
        return self.selection == "partition" and NOISES[str(self.noise)].deterministic

    def _idle(self) -> dict[str, str]:
        r"""The settings that would do nothing, each with why."""
        own = NOISES[str(self.noise)].defaults | SELECTION_DEFAULTS[self.selection]
        idle = {
            name: f"with 'noise' {self.noise}"
            for kind in NOISES.values()
            for name in kind.defaults
            if name not in own
        }
        idle |= {
            name: f"with 'selection' {self.selection}"
            for defaults in SELECTION_DEFAULTS.values()
            for name in defaults
            if name not in own
        }
        if self.exact:
            reason = f"with 'selection' {self.selection} and 'noise' {self.noise}, which are exact"
            idle |= dict.fromkeys((*SAMPLING_DEFAULTS, "until"), reason)
        if self.until is not None:
            idle["n0"] = "with 'until', where the votes that bound a class choose it as well"
        if self.noise == "none":
            idle["until"] = "with 'noise' none"
        if self.checkpoint is not None:
            idle |= dict.fromkeys(TRAINING, "with 'checkpoint'")
        if self.device == "cuda":
            idle["num_workers"] = "with 'device' cuda"
        if not self.collective:
            idle |= dict.fromkeys(COLLECTIVE_DEFAULTS, "without 'collective'")
        return idle

    def _check_collective(self) -> None:
        check_choice("method", self.method, get_args(AttackMethod))
        if self.task != "node":
            raise ValueError(
                f"'collective' is about the nodes of one graph (got 'task' {self.task})"
            )
        if self.noise == "none":
            raise ValueError("'collective' does nothing with 'noise' none: leave it out")
        if not (self.exact or self.simultaneous):
            raise ValueError(
                "'collective' needs certificates that hold at once: 'simultaneous', or 'selection' "
                f"partition with 'noise' ablation (got {self.selection} with {self.noise})"
            )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Settings:
        r"""The settings that :func:`dataclasses.asdict` took apart, which may be older than some
        settings.

        Raises:
            ValueError: If others are missing, or there is none of that name.
        """
        names = {field.name for field in fields(cls)}
        misfit = (names - set(RECENT) - content.keys()) | (content.keys() - names)
        if misfit:
            raise ValueError(f"missing or unknown settings {', '.join(sorted(misfit))}")
        return cls(**content)

    @property
    def name(self) -> str:
        r"""What tells runs apart that one would compare, as the name of a folder."""
        selection = "" if self.selection == "bernoulli" else f"{self.selection}-"
        return f"{self.slug}-{selection}{self.noise}-seed{self.seed}"

    @property
    def parts(self) -> list[str]:
        r"""The parts of the split that are certified, in order."""
        return self.part.split("+")


def differences(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    r"""Where two settings of a kind differ, with both values; unimportant ones are not compared.

    Args:
        a (dataclass or dict): Settings.
        b (dataclass or dict): Other settings.
    """
    left, right = (each if isinstance(each, dict) else asdict(each) for each in (a, b))
    return {
        name: (left.get(name), right.get(name))
        for name in left | right
        if name not in UNIMPORTANT and left.get(name) != right.get(name)
    }
