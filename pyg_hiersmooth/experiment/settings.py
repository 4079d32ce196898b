r"""What an experiment was asked to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from pyg_hiersmooth.choices import Kind, Part, TaskName, check_choice
from pyg_hiersmooth.noise.kinds import NOISE_KINDS, NoiseKind

NOISES = {**NOISE_KINDS, "none": NoiseKind("none", ())}
r"""The noises of experiments; ``"none"`` leaves the model unprotected."""

TASK_DEFAULTS: dict[TaskName, dict[str, Any]] = {
    "node": {"noise": "flips", "max_epochs": 1_000, "patience": 50, "lr": 1e-3},
    "graph": {"noise": "ablation", "max_epochs": 300, "patience": 100, "lr": 1e-2},
}
r"""The settings whose defaults depend on the task; those of training are the trainer's own."""

TRAINING = ("max_epochs", "patience", "lr")
r"""Settings of training, which do not apply to weights that are loaded."""

UNIMPORTANT = ("root", "num_workers")
r"""Settings that do not alter a single vote."""


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

    What is :obj:`None` by default takes the value that belongs to the task or the noise, and stays
    :obj:`None` where it does not apply.

    Attributes:
        dataset (str): A name that :func:`~pyg_hiersmooth.datasets.load_dataset` takes.
        root (str): Folder of the datasets.
        model (str): A name of :obj:`~pyg_hiersmooth.models.MODELS`, or ``module:Class`` for one of
            the user's own.
        noise (str): A name of :obj:`~pyg_hiersmooth.noise.NOISES`; ``"none"`` trains and tests the
            model as it is. (default: ``"flips"`` for nodes, ``"ablation"`` for graphs)
        p (float): Probability to select a node.
        p_plus (float or None): Probability to add a one, of flips. (default: :obj:`0.05`)
        p_minus (float or None): Probability to delete a one, of flips. (default: :obj:`0.8`)
        std (float or None): Standard deviation, of Gaussian noise. (default: :obj:`0.25`)
        scale (float or None): Scale, of Laplace noise, or half width, of uniform noise.
            (default: :obj:`0.25`)
        indicator (bool): Whether the model sees which nodes are selected, as one more feature.
        n0 (int): Samples that select the class of an object.
        n (int): Samples that bound its probability.
        alpha (float): Probability that the certificate of an object is wrong.
        kind (str): ``"multiclass"`` or ``"binary"``.
        simultaneous (bool): Whether all certificates hold at once with probability
            :obj:`1 - alpha`, not each.
        seed (int): Seed of the split, the model, its training and the samples.
        max_epochs, patience, lr: As in :func:`~pyg_hiersmooth.training.train_node_classifier` or
            :func:`~pyg_hiersmooth.training.train_graph_classifier`, with their defaults;
            :obj:`None` with a checkpoint.
        checkpoint (str or None): Weights to load instead of training.
        num_workers (int or None): Processes that sample on a CPU. (default: one a core)
        device (str or None): ``"cpu"`` or ``"cuda"``. (default: ``"cuda"`` where available)
        task (str): What is classified, ``"node"`` or ``"graph"``.
        part (str): Part of the split that is certified, ``"test"``, ``"val"`` or ``"val+test"``.

    Raises:
        ValueError: If the noise, the kind, the task or the part is unknown, or a setting is given
            that would do nothing.
    """

    dataset: str = "CitationSBM"
    root: str = "data"
    model: str = "gcn"
    noise: str | None = None
    p: float = 0.81
    p_plus: float | None = None
    p_minus: float | None = None
    std: float | None = None
    scale: float | None = None
    indicator: bool = True
    n0: int = 1_000
    n: int = 10_000
    alpha: float = 0.01
    kind: Kind = "multiclass"
    simultaneous: bool = False
    seed: int = 0
    max_epochs: int | None = None
    patience: int | None = None
    lr: float | None = None
    checkpoint: str | None = None
    num_workers: int | None = None
    device: str | None = None
    task: TaskName = "node"
    part: Part = "test"

    def __post_init__(self) -> None:
        for path in ("root", "checkpoint"):
            if getattr(self, path) is not None:
                object.__setattr__(self, path, os.fspath(getattr(self, path)))
        for choice, choices in (("task", TaskName), ("part", Part), ("kind", Kind)):
            check_choice(choice, getattr(self, choice), get_args(choices))
        defaults = dict(TASK_DEFAULTS[self.task])
        noise = defaults["noise"] if self.noise is None else self.noise
        check_choice("noise", noise, NOISES)
        defaults |= {"noise": noise, **NOISES[noise].defaults}
        for name, reason in self._idle(noise).items():
            if getattr(self, name) is not None:
                raise ValueError(f"{name!r} does nothing with {reason}: leave it out")
            defaults.pop(name, None)
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def _idle(self, noise: str) -> dict[str, str]:
        r"""The settings that would do nothing, each with the setting that is why."""
        idle = {
            name: f"'noise' {noise}"
            for kind in NOISES.values()
            for name in kind.defaults
            if name not in NOISES[noise].defaults
        }
        if self.checkpoint is not None:
            idle |= dict.fromkeys(TRAINING, "'checkpoint'")
        if self.device == "cuda":
            idle["num_workers"] = "'device' cuda"
        return idle

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Settings:
        r"""The settings that :func:`dataclasses.asdict` took apart, which may be older than task
        and part.

        Raises:
            ValueError: If others are missing, or there is none of that name.
        """
        names = {field.name for field in fields(cls)}
        misfit = (names - {"task", "part"} - content.keys()) | (content.keys() - names)
        if misfit:
            raise ValueError(f"missing or unknown settings {', '.join(sorted(misfit))}")
        return cls(**content)

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
