r"""``hiersmooth plot``: several runs in one figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyg_hiersmooth.cli.failure import load_pytorch, one_sentence
from pyg_hiersmooth.experiment.setting_parts import SamplingSettings, TrainingSettings, names
from pyg_hiersmooth.experiment.settings import differences
from pyg_hiersmooth.extras import require

if TYPE_CHECKING:
    from numpy import ndarray

    from pyg_hiersmooth.certificates import Certificate

SELF_EXPLAINING = ("dataset", "model", "noise", "selection", "kind", "checkpoint")
MINOR = ("n0", "checkpoint", *names(TrainingSettings))
r"""Settings that are named only if no others distinguish the runs."""


@click.command("plot", context_settings={"show_default": True})
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="certified_accuracy.png",
    help="File to draw to, in the format of its suffix (png, pdf, svg); an old one is replaced.",
)
def plot_command(folders: tuple[Path, ...], out: Path) -> None:
    """Draw the certified accuracy of several runs together.

    Each DIR is a finished run of 'hiersmooth certify'. The runs must share one kind of budget:
    flips, ablation, or a distance in one norm. The legend names the settings in which they
    differ. Needs matplotlib, which comes with the extra 'plot'.

    \b
    Example:
      hiersmooth plot runs/gcn runs/gat --out figure.pdf
    """
    with one_sentence():
        load_pytorch()
        from pyg_hiersmooth.plotting import plot_certificates

        names = run_names(folders)
        runs = [_load(folder) for folder in folders]
        plot_certificates(dict(zip(names, runs, strict=True)), out)
    click.echo(f"Drew {len(runs)} run{'s' if len(runs) > 1 else ''} to {out}")


def can_plot() -> bool:
    r"""Whether matplotlib is installed; says so where it is not."""
    try:
        require("matplotlib", extra="plot")
    except ImportError as error:
        click.secho(f"There will be no plot: {error}", fg="yellow", err=True)
        return False
    return True


def run_names(folders: tuple[Path, ...]) -> list[str]:
    r"""A name for each run: the settings that distinguish them, or else their folders.

    Raises:
        ValueError: If a folder holds no run, or is named twice.
    """
    from pyg_hiersmooth.experiment import RunFolder

    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("'DIR...' names a run twice")
    settings = [RunFolder(folder).read_settings() for folder in folders]
    if len(folders) == 1:
        return [settings[0].title]
    runs = [_without_defaults(each.options) for each in settings]
    found = {name for run in runs for name in differences(runs[0], run)} - {"device"}
    found -= {name for name in names(SamplingSettings) if len(_values(runs, name)) < 2}
    differing = [name for name in runs[0] if name in found]
    described = _describe_all(runs, [name for name in differing if name not in MINOR])
    if len(set(described)) < len(described):
        described = _describe_all(runs, differing)
    return [
        name if described.count(name) == 1 else f"{name} ({folder})".strip()
        for name, folder in zip(described, folders, strict=True)
    ]


def _values(runs: list[dict[str, Any]], name: str) -> set[object]:
    r"""The values of the runs that have them; an exact run has no samples."""
    return {run[name] for run in runs} - {None}


def _without_defaults(options: dict[str, Any]) -> dict[str, Any]:
    r"""Options without the obvious: that features are ablated."""
    return options | ({"ablate": None} if options["ablate"] == "features" else {})


def _describe_all(runs: list[dict[str, Any]], differing: list[str]) -> list[str]:
    return [", ".join(_describe(run, differing)) for run in runs]


def _describe(run: dict[str, Any], differing: list[str]) -> Iterator[str]:
    for name in differing:
        value = run[name]
        if value is not None and value != "bernoulli":  # its p is named
            yield str(value) if name in SELF_EXPLAINING else f"{name}={value}"


def _load(folder: Path) -> tuple[Certificate, ndarray]:
    from pyg_hiersmooth.experiment import RunFolder

    run = RunFolder(folder)
    if not run.read_settings().smooths:
        raise ValueError(f"the run in '{folder}' was made without noise: there is nothing to draw")
    return run.read_certificate(), run.read_labels()
