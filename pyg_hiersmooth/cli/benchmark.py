r"""``hiersmooth benchmark``: many runs in one table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.benchmark.methods import METHODS, Method, random_methods
from pyg_hiersmooth.cli.failure import Interrupted, one_sentence
from pyg_hiersmooth.cli.options import (
    ALPHA,
    COUNT,
    NODE_MODEL,
    POSITIVE,
    PROBABILITY,
    SEED,
    SELECTION,
    is_explicit,
)
from pyg_hiersmooth.cli.settings import flag

if TYPE_CHECKING:
    from pyg_hiersmooth.benchmark.run import Run

METHOD_OPTIONS = ("p", "p_plus", "p_minus", "std")
r"""Options that replace a setting of the methods that have it."""

QUICK: dict[str, Any] = {
    "dataset": ("CitationSBM",),
    "model": ("gcn",),
    "seed": (13,),
    "n0": 100,
    "n": 500,
    "max_epochs": 150,
    "lr": 0.01,
    "out": Path("runs/benchmark-quick"),
}


@click.command("benchmark", context_settings={"show_default": True})
@click.option(
    "--dataset",
    multiple=True,
    default=("Cora_ML", "CiteSeer"),
    help="Dataset, as in 'hiersmooth certify'; can be given several times, like those below.",
)
@click.option(
    "--model",
    type=NODE_MODEL,
    multiple=True,
    default=("gat", "gcn"),
    help="Graph neural network, as in 'hiersmooth certify'.",
)
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    multiple=True,
    show_default="all that fit the features",
    help="What is compared.",
)
@click.option(
    "--seed", type=SEED, multiple=True, default=(13, 17, 26, 35, 69), help="Seed of a run."
)
@click.option(
    "--sweep",
    type=COUNT,
    metavar="N",
    help="Compare N random settings of each of hierarchical flips, flat flips and node ablation.",
)
@click.option(
    "--p", type=SELECTION, show_default="0.81", help="Probability to select a node, unless all are."
)
@click.option(
    "--p-plus", type=PROBABILITY, show_default="0.05", help="Probability to add a one (flips)."
)
@click.option(
    "--p-minus", type=PROBABILITY, show_default="0.8", help="Probability to delete a one (flips)."
)
@click.option(
    "--std", type=POSITIVE, show_default="0.25", help="Standard deviation (Gaussian noise)."
)
@click.option("--n0", type=COUNT, default=1_000, help="Samples that select the class of a node.")
@click.option("--n", type=COUNT, default=10_000, help="Samples that bound its probability.")
@click.option(
    "--alpha", type=ALPHA, default=0.01, help="Probability that the certificate of a node is wrong."
)
@click.option("--max-epochs", type=COUNT, default=1_000, help="Most epochs of training.")
@click.option(
    "--patience", type=COUNT, default=50, help="Epochs without improvement that end training."
)
@click.option("--lr", type=POSITIVE, default=1e-3, help="Learning rate.")
@click.option("--quick", is_flag=True, help="A small comparison on CitationSBM.")
@click.option("--jobs", type=COUNT, show_default="one a core", help="Runs at a time.")
@click.option(
    "--root", default="data", help="Folder of the datasets, downloaded to there if missing."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="runs/benchmark",
    help="Folder of the results; those that it holds already are not made again.",
)
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
@click.pass_context
def benchmark_command(
    context: click.Context,
    sweep: int | None,
    quick: bool,
    jobs: int | None,
    root: str,
    no_progress: bool,
    **options: Any,
) -> None:
    """Compare smoothing methods on datasets and models, over several seeds.

    Trains, samples and certifies every combination, several at a time, and leaves a small JSON
    file of each in a folder, with tables and figures of all that it holds. What is done is not
    done again: after Ctrl-C or a crash the same command goes on. The splits and the settings are
    those of the paper's reference implementation.

    With --sweep, validation nodes are certified too, and the settings that do best there against
    several adversaries are reported on test nodes.

    \b
    Example:
      hiersmooth benchmark
      hiersmooth benchmark --dataset Cora --model appnp --lr 0.01 --method "node ablation" --p 0.88
      hiersmooth benchmark --dataset Cora_ML --model appnp --lr 0.01 --seed 13 --sweep 30 \\
          --n0 200 --n 1000 --out runs/sweep
    """
    if quick:
        options |= {name: QUICK[name] for name in QUICK if not is_explicit(context, name)}
    out: Path = options.pop("out")
    _check_sweep(context, sweep)
    with one_sentence():
        from rich.console import Console

        from pyg_hiersmooth.benchmark.report import report_methods, report_sweep
        from pyg_hiersmooth.benchmark.result import load_results
        from pyg_hiersmooth.benchmark.runner import run_all

        runs = _runs(root, sweep, **options)
        try:
            run_all(runs, out, root, jobs, progress=not no_progress)
        except KeyboardInterrupt:
            raise Interrupted("Interrupted; the same command goes on") from None
        report = report_methods if sweep is None else report_sweep
        Console(highlight=False, width=160).print(*report(load_results(out), out))
        click.echo(f"Tables, figures and results are in {out}")


def _check_sweep(context: click.Context, sweep: int | None) -> None:
    for name in ("method", *METHOD_OPTIONS):
        if sweep is not None and is_explicit(context, name):
            raise click.UsageError(f"'{flag(name)}' does nothing with '--sweep': leave it out")


def _runs(
    root: str,
    sweep: int | None,
    dataset: tuple[str, ...],
    model: tuple[str, ...],
    method: tuple[str, ...],
    seed: tuple[int, ...],
    p: float | None,
    p_plus: float | None,
    p_minus: float | None,
    std: float | None,
    **protocol: Any,
) -> list[Run]:
    from pyg_hiersmooth.benchmark.plan import fitting_methods, plan

    if sweep is not None:
        random = dict.fromkeys(dataset, random_methods(sweep))
        return plan(dataset, model, random, seed, part="val+test", **protocol)
    settings = {"p": p, "p_plus": p_plus, "p_minus": p_minus, "std": std}
    given = {name: value for name, value in settings.items() if value is not None}
    methods = {
        name: _with_settings(
            [METHODS[each] for each in method] or fitting_methods(name, root), given
        )
        for name in dataset
    }
    return plan(dataset, model, methods, seed, **protocol)


def _with_settings(methods: list[Method], settings: dict[str, Any]) -> list[Method]:
    r"""Methods with other settings, where they have them."""
    for name, value in settings.items():
        if not any(method.has(name) for method in methods):
            raise click.UsageError(f"'{flag(name)}' does nothing with any '--method': leave it out")
        methods = [
            replace(method, **{name: value}) if method.has(name) else method for method in methods
        ]
    return methods
