r"""Certified and attacked accuracy on Cora-ML: how far proofs are from the best attack known.

Models see 20 labels a class and the whole graph, and are certified exactly with ten partitions into
T groups. Random test nodes are attacked, each on a graph of its own, as
:class:`~pyg_hiersmooth.attacks.SmoothedAttack` does. Results are left in
docs/benchmarks/attacks; what is there is not done again.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rich.table import Table
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import SmoothedAttack, attacked_accuracies
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks" / "attacks"


@dataclass(frozen=True)
class Victim:
    r"""What is attacked: ``of`` is ablated from a model with ``groups`` in each partition."""

    of: str
    model: str
    groups: int

    @property
    def path(self) -> Path:
        r"""Where its results are."""
        return OUT / f"Cora_ML-{self.of}-{self.model}-T{self.groups}.json"

    def smoothed(self, data: Data, seed: int) -> SmoothedNodeClassifier:
        r"""Trains the model and smooths it."""
        noise, messages = AblationNoise(of=self.of), self.of == "messages"
        num_classes = int(data.y.max()) + 1
        torch.manual_seed(seed)
        model = build_model(self.model, data.num_features + 1, num_classes)
        p = 0.95 if messages else 1.0 - 1.0 / self.groups
        train_node_classifier(
            model,
            data,
            split_nodes(data.y, seed=seed),
            HierarchicalNodeFeatureNoise(BernoulliSelection(p), noise),
            seed=seed,
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


VICTIMS = (
    Victim("messages", "gcn", 12),
    Victim("messages", "gcn", 20),
    Victim("features", "gcn", 14),
    Victim("features", "appnp", 14),
)


def run(
    victim: Victim, root: str, seed: int, targets: int, restarts: int, changed: tuple[int, ...]
) -> None:
    r"""Trains, certifies, and attacks with each number of changed nodes that was not tried yet."""
    what = {**asdict(victim), "seed": seed, "targets": targets, "restarts": restarts}
    known = json.loads(victim.path.read_text()) if victim.path.exists() else {}
    if any(known.get(name, value) != value for name, value in what.items()):
        raise click.UsageError(f"{victim.path} holds other attacks: delete it, or ask for the same")
    rows = known.get("accuracies", [])
    left = sorted({*changed} - {row["r"] for row in rows})
    if not left:
        return
    data = load_dataset("Cora_ML", root)[0]
    if victim.of == "messages":
        data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1.0)
    smoothed = victim.smoothed(data, seed)
    nodes = split_nodes(data.y, seed=seed).test_index.numpy()
    nodes = np.sort(np.random.default_rng(seed).permutation(nodes)[:targets])
    certificate = smoothed.certify(data, node_index=nodes, num_workers=0, progress=False)
    before = time.process_time()
    attack = SmoothedAttack(smoothed, restarts, seed=seed)
    rows += [
        row._asdict() for row in attacked_accuracies(attack, data, certificate, data.y[nodes], left)
    ]
    spent = known.get("cpu_seconds", 0.0) + time.process_time() - before
    rows.sort(key=lambda row: row["r"])
    OUT.mkdir(parents=True, exist_ok=True)
    with replace_atomically(victim.path) as file:
        kept = what | {"cpu_seconds": round(spent, 1), "accuracies": rows}
        file.write((json.dumps(kept) + "\n").encode())


def report() -> None:
    r"""Writes the table of all victims that were attacked."""
    heads = ("ablated", "model", "T", "nodes", "r", "certified", "attacked", "clean")
    table = Table(*heads, title="Cora-ML: r nodes changed, each target attacked on its own")
    for victim in VICTIMS:
        kept = json.loads(victim.path.read_text()) if victim.path.exists() else {"accuracies": []}
        for row in kept["accuracies"]:
            shares = (f"{100.0 * row[name]:.1f}" for name in ("certified", "attacked", "clean"))
            what = victim.of, victim.model, str(victim.groups), str(kept["targets"])
            table.add_row(*what, str(row["r"]), *shares)
    text = "# Attacks\n\nPercent of random test nodes of Cora-ML, one seed.\n\n"
    (OUT / "tables.md").write_text(text + markdown([table]), encoding="utf-8")


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--seed", default=13)
@click.option("--targets", default=60, help="Random test nodes.")
@click.option("--restarts", default=2, help="Most attempts on a node.")
@click.option("--r", "changed", multiple=True, default=(1, 3, 5))
@click.option("--only", help="Attack only what has this in the name of its file.")
def main(
    root: str, seed: int, targets: int, restarts: int, changed: tuple[int, ...], only: str | None
) -> None:
    for victim in VICTIMS:
        if only is None or only in victim.path.name:
            run(victim, root, seed, targets, restarts, changed)
    report()


if __name__ == "__main__":
    main()
