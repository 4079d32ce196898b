r"""``hiersmooth certify``: train, sample, certify."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.choices import Part, TaskName
from pyg_hiersmooth.cli import options
from pyg_hiersmooth.cli.failure import Failure, Interrupted, one_sentence, one_voice
from pyg_hiersmooth.experiment.settings import UNIMPORTANT, Settings, differences

if TYPE_CHECKING:
    from pyg_hiersmooth.experiment import Outcome, RunFolder


@click.command("certify", options.GroupedCommand, context_settings={"show_default": True})
@options.setting(
    "dataset",
    options.DATASET,
    "CitationSBM (synthetic, needs no download), Cora, CiteSeer, PubMed, Cora_ML or ogbn-arxiv; "
    "RandomMolecules (synthetic), MUTAG or ogbg-molhiv for graphs; or the path of an .npz file.",
)
@options.setting(
    "task",
    options.choice(TaskName),
    "What is classified: the nodes of one graph, or many graphs.",
)
@options.root_option
@options.setting(
    "model",
    options.ModelName(*options.NODE_MODEL.names, "gin"),
    "Graph neural network to smooth (gin and gcn for graphs); or a class of your own, called as "
    "Class(in_channels, num_classes).",
)
@options.setting(
    "noise",
    options.NODE_NOISE,
    "Noise on the features of selected nodes; flips need binary features, but no one-hot rows. "
    "With --edges it is none unless it is named.",
)
@options.selection_option
@options.noise_options
@options.ablate_option
@options.partition_options
@options.edges_options
@click.option(
    "--normalize-features/--no-normalize-features",
    cls=options.SettingOption,
    shown=False,
    help="Divide the features of each node by their sum first.",
)
@click.option(
    "--indicator/--no-indicator",
    cls=options.SettingOption,
    shown=True,
    help="Whether the model sees which nodes are selected, as one more feature.",
)
@options.sampling_options()
@options.until_option
@options.kind_option
@click.option(
    "--simultaneous",
    is_flag=True,
    default=None,
    help="Make all certificates hold at once with probability 1 - alpha.",
)
@options.collective_options
@options.sets_options
@options.setting(
    "seed", options.SEED, "Seed of the split, the model, its training, the samples and partitions."
)
@options.setting(
    "part",
    options.choice(Part),
    "Part of the split to certify: settings are chosen on val and reported on test.",
)
@options.training_options()
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False),
    help="Weights to load instead of training: a state dict, such as the model.pt of a run.",
)
@options.workers_option
@options.setting(
    "device", click.Choice(["cpu", "cuda"]), "Where the model runs.", "cuda where available"
)
@options.out_option(
    "runs/<dataset>-<model>[-partition][-<noise>][-edges-<edges>]-seed<seed>",
    "Folder for everything that the run keeps; it must not contain a run already.",
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Continue the run in DIR, with its settings. Of these, only --root, --num-workers and "
    "those of a collective certificate may be changed.",
)
@options.progress_option
def certify_command(out: Path | None, resume: Path | None, progress: bool, **chosen: Any) -> None:
    """Train, smooth and certify a node or graph classifier.

    Trains a graph neural network on noisy features (20 nodes per class for training, as many for
    validation), lets it vote on 10 % of the other nodes under noise, certifies them, and prints
    their certified accuracy. With --task graph, a tenth of the graphs is certified, a tenth is for
    validation, and the others are for training. Everything is kept in a folder: settings, weights,
    votes, certificate, results and a plot. A stopped run continues with --resume, and ends with
    the votes of an uninterrupted run.

    With --selection partition --noise ablation the few outcomes of the smoothing are enumerated,
    and certificates are deterministic. With --collective, a second table counts the nodes that one
    attack on the whole graph cannot change. With --sets, another one gives the sizes of sets of
    classes that contain the right one with a stated probability. With --edges, certificates hold
    against changed edges, alone or beside changed nodes.

    Under torchrun, the processes share the samples, and a restarted run continues from its
    folder.

    \b
    Example:
      hiersmooth certify --dataset Cora_ML --model gat --noise flips --p-plus 0.05
      hiersmooth certify --noise gaussian --std 0.25 --out runs/gaussian
      hiersmooth certify --selection partition --noise ablation --collective
      hiersmooth certify --selection partition --noise ablation --sets 0.9
      hiersmooth certify --selection partition --noise ablation --ablate messages
      hiersmooth certify --edges ablation --edges-groups 20
      hiersmooth certify --edges flips --edges-p-plus 0.001 --edges-p-minus 0.4
      hiersmooth certify --noise flips --edges ablation --edges-p 0.9
      hiersmooth certify --dataset MUTAG --task graph --model gin --noise gaussian
      hiersmooth certify --until 'r=1,deletions=5' --until 'r=3,additions=1'
      hiersmooth certify --resume runs/gaussian
      torchrun --nproc-per-node 2 -m pyg_hiersmooth certify --noise gaussian
    """
    chosen = options.given(chosen)
    if resume is not None and out is not None:
        raise click.UsageError("'--out' does nothing with '--resume', which names the folder")
    if resume is None and "WORLD_SIZE" not in os.environ:
        with one_sentence():
            Settings.of(**chosen)  # what is wrong with them alone is said before PyTorch is loaded
    with one_sentence(), one_voice() as ranks:
        ranks.compare({"out": out, "resume": resume, **chosen})
        settings, folder = ranks.from_rank_zero(lambda: _asked(chosen, out, resume))

        from pyg_hiersmooth.cli.plot import can_plot
        from pyg_hiersmooth.cli.table import print_summary
        from pyg_hiersmooth.experiment import Experiment

        with _interruptible(folder):
            will_plot = ranks.is_first and can_plot()
            experiment = Experiment(settings, folder)
            outcome = experiment.run(progress, say=click.echo)
            if will_plot:
                _draw(outcome, settings.title, folder)
        if ranks.is_first:
            print_summary(outcome.summary, settings.title, experiment.task.noun)
            click.echo(outcome.summary.in_words(experiment.task.noun))
            if outcome.summary.sets is not None:
                click.echo(outcome.summary.sets.statement)
            click.echo(f"The run is in {folder}")


def _asked(
    chosen: dict[str, Any], out: Path | None, resume: Path | None
) -> tuple[Settings, RunFolder]:
    r"""What is to be done, and the folder of it: a new one, or that of the run to be resumed."""
    from pyg_hiersmooth.experiment import RunFolder
    from pyg_hiersmooth.sampling.ranks import was_restarted

    if resume is not None:
        folder = RunFolder(resume)
        return _agreed(chosen, folder.read_settings()), folder
    settings = Settings.of(**chosen)
    folder = RunFolder(out or Path("runs", settings.name))
    if folder.settings.exists() and not was_restarted():
        raise Failure(
            f"'--out {folder}' holds {folder.state} already: continue it with '--resume {folder}', "
            "or choose another '--out'"
        )
    return settings, folder


def _draw(outcome: Outcome, title: str, folder: RunFolder) -> None:
    from pyg_hiersmooth.plotting import plot_certificates, plot_collective, plot_set_sizes

    if outcome.certificate is None:
        return
    plot_certificates({title: (outcome.certificate, outcome.labels)}, folder.plot)
    summary = outcome.summary
    if summary.collective is not None:
        curves = {
            f"{'' if changes == 'anything' else f'{changes}, '}one attack on {whom}": [
                summary.accuracy,
                *shares,
            ]
            for changes, rows in summary.collective.by_changes.items()
            for whom, shares in zip(("all", "each"), rows, strict=True)
        }
        changed = [0, *summary.collective.changed]
        told = f"{title}\n{summary.smoothing}"
        plot_collective(changed, curves, summary.accuracy, told, folder.collective_plot, 2)
    if summary.sets is not None and summary.sets.curves:
        sets, counted = summary.sets, outcome.certificate.counted
        sizes = {name: [cell.size for cell in cells] for name, cells in sets.curves.items()}
        told = f"{title}, coverage {sets.nominal:g}\n{summary.smoothing}"
        plot_set_sizes(
            sets.changed, sizes, sets.num_classes, told, folder.sets_plot, entities=counted
        )


def _agreed(chosen: dict[str, Any], stored: Settings) -> Settings:
    r"""The settings of the run to be resumed, which options must agree with."""
    for name, (there, here) in differences(stored.options, stored.options | chosen).items():
        raise ValueError(
            f"{name!r} does not agree with the run to be resumed: {here} here, {there} there"
        )
    return stored.having(**{name: chosen[name] for name in UNIMPORTANT if name in chosen})


@contextmanager
def _interruptible(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not folder.settings.exists():
            raise Interrupted("Interrupted before anything was kept") from None
        command = f"hiersmooth certify --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"Interrupted; continue with: {command}") from None
