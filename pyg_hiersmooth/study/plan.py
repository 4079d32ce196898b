r"""The runs of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pyg_hiersmooth.choices import Part
from pyg_hiersmooth.datasets import dataset_name, load_dataset
from pyg_hiersmooth.experiment.setting_parts import (
    DataSettings,
    SamplingSettings,
    Titled,
    TrainingSettings,
    taken,
)
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.noise import NOISES
from pyg_hiersmooth.study.methods import METHODS, Method

SEEDS = (13, 17, 26, 35, 69)
r"""The seeds of the reference."""


@dataclass(frozen=True)
class Run(Titled):
    r"""A dataset, a model and a method, with everything that decides the outcome.

    Attributes:
        dataset, model, seed, part: As in :class:`~pyg_hiersmooth.experiment.settings.Settings`.
        method (Method): How it is smoothed.
        sampling (SamplingSettings): What is sampled; an exact method takes no notice of it.
        training (TrainingSettings): How the model is trained.
    """

    dataset: str
    model: str
    method: Method
    seed: int
    part: Part = "test"
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    @classmethod
    def of(cls, dataset: str, model: str, method: Method, seed: int, **options: Any) -> Run:
        r"""The run with these settings, of sampling, training and the part."""
        sampling = SamplingSettings(**taken(SamplingSettings, options))
        training = TrainingSettings(**taken(TrainingSettings, options))
        return cls(dataset, model, method, seed, sampling=sampling, training=training, **options)

    @property
    def options(self) -> dict[str, Any]:
        r"""The settings by name, as :meth:`of` takes them, those of the method in a dictionary."""
        options = vars(self) | {"method": self.method.options}
        sampling, training = options.pop("sampling"), options.pop("training")
        return options | asdict(sampling) | asdict(training)

    @property
    def name(self) -> str:
        r"""A file name: what tells the runs of one study apart."""
        return f"{self.slug}-{self.method.slug}-seed{self.seed}"

    @property
    def num_samples(self) -> int:
        r"""Number of samples that it takes, or of outcomes that it lists."""
        if self.method.noise == "none":
            return 0
        return self.method.num_outcomes or (self.sampling.n0 or 0) + self.sampling.n

    def settings(self, root: str, device: str) -> Settings:
        r"""The settings of the experiment that it is."""
        normalize = self.method.normalize_features
        return Settings(
            DataSettings(self.dataset, self.model, root, "node", self.part, normalize),
            self.method.smoothing,
            self.method.pairs,
            self.training,
            None if self.method.num_outcomes is not None else self.sampling,
            seed=self.seed,
            device=device,
            num_workers=None if device == "cuda" else 0,
        )


def fitting_methods(dataset: str, root: str = "data") -> list[Method]:
    r"""The methods of :obj:`METHODS` for the features of a dataset: noises that need binary ones
    where they are, the others where they are not, and wherever a node may be changed at will. Those
    against changed edges are only made if they are named.

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
    return [
        method
        for method in METHODS.values()
        if method.noise not in misfit and method.changes == "features"
    ]


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
        **protocol: Further settings of every run, as :meth:`Run.of` takes them.
    """
    return [
        Run.of(dataset, model, method, seed, **protocol)
        for seed in seeds
        for dataset in datasets
        for model in models
        for method in methods[dataset]
    ]
