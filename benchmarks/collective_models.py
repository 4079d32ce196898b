r"""Which model keeps most of its predictions under one attack: collective certificates on Cora-ML.

The models differ in how far they look: a GCN of two layers, and APPNP of 0 (no neighbor at all)
to 3 steps with several teleport probabilities; some are trained with a consistency loss over four
draws. Each is trained with node ablation and certified exactly with several numbers of groups. The
setting that keeps most *validation* nodes at r = 10 (linear program) is reported on test nodes
(integer program), beside the plain GCN with ten groups.
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
from rich.console import Console
from rich.table import Table
from torch_geometric.data import Data
from tqdm import tqdm

from pyg_hiersmooth.certificates import CollectiveCertificate
from pyg_hiersmooth.datasets import load_dataset, split_nodes
from pyg_hiersmooth.files import JsonLines
from pyg_hiersmooth.models import APPNP, GCN
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import BernoulliSelection, PartitionSelection
from pyg_hiersmooth.training import train_node_classifier
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

RESULTS = JsonLines(Path(__file__).resolve().parent / "collective.jsonl")
SEEDS = (13, 17, 26, 35, 69)
CHANGED = (1, 3, 5, 10, 20)
CHOSEN_AT = 10


@dataclass(frozen=True)
class Setting:
    r"""A model and the groups of its certificates; GCN where there are no steps."""

    groups: int = 10
    steps: int | None = None
    alpha: float | None = None
    consistency: float = 0.0

    @property
    def name(self) -> str:
        r"""As it stands in tables."""
        model = "GCN" if self.steps is None else f"APPNP, {self.steps} steps, alpha={self.alpha}"
        consistent = f", consistency {self.consistency:g}" if self.consistency else ""
        return f"{model}{consistent}, T={self.groups}"

    def build(self, num_features: int, num_classes: int) -> torch.nn.Module:
        r"""The model, untrained."""
        if self.steps is None or self.alpha is None:
            return GCN(num_features, num_classes)
        return APPNP(num_features, num_classes, K=self.steps, alpha=self.alpha)


PLAIN = Setting()


def settings() -> Iterator[Setting]:
    r"""All that are compared."""
    for groups in (6, 10, 16):
        yield Setting(groups)
        yield Setting(groups, 0, 0.1)
        for steps, alpha in itertools.product((1, 2, 3), (0.1, 0.3, 0.5)):
            yield Setting(groups, steps, alpha)
    for groups in (10, 12, 16):
        yield Setting(groups, consistency=2.0)
        yield Setting(groups, 2, 0.1, consistency=2.0)


def collective(
    setting: Setting, data: Data, seed: int
) -> tuple[CollectiveCertificate, torch.Tensor, np.ndarray]:
    r"""The certificate of validation and test nodes, their labels, and which are for testing."""
    split = split_nodes(data.y, seed=seed)
    num_classes = int(data.y.max()) + 1
    torch.manual_seed(seed)
    model = setting.build(data.num_features + 1, num_classes)
    masked = HierarchicalNodeFeatureNoise(
        BernoulliSelection(1.0 - 1.0 / setting.groups), AblationNoise()
    )
    train_node_classifier(
        model,
        data,
        split,
        masked,
        lr=1e-2,
        seed=seed,
        num_draws=4 if setting.consistency else 1,
        consistency=setting.consistency,
        progress=False,
    )
    parts = HierarchicalNodeFeatureNoise(PartitionSelection(setting.groups, 10), AblationNoise())
    smoothed = SmoothedNodeClassifier(model, parts, num_classes)
    targets = torch.cat([split.val_index, split.test_index])
    certificate = smoothed.certify(data, node_index=targets, progress=False, num_workers=0)
    field = smoothed.receptive_field(data, targets)
    is_test = np.arange(len(targets)) >= split.val_index.numel()
    return CollectiveCertificate(certificate, field), data.y[targets], is_test


def shares(
    certificate: CollectiveCertificate, y: torch.Tensor, part: np.ndarray, **how: Any
) -> list[float]:
    r"""Of one part of the targets, the share that is right and stays, for each r and for none."""
    right = (certificate.certificate.prediction == y.numpy()) & part
    stay = [certificate.num_robust(r, right, **how) for r in CHANGED]
    return [round(number / int(part.sum()), 4) for number in (int(right.sum()), *stay)]


def measure(setting: Setting, data: Data, seed: int, time_limit: float | None) -> dict[str, Any]:
    r"""What is kept of a setting and a seed; integer programs where they have a time limit."""
    certificate, y, is_test = collective(setting, data, seed)
    start = time.perf_counter()
    row: dict[str, Any] = {
        "val_lp": shares(certificate, y, ~is_test, method="lp"),
        "test_lp": shares(certificate, y, is_test, method="lp"),
    }
    row["seconds_lp"] = round(time.perf_counter() - start, 2)
    if time_limit is not None:
        row["test_milp"] = shares(certificate, y, is_test, method="milp", time_limit=time_limit)
    alone = certificate.certificate
    right = (alone.prediction == y.numpy()) & is_test
    robust = [alone.is_robust(r=r) & right for r in CHANGED]
    row["test_single"] = [round(float(each.sum() / is_test.sum()), 4) for each in robust]
    return row


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--time-limit", default=15.0, help="Seconds of an integer program.")
def main(root: str, time_limit: float) -> None:
    data = load_dataset("Cora_ML", root)[0]
    search = {
        setting: [kept(setting, data, seed, None) for seed in SEEDS]
        for setting in tqdm([*settings()], desc="Settings")
    }
    at = 1 + CHANGED.index(CHOSEN_AT)
    best = max(search, key=lambda s: np.mean([row["val_lp"][at] for row in search[s]]))
    final = {
        setting: [kept(setting, data, seed, time_limit) for seed in SEEDS]
        for setting in dict.fromkeys((PLAIN, best))
    }
    table = Table("setting", "clean", *(f"r={r}" for r in CHANGED), title="Validation nodes, LP")
    for setting, rows in search.items():
        table.add_row(setting.name, *means(rows, "val_lp"))
    Console(width=100).print(table)
    table = Table("setting", "how", "clean", *(f"r={r}" for r in CHANGED), title="Test nodes")
    for setting, rows in final.items():
        table.add_row(setting.name, "one by one", "", *means(rows, "test_single"))
        table.add_row(setting.name, "LP", *means(rows, "test_lp"))
        table.add_row(setting.name, "MILP", *means(rows, "test_milp"))
    Console(width=100).print(table)


def kept(setting: Setting, data: Data, seed: int, time_limit: float | None) -> dict[str, Any]:
    r"""As :func:`measure`, once: results stay in a file."""
    what = {"how": "lp" if time_limit is None else "milp", **asdict(setting), "seed": seed}
    for row in RESULTS.read():
        if row.items() >= what.items():
            return row
    row = what | measure(setting, data, seed, time_limit)
    RESULTS.append(row)
    return row


def means(rows: list[dict[str, Any]], name: str) -> list[str]:
    r"""Means over the seeds, in percent."""
    return [f"{100 * value:.1f}" for value in np.mean([row[name] for row in rows], axis=0)]


if __name__ == "__main__":
    main()
