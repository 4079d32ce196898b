r"""Exact message ablation on citation graphs: nodes taken over with their edges.

A two-layer GCN is trained under Bernoulli message ablation (two draws per step, consistency 1.0
after 50 epochs) on features that sum to one, and certified exactly with ten partitions into T
groups.

* ``inductive``: test nodes, their features and their edges are unknown in training.
* ``transductive``: they are known without their labels.
* ``labels``: 20 labels per class. ``student``: besides, every node that is known in training has
  the class that an APPNP gives it, which was trained on the clean graph in the same setting.

The MLP is the same network without any edge, in training and afterwards. It is certified for any r.

Votes are counted here, mask after mask in plain PyTorch. For one model of each dataset the package
counts them as well (``certify``, with its trial of the model), which must give the same. Each model
leaves a line in benchmarks/message_ablation.jsonl, and what is there is not done again, except for
the training if numbers of groups are missing; docs/benchmarks/structure/tables.md is written from
it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from tqdm import tqdm

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate, certify_counts
from pyg_hiersmooth.datasets import NodeSplit, inductive_subgraph, load_dataset, split_nodes
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.models import APPNP, GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.neighborhoods.exposure import exposure
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "docs" / "benchmarks" / "structure"
RESULTS = JsonLines(HERE / "message_ablation.jsonl")
CHANGED, AT_ONCE = (0, 1, 2, 3, 4, 5, 7, 10, 14), (3, 10, 20, 50)
DATASETS = ("Cora_ML", "CiteSeer", "Cora")
SETTINGS, TEACHING = ("transductive", "inductive"), ("labels", "student")
GROUPS, PARTITIONS = (10, 12, 14, 16, 20, 24, 30, 40, 60), 10
MOST_TELLING = (10, 20, 30, 60)
r"""Numbers of groups for which other adversaries are asked about as well."""
TRIED = ((0.9, 1.0), (0.8, 1.0), (0.95, 0.0))
r"""More ``p`` and consistency for inductive students on the first dataset."""
CLEAN, SILENT = 1e-9, 1.0
r"""Probabilities with which nobody (but in a few of a million draws) and everybody is silent."""


@dataclass(frozen=True)
class Model:
    r"""A model to train: with nodes silent with probability ``p``, from which all groups follow."""

    dataset: str
    setting: str
    teaching: str
    p: float
    seed: int
    consistency: float = 1.0


def silencing(selection: Selection) -> HierarchicalNodeFeatureNoise:
    r"""Message ablation of what is selected."""
    return HierarchicalNodeFeatureNoise(selection, AblationNoise(of="messages"))


def load(what: Model, root: str) -> tuple[Data, NodeSplit]:
    r"""The graph, with features that sum to one, and its split."""
    data = load_dataset(what.dataset, root)[0]
    data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1.0)
    return data, split_nodes(data.y, seed=what.seed)


def trained(what: Model, data: Data, split: NodeSplit) -> GCN:
    r"""The model, trained with labels or by its teacher."""
    if what.teaching == "student":
        data, split = taught(what, data, split)
    model = fresh(GCN, data, what.seed)
    train_node_classifier(
        model,
        data,
        split,
        silencing(BernoulliSelection(what.p)),
        lr=1e-2,
        num_draws=2,
        consistency=what.consistency,
        consistency_rampup=50 if what.consistency else 0,
        seed=what.seed,
        progress=False,
        inductive=what.setting == "inductive",
    )
    return model


def fresh(kind: type[torch.nn.Module], data: Data, seed: int) -> Any:
    r"""A model of seeded weights that takes the indicator."""
    torch.manual_seed(seed)
    return kind(data.num_features + 1, int(data.y.max()) + 1)


def taught(what: Model, data: Data, split: NodeSplit) -> tuple[Data, NodeSplit]:
    r"""The graph with the teacher's classes where labels are unknown, and all nodes that are known
    in training to be learned from.
    """
    inductive = what.setting == "inductive"
    teacher = fresh(APPNP, data, what.seed)
    train_node_classifier(
        teacher,
        data,
        split,
        silencing(BernoulliSelection(CLEAN)),  # draws behind the linear map: quicker than none
        lr=1e-2,
        max_epochs=200,
        seed=what.seed,
        progress=False,
        inductive=inductive,
    )
    hidden = split.test_index if inductive else split.test_index[:0]
    known, position = inductive_subgraph(data, hidden)
    with torch.no_grad():
        told = teacher(F.pad(known.x, (0, 1)), known.edge_index).argmax(1)
    given = torch.cat([split.train_index, split.val_index])
    labelled, seen = data.clone(), position >= 0
    labelled.y = torch.zeros_like(data.y)
    labelled.y[seen] = told
    labelled.y[given] = data.y[given]
    seen[split.val_index] = False
    return labelled, NodeSplit(seen.nonzero().view(-1), split.val_index, hidden)


@torch.no_grad()
def answers(model: GCN, data: Data, silent: Tensor) -> Tensor:
    r"""The classes ``[N]`` that the model gives if some nodes are silent, in plain PyTorch."""
    kept = data.edge_index[:, ~silent[data.edge_index[0]]]
    kept, weight = gcn_norm(kept, None, data.num_nodes)

    def spread(h: Tensor) -> Tensor:
        return torch.zeros_like(h).index_add_(0, kept[1], h[kept[0]] * weight.view(-1, 1))

    first = model.conv1.lin.weight
    h = data.products + silent.view(-1, 1) * first[:, -1]
    h = (spread(h) + model.conv1.bias).relu()
    return (spread(model.conv2.lin(h)) + model.conv2.bias).argmax(1)


def with_products(model: GCN, data: Data) -> Data:
    r"""The graph with the first linear map's products, which all masks share."""
    data = data.clone()
    data.products = data.x @ model.conv1.lin.weight[:, :-1].t().detach()
    return data


def ballots(model: GCN, data: Data, selection: PartitionSelection) -> Tensor:
    r"""The class ``[N, num_masks]`` that each node has if one group after the other sends."""
    graph = with_products(model, data)
    return torch.stack(
        [
            answers(model, graph, groups != group)
            for groups in selection.groups(data.num_nodes)
            for group in range(selection.num_groups)
        ],
        dim=1,
    )


def certificate_of(ballots: Tensor, data: Data, groups: int, targets: Tensor) -> Certificate:
    r"""The exact certificate of some nodes from the ballots of all."""
    own = ballots[targets]
    return certify_counts(
        silencing(PartitionSelection(groups, PARTITIONS)),
        F.one_hot(own, int(data.y.max()) + 1).sum(1).numpy(),
        index=targets.numpy(),
        num_entities=data.num_nodes,
        mask_predictions=own.numpy(),
    )


def curve(certificate: Certificate, y: Tensor, **options: Any) -> list[float]:
    r"""Certified accuracy for each number of taken-over nodes."""
    right = certificate.correct(y)
    return [
        round(float((right & certificate.is_robust(r=r, **options)).mean()), 4) for r in CHANGED
    ]


def at_once(
    certificate: Certificate, data: Data, method: str, seconds: float = 15.0
) -> dict[str, list[float]]:
    r"""Certified accuracy if one attack on all test nodes changes features, by exposures, or takes
    over nodes with their edges.
    """
    targets, y = certificate.index, data.y[certificate.index]
    reach = exposure(data.edge_index.numpy(), certificate.selection, targets, data.num_nodes, 2)
    options = {"method": method, "time_limit": seconds}
    return {
        "features": shares(CollectiveCertificate(certificate, reach), y, **options),
        "structure": shares(CollectiveCertificate(certificate), y, **options),
    }


def shares(collective: CollectiveCertificate, y: Tensor, **options: Any) -> list[float]:
    r"""Collective certified accuracy for each number of changed nodes."""
    return [round(float(share), 4) for share in collective.curve(y, AT_ONCE, **options)]


def run(what: Model, root: str) -> None:
    r"""Trains a model, and certifies it for each number of groups, unless that was done."""
    kept = found(**asdict(what))
    known = {row["T"]: row for each in kept for row in each.get("rows", ())}
    if kept and (what.p == SILENT or known.keys() >= set(GROUPS)):
        return
    data, split = load(what, root)
    start, cpu = time.perf_counter(), time.process_time()
    model = trained(what, data, split)
    result = asdict(what) | {"training": seconds_since(start, cpu)}
    if what.p == SILENT:
        everyone = torch.ones(data.num_nodes, dtype=torch.bool)
        right = answers(model, with_products(model, data), everyone) == data.y
        for part, index in (("val", split.val_index), ("test", split.test_index)):
            result[part] = round(float(right[index].float().mean()), 4)
    else:
        result["rows"] = [
            known.get(groups) or certified(model, data, split, groups) for groups in GROUPS
        ]
    RESULTS.append(result)


def seconds_since(start: float, cpu: float) -> dict[str, float]:
    r"""Seconds by the clock, and of this process alone."""
    wall, own = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": round(wall, 2), "cpu_seconds": round(own, 2)}


def certified(model: GCN, data: Data, split: NodeSplit, groups: int) -> dict[str, Any]:
    r"""What partitions into so many groups certify on validation nodes and on test nodes."""
    start, cpu = time.perf_counter(), time.process_time()
    votes = ballots(model, data, PartitionSelection(groups, PARTITIONS))
    row: dict[str, Any] = {"T": groups, "voting": seconds_since(start, cpu)}
    for part, index in (("val", split.val_index), ("test", split.test_index)):
        certificate = certificate_of(votes, data, groups, index)
        row[part] = curve(certificate, data.y[index])
    if groups in MOST_TELLING:
        row["new_nodes"] = curve(certificate, data.y[index], only="new_nodes")
        row["at_once"] = at_once(certificate, data, "lp")
    return row


def check(dataset: str, root: str, groups: int = 20) -> None:
    r"""The package's own certificate of test nodes, which must say what plain PyTorch says: its
    seconds, the integer program, and a sampled certificate at ``p = 1 - 1 / groups``.
    """
    if found(checked=dataset):
        return
    what = Model(dataset, "transductive", "labels", 0.95, seed=13)
    data, split = load(what, root)
    model = trained(what, data, split)
    num_classes, targets = int(data.y.max()) + 1, split.test_index
    selection = PartitionSelection(groups, PARTITIONS)
    start, cpu = time.perf_counter(), time.process_time()
    exact = SmoothedNodeClassifier(model, silencing(selection), num_classes, num_hops=2).certify(
        data, node_index=targets, num_workers=0, progress=False
    )
    timed = seconds_since(start, cpu)
    own = certificate_of(ballots(model, data, selection), data, groups, targets)
    if not np.array_equal(np.asarray(exact.votes), np.asarray(own.votes)):
        raise RuntimeError("the package counts other votes than plain PyTorch")
    start, cpu = time.perf_counter(), time.process_time()
    sampled = SmoothedNodeClassifier(
        model, silencing(BernoulliSelection(1 - 1 / groups)), num_classes, num_hops=2
    ).certify(data, node_index=targets, n0=200, n=2_000, num_workers=0, progress=False)
    y = data.y[targets]
    result = {
        "checked": dataset,
        "model": asdict(what),
        "seed": what.seed,
        "T": groups,
        "certify": timed,
        "milp": at_once(exact, data, "milp")["features"],
        "sampled": {
            **seconds_since(start, cpu),
            "general": curve(sampled, y),
            "new_nodes": curve(sampled, y, only="new_nodes"),
        },
    }
    RESULTS.append(result)


def planned(
    datasets: Sequence[str], settings: Sequence[str], teaching: Sequence[str], seeds: Sequence[int]
) -> Iterator[Model]:
    r"""All models, the most telling ones first."""
    for dataset, lessons, setting, p, seed in itertools.product(
        datasets, teaching, settings, (0.95, SILENT), seeds
    ):
        yield Model(dataset, setting, lessons, p, seed)
    if (DATASETS[0], SETTINGS[1], TEACHING[1]) in itertools.product(datasets, settings, teaching):
        for (p, consistency), seed in itertools.product(TRIED, seeds):
            yield Model(DATASETS[0], SETTINGS[1], TEACHING[1], p, seed, consistency)


def found(**wanted: Any) -> list[dict[str, Any]]:
    r"""What is kept of models, and of checks, that are as asked for; the last of each seed."""
    kept = [each for each in RESULTS.read() if each.items() >= wanted.items()]
    return list({each["seed"]: each for each in kept}.values())


def rows_of(models: list[dict[str, Any]], groups: int) -> list[dict[str, Any]]:
    r"""The rows of so many groups of all models; none where a model lacks it."""
    rows = [row for each in models for row in each["rows"] if row["T"] == groups]
    return rows if len(rows) == len(models) else []


def percent(shares: Any) -> str:
    return f"{100.0 * shares:.1f}"


def table_of_structure(dataset: str) -> Table:
    r"""Certified accuracy of nodes taken over with their edges, one by one, and the MLP's."""
    heads = ("training", "model", "T", "seeds", "clean", *(f"r={r}" for r in CHANGED[1:]))
    table = Table(*heads, title=f"{dataset}: r nodes taken over and edges changed, in any mix")
    for setting, teaching in itertools.product(SETTINGS, TEACHING):
        wanted = {"setting": setting, "teaching": teaching, "consistency": 1.0}
        named = f"{setting}, {teaching}"
        models = found(dataset=dataset, p=0.95, **wanted)
        for groups in GROUPS:
            rows = rows_of(models, groups)
            if not rows:
                continue
            curve = np.mean([each["test"] for each in rows], axis=0)
            row = named, "GCN", str(groups), str(len(models)), *map(percent, curve)
            table.add_row(*row)
        models = found(dataset=dataset, p=SILENT, **wanted)
        if models:
            clean = percent(np.mean([each["test"] for each in models]))
            table.add_row(named, "MLP", "", str(len(models)), *[clean] * len(CHANGED))
    return table


def table_of_validation(dataset: str) -> Table:
    r"""The number of groups that validation nodes choose for each r, and what it certifies."""
    heads = ("training", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=f"{dataset}: T chosen on validation nodes (mean of seeds)")
    for setting, teaching in itertools.product(SETTINGS, TEACHING):
        wanted = {"setting": setting, "teaching": teaching, "consistency": 1.0, "p": 0.95}
        models = found(dataset=dataset, **wanted)
        if not models:
            continue
        done = [groups for groups in GROUPS if rows_of(models, groups)]
        mean = {
            part: np.array(
                [np.mean([row[part] for row in rows_of(models, T)], axis=0) for T in done]
            )
            for part in ("val", "test")
        }
        best = mean["val"].argmax(0)
        shares = mean["test"][best, np.arange(len(CHANGED))]
        cells = (f"{percent(share)} (T={done[i]})" for share, i in zip(shares, best, strict=True))
        table.add_row(f"{setting}, {teaching}", *cells)
    return table


def table_at_once(dataset: str) -> Table:
    r"""One attack on all test nodes, of both adversaries."""
    heads = ("training", "T", "adversary", *(f"r={r}" for r in AT_ONCE))
    table = Table(*heads, title=f"{dataset}: one attack on all test nodes (linear program)")
    for setting, teaching in itertools.product(SETTINGS, TEACHING):
        wanted = {"setting": setting, "teaching": teaching, "consistency": 1.0, "p": 0.95}
        models = found(dataset=dataset, **wanted)
        for groups, adversary in itertools.product(MOST_TELLING, ("features", "structure")):
            rows = rows_of(models, groups)
            if not rows:
                continue
            kinds = [adversary, "structure"]  # who may also rewire may rewrite features, too
            shares = np.mean(
                [np.max([each["at_once"][kind] for kind in kinds], axis=0) for each in rows], axis=0
            )
            table.add_row(f"{setting}, {teaching}", str(groups), adversary, *map(percent, shares))
    return table


def table_of_new_nodes(dataset: str) -> Table:
    r"""Fake accounts only, beside the adversary who takes over nodes as well."""
    heads = ("training", "T", "adversary", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=f"{dataset}: r new nodes with all their edges, and nothing else")
    for setting, teaching in itertools.product(SETTINGS, TEACHING):
        wanted = {"setting": setting, "teaching": teaching, "consistency": 1.0, "p": 0.95}
        models = found(dataset=dataset, **wanted)
        for groups, (adversary, key) in itertools.product(
            MOST_TELLING, (("new nodes", "new_nodes"), ("any", "test"))
        ):
            rows = rows_of(models, groups)
            if not rows:
                continue
            shares = np.mean([each[key] for each in rows], axis=0)
            table.add_row(f"{setting}, {teaching}", str(groups), adversary, *map(percent, shares))
    return table


def table_of_tried(dataset: str) -> Table:
    r"""Other ``p`` and consistency in training, on validation and on test nodes."""
    heads = ("p", "consistency", "T", "nodes", "seeds", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=f"{dataset}: inductive students of other training")
    for (p, consistency), groups in itertools.product(((0.95, 1.0), *TRIED), GROUPS):
        wanted = {"setting": SETTINGS[1], "teaching": TEACHING[1], "p": p}
        models = found(dataset=dataset, consistency=consistency, **wanted)
        rows = rows_of(models, groups)
        for part in ("val", "test") if rows else ():
            shares = np.mean([each[part] for each in rows], axis=0)
            table.add_row(
                f"{p:.3f}",
                f"{consistency:g}",
                str(groups),
                part,
                str(len(models)),
                *map(percent, shares),
            )
    return table


def report() -> None:
    r"""Writes the tables of all datasets that were run."""
    run = [dataset for dataset in DATASETS if found(dataset=dataset)]
    tables = [
        table(dataset)
        for dataset in run
        for table in (table_of_structure, table_of_validation, table_at_once, table_of_new_nodes)
    ]
    tables.append(table_of_tried(DATASETS[0]))
    text = "# Message ablation: all tables\n\nMeans over seeds, in percent, on test nodes.\n\n"
    (OUT / "tables.md").write_text(text + markdown(tables), encoding="utf-8")


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--dataset", "datasets", multiple=True, default=DATASETS)
@click.option("--setting", "settings", multiple=True, default=SETTINGS)
@click.option("--teaching", multiple=True, default=TEACHING)
@click.option("--seed", "seeds", multiple=True, default=(13, 17, 26, 35, 69))
def main(
    root: str,
    datasets: tuple[str, ...],
    settings: tuple[str, ...],
    teaching: tuple[str, ...],
    seeds: tuple[int, ...],
) -> None:
    for what in tqdm([*planned(datasets, settings, teaching, seeds)], desc="Models"):
        run(what, root)
    for dataset in datasets:
        check(dataset, root)
    report()


if __name__ == "__main__":
    main()
