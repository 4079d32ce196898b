r"""``hiersmooth benchmark``: many runs in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.cli import options
from pyg_hiersmooth.cli.failure import Interrupted, load_pytorch, one_sentence
from pyg_hiersmooth.experiment.setting_parts import DataSettings
from pyg_hiersmooth.study.methods import METHODS, OF_PAIRS, Method, random_methods

if TYPE_CHECKING:
    from pyg_hiersmooth.study.plan import Run

METHOD_OPTIONS = ("p", "groups", "partitions", *options.PARAMETERS, *OF_PAIRS)
r"""Options that replace a setting of the methods that have it."""

WIDE = 160
r"""Columns that the tables of several seeds take."""

FULL: dict[str, Any] = {
    "dataset": ("Cora_ML", "CiteSeer"),
    "model": ("gat", "gcn"),
    "seed": (13, 17, 26, 35, 69),
    "out": Path("runs/benchmark"),
}
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


@click.command("benchmark", options.GroupedCommand, context_settings={"show_default": True})
@options.setting(
    "dataset",
    options.DATASET,
    "Dataset, as in 'hiersmooth certify'; can be given several times, like those below.",
    FULL["dataset"],
    multiple=True,
)
@options.setting(
    "model",
    options.NODE_MODEL,
    "Graph neural network, as in 'hiersmooth certify'.",
    FULL["model"],
    multiple=True,
)
@click.option(
    "--method",
    "methods",
    cls=options.SettingOption,
    type=click.Choice(list(METHODS)),
    shown="all that fit the features; those about messages and edges only if they are named",
    multiple=True,
    help="Methods to compare.",
)
@options.setting("seed", options.SEED, "Seed of a run.", FULL["seed"], multiple=True)
@click.option(
    "--sweep",
    type=options.COUNT,
    metavar="N",
    help="Compare N random settings of each of hierarchical flips, flat flips and node ablation.",
)
@options.noise_options
@options.partition_options
@options.ablated_edges_options
@options.sampling_options()
@options.training_options("node")
@click.option("--quick", is_flag=True, help="A small comparison on CitationSBM.")
@click.option("--jobs", type=options.COUNT, show_default="one per core", help="Runs at a time.")
@options.root_option
@options.out_option(
    str(FULL["out"]), "Folder of the results; results that are already in it are kept."
)
@options.progress_option
def benchmark_command(
    sweep: int | None, quick: bool, jobs: int | None, progress: bool, **chosen: Any
) -> None:
    """Compare smoothing methods on datasets and models, over several seeds.

    Trains, samples and certifies every combination, several at a time, and writes one line of
    results.jsonl for each to a folder, with tables and figures of all results in it. Finished
    runs are not repeated: after Ctrl-C or a crash, the same command continues. The splits and the
    settings are those of the paper's reference implementation.

    --quick takes about a minute on one core, the full study takes hours.

    With --sweep, validation nodes are certified too, and the settings that do best there against
    several adversaries are reported on test nodes.

    \b
    Example:
      hiersmooth benchmark --quick
      hiersmooth benchmark --dataset Cora --method "node ablation" --p 0.88 --seed 13
      hiersmooth benchmark --dataset Cora --method "exact message ablation" \\
          --method "exact edge ablation" --edges-groups 30
      hiersmooth benchmark --dataset Cora_ML --model appnp --seed 13 --sweep 30 \\
          --num-pre-samples 200 -n 1000 --out runs/sweep
    """
    chosen = FULL | (QUICK if quick else {}) | options.given(chosen)
    out: Path = chosen.pop("out")
    if "methods" in chosen:
        chosen["method"] = chosen.pop("methods")
    for name in ("method", *METHOD_OPTIONS) if sweep is not None else ():
        if name in chosen:
            raise click.UsageError(
                f"'{options.flag(name)}' does nothing with '--sweep': leave it out"
            )
    root: str = chosen.pop("root", DataSettings.root)
    with one_sentence():
        load_pytorch()
        from rich.console import Console

        from pyg_hiersmooth.cli.plot import can_plot
        from pyg_hiersmooth.sampling.ranks import refuse_ranks
        from pyg_hiersmooth.study.report import report_methods, report_sweep
        from pyg_hiersmooth.study.results import load_results
        from pyg_hiersmooth.study.runner import run_all

        refuse_ranks("a study")
        runs = _runs(root, sweep, **chosen)
        try:
            run_all(runs, out, root, jobs, progress)
        except KeyboardInterrupt:
            raise Interrupted("Interrupted; the same command continues") from None
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDE
        results = load_results(out)
        if sweep is None:
            tables = report_methods(results, out, can_plot(), narrow=console.width < WIDE)
        else:
            tables = report_sweep(results, out, can_plot())
        console.print(*tables)
        click.echo(f"Tables, figures and results are in {out}")


for _option in benchmark_command.params:
    if isinstance(_option, options.SettingOption) and _option.name in METHOD_OPTIONS:
        _option.shown = "each method's own"


def _runs(
    root: str,
    sweep: int | None,
    dataset: tuple[str, ...],
    model: tuple[str, ...],
    seed: tuple[int, ...],
    method: tuple[str, ...] = (),
    **chosen: Any,
) -> list[Run]:
    from pyg_hiersmooth.study.plan import fitting_methods, plan

    settings = {name: chosen.pop(name) for name in METHOD_OPTIONS if name in chosen}
    if sweep is not None:
        random = dict.fromkeys(dataset, random_methods(sweep))
        return plan(dataset, model, random, seed, part="val+test", **chosen)
    methods = {
        name: _with_settings(
            [METHODS[each] for each in method] or fitting_methods(name, root), settings
        )
        for name in dataset
    }
    return plan(dataset, model, methods, seed, **chosen)


def _with_settings(methods: list[Method], settings: dict[str, Any]) -> list[Method]:
    r"""Methods with other settings, where they have them."""
    for name, value in settings.items():
        if not any(method.has(name) for method in methods):
            raise click.UsageError(
                f"'{options.flag(name)}' does nothing with any '--method': leave it out"
            )
        methods = [
            method.having(**{name: value}) if method.has(name) else method for method in methods
        ]
    return methods
