r"""``hiersmooth tune``: the smoothing that certifies most."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
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
)
from pyg_hiersmooth.cli.settings import NOISE_SETTINGS, flag

if TYPE_CHECKING:
    from pyg_hiersmooth.tuning import TunedSmoothing

SHOWN = 5
r"""Smoothings that are printed."""


@click.command("tune", context_settings={"show_default": True})
@click.option("--dataset", default="CitationSBM", help="Dataset, as in 'hiersmooth certify'.")
@click.option(
    "--root", default="data", help="Folder of the datasets, downloaded to there if missing."
)
@click.option(
    "--model",
    type=NODE_MODEL,
    default="gcn",
    help="Graph neural network to smooth; or a class of your own, called as "
    "Class(in_channels, num_classes).",
)
@click.option(
    "--noise", type=click.Choice(list(NOISE_SETTINGS)), default="flips", help="Noise to tune."
)
@click.option("--r", type=COUNT, default=1, help="Most nodes that the adversary changes.")
@click.option("--additions", type=click.IntRange(0), help="Ones added in all (flips only).")
@click.option("--deletions", type=click.IntRange(0), help="Ones deleted in all (flips only).")
@click.option("--eps", type=POSITIVE, help="Distance in all (continuous noise only).")
@click.option(
    "--min-clean-accuracy",
    type=PROBABILITY,
    default=0.0,
    help="Least accuracy without an adversary; smoothings with less rank behind.",
)
@click.option("--trials", type=COUNT, default=30, help="Smoothings to try.")
@click.option("--n0", type=COUNT, default=200, help="Samples that select the class of a node.")
@click.option("--n", type=COUNT, default=1_000, help="Samples that bound its probability.")
@click.option(
    "--alpha", type=ALPHA, default=0.01, help="Probability that the certificate of a node is wrong."
)
@click.option(
    "--kind",
    type=click.Choice(["multiclass", "binary"]),
    default="multiclass",
    help="What the class of a node must beat: every other class, or one half.",
)
@click.option("--seed", type=SEED, default=0, help="Seed of everything that is random.")
@click.option("--max-epochs", type=COUNT, default=1_000, help="Most epochs of training.")
@click.option(
    "--patience", type=COUNT, default=50, help="Epochs without improvement that end training."
)
@click.option("--lr", type=POSITIVE, default=1e-3, help="Learning rate.")
@click.option(
    "--num-workers",
    type=click.IntRange(0),
    show_default="one a core",
    help="Processes that sample on a CPU; 0 samples in the main one.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="runs/tune-<dataset>-<model>-<noise>-seed<seed>.jsonl",
    help="File that keeps the trials; a search that was stopped goes on from it.",
)
@click.option("--no-progress", is_flag=True, help="Show no progress bar.")
def tune_command(out: Path | None, no_progress: bool, **options: Any) -> None:
    """Search the noise that certifies most validation nodes.

    Tries selection probabilities and parameters of the noise: each trial trains the model under
    it, and certifies the validation nodes against the given adversary. Prints the best ones, and
    the command that certifies test nodes with the first. Needs Optuna, which comes with the extra
    'tune'.

    \b
    Example:
      hiersmooth tune --noise flips --r 1 --deletions 5 --min-clean-accuracy 0.78
      hiersmooth tune --model my_models:MyGNN --noise ablation --r 3
    """
    search = Search(**options)
    with one_sentence():
        try:
            ranking = search.run(out or search.default_out, progress=not no_progress)
        except KeyboardInterrupt:
            raise Interrupted("Interrupted; the same command goes on") from None
        search.report(ranking)


@dataclass(frozen=True)
class Search:
    r"""The options of ``hiersmooth tune``."""

    dataset: str
    root: str
    model: str
    noise: str
    r: int
    additions: int | None
    deletions: int | None
    eps: float | None
    min_clean_accuracy: float
    trials: int
    n0: int
    n: int
    alpha: float
    kind: str
    seed: int
    max_epochs: int
    patience: int
    lr: float
    num_workers: int | None

    @property
    def default_out(self) -> Path:
        model = self.model.replace(":", ".")
        return Path("runs", f"tune-{self.dataset}-{model}-{self.noise}-seed{self.seed}.jsonl")

    def run(self, file: Path, progress: bool) -> list[TunedSmoothing]:
        r"""Tries smoothings, those in the file included."""
        import torch

        from pyg_hiersmooth.cli.experiment import choose_device
        from pyg_hiersmooth.cli.model_class import build_named
        from pyg_hiersmooth.datasets import load_dataset, split_nodes
        from pyg_hiersmooth.models import MODELS
        from pyg_hiersmooth.training import train_node_classifier
        from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise
        from pyg_hiersmooth.tuning import tune_smoothing

        dataset = load_dataset(self.dataset, self.root)
        if len(dataset) != 1:
            raise ValueError(
                f"'--dataset {self.dataset}' holds {len(dataset)} graphs, but smoothings are tuned "
                "for the nodes of one"
            )
        data, num_classes = dataset[0], dataset.num_classes
        split = split_nodes(data.y, seed=self.seed)
        training: dict[str, Any] = {
            "lr": self.lr,
            "max_epochs": self.max_epochs,
            "patience": self.patience,
        }

        def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
            torch.manual_seed(self.seed)
            model = build_named(self.model, MODELS, data.num_features + 1, num_classes)
            model = model.to(choose_device(None))
            train_node_classifier(
                model, data, split, transform, seed=self.seed, progress=False, **training
            )
            return model

        file.parent.mkdir(parents=True, exist_ok=True)
        return tune_smoothing(
            train,
            data,
            split.val_index,
            num_classes,
            self.noise,
            self.r,
            min_clean_accuracy=self.min_clean_accuracy,
            num_trials=self.trials,
            n0=self.n0,
            n=self.n,
            alpha=self.alpha,
            kind=self.kind,
            seed=self._sampling_seed(),
            num_workers=self.num_workers,
            storage=file,
            training=f"{self.model}, {training}",
            progress=progress,
            **self._budget(),
        )

    def report(self, ranking: list[TunedSmoothing]) -> None:
        r"""Prints the best smoothings, and how to go on with the first."""
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
        if best.clean_accuracy < self.min_clean_accuracy:
            click.secho(
                f"No smoothing reached a clean accuracy of {self.min_clean_accuracy:.1%}",
                fg="yellow",
            )
        click.echo(f"Certify test nodes with: {self._certify(best)}")

    def _sampling_seed(self) -> int:
        r"""Not the seed of ``certify``: samples that chose a smoothing must not bound it."""
        return (self.seed + 2**31) % 2**32

    def _budget(self) -> dict[str, Any]:
        budget = {"additions": self.additions, "deletions": self.deletions, "eps": self.eps}
        return {name: value for name, value in budget.items() if value is not None}

    def _certify(self, best: TunedSmoothing) -> str:
        r"""The command that certifies test nodes."""
        names = (
            "dataset",
            "root",
            "model",
            "noise",
            "alpha",
            "kind",
            "seed",
            "max_epochs",
            "patience",
            "lr",
        )
        options = {name: getattr(self, name) for name in names} | best.parameters
        flags = [text for name, value in options.items() for text in (flag(name), f"{value}")]
        return shlex.join(["hiersmooth", "certify", *flags])
