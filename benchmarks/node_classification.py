r"""Remakes the tables and figures of docs/benchmarks.md: node classifiers on citation graphs.

Five studies, of which each leaves one small JSON file a run. What is done is not done again.

* ``table``: all sampled methods with the settings of the reference, two datasets, two models, five
  seeds.
* ``sweep``: random settings of each method, one model and seed, on validation and test nodes.
* ``best``: the settings that certified most validation nodes in the sweep, over five seeds.
* ``consistent``: these, ablation at p = 0.9 and exact ablation, with models that are trained with a
  consistency loss over four draws of noise.
* ``main``: every model on every dataset, with settings chosen in the sweep and that loss, with the
  numbers of samples of the reference's own runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pyg_hiersmooth.study.budgets import Budget
from pyg_hiersmooth.study.methods import (
    ABLATION,
    EXACT_ABLATION,
    FLAT_FLIPS,
    HIERARCHICAL_FLIPS,
    METHODS,
    UNPROTECTED,
    Method,
    random_methods,
)
from pyg_hiersmooth.study.pareto import Adversary, best_settings
from pyg_hiersmooth.study.plan import Run, fitting_methods, plan
from pyg_hiersmooth.study.report import report_methods, report_sweep
from pyg_hiersmooth.study.results import Result, groups, load_results
from pyg_hiersmooth.study.runner import run_all

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "node_classification"
DOCS = HERE.parent / "docs" / "benchmarks"

DATASETS, MODELS = ("Cora_ML", "CiteSeer"), ("gat", "gcn")
TUNED_DATASET, TUNED_MODEL, TUNED_LR = "Cora_ML", "appnp", 1e-2
NUM_RANDOM, SWEEP_SEED, SWEEP_N0, SWEEP_N = 30, 13, 200, 1_000
DRAWS: dict[str, Any] = {"num_draws": 4, "consistency": 1.0}
GROUPS = (10, 12, 16)
MAIN_DATASETS = (*DATASETS, "Cora")
MAIN_MODELS = ("gcn", "appnp", "gat", "sage", "gatv2")
MAIN_N0, MAIN_N = 200, 2_000
MAIN_METHODS = (
    METHODS[UNPROTECTED],
    replace(METHODS[EXACT_ABLATION], groups=12),
    Method(HIERARCHICAL_FLIPS, "flips", 0.958, p_plus=0.00041, p_minus=0.774),
    Method(ABLATION, "ablation", 0.9),
    Method(FLAT_FLIPS, "flips", p_plus=0.00022, p_minus=0.861),
)
CHOSEN_AGAINST = [Adversary(r, Budget.of("flips", deletions=5)) for r in (1, 3)]


@click.command()
@click.option("--root", default="data", show_default=True, help="Folder of the datasets.")
@click.option("--jobs", type=click.IntRange(1), show_default="one a core", help="Runs at a time.")
def main(root: str, jobs: int | None) -> None:
    """Remake the tables and figures of docs/benchmarks.md."""
    methods = {
        name: [method for method in fitting_methods(name, root) if method.num_outcomes is None]
        for name in DATASETS
    }
    run_all(plan(DATASETS, MODELS, methods), RESULTS / "table", root, jobs)
    report_methods(load_results(RESULTS / "table"), _docs("table"))

    swept = plan(
        [TUNED_DATASET],
        [TUNED_MODEL],
        {TUNED_DATASET: random_methods(NUM_RANDOM)},
        [SWEEP_SEED],
        n0=SWEEP_N0,
        n=SWEEP_N,
        lr=TUNED_LR,
        part="val+test",
    )
    run_all(swept, RESULTS / "sweep", root, jobs)
    sweep = load_results(RESULTS / "sweep")
    report_sweep(sweep, _docs("sweep"))

    tuned = plan([TUNED_DATASET], [TUNED_MODEL], {TUNED_DATASET: chosen(sweep)}, lr=TUNED_LR)
    run_all(tuned, RESULTS / "best", root, jobs)
    report_methods(load_results(RESULTS / "best"), _docs("best"))

    exact = [replace(METHODS[EXACT_ABLATION], groups=groups) for groups in GROUPS]
    compared = [*exact, Method(ABLATION, "ablation", 0.9), *chosen(sweep), METHODS[UNPROTECTED]]
    consistent = plan(
        [TUNED_DATASET],
        [TUNED_MODEL],
        {TUNED_DATASET: compared},
        lr=TUNED_LR,
        part="val+test",
        **DRAWS,
    )
    run_all(consistent, RESULTS / "consistent", root, jobs)
    report_methods(load_results(RESULTS / "consistent"), _docs("consistent"))

    run_all(main_plan(), RESULTS / "main", root, jobs)
    report_methods(load_results(RESULTS / "main"), _docs("main"))


def main_plan() -> list[Run]:
    r"""The runs of the main table; a seed of all is finished before the next."""
    return plan(
        MAIN_DATASETS,
        MAIN_MODELS,
        dict.fromkeys(MAIN_DATASETS, MAIN_METHODS),
        n0=MAIN_N0,
        n=MAIN_N,
        lr=TUNED_LR,
        part="val+test",
        **DRAWS,
    )


def chosen(sweep: list[Result]) -> list[Method]:
    r"""The settings that certified most validation nodes."""
    (group,) = groups(sweep)
    methods = {
        best_settings(group, adversary, "multiclass")[name][0].run.method: None
        for name in (HIERARCHICAL_FLIPS, ABLATION)
        for adversary in CHOSEN_AGAINST
    }
    return list(methods)


def _docs(study: str) -> Path:
    folder = DOCS / study
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
