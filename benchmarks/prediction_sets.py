r"""Prediction sets that keep their coverage if other nodes are taken over, on citation graphs.

Models are trained with 20 labels per class under Bernoulli message ablation (four draws per step,
consistency 1.0 after 50 epochs, patience 100) on features that sum to one, without calibration and
test nodes. Sets are exact, of 90 % coverage: ten partitions into 20 groups, 200 calibration nodes,
approvals at 0.1, and where validation nodes say that sets are smallest if three nodes are taken
over. Calibration and test nodes are cut anew 30 times. The MLP is the GCN without any edge; its
sets are those classes whose softmax reaches a calibrated threshold, for any r.

Each model leaves a line in benchmarks/prediction_sets.jsonl, and what is there is not done again;
docs/benchmarks/sets/tables.md is written from it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.certificates import (
    ApprovalChoice,
    Certificate,
    PredictionSets,
    choose_approval,
)
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
RESULTS = JsonLines(HERE / "prediction_sets.jsonl")
TABLES = HERE.parent / "docs" / "benchmarks" / "sets" / "tables.md"
DATASETS, SEEDS = ("Cora_ML", "CiteSeer", "Cora"), (13, 17, 26, 35, 69)
CHANGED, CALIBRATION, CUTS, COVERAGE = (0, 1, 2, 3, 5, 7), 200, 30, 0.9
FIXED, CANDIDATES, CHOSEN_AT = 0.1, (0.03, 0.05, 0.07, 0.1, 0.13), 3
MESSAGES = AblationNoise(of="messages")
WAYS = {"fixed": f"approve={FIXED}", "chosen": "approve chosen", "softmax": "softmax"}
NAMES = {"gcn": "GCN", "gat": "GAT", "appnp": "APPNP", "sage": "GraphSAGE", "mlp": "MLP"}


@dataclass(frozen=True)
class Model:
    r"""A model to train."""

    dataset: str
    network: str
    seed: int


def run(what: Model, root: str) -> None:
    r"""Trains a model, and makes sets, unless that was done."""
    if any(line.items() >= asdict(what).items() for line in RESULTS.read()):
        return
    before = time.process_time()
    data = load_dataset(what.dataset, root)[0]
    data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1.0)
    split = split_nodes(data.y, seed=what.seed, calibration=CALIBRATION)
    mlp, num_classes = what.network == "mlp", int(data.y.max()) + 1
    torch.manual_seed(what.seed)
    network = "gcn" if mlp else what.network
    model = build_model(network, data.num_features + 1, num_classes)
    train_node_classifier(
        model,
        data,
        split,
        HierarchicalNodeFeatureNoise(BernoulliSelection(1.0 if mlp else 0.95), MESSAGES),
        lr=1e-2,
        num_draws=4,
        consistency=1.0,
        consistency_rampup=50,
        patience=100,
        seed=what.seed,
        progress=False,
    )
    targets = torch.cat([split.calibration_index, split.test_index])
    rng = np.random.default_rng(what.seed)
    orders = [rng.permutation(len(targets)) for _ in range(CUTS)]
    made: dict[str, dict[str, Any]]
    if mlp:
        made = {"softmax": average(without_edges(model, data, targets, orders))}
    else:
        noise = HierarchicalNodeFeatureNoise(PartitionSelection(20, 10), MESSAGES)
        smoothed = SmoothedNodeClassifier(model, noise, num_classes)
        choice = chosen(smoothed, data, split.val_index)
        sizes = dict(choice.sizes)
        made = {
            name: {"approve": approve, "val_size": round(sizes[approve], 4)}
            | average(exact(smoothed, data, targets, orders, approve or 0.0))
            for name, approve in (("fixed", FIXED), ("chosen", choice.approve))
        }
    seconds = round(time.process_time() - before, 1)
    RESULTS.append(asdict(what) | {"cpu_seconds": seconds, "sets": made})


def average(rows: Iterator[list[list[float]]]) -> dict[str, list[float]]:
    r"""Means over all cuts."""
    sizes, covered = np.mean(list(rows), axis=0).round(4).tolist()
    return {"size": sizes, "covered": covered}


def chosen(smoothed: SmoothedNodeClassifier, data: Data, nodes: Tensor) -> ApprovalChoice:
    r"""The probability from which on classes are approved, as validation nodes choose it."""
    candidates = [certify(smoothed, data, nodes, approve) for approve in CANDIDATES]
    y = data.y[candidates[0].index]
    return choose_approval(candidates, y, COVERAGE, CHOSEN_AT)


def certify(
    smoothed: SmoothedNodeClassifier, data: Data, nodes: Tensor, approve: float
) -> Certificate:
    r"""The exact certificate, with approvals."""
    return smoothed.certify(data, node_index=nodes, approve=approve, num_workers=0, progress=False)


def exact(
    smoothed: SmoothedNodeClassifier,
    data: Data,
    targets: Tensor,
    orders: list[np.ndarray],
    approve: float,
) -> Iterator[list[list[float]]]:
    r"""Sizes and coverage for each number of changed nodes, for each cut."""
    both = certify(smoothed, data, targets, approve)
    y = data.y[both.index].numpy()
    for order in orders:
        known, asked = order[:CALIBRATION], order[CALIBRATION:]
        sets = PredictionSets.calibrate(both.subset(known), y[known], COVERAGE)
        rows = sets.rows(both.subset(asked), y[asked], CHANGED)
        yield [[row[name] for row in rows] for name in ("size", "coverage")]


def without_edges(
    model: torch.nn.Module, data: Data, targets: Tensor, orders: list[np.ndarray]
) -> Iterator[list[list[float]]]:
    r"""The same for a model that sees no edge: plain conformal sets, whatever others do."""
    silent = torch.cat([data.x, torch.ones(len(data.x), 1)], dim=1)
    with torch.no_grad():
        scores = model(silent, data.edge_index[:, :0]).softmax(1)[targets].numpy()
    y = data.y[targets].numpy()
    own = scores[np.arange(len(y)), y]
    rank = int((1 - COVERAGE) * (CALIBRATION + 1) + 1e-9)
    for order in orders:
        known, asked = order[:CALIBRATION], order[CALIBRATION:]
        threshold = np.sort(own[known])[rank - 1]
        size = (scores[asked] >= threshold).sum(1).mean()
        covered = (own[asked] >= threshold).mean()
        yield [[float(size)] * len(CHANGED), [float(covered)] * len(CHANGED)]


def table(dataset: str) -> Table:
    r"""The average size of sets, and what they cover without an attack."""
    heads = ("sets", "seeds", "covered", "clean", *(f"r={r}" for r in CHANGED[1:]), "std (r=3)")
    table = Table(*heads, title=f"{dataset}: classes in a set, r other nodes taken over")
    for (network, name), way in itertools.product(NAMES.items(), WAYS):
        kept = found(dataset, network, way)
        if not kept:
            continue
        sizes = np.array([each["size"] for each in kept])
        covered = 100.0 * np.mean([each["covered"][0] for each in kept])
        cells = [f"{size:.2f}" for size in (*sizes.mean(0), sizes[:, CHANGED.index(3)].std())]
        table.add_row(f"{name}, {WAYS[way]}", str(len(kept)), f"{covered:.1f}", *cells)
    return table


def found(dataset: str, network: str, way: str) -> list[dict[str, Any]]:
    r"""What is kept of sets that were made in one way, for each seed."""
    of = {"dataset": dataset, "network": network}
    lines = [line for line in RESULTS.read() if line.items() >= of.items()]
    return [line["sets"][way] | line for line in lines if way in line["sets"]]


def report() -> None:
    r"""Writes the tables."""
    head = (
        "# Prediction sets: all tables\n\nMeans over seeds, each over 30 random cuts of 200 "
        "calibration nodes and the test nodes; 90 % coverage, exact votes (T = 20, K = 10), "
        "trained with 20 labels per class, inductive. *chosen*: so that sets of validation nodes "
        f"are smallest at r = {CHOSEN_AT}, from {', '.join(map(str, CANDIDATES))}. *covered*: "
        "percent of test nodes whose set holds their class, without an attack.\n\n"
    )
    TABLES.write_text(head + markdown([table(each) for each in DATASETS]), encoding="utf-8")


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
def main(root: str) -> None:
    planned = [Model(*each) for each in itertools.product(DATASETS, NAMES, SEEDS)]
    for what in tqdm(planned, desc="Models"):
        run(what, root)
    report()


if __name__ == "__main__":
    main()
