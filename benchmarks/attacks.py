r"""Certified and attacked accuracy on citation graphs: how far proofs are from the best attack
known.

Models are trained with 20 labels per class on the graph without its test nodes, and certified
exactly with ten partitions into T groups. Random test nodes are attacked, each on a separate graph,
as :class:`~pyg_hiersmooth.attacks.SmoothedAttack` does. Each model leaves a line in
benchmarks/attacks.jsonl, and what is there is not done again; docs/benchmarks/attacks/tables.md is
written from it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import SmoothedAttack, attacked_accuracies
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
TABLES = HERE.parent / "docs" / "benchmarks" / "attacks" / "tables.md"
RESULTS = JsonLines(HERE / "attacks.jsonl")
SHARES = ("certified", "attacked", "clean")


@dataclass(frozen=True)
class Victim:
    r"""What is attacked, and how hard.

    Attributes:
        dataset (str): The graph.
        of (str): What is ablated, as in :class:`~pyg_hiersmooth.noise.AblationNoise`.
        model (str): A name of :obj:`~pyg_hiersmooth.models.MODELS`.
        groups (int): Groups of each partition.
        changed (tuple of int): Numbers of nodes that an attack changes.
        targets (int): Random test nodes.
        restarts (int): Most attempts on a node.
        seed (int): Seed of everything that is random.
        only (str, optional): ``"new_nodes"`` where nodes are added and nothing else changes.
    """

    dataset: str
    of: str
    model: str
    groups: int
    changed: tuple[int, ...]
    targets: int
    restarts: int
    seed: int = 13
    only: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        r"""What identifies its results."""
        return asdict(self) | {"changed": list(self.changed)}

    def smoothed(self, data: Data) -> SmoothedNodeClassifier:
        r"""Trains the model and smooths it."""
        noise, messages = AblationNoise(of=self.of), self.of == "messages"
        num_classes = int(data.y.max()) + 1
        torch.manual_seed(self.seed)
        model = build_model(self.model, data.num_features + 1, num_classes)
        p = 0.95 if messages else 1.0 - 1.0 / self.groups
        train_node_classifier(
            model,
            data,
            split_nodes(data.y, seed=self.seed),
            HierarchicalNodeFeatureNoise(BernoulliSelection(p), noise),
            seed=self.seed,
            progress=False,
            lr=1e-2,
            num_draws=2,
            consistency=1.0,
            consistency_rampup=50,
        )
        selection = PartitionSelection(self.groups, 10)
        return SmoothedNodeClassifier(
            model, HierarchicalNodeFeatureNoise(selection, noise), num_classes
        )


DATASETS, SEEDS = ("Cora_ML", "CiteSeer", "Cora"), (13, 17, 26, 35, 69)
KINDS = (
    *(
        Victim(dataset, "messages", model, 12, (1, 3, 5), targets=60, restarts=2)
        for dataset in DATASETS
        for model in ("gcn", "gat", "appnp", "sage")
    ),
    Victim("Cora_ML", "messages", "gcn", 20, (1, 3, 5, 7), targets=60, restarts=2),
    Victim("Cora_ML", "messages", "gcn", 20, (5, 7, 10), 60, restarts=2, only="new_nodes"),
    Victim("Cora_ML", "features", "gcn", 14, (3,), targets=20, restarts=1),
    Victim("Cora_ML", "features", "appnp", 14, (3,), targets=12, restarts=1),
)
VICTIMS = tuple(replace(victim, seed=seed) for victim in KINDS for seed in SEEDS)


def attack(victim: Victim, root: str) -> None:
    r"""Trains, certifies and attacks."""
    data = load_dataset(victim.dataset, root)[0]
    if victim.of == "messages":
        data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1.0)
    smoothed = victim.smoothed(data)
    nodes = split_nodes(data.y, seed=victim.seed).test_index.numpy()
    chosen = np.random.default_rng(victim.seed).permutation(nodes)[: victim.targets]
    nodes = np.sort(chosen)
    certificate = smoothed.certify(data, node_index=nodes, num_workers=0, progress=False)
    before = time.process_time()
    attempts = SmoothedAttack(smoothed, victim.restarts, seed=victim.seed)
    rows = attacked_accuracies(
        attempts, data, certificate, data.y[nodes], victim.changed, only=victim.only
    )
    seconds = round(time.process_time() - before, 1)
    accuracies = [row._asdict() for row in rows]
    RESULTS.append(victim.settings | {"cpu_seconds": seconds, "accuracies": accuracies})


def attacked() -> list[tuple[Victim, dict[str, Any]]]:
    r"""The victims that were attacked, with their results."""
    lines = RESULTS.read()
    return [
        (victim, line)
        for victim in VICTIMS
        for line in lines
        if line.items() >= victim.settings.items()
    ]


def report() -> None:
    r"""Writes the table of all victims that were attacked: means over their seeds."""
    changed = sorted({r for victim in KINDS for r in victim.changed})
    heads = ("dataset", "ablated", "model", "T", "changed", "seeds", "nodes", "attempts", "clean")
    title = "certified / attacked if r nodes are changed, each target attacked separately"
    table = Table(*heads, *(f"r={r}" for r in changed), title=title)
    alike: dict[Victim, list[dict[str, Any]]] = {}
    for victim, line in attacked():
        alike.setdefault(replace(victim, seed=0), []).append(line)
    for victim, lines in alike.items():
        means = {
            rows[0]["r"]: {name: 100.0 * np.mean([row[name] for row in rows]) for name in SHARES}
            for rows in zip(*(line["accuracies"] for line in lines), strict=True)
        }
        table.add_row(
            victim.dataset.replace("_", "-"),
            victim.of,
            victim.model,
            str(victim.groups),
            "new nodes" if victim.only else "any nodes",
            *map(str, (len(lines), victim.targets, victim.restarts)),
            f"{means[victim.changed[0]]['clean']:.1f}",
            *(
                f"{means[r]['certified']:.1f} / {means[r]['attacked']:.1f}" if r in means else ""
                for r in changed
            ),
        )
    text = (
        "# Attacks\n\nPercent of random test nodes, means over seeds, inductive training with 20 "
        "labels per class.\n\n"
    )
    TABLES.write_text(text + markdown([table]), encoding="utf-8")


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
def main(root: str) -> None:
    done = {victim for victim, _ in attacked()}
    for victim in VICTIMS:
        if victim not in done:
            attack(victim, root)
    report()


if __name__ == "__main__":
    main()
