r"""Exact node ablation beside sampled one, over groups, partitions, models and datasets.

A model is trained with node ablation, under Bernoulli selection at p = 1 - 1/T or under the masks
of partitions into T groups, and certified on validation and test nodes at once: exactly, with
several numbers K of partitions, and (one number of groups, Bernoulli training) by sampling at the
same p.
Each model leaves a line in benchmarks/exact.jsonl, and what is there is not done again; the tables
and the picture in docs/benchmarks/exact are written from it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import NodeSplit, load_dataset, split_nodes
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
RESULTS = JsonLines(HERE / "exact.jsonl")
DOCS = HERE.parent / "docs" / "benchmarks" / "exact"
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
    train_node_classifier(model, data, split, transform, lr=1e-2, seed=what.seed, progress=False)
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
    if any(row.items() >= asdict(what).items() for row in RESULTS.read()):
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
    RESULTS.append({**asdict(what), "rows": rows})


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


def collected(dataset: str, model: str, groups: int, training: str) -> dict[str, list[Any]]:
    r"""For each way to certify the models of all seeds, in words, its rows."""
    wanted = {"dataset": dataset, "model": model, "groups": groups, "training": training}
    found: dict[str, list[Any]] = {}
    for each in RESULTS.read():
        for row in each["rows"] if each.items() >= wanted.items() else ():
            how = f"exact, K={row['K']}" if row["how"] == "exact" else "sampled"
            found.setdefault(f"{how}|{row['passes']}", []).append(row)
    return found


def average(rows: Sequence[Any], part: str = "test") -> np.ndarray:
    r"""Certified accuracies over seeds, in percent."""
    return 100.0 * np.mean([row[part] for row in rows], axis=0)


def table_of_ways(dataset: str, model: str) -> Table:
    r"""All numbers of partitions and samples, with the same ten-group models."""
    table = Table(title=f"{dataset}, {model}: models trained with p = 0.9 for all rows, T = 10")
    for head in ("certificates", "passes", "seconds", "clean", *(f"r={r}" for r in CHANGED[1:7])):
        table.add_column(head, justify="left" if head == "certificates" else "right")
    for way, rows in collected(dataset, model, GROUPS[0], "bernoulli").items():
        how, passes = way.split("|")
        seconds = median(row["seconds"] for row in rows)
        shares = (f"{share:.1f}" for share in average(rows)[:7])
        table.add_row(how, f"{int(passes):,}", f"{seconds:.1f}", *shares)
    return table


def table_of_training() -> Table:
    r"""Training with independent draws beside training with the partition's masks."""
    table = Table(title="Trained with Bernoulli selection, or with the masks of 10 partitions")
    for head in ("dataset", "model", "training", "clean", *(f"r={r}" for r in CHANGED[1:5])):
        table.add_column(
            head, justify="left" if head in ("dataset", "model", "training") else "right"
        )
    for dataset, model, training in itertools.product(DATASETS, MODELS, ("bernoulli", "partition")):
        rows = collected(dataset, model, GROUPS[0], training)["exact, K=10|100"]
        table.add_row(dataset, model, training, *(f"{share:.1f}" for share in average(rows)[:5]))
    return table


def table_of_groups(dataset: str, model: str, numbers: Sequence[int]) -> Table:
    r"""What each number of groups certifies; the one that is best on validation nodes is marked."""
    table = Table(title=f"{dataset}, {model}: groups T, K = 10; * is best on validation nodes")
    for head in ("T", "clean", *(f"r={r}" for r in CHANGED[1:])):
        table.add_column(head, justify="right")
    rows = {
        groups: collected(dataset, model, groups, "bernoulli")[f"exact, K=10|{10 * groups}"]
        for groups in sorted(numbers)
    }
    best = np.argmax([average(each, "val") for each in rows.values()], axis=0)
    for number, (groups, each) in enumerate(rows.items()):
        marks = ["*" if best[r] == number else "" for r in CHANGED]
        shares = average(each)
        table.add_row(
            str(groups), *(f"{share:.1f}{mark}" for share, mark in zip(shares, marks, strict=True))
        )
    return table


def draw() -> None:
    r"""Certified accuracy over forward passes, exact and sampled, with the same models."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    ways = collected(DATASETS[0], MODELS[0], GROUPS[0], "bernoulli")
    for panel, r in zip(panels, (1, 2, 3), strict=True):
        for how, color, mark in (("exact", COLORS[0], "o"), ("sampled", COLORS[1], "s")):
            chosen = [(int(way.split("|")[1]), rows) for way, rows in ways.items() if how in way]
            passes = [number for number, _ in chosen]
            shares = [average(rows)[r] for _, rows in chosen]
            panel.plot(passes, shares, marker=mark, color=color, label=how)
        panel.set(xscale="log", title=f"r = {r}", xlabel="forward passes")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("certified accuracy (%)")
    panels[0].legend(frameon=False)
    figure.savefig(DOCS / "passes.png", dpi=110)


def report() -> None:
    r"""Writes tables and picture."""
    DOCS.mkdir(parents=True, exist_ok=True)
    tables = [table_of_ways(*each) for each in itertools.product(DATASETS, MODELS)]
    tables.append(table_of_training())
    for dataset, model in itertools.product(DATASETS, MODELS):
        more = MORE_GROUPS if dataset == DATASETS[0] else ()
        tables.append(table_of_groups(dataset, model, (*GROUPS, *more)))
    text = "# Exact and sampled node ablation: all tables\n\nMeans over five seeds, in percent.\n\n"
    (DOCS / "tables.md").write_text(text + markdown(tables), encoding="utf-8")
    draw()


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--seed", "seeds", multiple=True, default=(13, 17, 26, 35, 69))
def main(root: str, seeds: tuple[int, ...]) -> None:
    for what, sampled in tqdm([*planned(seeds)], desc="Models"):
        run(what, root, sampled)
    report()


if __name__ == "__main__":
    main()
