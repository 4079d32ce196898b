r"""One run of graph classification, from data to certificate."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_hiersmooth.cli.experiment import Experiment, certified_index
from pyg_hiersmooth.cli.run_folder import RunFolder
from pyg_hiersmooth.cli.settings import Settings
from pyg_hiersmooth.datasets import split_graphs
from pyg_hiersmooth.graph_models import GRAPH_MODELS
from pyg_hiersmooth.nn import SmoothedGraphClassifier
from pyg_hiersmooth.training import TrainingHistory, train_graph_classifier


class GraphExperiment(Experiment):
    r"""Trains, samples and certifies a graph classifier; a tenth of the graphs are certified."""

    noun: ClassVar[str] = "graphs"
    models: ClassVar[dict[str, type[torch.nn.Module]]] = GRAPH_MODELS

    def _read(self, dataset: InMemoryDataset) -> Tensor:
        if len(dataset) < 10:
            raise ValueError(
                f"'--task graph' needs at least ten graphs, but '--dataset "
                f"{self.settings.dataset}' holds {len(dataset)}"
            )
        x = torch.cat([graph.x for graph in dataset])
        self._check_features(x)
        if self.settings.noise == "flips" and bool((x.sum(dim=1) == 1).all()):
            raise ValueError(
                f"'--noise flips' does not fit '--dataset {self.settings.dataset}', whose one-hot "
                "rows would become rows of no label or several: take '--noise ablation' or "
                "'--noise gaussian'"
            )
        labels = torch.cat([graph.y for graph in dataset])
        self.graphs, self.graph_split = dataset, split_graphs(labels, seed=self.settings.seed)
        self.index = certified_index(self.graph_split, self.settings.parts)
        return labels[self.index]

    def _fit(self, **options: Any) -> TrainingHistory:
        return train_graph_classifier(
            self.model, self.graphs, self.graph_split, self.transform, **options
        )

    def _smoothed(self) -> SmoothedGraphClassifier:
        return SmoothedGraphClassifier(self.model, self.transform, self.num_classes)

    def _example(self) -> Data:
        return self.graphs[0]

    def _objects(self) -> tuple[Any, Tensor | None]:
        return self.graphs[self.index], None


def experiment_for(settings: Settings, folder: RunFolder) -> Experiment:
    r"""The experiment of the task that the settings name; arguments as in :class:`Experiment`."""
    kind = GraphExperiment if settings.task == "graph" else Experiment
    return kind(settings, folder)
