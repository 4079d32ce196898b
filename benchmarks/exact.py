r"""Exact certificates beside sampled ones, and collective beside single ones, on one graph.

For each seed one model is trained with node ablation at p = 1 - 1/T, and certified twice: by
sampling (Bernoulli selection of that probability), and by enumeration (T groups), in one run.
Printed are means over the seeds of certified accuracy against any change of r nodes, the forward
passes, and medians of the time of ``certify``; then the collective certificates of the exact ones.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.models import MODELS, build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

CHANGED = range(9)
CHANGED_IN_ALL = (1, 3, 5, 10, 20)


@click.command(context_settings={"show_default": True})
@click.option("--dataset", default="CitationSBM")
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--model", default="appnp", type=click.Choice(list(MODELS["node"])))
@click.option("--groups", default=10, help="Groups T of a partition.")
@click.option("--partitions", default=10, help="Partitions K.")
@click.option("--seed", "seeds", multiple=True, default=(13, 17, 26, 35, 69))
@click.option("--lr", default=1e-2)
@click.option("--n0", default=1_000)
@click.option("--n", default=10_000)
@click.option("--time-limit", default=15.0, help="Seconds of an integer program.")
def main(
    dataset: str,
    root: str,
    model: str,
    groups: int,
    partitions: int,
    seeds: tuple[int, ...],
    lr: float,
    n0: int,
    n: int,
    time_limit: float,
) -> None:
    r"""Prints both tables."""
    data = load_dataset(dataset, root)[0]
    sampled, exact = BernoulliSelection(1.0 - 1.0 / groups), PartitionSelection(groups, partitions)
    passes = {"sampled": n0 + n, "exact": exact.num_masks}
    single: dict[str, list[list[float]]] = {name: [] for name in passes}
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    together: dict[str, list[list[float]]] = {"one by one": [], "lp": [], "milp": []}
    for seed in tqdm(seeds, desc="Seeds"):
        split = split_nodes(data.y, seed=seed)
        targets = split.test_index
        y = data.y[targets]
        network = trained(model, data, split, sampled, lr, seed)
        options: dict[str, Any] = {"n0": n0, "n": n}
        for name, selection in (("sampled", sampled), ("exact", exact)):
            smoothed = smooth(network, selection, data)
            more = options if name == "sampled" else {}
            certificate, took = timed(smoothed, data, targets, **more)
            single[name].append([certificate.certified_accuracy(y, r=r) for r in CHANGED])
            seconds[name].append(took)
        collective = CollectiveCertificate(certificate, smoothed.receptive_field(data, targets))
        for name, row in together.items():
            at_once: Any = certificate if name == "one by one" else collective
            how: dict[str, Any] = (
                {} if name == "one by one" else {"method": name, "time_limit": time_limit}
            )
            row.append([at_once.certified_accuracy(y, r=r, **how) for r in CHANGED_IN_ALL])
    console = Console(width=120)
    table = Table("certified accuracy", *(f"r={r}" for r in CHANGED), "passes", "seconds")
    for name, rows in single.items():
        table.add_row(name, *means(rows), str(passes[name]), f"{median(seconds[name]):.1f}")
    console.print(table)
    table = Table("at once", *(f"r={r}" for r in CHANGED_IN_ALL))
    for name, rows in together.items():
        table.add_row(name, *means(rows))
    console.print(table)


def trained(
    name: str, data: Data, split: Any, selection: Selection, lr: float, seed: int
) -> torch.nn.Module:
    r"""A model trained with node ablation."""
    torch.manual_seed(seed)
    model = build_model(name, data.num_features + 1, int(data.y.max()) + 1)
    transform = HierarchicalNodeFeatureNoise(selection, AblationNoise())
    train_node_classifier(model, data, split, transform, lr=lr, seed=seed, progress=False)
    return model


def smooth(model: torch.nn.Module, selection: Selection, data: Data) -> SmoothedNodeClassifier:
    r"""The model under node ablation."""
    transform = HierarchicalNodeFeatureNoise(selection, AblationNoise())
    return SmoothedNodeClassifier(model, transform, int(data.y.max()) + 1)


def timed(
    smoothed: SmoothedNodeClassifier, data: Data, targets: torch.Tensor, **options: Any
) -> tuple[Certificate, float]:
    r"""A certificate, and the seconds that it took."""
    start = time.perf_counter()
    certificate = smoothed.certify(data, node_index=targets, progress=False, **options)
    return certificate, time.perf_counter() - start


def means(rows: list[list[float]]) -> list[str]:
    r"""Column means in percent."""
    return [f"{100 * value:.1f}" for value in np.mean(rows, axis=0)]


if __name__ == "__main__":
    main()
