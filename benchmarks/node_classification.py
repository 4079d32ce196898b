r"""Remakes the tables and figures of docs/benchmarks.md: node classifiers on citation graphs.

Six studies, of which each leaves one small JSON file per run. What is done is not done again.

* ``search``: settings of flips and ablation over a grid, one seed, on validation and test nodes.
* ``main``: every model on every dataset with the settings of the search that certify most
  validation nodes, and models trained with a consistency loss.
* ``consistent`` and ``plain``: the same settings with that loss and without.
* ``doubled``: exact ablation with twice that loss, which rises over 50 epochs, three datasets.
* ``table``: all sampled methods with the settings of the reference, two datasets, two models.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import click

from pyg_hiersmooth.study.budgets import Budget
from pyg_hiersmooth.study.methods import (
    ABLATION,
    EXACT_ABLATION,
    FLAT_FLIPS,
    FLAT_GAUSSIAN,
    HIERARCHICAL_FLIPS,
    HIERARCHICAL_GAUSSIAN,
    METHODS,
    UNPROTECTED,
    Method,
)
from pyg_hiersmooth.study.pareto import Adversary, best_settings
from pyg_hiersmooth.study.plan import Run, fitting_methods, plan
from pyg_hiersmooth.study.report import report_methods, report_sweep
from pyg_hiersmooth.study.results import Result, groups, load_results
from pyg_hiersmooth.study.runner import run_all

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "node_classification"
DOCS = HERE.parent / "docs" / "benchmarks"

STUDIES = ("search", "main", "consistent", "doubled", "plain", "table")

PROTOCOL: dict[str, Any] = {"lr": 1e-2, "part": "val+test"}
DRAWS: dict[str, Any] = {"num_draws": 4, "consistency": 1.0}
DOUBLED = {**DRAWS, "consistency": 2.0, "consistency_rampup": 50}

SEARCHED = (("Cora_ML", "appnp"), ("CiteSeer", "appnp"), ("Cora", "appnp"))
SEARCHED_BESIDE = (("Cora_ML", "gcn"), ("Cora_ML", "gat"))
GRID = (
    *(
        Method.of(HIERARCHICAL_FLIPS, "flips", p=p, p_plus=p_plus, p_minus=p_minus)
        for p, p_plus, p_minus in product(
            (0.85, 0.9, 0.94, 0.97), (0.0001, 0.0004), (0.8, 0.87, 0.94)
        )
    ),
    *(
        Method.of(FLAT_FLIPS, "flips", p_plus=p_plus, p_minus=p_minus)
        for p_plus, p_minus in product((0.0001, 0.0002, 0.0004), (0.8, 0.87, 0.94))
    ),
    *(Method.of(ABLATION, "ablation", p=p) for p in (0.7, 0.8, 0.85, 0.9, 0.93)),
)
CHOSEN_AGAINST = (
    Adversary(1, Budget.of("flips", deletions=20)),
    Adversary(3, Budget.of("flips", deletions=5)),
)

MODELS = ("gcn", "appnp", "gat", "sage", "gatv2")
FIXED = (
    METHODS[UNPROTECTED],
    METHODS[EXACT_ABLATION].having(groups=12),
    Method.of(ABLATION, "ablation", p=0.9),
    Method.of(HIERARCHICAL_GAUSSIAN, "gaussian", p=0.9, std=0.02, normalize_features=True),
    Method.of(FLAT_GAUSSIAN, "gaussian", std=0.02, normalize_features=True),
)

COMPARED = (
    Method.of(ABLATION, "ablation", p=0.882),
    Method.of(ABLATION, "ablation", p=0.934),
    Method.of(HIERARCHICAL_FLIPS, "flips", p=0.944, p_plus=0.00082, p_minus=0.705),
    Method.of(HIERARCHICAL_FLIPS, "flips", p=0.958, p_plus=0.00041, p_minus=0.774),
)
BESIDE = (
    *(METHODS[EXACT_ABLATION].having(groups=groups) for groups in (10, 12, 16)),
    Method.of(ABLATION, "ablation", p=0.9),
    METHODS[UNPROTECTED],
)

EXACT = tuple(METHODS[EXACT_ABLATION].having(groups=groups) for groups in (12, 14, 16))

TABLE_DATASETS, TABLE_MODELS = ("Cora_ML", "CiteSeer"), ("gat", "gcn")


@click.command()
@click.option("--root", default="data", show_default=True, help="Folder of the datasets.")
@click.option("--jobs", type=click.IntRange(1), show_default="one per core", help="Runs at a time.")
def main(root: str, jobs: int | None) -> None:
    """Remake the tables and figures of docs/benchmarks.md."""
    for name in STUDIES:
        run_all(planned(name, root), RESULTS / name, root, jobs)
        report = report_sweep if name == "search" else report_methods
        report(load_results(RESULTS / name), _docs(name))


def planned(name: str, root: str) -> list[Run]:
    r"""The runs of a study; a seed of all is finished before the next."""
    if name == "search":
        few = {**PROTOCOL, **DRAWS, "n0": 200, "n": 1_000}
        return [
            run
            for dataset, model in (*SEARCHED, *SEARCHED_BESIDE)
            for run in plan([dataset], [model], {dataset: GRID}, [13], **few)
        ]
    if name == "main":
        methods = chosen(load_results(RESULTS / "search"))
        reference = {**PROTOCOL, **DRAWS, "n0": 200, "n": 2_000}
        return plan(list(methods), MODELS, methods, **reference)
    if name == "table":
        fitting = {
            dataset: [each for each in fitting_methods(dataset, root) if each.num_outcomes is None]
            for dataset in TABLE_DATASETS
        }
        return plan(TABLE_DATASETS, TABLE_MODELS, fitting)
    if name == "doubled":
        datasets = [dataset for dataset, _ in SEARCHED]
        return plan(datasets, ["appnp"], dict.fromkeys(datasets, EXACT), **PROTOCOL, **DOUBLED)
    if name == "plain":
        return plan(["Cora_ML"], ["appnp"], {"Cora_ML": COMPARED}, lr=PROTOCOL["lr"])
    return plan(["Cora_ML"], ["appnp"], {"Cora_ML": (*BESIDE, *COMPARED)}, **PROTOCOL, **DRAWS)


def chosen(search: list[Result]) -> dict[str, list[Method]]:
    r"""For each dataset, what is compared: flips as they certify most validation nodes with APPNP,
    hierarchical ones against each adversary, flat ones against the last.
    """
    methods = {}
    for group in groups(search):
        if (group.dataset, group.model) not in SEARCHED:
            continue
        best = [best_settings(group, adversary, "multiclass") for adversary in CHOSEN_AGAINST]
        flips = [*(each[HIERARCHICAL_FLIPS] for each in best), best[-1][FLAT_FLIPS]]
        methods[group.dataset] = list(
            dict.fromkeys([*FIXED, *(results[0].run.method for results in flips)])
        )
    return methods


def _docs(study: str) -> Path:
    folder = DOCS / study
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
