r"""Exact node ablation beside sampled one, over groups, partitions, models and datasets.

A model is trained with node ablation, under Bernoulli selection at p = 1 - 1/T or under the masks of
partitions into T groups, and certified on validation and test nodes at once: exactly, with several
numbers K of partitions, and (one number of groups, Bernoulli training) by sampling at the same p.
Each model leaves a small JSON file, and what is there is not done again; tables and the figure
of docs/exact.md are written from these files.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import NodeSplit, load_dataset, split_nodes
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
CHANGED = range(9)
DATASETS, MODELS = ("Cora_ML", "CiteSeer", "Cora"), ("appnp", "gcn", "gat")
GROUPS, MORE_GROUPS = (10, 6, 16), (4, 8, 12, 24)
PARTITIONS = (1, 3, 10, 30)
SAMPLES = (110, 330, 1_100, 3_300, 11_000)
r"""Samples in all, of which one in eleven chooses the class."""


@dataclass(frozen=True)
class Model:
    r"""A model to train: Bernoulli selection of probability ``1 - 1/groups``, or partitions."""

    dataset: str
    model: str
    groups: int
    training: str
    seed: int

    @property
    def path(self) -> Path:
        r"""Where its results are."""
        name = f"{self.dataset}-{self.model}-T{self.groups}-{self.training}-seed{self.seed}"
        return HERE / "exact" / f"{name}.json"

    @property
    def selections(self) -> dict[str, Selection]:
        r"""What it may be trained with."""
        return {
            "bernoulli": BernoulliSelection(1.0 - 1.0 / self.groups),
            "partition": PartitionSelection(self.groups),
        }


def smoothing(selection: Selection) -> HierarchicalNodeFeatureNoise:
    r"""Node ablation of what is selected."""
    return HierarchicalNodeFeatureNoise(selection, AblationNoise())


def trained(what: Model, data: Data, split: NodeSplit) -> torch.nn.Module:
    r"""The model, trained."""
    torch.manual_seed(what.seed)
    model = build_model(what.model, data.num_features + 1, int(data.y.max()) + 1)
    transform = smoothing(what.selections[what.training])
    train_node_classifier(
        model, data, split, transform, lr=1e-2, seed=what.seed, progress=False
    )
    return model


def certified(
    model: torch.nn.Module, data: Data, split: NodeSplit, selection: Selection, **options: Any
) -> dict[str, Any]:
    r"""Certified accuracies on validation and test nodes, and the seconds that they took."""
    smoothed = SmoothedNodeClassifier(model, smoothing(selection), int(data.y.max()) + 1)
    targets = torch.cat([split.val_index, split.test_index])
    start = time.perf_counter()
    certificate = smoothed.certify(data, node_index=targets, progress=False, **options)
    seconds = time.perf_counter() - start
    y, is_test = data.y[targets], np.arange(len(targets)) >= split.val_index.numel()
    return {
        "seconds": round(seconds, 2),
        "val": accuracies(certificate, y, ~is_test),
        "test": accuracies(certificate, y, is_test),
    }


def accuracies(certificate: Certificate, y: torch.Tensor, part: np.ndarray) -> list[float]:
    r"""Certified accuracy of some of the targets for each number of changed nodes."""
    right = certificate.prediction[part] == y.numpy()[part]
    robust = [certificate.is_robust(r=r)[part] for r in CHANGED]
    return [round(float((right & each).mean()), 4) for each in robust]


def run(what: Model, root: str, sampled: Sequence[int]) -> None:
    r"""Trains and certifies one model, unless that was done."""
    if what.path.exists():
        return
    data = load_dataset(what.dataset, root)[0]
    split = split_nodes(data.y, seed=what.seed)
    model = trained(what, data, split)
    rows = []
    for partitions in PARTITIONS:
        selection = PartitionSelection(what.groups, partitions)
        row = certified(model, data, split, selection, num_workers=0)
        rows.append({"how": "exact", "K": partitions, "passes": selection.num_masks, **row})
    for samples in sampled:
        n0 = samples // 11
        row = certified(
            model,
            data,
            split,
            what.selections["bernoulli"],
            n0=n0,
            n=samples - n0,
            num_workers=0,
        )
        rows.append({"how": "sampled", "K": None, "passes": samples, **row})
    what.path.parent.mkdir(exist_ok=True)
    with replace_atomically(what.path) as file:
        file.write(json.dumps({**asdict(what), "rows": rows}, indent=1).encode())


def planned(seeds: Sequence[int]) -> Iterator[tuple[Model, Sequence[int]]]:
    r"""All models, and the numbers of samples that each is given."""
    for dataset, model, seed in itertools.product(DATASETS, MODELS, seeds):
        sampled = SAMPLES if (dataset, model) == (DATASETS[0], MODELS[0]) else SAMPLES[-1:]
        yield Model(dataset, model, GROUPS[0], "bernoulli", seed), sampled
    for dataset, model, seed in itertools.product(DATASETS, MODELS, seeds):
        yield Model(dataset, model, GROUPS[0], "partition", seed), ()
    for groups, dataset, model, seed in itertools.product(GROUPS[1:], DATASETS, MODELS, seeds):
        yield Model(dataset, model, groups, "bernoulli", seed), ()
    for groups, model, seed in itertools.product(MORE_GROUPS, MODELS, seeds):
        yield Model(DATASETS[0], model, groups, "bernoulli", seed), ()


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--seed", "seeds", multiple=True, default=(13, 17, 26, 35, 69))
def main(root: str, seeds: tuple[int, ...]) -> None:
    for what, sampled in tqdm([*planned(seeds)], desc="Models"):
        run(what, root, sampled)


if __name__ == "__main__":
    main()
