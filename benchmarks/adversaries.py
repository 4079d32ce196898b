r"""Remakes, from the committed results alone, what docs/benchmarks.md and the pages below it say of
each adversary: for each of them what to use, what it certifies, what the best attack known leaves,
and what it costs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attacks
import graph_structure
import message_ablation as structure
import node_classification
import numpy as np
import prediction_sets
from message_ablation import CHANGED, NAMES, PARTITIONS, SILENT, like, percent
from rich.table import Table

from pyg_hiersmooth.study.budgets import Budget
from pyg_hiersmooth.study.results import Result, load_results, tallies
from pyg_hiersmooth.study.tables import markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by benchmarks/adversaries.py -->\n\n", "\n<!-- end -->"
HEADS = ("adversary", "dataset", "use", "clean", "certified", "attacked", "MLP", "passes", "s")
DATASETS = structure.DATASETS
SHOWN = {
    "Cora_ML": "Cora-ML",
    "amazon_photo": "Amazon Photo",
    "chameleon_filtered_directed": "Chameleon",
    "squirrel_filtered_directed": "Squirrel",
}


def lines() -> Iterator[tuple[str, ...]]:
    r"""The lines of the table."""
    for dataset in DATASETS:
        yield features(dataset, 3)
    yield flips(DATASETS[0], 3)
    for dataset in (*DATASETS, *structure.PUBLISHED):
        yield taken_over(dataset, 3)
    yield taken_over(DATASETS[0], 10)
    yield new_nodes(DATASETS[0], 7)
    yield at_once(DATASETS[0], 10)
    for dataset in DATASETS:
        yield sets(dataset, 3)


def features(dataset: str, r: int) -> tuple[str, ...]:
    r"""Features of some nodes, the target among them."""
    methods: dict[Any, list[Result]] = {}
    for result in load_results(node_classification.RESULTS / "doubled"):
        if result.run.dataset == dataset:
            methods.setdefault(result.run.method, []).append(result)

    def certified(results: list[Result], part: str) -> float:
        shares = [each.certified_accuracy(r) for each in tallies(results, part, "multiclass")]
        return float(np.mean(shares))

    method = max(methods, key=lambda each: certified(methods[each], "val"))
    results = methods[method]
    clean = np.mean([each.clean_accuracy for each in tallies(results, "test", "multiclass")])
    groups = method.smoothing.groups
    return (
        f"features of {r} nodes",
        dataset,
        f"APPNP, exact ablation, T={groups}",
        percent(clean),
        percent(certified(results, "test")),
        attacked(dataset, "features", "appnp", groups, r),
        "",
        str(method.num_outcomes),
        f"{np.median([each.seconds for each in results]):.0f}",
    )


def flips(dataset: str, r: int) -> tuple[str, ...]:
    r"""A few words of some nodes."""
    wanted = (dataset, "appnp", "flat flips")
    results = [
        each
        for each in load_results(node_classification.RESULTS / "main")
        if (each.run.dataset, each.run.model, each.run.method.name) == wanted
    ]
    budget = Budget.of("flips", deletions=5)
    found = tallies(results, "test", "multiclass")
    return (
        f"5 words deleted in {r} nodes",
        dataset,
        "APPNP, flat flips",
        percent(np.mean([each.clean_accuracy for each in found])),
        percent(np.mean([budget.certified_accuracy(each, r) for each in found])),
        "",
        "",
        "2200",
        f"{np.median([each.seconds for each in results]):.0f}",
    )


def taken_over(dataset: str, r: int) -> tuple[str, ...]:
    r"""Other nodes with their edges, or edges: the training, network and T that validation nodes
    choose.
    """
    number = CHANGED.index(r)

    def on_validation(kind: tuple[str, str]) -> float:
        models = like(dataset, teaching=kind[0], network=kind[1])
        groups, _ = structure.chosen(models, number)
        rows = structure.rows_of(models, groups or 0)
        return float(np.mean([row["val"][number] for row in rows]))

    kinds = itertools.product(structure.TEACHING, structure.COMPARED)
    known = [kind for kind in kinds if like(dataset, teaching=kind[0], network=kind[1])]
    teaching, network = max(known, key=on_validation)
    models = like(dataset, teaching=teaching, network=network)
    groups, shares = structure.chosen(models, number)
    rows = structure.rows_of(models, groups or 0)
    student = " student" if teaching == "student" else ""
    return (
        f"{r} other nodes, edges or new nodes",
        dataset,
        f"{NAMES[network]}{student}, messages ablated, T={groups}",
        percent(np.mean([row["test"][0] for row in rows])),
        percent(shares.mean()),
        attacked(dataset, "messages", network, 12, r),
        mlp(dataset),
        str(PARTITIONS * (groups or 0)),
        seconds(models, rows),
    )


def new_nodes(dataset: str, r: int, groups: int = 20) -> tuple[str, ...]:
    r"""New nodes and nothing else, beside others."""
    models, number = like(dataset), CHANGED.index(r)
    rows = structure.rows_of(models, groups)
    any_node = percent(np.mean([row["test"][number] for row in rows]))
    return (
        f"{r} new nodes, nothing else",
        dataset,
        f"GCN student, messages ablated, T={groups} (any {r} nodes: {any_node})",
        percent(np.mean([row["test"][0] for row in rows])),
        percent(np.mean([row["new_nodes"][number] for row in rows])),
        attacked(dataset, "messages", "gcn", groups, r, only="new_nodes"),
        mlp(dataset),
        str(PARTITIONS * groups),
        seconds(models, rows),
    )


def at_once(dataset: str, r: int, groups: int = 60) -> tuple[str, ...]:
    r"""One attack on all test nodes."""
    models, number = like(dataset), structure.AT_ONCE.index(r)
    rows = structure.rows_of(models, groups)
    return (
        f"one attack on all: {r} nodes with their edges",
        dataset,
        f"GCN student, messages ablated, T={groups}",
        percent(np.mean([row["test"][0] for row in rows])),
        percent(np.mean([row["at_once"]["structure"][number] for row in rows])),
        "",
        f"{mlp(dataset)}, less {r} nodes",
        str(PARTITIONS * groups),
        seconds(models, rows),
    )


def sets(dataset: str, r: int) -> tuple[str, ...]:
    r"""Sets that hold the right class in 90 % of the cases, of the network that validation nodes
    choose.
    """

    def on_validation(network: str) -> float:
        kept = prediction_sets.found(dataset, network, "chosen")
        return float(np.mean([each["val_size"] for each in kept]))

    known = [each for each in NAMES if prediction_sets.found(dataset, each, "chosen")]
    network = min(known, key=on_validation)
    kept = prediction_sets.found(dataset, network, "chosen")
    number = prediction_sets.CHANGED.index(r)
    sizes = np.mean([each["size"] for each in kept], axis=0)
    softmax = [each["size"][0] for each in prediction_sets.found(dataset, "mlp", "softmax")]
    return (
        f"{r} other nodes: classes in a set of 90 % coverage",
        dataset,
        f"{NAMES[network]}, messages ablated, T=20",
        f"{sizes[0]:.2f} classes",
        f"{sizes[number]:.2f} classes",
        "",
        f"{np.mean(softmax):.2f} classes",
        "200",
        f"{np.median([each['cpu_seconds'] for each in kept]):.0f}",
    )


def mlp(dataset: str) -> str:
    r"""What the MLP reaches, for any r, in the training that validation nodes choose."""
    known = [like(dataset, teaching=teaching, p=SILENT) for teaching in structure.TEACHING]
    models = max(filter(None, known), key=lambda each: np.mean([one["val"] for one in each]))
    return percent(np.mean([each["test"] for each in models]))


def seconds(models: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    r"""CPU time of training and votes."""
    each = [
        model["training"]["cpu_seconds"] + (row.get("certify") or row["voting"])["cpu_seconds"]
        for model, row in zip(models, rows, strict=True)
    ]
    return f"{np.median(each):.0f}"


def attacked(
    dataset: str, of: str, model: str, groups: int, r: int, only: str | None = None
) -> str:
    r"""What an attack leaves, and what was certified of the same nodes."""
    wanted = {"dataset": dataset, "of": of, "model": model, "groups": groups, "only": only}
    rows = [
        row
        for _, line in attacks.attacked()
        for row in line["accuracies"]
        if line.items() >= wanted.items() and row["r"] == r
    ]
    if not rows:
        return ""
    left, proven = (np.mean([row[name] for row in rows]) for name in ("attacked", "certified"))
    return f"{percent(left)} ({percent(proven)} certified)"


def draw() -> None:
    r"""What students of each network certify on the first dataset, with two numbers of groups."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, groups in zip(panels, (12, 30), strict=True):
        for network in structure.COMPARED:
            rows = structure.rows_of(like(DATASETS[0], network=network), groups)
            mean = 100.0 * np.mean([row["test"] for row in rows], axis=0)
            some = mean > 0.0
            changed = np.array(CHANGED)[some]  # between two of them, what holds for the larger
            panel.step(changed, mean[some], "o-", where="pre", ms=3, label=NAMES[network])
        known = float(mlp(DATASETS[0]))
        panel.axhline(known, color="gray", linestyle="--", label="MLP")
        panel.set(title=f"T = {groups}", xlabel="r other nodes taken over, or edges changed")
    panels[0].set_ylabel("certified accuracy (%)")
    panels[0].legend(frameon=False)
    figure.savefig(structure.TABLES.parent / "students.png", dpi=110)


def report() -> None:
    r"""Rewrites the table of the page."""
    table = Table(*HEADS)
    for line in lines():
        table.add_row(line[0], SHOWN.get(line[1], line[1]), *line[2:])
    made = markdown([table]).split("\n", 2)[2]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + made + END + after, encoding="utf-8")


def main() -> None:
    for study in (structure, attacks, graph_structure, prediction_sets):
        study.report()
    report()
    draw()


if __name__ == "__main__":
    main()
