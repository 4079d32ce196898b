r"""The runs of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pyg_hiersmooth.choices import Part
from pyg_hiersmooth.datasets import dataset_name, load_dataset
from pyg_hiersmooth.experiment.settings import (
    SAMPLING_DEFAULTS,
    TASK_DEFAULTS,
    Settings,
    Titled,
)
from pyg_hiersmooth.noise import NOISES
from pyg_hiersmooth.study.methods import METHODS, Method

SEEDS = (13, 17, 26, 35, 69)
r"""The seeds of the reference."""


@dataclass(frozen=True)
class Run(Titled):
    r"""A dataset, a model and a method, with everything that decides the outcome.

    Attributes:
        method (Method): How it is smoothed.
        dataset, model, seed, n0, n, alpha, part, max_epochs, patience, lr, num_draws, consistency,
        consistency_rampup:
            As in :class:`~pyg_hiersmooth.experiment.settings.Settings`; an exact method takes no
            notice of :obj:`n0`, :obj:`n` and :obj:`alpha`.
    """

    dataset: str
    model: str
    method: Method
    seed: int
    n0: int = SAMPLING_DEFAULTS["n0"]
    n: int = SAMPLING_DEFAULTS["n"]
    alpha: float = SAMPLING_DEFAULTS["alpha"]
    part: Part = Settings.part
    max_epochs: int = TASK_DEFAULTS["node"]["max_epochs"]
    patience: int = TASK_DEFAULTS["node"]["patience"]
    lr: float = TASK_DEFAULTS["node"]["lr"]
    num_draws: int = TASK_DEFAULTS["node"]["num_draws"]
    consistency: float = TASK_DEFAULTS["node"]["consistency"]
    consistency_rampup: int = TASK_DEFAULTS["node"]["consistency_rampup"]

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Run:
        r"""The run that :func:`dataclasses.asdict` took apart."""
        return cls(**{**content, "method": Method(**content["method"])})

    @property
    def name(self) -> str:
        r"""A file name: what tells the runs of one study apart."""
        return f"{self.slug}-{self.method.slug}-seed{self.seed}"

    @property
    def num_samples(self) -> int:
        r"""Number of samples that it takes, or of outcomes that it lists."""
        if self.method.noise is None:
            return 0
        return self.method.num_outcomes or self.n0 + self.n

    def settings(self, root: str, device: str) -> Settings:
        r"""The settings of the experiment that it is."""
        options: dict[str, Any] = asdict(self) | asdict(self.method)
        del options["method"], options["name"]
        options["noise"] = self.method.noise or "none"
        if self.method.num_outcomes is not None:
            del options["n0"], options["n"], options["alpha"]
        return Settings(
            **options,
            root=root,
            device=device,
            num_workers=None if device == "cuda" else 0,
            indicator=self.method.indicator,
            selection=self.method.selection,
        )


def fitting_methods(dataset: str, root: str = "data") -> list[Method]:
    r"""The methods of :obj:`METHODS` for the features of a dataset: noises that need binary ones
    where they are, the others where they are not, and wherever a node may be changed at will.

    Args:
        dataset (str): A name that :func:`~pyg_hiersmooth.datasets.load_dataset` takes.
        root (str): Folder of the datasets. (default: :obj:`"data"`)

    Raises:
        ValueError: If the name is unknown, or that of many graphs.
        OSError: If the data are missing.
    """
    graphs = load_dataset(dataset_name(dataset, "dataset"), root)
    if len(graphs) != 1:
        raise ValueError(f"'dataset' must hold one graph (got {len(graphs)} in {dataset})")
    x = graphs[0].x
    binary = bool(((x == 0) | (x == 1)).all())
    misfit = {
        name for name, kind in NOISES.items() if kind.axes and kind.needs_binary is not binary
    }
    return [method for method in METHODS.values() if method.noise not in misfit]


def plan(
    datasets: Sequence[str],
    models: Sequence[str],
    methods: Mapping[str, Sequence[Method]],
    seeds: Sequence[int] = SEEDS,
    **protocol: Any,
) -> list[Run]:
    r"""All runs of datasets, models, methods and seeds; a seed is finished before the next.

    Args:
        datasets (list of str): Names of datasets.
        models (list of str): Names of models.
        methods (dict): The methods for each dataset.
        seeds (list of int): Seeds. (default: :obj:`SEEDS`)
        **protocol: Further attributes of every :class:`~pyg_hiersmooth.study.plan.Run`.
    """
    return [
        Run(dataset, model, method, seed, **protocol)
        for seed in seeds
        for dataset in datasets
        for model in models
        for method in methods[dataset]
    ]
