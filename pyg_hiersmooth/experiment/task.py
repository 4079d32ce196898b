r"""What an experiment trains and certifies: the nodes of one graph, or many graphs."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset

from pyg_hiersmooth.certificates import check_questions
from pyg_hiersmooth.certificates.calibration import ETA, allowed_error, check_enough
from pyg_hiersmooth.certificates.certificate import Smoothing
from pyg_hiersmooth.choices import TaskName
from pyg_hiersmooth.datasets import (
    dataset_name,
    load_dataset,
    split_graphs,
    split_nodes,
)
from pyg_hiersmooth.datasets.labels import as_labels
from pyg_hiersmooth.datasets.splits import Split
from pyg_hiersmooth.experiment.setting_parts import SetsSettings
from pyg_hiersmooth.experiment.settings import Settings
from pyg_hiersmooth.experiment.smoothing import (
    build_edges,
    build_nodes,
    certified_as,
    composed,
    shows_indicator,
    training_noise,
)
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedGraphClassifier, SmoothedNodeClassifier
from pyg_hiersmooth.nn.smoothed_classifier import Transform
from pyg_hiersmooth.noise import NOISES
from pyg_hiersmooth.training import (
    TrainingHistory,
    train_graph_classifier,
    train_node_classifier,
)
from pyg_hiersmooth.training.fit import logits_of


class Task(ABC):
    r"""Data with a split, and the seeded models that are trained and certified on them.

    Args:
        settings (Settings): What to do. They are checked here.

    Attributes:
        nodes (HierarchicalNodeFeatureNoise or None): The noise of nodes, if they get any.
        transform (callable or None): All noise, of nodes and of edges; :obj:`None` without.
        smoothing (Smoothing or None): What certificates are made with; :obj:`None` without noise.
        data (Data or InMemoryDataset): The graph, or the graphs.
        num_classes (int): The number of classes.
        y (torch.Tensor): The labels of all objects, int64.
        split (NodeSplit or GraphSplit): Which objects are trained, validated and tested on.
        parts (dict): For each part that is certified, the indices of its objects, int64.

    Raises:
        ValueError: If the settings do not fit each other or the data.
        OSError: If the data are missing.
    """

    noun: ClassVar[str]
    smoothed_class: ClassVar[type[SmoothedNodeClassifier] | type[SmoothedGraphClassifier]]
    train_classifier: ClassVar[Callable[..., TrainingHistory]]

    data: Any
    y: Tensor
    split: Split

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = choose_device(settings.device)
        self.nodes = build_nodes(settings.smoothing, settings.seed)
        edges = build_edges(settings.pairs, settings.seed)
        self.transform: Transform | None = None
        self.smoothing: Smoothing | None = None
        if settings.smooths:
            self.transform = composed(self.nodes, edges)
            self.smoothing = certified_as(self.nodes, edges)
            if settings.questions:
                check_questions(self.smoothing.noise, settings.questions)
        data = settings.data
        dataset = load_dataset(dataset_name(data.dataset, "dataset"), data.root)
        self.num_classes: int = dataset.num_classes
        self._read(dataset)
        self.parts: dict[str, Tensor] = {
            part: getattr(self.split, f"{part}_index") for part in data.parts
        }

    @property
    def index(self) -> Tensor:
        r"""The certified objects, part after part, int64 ``[M]``."""
        return torch.cat(list(self.parts.values()))

    @property
    def labels(self) -> Tensor:
        r"""Their labels, int64 ``[M]``."""
        return self.y[self.index]

    @property
    def num_calibration(self) -> int:
        r"""How many objects prediction sets are calibrated on.

        Raises:
            ValueError: If they are too few for the coverage.
        """
        sets = self.settings.prediction_sets
        if sets is None:
            return 0
        _check_calibration(sets, self.settings.exact)
        return sets.calibration

    @abstractmethod
    def targets(self, index: Tensor) -> dict[str, Any]:
        r"""Some objects, int64 ``[M]``, as the arguments of a smoothed classifier."""

    def new_model(self, transform: Transform | None) -> torch.nn.Module:
        r"""A model for what the transform makes of the features, with weights from the seed."""
        data = self.settings.data
        torch.manual_seed(self.settings.seed)
        in_channels = self.data.num_features + int(shows_indicator(transform))
        model = build_model(data.model, in_channels, self.num_classes, data.task)
        return model.to(self.device)

    def train(
        self, model: torch.nn.Module, transform: Transform | None, progress: bool = False
    ) -> TrainingHistory:
        r"""Trains a model under noise, as the settings say."""
        transform = training_noise(transform)
        how = asdict(self.settings.training) if self.settings.training else {}
        how |= {"seed": self.settings.seed, "progress": progress}
        return type(self).train_classifier(model, self.data, self.split, transform, **how)

    def new_trained_model(self, transform: Transform | None) -> torch.nn.Module:
        r"""A new model that was trained under a smoothing."""
        model = self.new_model(transform)
        self.train(model, transform)
        return model

    def smooth(
        self, model: torch.nn.Module, transform: Transform
    ) -> SmoothedNodeClassifier | SmoothedGraphClassifier:
        r"""The smoothed classifier around a model."""
        return self.smoothed_class(model, transform, self.num_classes)

    @abstractmethod
    def predict(self, model: torch.nn.Module) -> Tensor:
        r"""The classes that a model predicts without noise, int64 ``[M]``."""

    @abstractmethod
    def _read(self, dataset: InMemoryDataset) -> None:
        r"""Takes the data, the labels and the split from the dataset."""

    def _classes(self, model: torch.nn.Module, graph: Data) -> Tensor:
        model.eval()
        with torch.no_grad():
            return logits_of(model, graph.to(self.device)).argmax(dim=-1).cpu()

    def _check_features(self, x: Tensor) -> None:
        try:
            if self.nodes is not None:
                self.nodes.check_features(x)
        except ValueError as error:
            raise ValueError(
                f"'noise' must fit the features of 'dataset' {self.settings.data.dataset} "
                f"(got {self.settings.smoothing.noise}): {error}"
            ) from error


class NodeTask(Task):
    r"""The nodes of one graph; 20 per class for training, and as many for validation."""

    noun = "nodes"
    smoothed_class = SmoothedNodeClassifier
    train_classifier = train_node_classifier

    def targets(self, index: Tensor) -> dict[str, Any]:
        return {"data": self.data, "node_index": index}

    def predict(self, model: torch.nn.Module) -> Tensor:
        return self._classes(model, copy.copy(self.data))[self.index]

    def _read(self, dataset: InMemoryDataset) -> None:
        if len(dataset) != 1:
            raise ValueError(
                f"'dataset' must hold one graph for 'task' node (got {len(dataset)} in "
                f"{self.settings.data.dataset})"
            )
        self.data = dataset[0]
        if self.settings.data.normalize_features:
            self.data.x = _shares(self.data.x)
        self._check_features(self.data.x)
        self.y = as_labels(self.data.y, self.data.num_nodes)
        seed, calibration = self.settings.seed, self.num_calibration
        self.split = split_nodes(self.y, seed=seed, calibration=calibration)


class GraphTask(Task):
    r"""Many graphs; a tenth of them is tested, and as many are for validation."""

    noun = "graphs"
    smoothed_class = SmoothedGraphClassifier
    train_classifier = train_graph_classifier

    def targets(self, index: Tensor) -> dict[str, Any]:
        return {"data": self.data[index]}

    def predict(self, model: torch.nn.Module) -> Tensor:
        return self._classes(model, Batch.from_data_list(list(self.data[self.index])))

    def _read(self, dataset: InMemoryDataset) -> None:
        if len(dataset) < 10:
            raise ValueError(
                f"'dataset' must hold at least ten graphs for 'task' graph (got {len(dataset)} in "
                f"{self.settings.data.dataset})"
            )
        if self.settings.data.normalize_features:
            raise ValueError("'normalize_features' is for 'task' node (got True for graphs)")
        x = torch.cat([graph.x for graph in dataset])
        self._check_features(x)
        flips = self.nodes is not None and self.nodes.noise.needs_binary
        if flips and bool((x.sum(dim=1) == 1).all()):
            others = [name for name, kind in NOISES.items() if not kind.needs_binary]
            raise ValueError(
                f"'noise' must be one of {', '.join(others)} for the one-hot rows of 'dataset' "
                f"{self.settings.data.dataset}, which would become rows of no label or several "
                f"(got {self.settings.smoothing.noise})"
            )
        labels = torch.cat([graph.y for graph in dataset])
        self.data, self.y = dataset, as_labels(labels, len(dataset), noun="graph")
        seed, calibration = self.settings.seed, self.num_calibration
        self.split = split_graphs(self.y, seed=seed, calibration=calibration)


TASKS: dict[TaskName, type[Task]] = {"node": NodeTask, "graph": GraphTask}


def _check_calibration(settings: SetsSettings, exact: bool) -> None:
    error, _ = allowed_error(settings.sets, ETA, exact)
    try:
        check_enough(settings.calibration, error)
    except ValueError as too_few:
        raise ValueError(f"'calibration' must be larger: {too_few}") from too_few


def _shares(x: Tensor) -> Tensor:
    r"""Features divided by the sum of their row, where that is above 1: each row by itself, where
    PyG's ``NormalizeFeatures`` first subtracts the smallest number of all rows.
    """
    if bool((x < 0).any()):
        raise ValueError(
            f"'normalize_features' needs features of at least 0 (got {float(x.min()):g})"
        )
    return x / x.sum(dim=1, keepdim=True).clamp(min=1)


def choose_device(name: str | None) -> str:
    r"""The device of the given name, or the fastest one where none is given.

    Raises:
        ValueError: If there is no such device.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("'device' must be cpu, as PyTorch finds no GPU that it can use (got cuda)")
    return name or ("cuda" if available else "cpu")
