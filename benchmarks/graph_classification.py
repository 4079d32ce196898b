r"""Certified accuracy of graph classifiers on MUTAG: hierarchical against flat smoothing.

MUTAG's features are one-hot node labels. Flips would turn them into rows with no label or
several, so the noises here are Gaussian and ablation. Every fold of a stratified cross-validation
is tested once, the next one decides when training stops, and all test graphs count together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from families import ABLATION, Result, gaussian_settings, report
from tqdm import tqdm

from pyg_hiersmooth.datasets import load_dataset, split_graphs
from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.nn import SmoothedGraphClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.training import train_graph_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise


@click.command()
@click.option("--dataset", default="MUTAG", show_default=True)
@click.option("--root", default="data", show_default=True, help="Folder of the datasets.")
@click.option("--model", default="gin", type=click.Choice(list(MODELS["graph"])))
@click.option("--p", "ps", multiple=True, default=(0.8, 0.9, 0.95), show_default=True)
@click.option("--std", "stds", multiple=True, default=(0.5, 1.0, 2.0), show_default=True)
@click.option("--folds", default=10, show_default=True, type=click.IntRange(1, 10))
@click.option("--max-epochs", default=100, show_default=True, type=click.IntRange(1))
@click.option("--n0", default=100, show_default=True, type=click.IntRange(1))
@click.option("--n", default=1_000, show_default=True, type=click.IntRange(1))
@click.option(
    "--min-clean",
    default=0.8,
    show_default=True,
    help="Settings of at least this clean accuracy are also compared among themselves.",
)
@click.option("--out", default="graphs", help="Where the JSON and the plot go, without suffix.")
def main(
    dataset: str,
    root: str,
    model: str,
    ps: tuple[float, ...],
    stds: tuple[float, ...],
    folds: int,
    max_epochs: int,
    n0: int,
    n: int,
    min_clean: float,
    out: str,
) -> None:
    r"""Prints and draws certified accuracy over eps for r = 1, ..., 4."""
    graphs = load_dataset(dataset, root)
    labels = torch.cat([graph.y for graph in graphs])
    ablations = [HierarchicalNodeFeatureNoise(p, AblationNoise()) for p in ps]
    settings: dict[str, list[Any]] = {
        **gaussian_settings(ps, stds),
        ABLATION: ablations,
    }
    results = [Result(family, each) for family, many in settings.items() for each in many]
    for result in tqdm(results, desc="Methods"):
        for fold in range(folds):
            split = split_graphs(labels, fold)
            torch.manual_seed(fold)
            in_channels = graphs.num_features + result.transform.append_indicator
            classifier = build_model(model, in_channels, graphs.num_classes, task="graph")
            train_graph_classifier(
                classifier, graphs, split, result.transform, max_epochs=max_epochs, progress=False
            )
            smoothed = SmoothedGraphClassifier(classifier, result.transform, graphs.num_classes)
            certificate = smoothed.certify(graphs[split.test_index], n0, n, progress=False)
            result.parts.append((certificate, labels[split.test_index].numpy()))
    strengths = np.linspace(0.0, 3.0, 61)[1:]
    report(results, strengths, min_clean, f"{dataset}, {model}, {folds} folds", Path(out))


if __name__ == "__main__":
    main()
