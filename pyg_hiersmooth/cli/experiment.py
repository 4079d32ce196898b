r"""One run from data to certificate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import click
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.cli.figures import Figures
from pyg_hiersmooth.cli.model_class import build_named
from pyg_hiersmooth.cli.run_folder import RunFolder
from pyg_hiersmooth.cli.settings import NOISE_SETTINGS, TRAINING, Settings
from pyg_hiersmooth.cli.weights import load_weights
from pyg_hiersmooth.datasets import GraphSplit, NodeSplit, load_dataset, split_nodes
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.models import MODELS
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.noise import NOISES
from pyg_hiersmooth.plotting import plot_certificates
from pyg_hiersmooth.training import TrainingHistory, train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


class Experiment:
    r"""Trains, samples and certifies what the settings say: here, the nodes of one graph.

    All that can be wrong with the settings shows when it is made.

    Args:
        settings (Settings): What to do.
        folder (RunFolder): Where the run is kept; one that was interrupted is continued.

    Raises:
        ValueError: If the settings do not fit each other or the data, or the weights to load do
            not fit the model.
        OSError: If the data are missing or the folder cannot be written.
    """

    noun: ClassVar[str] = "nodes"
    models: ClassVar[dict[str, type[torch.nn.Module]]] = MODELS

    def __init__(self, settings: Settings, folder: RunFolder) -> None:
        self.settings, self.folder = settings, folder
        self.transform = smoothing(settings)
        if settings.model not in self.models and ":" not in settings.model:
            raise ValueError(
                f"'--model {settings.model}' does not fit '--task {settings.task}', which takes "
                f"{', '.join(self.models)}"
            )
        self.can_plot = can_plot()
        dataset = load_dataset(settings.dataset, settings.root)
        self.num_classes = dataset.num_classes
        self.labels = self._read(dataset)
        self.model = self._build_model()
        self.needs_training = not self._load_weights()
        if not folder.settings.exists():
            folder.create(settings, self.labels)

    def run(self, progress: bool) -> Figures:
        r"""Does what is left to do, and leaves all of it in the folder."""
        if self.needs_training:
            self._train(progress)
        if not self.folder.model.exists():
            self.folder.save_model(self.model)
        smoothed = self._smoothed()
        certificate, seconds_per_sample = self._certify(smoothed, progress)
        certificate.save(self.folder.certificate)
        figures = Figures.of(certificate, self.labels, smoothed.feature_path, seconds_per_sample)
        if seconds_per_sample is not None or not self.folder.results.exists():
            self.folder.save_figures(figures)
        if self.can_plot:
            runs = {self.settings.title: (certificate, self.labels)}
            plot_certificates(runs, self.folder.plot)
        return figures

    def _read(self, dataset: InMemoryDataset) -> Tensor:
        r"""Takes what is needed of the dataset; returns the labels of what is certified."""
        if len(dataset) != 1:
            raise ValueError(
                f"'--dataset {self.settings.dataset}' holds {len(dataset)} graphs, which go with "
                "'--task graph'"
            )
        self.data: Data = dataset[0]
        self._check_features(self.data.x)
        self.split: NodeSplit = split_nodes(self.data.y, seed=self.settings.seed)
        self.index = certified_index(self.split, self.settings.parts)
        return self.data.y[self.index]

    def _fit(self, **options: Any) -> TrainingHistory:
        return train_node_classifier(self.model, self.data, self.split, self.transform, **options)

    def _smoothed(self) -> SmoothedNodeClassifier | SmoothedGraphClassifier:
        return SmoothedNodeClassifier(self.model, self.transform, self.num_classes)

    def _example(self) -> Data:
        return self.data

    def _objects(self) -> tuple[Any, Tensor | None]:
        r"""What is certified: data, and the targets in it."""
        return self.data, self.index

    def _check_features(self, x: Tensor) -> None:
        try:
            self.transform.check_features(x)
        except ValueError as error:
            raise ValueError(
                f"'--noise {self.settings.noise}' does not fit '--dataset "
                f"{self.settings.dataset}': {error}"
            ) from error

    def _build_model(self) -> torch.nn.Module:
        in_channels = self._example().num_features + int(self.settings.indicator)
        torch.manual_seed(self.settings.seed)
        model = build_named(self.settings.model, self.models, in_channels, self.num_classes)
        return model.to(self.settings.device)

    def _load_weights(self) -> bool:
        kept = self.folder.model if self.folder.model.exists() else self.settings.checkpoint
        if kept is not None:
            load_weights(self.model, kept)
        return kept is not None

    def _train(self, progress: bool) -> None:
        arguments: dict[str, Any] = {name: getattr(self.settings, name) for name in TRAINING}
        history = self._fit(seed=self.settings.seed, progress=progress, **arguments)
        click.echo(
            f"Trained for {history.num_epochs} epochs, accuracy under noise on the validation "
            f"{self.noun} {history.best_val_accuracy:.1%}"
        )

    def _certify(
        self, smoothed: SmoothedNodeClassifier | SmoothedGraphClassifier, progress: bool
    ) -> tuple[Certificate, float | None]:
        settings = self.settings
        num_before, start = self.folder.num_samples(), time.perf_counter()
        data, targets = self._objects()
        certificate = smoothed.certify(
            data,
            settings.n0,
            settings.n,
            settings.alpha,
            settings.seed,
            targets,
            progress,
            kind=settings.kind,
            simultaneous=settings.simultaneous,
            num_workers=settings.num_workers,
            checkpoint=self.folder.path,
        )
        num_drawn = self.folder.num_samples() - num_before
        seconds = time.perf_counter() - start
        return certificate, seconds / num_drawn if num_drawn > 0 else None


def smoothing(settings: Settings) -> HierarchicalNodeFeatureNoise:
    r"""The smoothing that the settings describe."""
    arguments: dict[str, Any] = {
        name: getattr(settings, name) for name in NOISE_SETTINGS[settings.noise]
    }
    return HierarchicalNodeFeatureNoise(
        settings.p, NOISES[settings.noise](**arguments), settings.indicator
    )


def certified_index(split: NodeSplit | GraphSplit, parts: Sequence[str]) -> Tensor:
    r"""What is certified of a split: the given parts of it, one after another."""
    return torch.cat([getattr(split, f"{part}_index") for part in parts])


def choose_device(name: str | None) -> str:
    r"""The device of the given name, or the fastest one where none is given.

    Raises:
        ValueError: If there is no such device.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("'--device cuda' needs a GPU that PyTorch can use: take '--device cpu'")
    return name or ("cuda" if available else "cpu")


def can_plot() -> bool:
    r"""Whether matplotlib is installed; says so where it is not."""
    try:
        require("matplotlib", extra="plot")
    except ImportError as error:
        click.secho(f"There will be no plot: {error}", fg="yellow", err=True)
        return False
    return True
