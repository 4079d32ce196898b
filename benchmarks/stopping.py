r"""Samples and time where sampling stops when the question is answered, beside a fixed number.

One model is trained, and its test nodes or graphs are certified with n0 = 1,000 and n = 10,000
samples, and again until it is known which of them withstand one adversary, at most 10,000 times.
Times are of sampling and certifying, with the trials before it, in turns.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.experiment import Experiment, Settings

N0, N = 1_000, 10_000


@dataclass(frozen=True)
class Case:
    r"""What is certified against whom."""

    name: str
    settings: Settings
    question: dict[str, Any]


def cases(root: str) -> list[Case]:
    r"""The paper's flips on Cora-ML, and graphs."""
    flips = Settings.of(dataset="Cora_ML", root=root, model="gat", p=0.81, p_plus=0.05, p_minus=0.8)
    graphs = Settings.of(
        dataset="MUTAG", root=root, model="gin", noise="gaussian", p=0.9, std=0.5, task="graph"
    )
    return [
        Case("Cora-ML, GAT, flips", flips, {"r": 1, "deletions": 5}),
        Case("MUTAG, GIN, Gaussian", graphs, {"r": 1, "eps": 0.25}),
    ]


def certify(experiment: Experiment, **how: Any) -> tuple[Certificate, float]:
    r"""A certificate, and the seconds that it took."""
    task = experiment.task
    if task.transform is None:
        raise ValueError("the settings must have a noise")
    smoothed = task.smooth(experiment.model, task.transform)
    start = time.perf_counter()
    certificate = smoothed.certify(**task.targets(task.index), progress=False, **how)
    return certificate, time.perf_counter() - start


@click.command(context_settings={"show_default": True}, help=__doc__)
@click.option("--root", default="data", help="Folder of the datasets.")
@click.option("--seed", default=13, help="Seed of the split, the model and its training.")
@click.option("--repeats", default=1, type=click.IntRange(1), help="Turns, of which medians count.")
def main(root: str, seed: int, repeats: int) -> None:
    table = Table(title=f"Against n0 = {N0:,}, n = {N:,}")
    for head in ("case", "question", "samples: mean", "median", "time", "certified", "fixed n"):
        table.add_column(head, justify="left" if head in ("case", "question") else "right")
    for case in cases(root):
        with TemporaryDirectory() as folder:
            experiment = Experiment(replace(case.settings, seed=seed), Path(folder, "run"))
            experiment.model = experiment.task.new_trained_model(experiment.task.transform)
            labels, ratios = experiment.task.labels, []
            for _ in range(repeats):
                fixed, fixed_seconds = certify(experiment, n0=N0, n=N)
                stopped, seconds = certify(experiment, n=N, until=case.question)
                ratios.append(seconds / fixed_seconds)
        samples = np.asarray(stopped.num_samples)
        shares = (each.certified_accuracy(labels, **case.question) for each in (stopped, fixed))
        table.add_row(
            case.name,
            ", ".join(f"{name}={value}" for name, value in case.question.items()),
            f"{samples.mean():,.0f}",
            f"{np.median(samples):,.0f}",
            f"{median(ratios):.2f} x",
            *(f"{100 * share:.1f} %" for share in shares),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
