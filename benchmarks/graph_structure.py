r"""Exact certificates of graph classifiers on MUTAG against changed structure.

A GIN is trained under the noise that its certificate is about: all edges but those of one of T
groups of pairs are ablated, or all nodes but those of one group, with everything at them. Every
fold of a stratified cross-validation is tested once, the next one decides when training stops and
which T is chosen, and all graphs count together. Each model leaves a line in
benchmarks/graph_structure.jsonl, and what is there is not done again;
docs/benchmarks/graphs/structure.md is written from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table
from torch_geometric.data import Batch
from tqdm import tqdm

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import load_dataset, split_graphs
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.models import build_model
from pyg_hiersmooth.nn import SmoothedGraphClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.training import train_graph_classifier
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
RESULTS = JsonLines(HERE / "graph_structure.jsonl")
TABLES = HERE.parent / "docs" / "benchmarks" / "graphs" / "structure.md"
GROUPS = {"edges": (8, 12, 16, 24, 40), "nodes": (3, 5, 8, 12)}
PARTITIONS, CHANGED, FOLDS = 10, (0, 1, 2, 3, 4, 5, 7, 10), 10
MAJORITY = 0.665
r"""Share of the larger class."""


@dataclass(frozen=True)
class Model:
    r"""A model to train, under ablation of ``"edges"`` or ``"nodes"``."""

    ablated: str
    groups: int
    fold: int

    def noise(
        self, selection: float | PartitionSelection
    ) -> HierarchicalEdgeNoise | HierarchicalNodeFeatureNoise:
        r"""Ablation of what is selected."""
        if self.ablated == "edges":
            return HierarchicalEdgeNoise(selection, AblationNoise())
        return HierarchicalNodeFeatureNoise(selection, AblationNoise(of="nodes"), False)


def run(what: Model, graphs: Any, labels: torch.Tensor) -> None:
    r"""Trains and certifies one model, unless that was done."""
    if any(row.items() >= asdict(what).items() for row in RESULTS.read()):
        return
    split = split_graphs(labels, what.fold)
    torch.manual_seed(what.fold)
    model = build_model("gin", graphs.num_features, graphs.num_classes, task="graph")
    independent = what.noise(1.0 - 1.0 / what.groups)
    train_graph_classifier(model, graphs, split, independent, max_epochs=100, progress=False)
    exact = what.noise(PartitionSelection(what.groups, PARTITIONS))
    smoothed = SmoothedGraphClassifier(model, exact, graphs.num_classes)
    result = asdict(what)
    for part, index in (("val", split.val_index), ("test", split.test_index)):
        certificate = smoothed.certify(graphs[index], num_workers=0, progress=False)
        result[part] = counts(certificate, labels[index])
        result[f"num_{part}"] = len(index)
    RESULTS.append(result)


def run_without_edges(fold: int, graphs: Any, labels: torch.Tensor) -> None:
    r"""Trains the same network on graphs without edges, which no changed edge moves."""
    what = {"ablated": "all edges", "fold": fold}
    if any(row.items() >= what.items() for row in RESULTS.read()):
        return
    split = split_graphs(labels, fold)
    bare = [graph.clone() for graph in graphs]
    for graph in bare:
        graph.edge_index, graph.edge_attr = graph.edge_index[:, :0], None
    torch.manual_seed(fold)
    model = build_model("gin", graphs.num_features, graphs.num_classes, task="graph")
    train_graph_classifier(model, bare, split, max_epochs=100, progress=False)
    batch = Batch.from_data_list([bare[i] for i in split.test_index.tolist()])
    with torch.no_grad():
        right = model(batch.x, batch.edge_index, batch.batch).argmax(1) == batch.y.view(-1)
    RESULTS.append({**what, "test": int(right.sum()), "num_test": len(right)})


def counts(certificate: Certificate, y: torch.Tensor) -> list[int]:
    r"""Graphs that are right and robust, for each number of changes."""
    right = certificate.correct(y)
    return [int((right & certificate.is_robust(r=r)).sum()) for r in CHANGED]


def share(ablated: str, groups: int, part: str) -> np.ndarray:
    r"""Certified accuracy over all folds, in percent."""
    wanted = {"ablated": ablated, "groups": groups}
    rows = [row for row in RESULTS.read() if row.items() >= wanted.items()]
    totals = np.sum([row[part] for row in rows], axis=0)
    return np.asarray(100.0 * totals / sum(row[f"num_{part}"] for row in rows))


def table(ablated: str) -> Table:
    r"""What each number of groups certifies; * marks what validation graphs choose."""
    heads = ("T", "clean", *(f"r={r}" for r in CHANGED[1:]))
    table = Table(*heads, title=f"r {ablated}, exact; * is best on validation graphs")
    best = np.argmax([share(ablated, groups, "val") for groups in GROUPS[ablated]], axis=0)
    for number, groups in enumerate(GROUPS[ablated]):
        cells = [
            f"{each:.1f}{'*' if best[i] == number and each > 0 else ''}"
            for i, each in enumerate(share(ablated, groups, "test"))
        ]
        table.add_row(str(groups), *cells)
    bare = [row for row in RESULTS.read() if row["ablated"] == "all edges"]
    if ablated == "edges":
        known = 100.0 * sum(row["test"] for row in bare) / sum(row["num_test"] for row in bare)
        table.add_row("no edges at all", *[f"{known:.1f}"] * len(CHANGED))
    return table


def report() -> None:
    r"""Writes the tables."""
    head = (
        "# Graphs: changed structure\n\nCertified accuracy in percent on MUTAG, over the test "
        "graphs of ten folds together (GIN, ten partitions into T groups, no sampling). The larger "
        f"class has {MAJORITY:.1%} of the graphs: only what is certified beyond that says "
        "something.\n\n"
    )
    TABLES.write_text(head + markdown([table(ablated) for ablated in GROUPS]), encoding="utf-8")


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
def main(root: str) -> None:
    graphs = load_dataset("MUTAG", root)
    labels = torch.cat([graph.y for graph in graphs])
    planned = [
        Model(ablated, groups, fold)
        for ablated, numbers in GROUPS.items()
        for groups in numbers
        for fold in range(FOLDS)
    ]
    for what in tqdm(planned, desc="Models"):
        run(what, graphs, labels)
    for fold in range(FOLDS):
        run_without_edges(fold, graphs, labels)
    report()


if __name__ == "__main__":
    main()
