r"""``hiersmooth certify``: train, sample, certify."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.cli.failure import Interrupted, one_sentence
from pyg_hiersmooth.cli.options import (
    ALPHA,
    COUNT,
    NODE_MODEL,
    POSITIVE,
    PROBABILITY,
    SEED,
    SELECTION,
    ModelName,
    is_explicit,
)
from pyg_hiersmooth.cli.settings import NOISE_SETTINGS, Settings, flag

if TYPE_CHECKING:
    from pyg_hiersmooth.cli.run_folder import RunFolder

MAY_CHANGE = ("root", "num_workers")
r"""Settings that a resumed run may change: they do not alter a single vote."""


@click.command("certify", context_settings={"show_default": True})
@click.option(
    "--dataset",
    default="CitationSBM",
    help="CitationSBM (synthetic, needs no download), Cora, CiteSeer, PubMed, Cora_ML or "
    "ogbn-arxiv; MUTAG for graphs.",
)
@click.option(
    "--task",
    type=click.Choice(["node", "graph"]),
    default="node",
    help="What is classified: the nodes of one graph, or many graphs.",
)
@click.option(
    "--root", default="data", help="Folder of the datasets, downloaded to there if missing."
)
@click.option(
    "--model",
    type=ModelName(*NODE_MODEL.names, "gin"),
    default="gcn",
    help="Graph neural network to smooth, graphs for gin and gcn; or a class of your own, called "
    "as Class(in_channels, num_classes).",
)
@click.option(
    "--noise",
    type=click.Choice(list(NOISE_SETTINGS)),
    default="flips",
    show_default="flips, or ablation for graphs",
    help="Noise of the features of selected nodes; flips need binary features, and not one-hot "
    "rows.",
)
@click.option("--p", type=SELECTION, default=0.81, help="Probability to select a node.")
@click.option(
    "--p-plus", type=PROBABILITY, default=0.05, help="Probability to add a one (flips only)."
)
@click.option(
    "--p-minus", type=PROBABILITY, default=0.8, help="Probability to delete a one (flips only)."
)
@click.option("--std", type=POSITIVE, default=0.25, help="Standard deviation (gaussian only).")
@click.option(
    "--scale", type=POSITIVE, default=0.25, help="Scale, or half width (laplace and uniform only)."
)
@click.option(
    "--indicator/--no-indicator",
    default=True,
    help="Whether the model sees which nodes are selected, as one more feature.",
)
@click.option("--n0", type=COUNT, default=1_000, help="Samples that select the class of a node.")
@click.option("--n", type=COUNT, default=10_000, help="Samples that bound its probability.")
@click.option(
    "--alpha", type=ALPHA, default=0.01, help="Probability that the certificate of a node is wrong."
)
@click.option(
    "--kind",
    type=click.Choice(["multiclass", "binary"]),
    default="multiclass",
    help="What the class of a node must beat: every other class, or one half.",
)
@click.option(
    "--simultaneous",
    is_flag=True,
    help="Make all certificates hold at once with probability 1 - alpha, not each.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    help="Seed of the split, the model, its training and the samples.",
)
@click.option(
    "--part",
    type=click.Choice(["test", "val", "val+test"]),
    default="test",
    help="Part of the split to certify: settings are chosen on val and reported on test.",
)
@click.option("--max-epochs", type=COUNT, default=1_000, help="Most epochs of training.")
@click.option(
    "--patience", type=COUNT, default=50, help="Epochs without improvement that end training."
)
@click.option("--lr", type=POSITIVE, default=1e-3, help="Learning rate.")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False),
    help="Weights to load instead of training: a state dict, such as the model.pt of a run.",
)
@click.option(
    "--num-workers",
    type=click.IntRange(0),
    show_default="one a core",
    help="Processes that sample on a CPU; 0 samples in the main one.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    show_default="cuda where available",
    help="Where the model runs.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="runs/<dataset>-<model>-<noise>-seed<seed>",
    help="Folder for all that the run leaves; it must not hold a run already.",
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Go on with the run in DIR, with its settings. Of these, only --root and --num-workers "
    "may be changed.",
)
@click.option("--no-progress", is_flag=True, help="Show no progress bars.")
@click.pass_context
def certify_command(
    context: click.Context,
    out: Path | None,
    resume: Path | None,
    no_progress: bool,
    **options: Any,
) -> None:
    """Train, smooth and certify a node or graph classifier.

    Trains a graph neural network on noisy features (20 nodes a class for training, as many for
    validation), lets it vote on 10 % of the other nodes under noise, certifies them, and prints
    their certified accuracy. With --task graph, a tenth of the graphs is certified, as many are
    for validation and the others for training. Everything is kept in a folder: settings, weights,
    votes, certificate, figures and a plot. A run that was stopped goes on with --resume, and ends
    in the votes of an undisturbed run.

    \b
    Example:
      hiersmooth certify --dataset Cora_ML --noise flips --p-plus 0.05 --p-minus 0.8
      hiersmooth certify --noise gaussian --std 0.25 --out runs/gaussian
      hiersmooth certify --dataset MUTAG --task graph --model gin --noise gaussian
      hiersmooth certify --resume runs/gaussian
    """
    if options["task"] == "graph" and not is_explicit(context, "noise"):
        options["noise"] = "ablation"
    asked = Settings(**options)
    if resume is not None and is_explicit(context, "out"):
        raise click.UsageError("'--out' does nothing with '--resume', which names the folder")
    with one_sentence():
        from pyg_hiersmooth.cli.experiment import choose_device
        from pyg_hiersmooth.cli.graph_experiment import experiment_for
        from pyg_hiersmooth.cli.run_folder import RunFolder
        from pyg_hiersmooth.cli.table import print_figures

        if resume is not None:
            folder = RunFolder(resume)
            settings = _agreed(context, asked, folder.read_settings())
            choose_device(settings.device)
        else:
            folder = RunFolder(out or _default_out(asked))
            folder.check_free()
            settings = _without_idle(context, replace(asked, device=choose_device(asked.device)))
        with _interruptible(folder):
            experiment = experiment_for(settings, folder)
            figures = experiment.run(progress=not no_progress)
        print_figures(figures, settings.title, experiment.noun)
        click.echo(f"The run is in {folder}")


def _default_out(settings: Settings) -> Path:
    model = settings.model.replace(":", ".")
    name = f"{settings.dataset}-{model}-{settings.noise}-seed{settings.seed}"
    return Path("runs", name)


def _without_idle(context: click.Context, settings: Settings) -> Settings:
    r"""Refuses options that would do nothing, and leaves their defaults out of the settings."""
    idle = settings.idle()
    for name, reason in idle.items():
        if is_explicit(context, name):
            raise click.UsageError(f"'{flag(name)}' does nothing with '{reason}': leave it out")
    nothing: dict[str, Any] = dict.fromkeys(idle)
    return replace(settings, **nothing)


def _agreed(context: click.Context, asked: Settings, stored: Settings) -> Settings:
    r"""The settings of the run to be resumed, which options must agree with."""
    for name in (field.name for field in fields(Settings)):
        if not is_explicit(context, name):
            continue
        here, there = getattr(asked, name), getattr(stored, name)
        if name in MAY_CHANGE:
            stored = replace(stored, **{name: here})
        elif here != there:
            raise click.UsageError(
                f"'{flag(name)}' does not agree with the run to be resumed: {here} here, "
                f"{there} there"
            )
    return stored


@contextmanager
def _interruptible(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not folder.settings.exists():
            raise Interrupted("Interrupted before anything was kept") from None
        command = f"hiersmooth certify --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"Interrupted; go on with: {command}") from None
