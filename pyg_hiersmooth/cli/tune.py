r"""``hiersmooth tune``: the smoothing that certifies most."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.cli import options
from pyg_hiersmooth.cli.failure import Interrupted, load_pytorch, one_sentence
from pyg_hiersmooth.experiment.setting_parts import TrainingSettings, names
from pyg_hiersmooth.experiment.settings import Settings

if TYPE_CHECKING:
    from pyg_hiersmooth.tuning import TunedSmoothing

SAMPLES = {"n0": 200, "n": 1_000}
r"""Samples of a trial, where any are drawn."""

SHOWN = 5
r"""Smoothings that are printed."""

CARRIED_ON = (
    *("dataset", "root", "model", "selection", "partitions", "noise", "ablate"),
    *("edges", "edges_selection", "edges_partitions", "directed"),
    *("alpha", "kind", "seed", *names(TrainingSettings)),
)
r"""Settings of a search that certification continues with."""


@click.command("tune", options.GroupedCommand, context_settings={"show_default": True})
@options.setting("dataset", options.DATASET, "Dataset, as in 'hiersmooth certify'.")
@options.root_option
@options.setting(
    "model",
    options.NODE_MODEL,
    "Graph neural network to smooth; or a class of your own, called as "
    "Class(in_channels, num_classes).",
)
@options.setting(
    "noise",
    options.NODE_NOISE,
    "Noise to tune; with --edges none unless it is named.",
    Settings().smoothing.noise,
)
@options.selection_option
@options.partitions_option
@options.ablate_option
@options.tuned_edges_options
@click.option(
    "--r",
    cls=options.SettingOption,
    type=options.NOT_NEGATIVE_COUNT,
    shown=1,
    help="Number of nodes that the adversary may change; with ablated edges alone, of pairs of "
    "nodes. With flips of edges alone, the budget says it.",
)
@options.budget_options
@click.option(
    "--r-edges",
    type=options.NOT_NEGATIVE_COUNT,
    help="Number of pairs of nodes whose edges change beside nodes (--edges ablation with noise "
    "on nodes only).",
)
@click.option(
    "--min-clean-accuracy",
    type=options.PROBABILITY,
    default=0.0,
    help="Minimum clean accuracy; settings below it rank last.",
)
@click.option("--trials", type=options.COUNT, default=30, help="Smoothings to try.")
@options.sampling_options(**SAMPLES)
@options.kind_option
@options.setting("seed", options.SEED, "Seed of everything that is random.")
@options.training_options("node")
@options.workers_option
@options.out_option(
    "runs/tune-<dataset>-<model>[-partition][-<noise>][-edges-<edges>]-seed<seed>.jsonl",
    "File that keeps the trials; a stopped search continues from it.",
    is_file=True,
)
@options.progress_option
def tune_command(
    r: int | None,
    min_clean_accuracy: float,
    trials: int,
    out: Path | None,
    progress: bool,
    **chosen: Any,
) -> None:
    """Search for the noise that certifies the most validation nodes.

    Tries selection probabilities, or the groups of a partition, and parameters of the noise: each
    trial trains a model under this noise, and certifies the validation nodes against the given
    adversary. Prints the best settings, and the command that certifies test nodes with the first.
    Needs Optuna, which comes with the extra 'tune'.

    \b
    Example:
      hiersmooth tune --noise flips --r 1 --deletions 5 --min-clean-accuracy 0.78
      hiersmooth tune --model my_models:MyGNN --noise ablation --r 3
      hiersmooth tune --selection partition --noise ablation --r 3
      hiersmooth tune --edges ablation --edges-selection partition --r 3
      hiersmooth tune --edges flips --deletions 5
      hiersmooth tune --noise ablation --edges ablation --r 1 --r-edges 2
    """
    chosen = options.given(chosen)
    budget = {name: chosen.pop(name) for name in options.AXES if name in chosen}
    if "r_edges" in chosen:
        budget["edges"] = chosen.pop("r_edges")
    with one_sentence():
        settings = Settings.of(part="val", **chosen)
        if settings.sampling is not None:
            settings = settings.having(**SAMPLES | chosen)

        load_pytorch()
        from pyg_hiersmooth.experiment.task import NodeTask
        from pyg_hiersmooth.sampling.ranks import refuse_ranks
        from pyg_hiersmooth.tuning import tune_smoothing

        refuse_ranks("tuning")
        task = NodeTask(settings)
        file = out or Path("runs", f"tune-{settings.name}.jsonl")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            ranking = tune_smoothing(
                task.new_trained_model,
                task.data,
                task.index,
                task.num_classes,
                settings.smoothing,
                r,
                pairs=settings.pairs,
                sampling=settings.sampling,
                min_clean_accuracy=min_clean_accuracy,
                num_trials=trials,
                kind=settings.kind,
                seed=_sampling_seed(settings.seed),
                num_workers=settings.num_workers,
                storage=file,
                training=_training(settings),
                progress=progress,
                **budget,
            )
        except KeyboardInterrupt:
            raise Interrupted("Interrupted; the same command continues") from None
        _report(ranking, min_clean_accuracy, settings)


def _sampling_seed(seed: int) -> int:
    r"""Not the seed of ``certify``: samples that chose a smoothing must not bound it."""
    return (seed + 2**31) % 2**32


def _training(settings: Settings) -> str:
    r"""What a search must share with one that it continues."""
    training = {name: settings.options[name] for name in sorted(names(TrainingSettings))}
    return f"{settings.data.model}, {training}"


def _report(ranking: list[TunedSmoothing], min_clean_accuracy: float, settings: Settings) -> None:
    r"""Prints the best smoothings, and how to certify with the first."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Best on validation nodes", box=box.SIMPLE, title_justify="left")
    table.add_column("smoothing")
    for head in ("clean", "certified"):
        table.add_column(head, justify="right")
    for tuned in ranking[:SHOWN]:
        name = ", ".join(f"{name}={value}" for name, value in tuned.parameters.items())
        table.add_row(name, f"{tuned.clean_accuracy:.1%}", f"{tuned.certified_accuracy:.1%}")
    Console(highlight=False, width=120).print(table)
    best = ranking[0]
    if best.clean_accuracy < min_clean_accuracy:
        click.secho(
            f"No smoothing reached a clean accuracy of {min_clean_accuracy:.1%}", fg="yellow"
        )
    carried = options.given({name: settings.options[name] for name in CARRIED_ON})
    carried |= best.parameters
    if carried["noise"] == "none":
        del carried["selection"]
    flags = []
    for name, value in carried.items():
        if value is not False:
            flags += [options.flag(name)] if value is True else [options.flag(name), f"{value}"]
    click.echo(f"Certify test nodes with: {shlex.join(['hiersmooth', 'certify', *flags])}")
