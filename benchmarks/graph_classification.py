r"""Certified accuracy of graph classifiers on MUTAG: hierarchical against flat smoothing.

MUTAG's features are one-hot node labels. Flips would turn them into rows with no label or
several, so the noises here are Gaussian and ablation. Every fold of a stratified cross-validation
is tested once, the next one decides when training stops, and all test graphs count together. Each
model leaves one JSON file; what is there is not made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from families import ABLATION, EXACT, Curve, Study, gaussian_settings, report
from tqdm import tqdm

from pyg_hiersmooth.datasets import load_dataset, split_graphs
from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.nn import SmoothedGraphClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.training import train_graph_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
RESULTS, DOCS = HERE / "graph_classification", HERE.parent / "docs" / "benchmarks" / "graphs"
STRENGTHS, SHOWN = np.linspace(0.0, 3.0, 61)[1:].round(2), [0.5, 1.0, 1.5, 3.0]
MAJORITY = 0.665
HEAD = f"""\
# Graphs: MUTAG

Certified accuracy in percent, over the test graphs of ten folds together, at n0 = 100 and
n = 1,000 for what is sampled. An adversary changes r nodes of a graph, by eps (l2) over all of
them; 1.41 turns one node label into another. The larger class has {MAJORITY:.1%} of the graphs:
what is certified beyond that says something. Ablation holds for any change.
"""


@click.command()
@click.option("--root", default="data", show_default=True, help="Folder of the datasets.")
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("gin", "gcn"),
    show_default=True,
    type=click.Choice(list(MODELS["graph"])),
)
@click.option("--p", "ps", multiple=True, default=(0.8, 0.9), show_default=True)
@click.option("--std", "stds", multiple=True, default=(0.5, 1.0), show_default=True)
@click.option("--groups", multiple=True, default=(3, 5), show_default=True)
@click.option("--folds", default=10, show_default=True, type=click.IntRange(1, 10))
@click.option("--n0", default=100, show_default=True, type=click.IntRange(1))
@click.option("--n", default=1_000, show_default=True, type=click.IntRange(1))
def main(
    root: str,
    models: tuple[str, ...],
    ps: tuple[float, ...],
    stds: tuple[float, ...],
    groups: tuple[int, ...],
    folds: int,
    n0: int,
    n: int,
) -> None:
    r"""Keeps, prints and draws certified accuracy over eps for r = 1, ..., 4."""
    settings: dict[str, list[HierarchicalNodeFeatureNoise]] = {
        **gaussian_settings(ps, stds),
        ABLATION: [HierarchicalNodeFeatureNoise(p, AblationNoise()) for p in ps],
        EXACT: [
            HierarchicalNodeFeatureNoise(PartitionSelection(each), AblationNoise())
            for each in groups
        ],
    }
    paths = [RESULTS / f"MUTAG-{model}.json" for model in models]
    for model, path in zip(models, paths, strict=True):
        if path.exists():
            continue
        study = Study(f"MUTAG, {model}, {folds} folds", STRENGTHS.tolist(), SHOWN)
        every = [(family, each) for family, many in settings.items() for each in many]
        for family, transform in tqdm(every, desc=model):
            sampling = {} if family == EXACT else {"n0": n0, "n": n}
            parts = certified(root, model, transform, folds, sampling)
            study.curves.append(Curve.of(family, transform, parts, STRENGTHS))
        study.save(path)
    report([(path, Study.load(path)) for path in paths], HEAD, DOCS)


def certified(
    root: str,
    model: str,
    transform: HierarchicalNodeFeatureNoise,
    folds: int,
    sampling: dict[str, Any],
) -> list[Any]:
    r"""Certificates and labels of the test graphs of each fold."""
    graphs = load_dataset("MUTAG", root)
    labels = torch.cat([graph.y for graph in graphs])
    trained = transform
    if isinstance(transform.selection, PartitionSelection):  # as independent draws, to train
        trained = HierarchicalNodeFeatureNoise(
            1.0 - 1.0 / transform.selection.num_groups, transform.noise
        )
    parts = []
    for fold in range(folds):
        split = split_graphs(labels, fold)
        torch.manual_seed(fold)
        in_channels = graphs.num_features + transform.append_indicator
        classifier = build_model(model, in_channels, graphs.num_classes, task="graph")
        train_graph_classifier(classifier, graphs, split, trained, max_epochs=100, progress=False)
        smoothed = SmoothedGraphClassifier(classifier, transform, graphs.num_classes)
        certificate = smoothed.certify(graphs[split.test_index], **sampling, progress=False)
        parts.append((certificate, labels[split.test_index].numpy()))
    return parts


if __name__ == "__main__":
    main()
