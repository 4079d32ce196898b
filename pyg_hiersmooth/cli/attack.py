r"""``hiersmooth attack``: the accuracy that attacks leave of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.cli import options
from pyg_hiersmooth.cli.failure import load_pytorch, one_sentence
from pyg_hiersmooth.files import replace_atomically

if TYPE_CHECKING:
    import numpy as np

    from pyg_hiersmooth.attacks import Accuracies
    from pyg_hiersmooth.certificates import Certificate
    from pyg_hiersmooth.experiment import Experiment
    from pyg_hiersmooth.noise import Noise

CHANGED = (1, 3, 5)
r"""Numbers of changed nodes or edges, unless others are asked for."""


@click.command("attack", options.GroupedCommand, context_settings={"show_default": True})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--r",
    type=options.COUNT,
    multiple=True,
    cls=options.SettingOption,
    shown=", ".join(map(str, CHANGED)),
    help="Number of nodes or edges that an attack changes; may be given several times. With flips "
    "of edges alone, the budget says it.",
)
@options.budget_options
@click.option(
    "--targets", type=options.COUNT, help="Number of random nodes to attack. (default: all)"
)
@click.option(
    "--restarts", type=options.COUNT, default=4, help="Maximum number of attempts per node."
)
@click.option(
    "--num-samples",
    type=options.COUNT,
    default=1_000,
    help="Samples that judge an attempt, unless outcomes are enumerated.",
)
@click.option(
    "--seed",
    type=options.SEED,
    default=0,
    help="Seed of the targets, the attempts and the samples.",
)
@options.progress_option
def attack_command(
    folder: Path,
    r: tuple[int, ...],
    targets: int | None,
    restarts: int,
    num_samples: int,
    seed: int,
    progress: bool,
    **chosen: Any,
) -> None:
    """Attack the certified nodes of a run.

    DIR is a finished run of 'hiersmooth certify' on nodes. Each node is attacked by the adversary
    of its certificate, who changes at most r nodes or edges within the given budget. Prints the
    accuracy that is certified, the one that is left after attacks, and the clean one: the worst
    case lies between the first two. Leaves attack.json in DIR. Fails if a certified prediction
    changes, and leaves the attacked graph in contradiction.npz.

    \b
    Example:
      hiersmooth attack runs/ablation --r 1 --r 3
      hiersmooth attack runs/flips --r 1 --deletions 5 --targets 50
    """
    budget = options.given(chosen)
    with one_sentence():
        load_pytorch()
        from pyg_hiersmooth.attacks import SmoothedAttack, attacked_accuracies
        from pyg_hiersmooth.errors import ContradictionError
        from pyg_hiersmooth.experiment.smoothing import build_transform

        experiment, certificate, labels = _load(folder)
        task, run = experiment.task, experiment.folder
        smoothed: Any = task.smooth(experiment.model, build_transform(task.settings))
        attack = SmoothedAttack(smoothed, restarts, num_samples, seed)
        certificate, labels = _some(certificate, labels, targets, seed)
        try:
            changed = _changed(r, certificate.noise, budget)
            rows = attacked_accuracies(
                attack, task.data, certificate, labels, changed, progress, **budget
            )
        except ContradictionError as error:
            error.result.save(run.contradiction)
            raise RuntimeError(f"{error}, as '{run.contradiction}' does") from None
        kept = {
            "threat": certificate.threat,
            "budget": budget,
            "num_nodes": len(certificate),
            "restarts": restarts,
            "num_samples": None if certificate.exact else num_samples,
            "seed": seed,
            "accuracies": [row._asdict() for row in rows],
        }
        with replace_atomically(run.attack) as file:
            file.write((json.dumps(kept, indent=2) + "\n").encode())
    _print(rows, certificate)


def _load(folder: Path) -> tuple[Experiment, Certificate, np.ndarray]:
    r"""A finished run on nodes: the experiment, its certificate and its labels."""
    from pyg_hiersmooth.experiment import Experiment, RunFolder

    run = RunFolder(folder)
    settings = run.read_settings()
    if settings.data.task != "node":
        raise ValueError(f"'DIR' must hold a run on nodes (got one on graphs in '{folder}')")
    if not settings.smooths:
        raise ValueError(f"the run in '{folder}' is one without noise: it certified nothing")
    return Experiment.resume(folder), run.read_certificate(), run.read_labels()


def _changed(r: tuple[int, ...], noise: Noise, budget: dict[str, Any]) -> tuple[int, ...]:
    r"""How many nodes or edges attacks change."""
    if not noise.budget_is_r:
        return r or CHANGED
    if r:
        raise ValueError(
            f"'--r' does nothing where the budget says how many edges change: leave it out (got "
            f"{', '.join(map(str, r))})"
        )
    return (int(noise.reach(**noise.check_budget(**budget))),)


def _some(
    certificate: Certificate, labels: np.ndarray, targets: int | None, seed: int
) -> tuple[Certificate, np.ndarray]:
    r"""The certificate of so many random nodes, and their labels."""
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(certificate))[:targets]
    return certificate.subset(np.sort(chosen)), labels[np.sort(chosen)]


def _print(rows: list[Accuracies], certificate: Certificate) -> None:
    r"""Prints certified, attacked and clean accuracies."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"Accuracy of {len(certificate)} nodes: {certificate.threat}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for head in rows[0]._fields:
        table.add_column(head, justify="right")
    for r, *shares in rows:
        table.add_row(str(r), *(f"{share:.1%}" for share in shares))
    Console(highlight=False).print(table)
