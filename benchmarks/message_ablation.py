r"""Exact message ablation on citation graphs: nodes taken over with their edges.

GCN, GAT, APPNP and GraphSAGE are trained under Bernoulli message ablation (two draws per step,
consistency 1.0 after 50 epochs) on features that sum to one, and certified exactly with ten
partitions into T groups; GCN, and partly GraphSAGE, also on other published graphs.

* ``inductive``: test nodes, their features and their edges are unknown in training.
* ``transductive``: they are known without their labels.
* ``labels``: 20 labels per class, more, or those of a published split. ``student``: besides,
  every node that is known in training has the class that an APPNP gives it, which was trained on
  the clean graph in the same setting.

The MLP is the GCN without any edge, in training and afterwards. It is certified for any r.

For one model of each dataset and network, votes are counted once more, mask after mask in plain
PyTorch, which must give the same. Each model leaves a line in benchmarks/message_ablation.jsonl,
and what is there is not done again, except for the training if numbers of groups are missing;
docs/benchmarks/structure/tables.md is written from it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import scatter
from tqdm import tqdm

from pyg_hiersmooth.certificates import Certificate, CollectiveCertificate
from pyg_hiersmooth.datasets import NodeSplit, inductive_subgraph, load_dataset, split_nodes
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.models import MODELS
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.nn.neighborhoods.exposure import exposure
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection, Selection
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HERE = Path(__file__).resolve().parent
TABLES = HERE.parent / "docs" / "benchmarks" / "structure" / "tables.md"
RESULTS = JsonLines(HERE / "message_ablation.jsonl")
CHANGED, AT_ONCE = (0, 1, 2, 3, 4, 5, 7, 10, 14), (3, 10, 20, 50)
DATASETS = ("Cora_ML", "CiteSeer", "Cora")
HETEROPHILOUS = ("chameleon_filtered_directed", "squirrel_filtered_directed")
r"""Graphs whose edges mostly join nodes of different classes, with published splits."""
PUBLISHED = ("amazon_photo", *HETEROPHILOUS)
r"""Files of other graphs, in the folder ``published`` of the datasets."""
SEEDS = (13, 17, 26, 35, 69)
SETTINGS, TEACHING = ("transductive", "inductive"), ("labels", "student")
GROUPS, PARTITIONS = (10, 12, 14, 16, 20, 24, 30, 40, 60), 10
MOST_TELLING = (10, 20, 30, 60)
r"""Numbers of groups for which other adversaries are asked about as well."""
FEWER_GROUPS = (12, 20, 30, 60)
r"""Numbers of groups for what is compared with the GCN of the first studies."""
TRIED = ({"p": 0.9}, {"p": 0.8}, {"consistency": 0.0}, {"num_draws": 4})
r"""Other training of inductive students on the first dataset."""
MOST_AT_ONCE = 500
r"""Test nodes above which one attack on all of them is left out: it takes minutes."""
HIDDEN = 64
CLEAN, SILENT = 1e-9, 1.0
r"""Probabilities with which nobody (but in a few of a million draws) and everybody is silent."""


@dataclass(frozen=True)
class Model:
    r"""A model to train: with nodes silent with probability ``p``, from which all groups follow;
    where ``tenth``, with labels of a tenth of all nodes instead of so many per class.
    """

    dataset: str
    seed: int
    setting: str = "inductive"
    teaching: str = "student"
    p: float = 0.95
    consistency: float = 1.0
    network: str = "gcn"
    num_per_class: int = 20
    num_draws: int = 2
    tenth: bool = False

    @property
    def groups(self) -> tuple[int, ...]:
        r"""Numbers of groups that it is certified with; none if nobody sends."""
        if self.p == SILENT:
            return ()
        asked = self.network, self.num_per_class, self.num_draws, self.tenth
        all_groups = asked == ("gcn", 20, 2, False) and self.dataset in DATASETS
        return GROUPS if all_groups else FEWER_GROUPS

    def fresh(self, data: Data) -> Any:
        r"""The network, with seeded weights; it takes the indicator."""
        torch.manual_seed(self.seed)
        return NETWORKS[self.network](data.num_features + 1, int(data.y.max()) + 1)


class HopWise(torch.nn.Module):
    r"""What a node says, plus the means of what its senders, and theirs, said: no messages are
    made of messages. Who sends is decided anew for each mask.
    """

    num_hops = 2

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.hops = torch.nn.Linear(in_channels, 3 * HIDDEN)
        self.out = torch.nn.Linear(HIDDEN, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        own, one, two = self.hops(x).chunk(3, dim=1)
        hidden = own + heard(one, edge_index) + heard(heard(two, edge_index), edge_index)
        return self.out(F.dropout(hidden.relu(), 0.5, self.training))


class Informed(HopWise):
    r"""Features end with the class that was known of a node when the model was trained: its
    neighbors hear it, and it never hears its own.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        used = torch.ones_like(self.hops.weight)
        used.view(3, HIDDEN, -1)[[0, 2], :, -num_classes - 1 : -1] = 0.0
        self.hops.weight.data *= used
        self.hops.weight.register_hook(used.mul)


def heard(said: Tensor, edge_index: Tensor) -> Tensor:
    r"""The mean of what the senders to each node say."""
    return scatter(said[edge_index[0]], edge_index[1], dim_size=len(said), reduce="mean")


NETWORKS = MODELS["node"] | {"hopwise": HopWise, "informed": Informed}
COMPARED, RECOMPUTED = ("gcn", "gat", "appnp", "sage"), ("hopwise", "informed")
NAMES = {
    "gcn": "GCN",
    "gat": "GAT",
    "appnp": "APPNP",
    "sage": "GraphSAGE",
    "hopwise": "hop-wise",
    "informed": "hop-wise, with its neighbors' classes",
}


def silencing(selection: Selection) -> HierarchicalNodeFeatureNoise:
    r"""Message ablation of what is selected."""
    return HierarchicalNodeFeatureNoise(selection, AblationNoise(of="messages"))


def load(what: Model, root: str) -> tuple[Data, NodeSplit]:
    r"""The graph and its split; features sum to one, but for graphs with published splits."""
    published = what.dataset in PUBLISHED
    name = Path(root, "published", f"{what.dataset}.npz") if published else what.dataset
    data = load_dataset(name, root)[0]
    if what.dataset in HETEROPHILOUS:
        return data, NodeSplit.from_masks(data, SEEDS.index(what.seed))
    data.x = data.x / data.x.sum(1, keepdim=True).clamp(min=1.0)
    if what.tenth:
        return data, tenths(data.num_nodes, what.seed)
    return data, split_nodes(data.y, what.num_per_class, seed=what.seed)


def tenths(num_nodes: int, seed: int) -> NodeSplit:
    r"""A random tenth to train on, another one for validation, and all others to test on."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(num_nodes))
    size = num_nodes // 10
    return NodeSplit(
        *(part.sort().values for part in order.split([size, size, num_nodes - 2 * size]))
    )


def trained(what: Model, data: Data, split: NodeSplit) -> tuple[Any, Data]:
    r"""The model, trained with labels or by its teacher, and the graph that it reads."""
    lessons = data
    if what.teaching == "student":
        lessons, split = taught(what, data, split)
    if what.network == "informed":
        data = data.clone()
        data.x = lessons.x = torch.cat([data.x, lessons.told], dim=1)
    model = what.fresh(data)
    train_node_classifier(
        model,
        lessons,
        split,
        silencing(BernoulliSelection(what.p)),
        lr=1e-2,
        num_draws=what.num_draws,
        consistency=what.consistency,
        consistency_rampup=50 if what.consistency else 0,
        seed=what.seed,
        progress=False,
        inductive=what.setting == "inductive",
    )
    return model, data


def taught(what: Model, data: Data, split: NodeSplit) -> tuple[Data, NodeSplit]:
    r"""The graph with the teacher's classes where labels are unknown, and all nodes that are known
    in training to be learned from.
    """
    inductive = what.setting == "inductive"
    teacher = replace(what, network="appnp").fresh(data)
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
    labelled, seen = data.clone(), position >= 0
    labelled.y = torch.zeros_like(data.y)
    labelled.y[seen] = told
    labelled.y[split.train_index] = data.y[split.train_index]
    labelled.told = F.one_hot(labelled.y, int(data.y.max()) + 1) * seen.view(-1, 1)
    labelled.y[split.val_index] = data.y[split.val_index]
    seen[split.val_index] = False
    return labelled, NodeSplit(seen.nonzero().view(-1), split.val_index, hidden)


@torch.no_grad()
def answers(model: Any, data: Data, silent: Tensor) -> Tensor:
    r"""The classes ``[N]`` that the model gives if some nodes are silent, in plain PyTorch."""
    kept = data.edge_index[:, ~silent[data.edge_index[0]]]
    return model(torch.cat([data.x, silent.view(-1, 1).float()], dim=1), kept).argmax(1)


def ballots(model: Any, data: Data, groups: int) -> Tensor:
    r"""The class ``[N, num_masks]`` that each node has if one group after the other sends."""
    return torch.stack(
        [
            answers(model, data, numbers != group)
            for numbers in PartitionSelection(groups, PARTITIONS).groups(data.num_nodes)
            for group in range(groups)
        ],
        dim=1,
    )


def curve(certificate: Certificate, y: Tensor, **options: Any) -> list[float]:
    r"""Certified accuracy for each number of taken-over nodes."""
    right = certificate.correct(y)
    return [
        round(float((right & certificate.is_robust(r=r, **options)).mean()), 4) for r in CHANGED
    ]


def at_once(
    certificate: Certificate, data: Data, num_hops: int, method: str, seconds: float = 15.0
) -> dict[str, list[float]]:
    r"""Certified accuracy if one attack on all test nodes changes features, by exposures, or takes
    over nodes with their edges.
    """
    targets, y = certificate.index, data.y[certificate.index]
    reach = exposure(
        data.edge_index.numpy(), certificate.selection, targets, data.num_nodes, num_hops
    )
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
    if kept and known.keys() >= set(what.groups):
        return
    data, split = load(what, root)
    start, cpu = time.perf_counter(), time.process_time()
    model, data = trained(what, data, split)
    result = asdict(what) | {"training": seconds_since(start, cpu)}
    if what.p == SILENT:
        everyone = torch.ones(data.num_nodes, dtype=torch.bool)
        right = answers(model, data, everyone) == data.y
        for part, index in (("val", split.val_index), ("test", split.test_index)):
            result[part] = round(float(right[index].float().mean()), 4)
    else:
        result["rows"] = [
            known.get(groups) or certified(model, data, split, groups) for groups in what.groups
        ]
    RESULTS.append(result)


def seconds_since(start: float, cpu: float) -> dict[str, float]:
    r"""Seconds by the clock, and of this process alone."""
    wall, own = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": round(wall, 2), "cpu_seconds": round(own, 2)}


def certified(model: Any, data: Data, split: NodeSplit, groups: int) -> dict[str, Any]:
    r"""What partitions into so many groups certify on validation nodes and on test nodes."""
    start, cpu = time.perf_counter(), time.process_time()
    both = certify(model, data, torch.cat([split.val_index, split.test_index]), groups)
    row: dict[str, Any] = {"T": groups, "certify": seconds_since(start, cpu)}
    for part, index in (("val", split.val_index), ("test", split.test_index)):
        certificate = both.subset(np.isin(both.index, index))
        row[part] = curve(certificate, data.y[certificate.index])
    if groups in MOST_TELLING:
        row["new_nodes"] = curve(certificate, data.y[certificate.index], only="new_nodes")
    if groups in MOST_TELLING and len(certificate) <= MOST_AT_ONCE:
        row["at_once"] = at_once(certificate, data, model.num_hops, "lp")
    return row


def certify(model: Any, data: Data, targets: Tensor, groups: int) -> Certificate:
    r"""The exact certificate."""
    noise = silencing(PartitionSelection(groups, PARTITIONS))
    smoothed = SmoothedNodeClassifier(model, noise, int(data.y.max()) + 1)
    return smoothed.certify(data, node_index=targets, num_workers=0, progress=False)


def check(dataset: str, network: str, root: str, groups: int = 20) -> None:
    r"""The package's own certificate of test nodes, which must say what plain PyTorch says: its
    seconds, and for the GCN the integer program, and a sampled certificate at
    ``p = 1 - 1 / groups``.
    """
    if found(checked=dataset, network=network):
        return
    setting = "transductive" if network == "gcn" else "inductive"
    teaching = "student" if network in RECOMPUTED else "labels"
    what = Model(dataset, seed=13, setting=setting, teaching=teaching, network=network)
    data, split = load(what, root)
    model, data = trained(what, data, split)
    targets = split.test_index
    start, cpu = time.perf_counter(), time.process_time()
    exact = certify(model, data, targets, groups)
    result = {
        "checked": dataset,
        "network": network,
        "model": asdict(what),
        "seed": what.seed,
        "T": groups,
        "certify": seconds_since(start, cpu),
    }
    plain = ballots(model, data, groups)[targets].numpy()
    if exact.mask_predictions is None or not np.array_equal(exact.mask_predictions, plain):
        raise RuntimeError("the package counts other votes than plain PyTorch")
    if network == "gcn":
        start, cpu = time.perf_counter(), time.process_time()
        noise = silencing(BernoulliSelection(1 - 1 / groups))
        sampled = SmoothedNodeClassifier(model, noise, int(data.y.max()) + 1).certify(
            data, node_index=targets, n0=200, n=2_000, num_workers=0, progress=False
        )
        y = data.y[targets]
        result["sampled"] = {
            **seconds_since(start, cpu),
            "general": curve(sampled, y),
            "new_nodes": curve(sampled, y, only="new_nodes"),
        }
        result["milp"] = at_once(exact, data, model.num_hops, "milp")["features"]
    RESULTS.append(result)


def planned(dataset: str) -> Iterator[dict[str, Any]]:
    r"""All models of a dataset but for their seeds; other training, and labels alone of a graph
    whose test nodes are known, only of the first one.
    """
    if dataset in HETEROPHILOUS:  # no node is left that a teacher could tell something of
        yield from ({"teaching": "labels", "network": network} for network in ("gcn", "sage"))
        yield {"teaching": "labels", "p": SILENT}
        return
    if dataset in PUBLISHED:
        for teaching, p in itertools.product(TEACHING, (0.95, SILENT)):
            yield {"teaching": teaching, "p": p}
        return
    first = dataset == DATASETS[0]
    for teaching in TEACHING:
        yield from ({"teaching": teaching, "network": network} for network in COMPARED)
        yield {"teaching": teaching, "p": SILENT}
        for p in (0.95, SILENT) if first or teaching == "student" else ():
            yield {"setting": SETTINGS[0], "teaching": teaching, "p": p}
    if first:
        yield from ({"network": network} for network in RECOMPUTED)
        yield from TRIED
        for teaching, p in itertools.product(TEACHING, (0.95, SILENT)):
            yield {"teaching": teaching, "p": p, "num_per_class": 50}
            yield {"setting": SETTINGS[0], "teaching": teaching, "p": p, "tenth": True}


def checked(dataset: str) -> tuple[str, ...]:
    r"""The networks of which one model of a dataset is checked."""
    if dataset in PUBLISHED:
        return ("sage",) if dataset in HETEROPHILOUS else ()
    return (*COMPARED, *RECOMPUTED) if dataset == DATASETS[0] else COMPARED


def found(**wanted: Any) -> list[dict[str, Any]]:
    r"""What is kept of models, and of checks, that are as asked for; the last of each seed."""
    kept = [each for each in RESULTS.read() if each.items() >= wanted.items()]
    return list({each["seed"]: each for each in kept}.values())


def like(dataset: str, **but: Any) -> list[dict[str, Any]]:
    r"""What is kept of inductive GCN students, but for what is given, of all seeds."""
    wanted = asdict(Model(dataset, seed=0, **but))
    del wanted["seed"]
    return found(**wanted)


def compared(dataset: str) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    r"""How models were trained, their names, and what is kept of them; the MLP last."""
    for setting, teaching in itertools.product(SETTINGS, TEACHING):
        for network, p in (*((network, 0.95) for network in COMPARED), ("gcn", SILENT)):
            but = {"setting": setting, "teaching": teaching, "network": network, "p": p}
            if models := like(dataset, **but):
                name = "MLP" if p == SILENT else NAMES[network]
                yield f"{setting}, {teaching}", name, models


def rows_of(models: list[dict[str, Any]], groups: int) -> list[dict[str, Any]]:
    r"""The rows of so many groups of all models; none where a model lacks it."""
    rows = [row for each in models for row in each.get("rows", ()) if row["T"] == groups]
    return rows if len(rows) == len(models) else []


def percent(shares: Any) -> str:
    return f"{round(100.0 * float(shares), 1) + 0.0:.1f}"


def spread(shares: Any) -> str:
    r"""Mean and standard deviation over seeds."""
    return f"{percent(np.mean(shares))} ± {percent(np.std(shares))}"


def chosen(models: list[dict[str, Any]], number: int) -> tuple[int | None, np.ndarray]:
    r"""The number of groups that certifies the most validation nodes against
    :obj:`CHANGED[number]` nodes, and what it certifies of each seed's test nodes.
    """
    done = {groups: rows for groups in GROUPS if (rows := rows_of(models, groups))}
    if not done:
        return None, np.array([each["test"] for each in models])
    best = max(done, key=lambda groups: np.mean([row["val"][number] for row in done[groups]]))
    return best, np.array([row["test"][number] for row in done[best]])


def table_of_structure(dataset: str) -> Table:
    r"""Certified accuracy of nodes taken over with their edges, one by one, and the MLP's."""
    heads = ("training", "model", "T", "seeds", "clean", *(f"r={r}" for r in CHANGED[1:]))
    table = Table(*heads, title=f"{dataset}: r nodes taken over and edges changed, in any mix")
    for training, name, models in compared(dataset):
        if name == "MLP":
            clean = percent(np.mean([each["test"] for each in models]))
            table.add_row(training, name, "", str(len(models)), *[clean] * len(CHANGED))
        for groups in GROUPS:
            if rows := rows_of(models, groups):
                curve = np.mean([each["test"] for each in rows], axis=0)
                row = training, name, str(groups), str(len(models)), *map(percent, curve)
                table.add_row(*row)
    return table


def table_of_validation(title: str, entries: Iterable[tuple[str, str, Any]]) -> Table:
    r"""The number of groups that validation nodes choose for each r, and what it certifies."""
    heads = ("training", "model", "seeds", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=title)
    for training, name, models in entries:
        cells = []
        for number in range(len(CHANGED)):
            groups, shares = chosen(models, number)
            cells.append(spread(shares) + (f" (T={groups})" if groups else ""))
        table.add_row(training, name, str(len(models)), *cells)
    return table


def table_at_once(dataset: str) -> Table:
    r"""One attack on all test nodes, of both adversaries."""
    heads = ("training", "model", "T", "adversary", *(f"r={r}" for r in AT_ONCE))
    table = Table(*heads, title=f"{dataset}: one attack on all test nodes (linear program)")
    for training, name, models in compared(dataset):
        for groups, adversary in itertools.product(MOST_TELLING, ("features", "structure")):
            rows = rows_of(models, groups)
            if not rows:
                continue
            kinds = [adversary, "structure"]  # who may also rewire may rewrite features, too
            shares = np.mean(
                [np.max([each["at_once"][kind] for kind in kinds], axis=0) for each in rows], axis=0
            )
            table.add_row(training, name, str(groups), adversary, *map(percent, shares))
    return table


def table_of_new_nodes(dataset: str) -> Table:
    r"""Fake accounts only, beside the adversary who takes over nodes as well."""
    heads = ("training", "model", "T", "adversary", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=f"{dataset}: r new nodes with all their edges, and nothing else")
    for training, name, models in compared(dataset):
        for groups, (adversary, key) in itertools.product(
            MOST_TELLING, (("new nodes", "new_nodes"), ("any", "test"))
        ):
            rows = rows_of(models, groups)
            if rows:
                shares = np.mean([each[key] for each in rows], axis=0)
                table.add_row(training, name, str(groups), adversary, *map(percent, shares))
    return table


def tried(dataset: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    r"""Inductive students of other training, and of other networks."""
    for network in (*COMPARED, *RECOMPUTED):
        if models := like(dataset, network=network):
            yield NAMES[network], models
    for but in TRIED:
        if models := like(dataset, **but):
            yield ", ".join(f"{key}={value:g}" for key, value in but.items()), models


def table_of_tried(dataset: str) -> Table:
    r"""What other training certifies of validation and of test nodes."""
    heads = ("student", "T", "nodes", "seeds", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=f"{dataset}: inductive students of other training")
    for name, models in tried(dataset):
        for groups, part in itertools.product(GROUPS, ("val", "test")):
            if rows := rows_of(models, groups):
                shares = np.mean([each[part] for each in rows], axis=0)
                row = name, str(groups), part, str(len(models)), *map(percent, shares)
                table.add_row(*row)
    return table


def table_of_gains(dataset: str) -> Table:
    r"""What other training gains, seed by seed."""
    heads = ("student", "T", "seeds", *(f"r={r}" for r in CHANGED))
    table = Table(*heads, title=f"{dataset}: points gained over the GCN (inductive students)")
    base = {each["seed"]: each for each in like(dataset)}
    for (name, models), groups in itertools.product(tried(dataset), FEWER_GROUPS):
        ours, theirs = rows_of(models, groups), rows_of([base[m["seed"]] for m in models], groups)
        if name != NAMES["gcn"] and ours:
            gains = np.array([row["test"] for row in ours]) - [row["test"] for row in theirs]
            table.add_row(name, str(groups), str(len(models)), *map(spread, gains.T))
    return table


def more_labels(dataset: str, **but: Any) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    r"""Models of more labels than 20 per class."""
    for teaching, p in itertools.product(TEACHING, (0.95, SILENT)):
        if models := like(dataset, teaching=teaching, p=p, **but):
            training = f"{but.get('setting', 'inductive')}, {teaching}"
            yield training, "MLP" if p == SILENT else NAMES["gcn"], models


def report() -> None:
    r"""Writes the tables of all datasets that were run."""
    chosen_for = "r nodes taken over and edges changed, T chosen on validation nodes"
    tables = []
    for dataset in (*DATASETS, *PUBLISHED):
        tables += [
            table_of_validation(f"{dataset}: {chosen_for}", compared(dataset)),
            table_of_structure(dataset),
        ]
        if dataset in DATASETS:
            tables += [table_at_once(dataset), table_of_new_nodes(dataset)]
    first = DATASETS[0]
    tables += [
        table_of_validation(
            f"{first}, 50 labels per class: {chosen_for}", more_labels(first, num_per_class=50)
        ),
        table_of_validation(
            f"{first}, a tenth of all nodes labelled: {chosen_for}",
            more_labels(first, setting=SETTINGS[0], tenth=True),
        ),
        table_of_gains(first),
        table_of_tried(first),
    ]
    text = (
        "# Message ablation: all tables\n\nPercent of test nodes, means over seeds, with standard "
        "deviations where there is a ±.\n\n"
    )
    TABLES.write_text(text + markdown(tables), encoding="utf-8")


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--dataset", "datasets", multiple=True, default=(*DATASETS, *PUBLISHED))
@click.option("--seed", "seeds", multiple=True, default=SEEDS)
def main(root: str, datasets: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    models = [
        Model(dataset, seed, **but)
        for dataset in datasets
        for but in planned(dataset)
        for seed in seeds
    ]
    for what in tqdm(models, desc="Models"):
        run(what, root)
    for dataset in datasets:
        for network in checked(dataset):
            check(dataset, network, root)
    report()


if __name__ == "__main__":
    main()
