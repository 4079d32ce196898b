r"""``hiersmooth report``: runs as one HTML file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pyg_hiersmooth.cli.failure import load_pytorch, one_sentence
from pyg_hiersmooth.cli.plot import run_names
from pyg_hiersmooth.extras import require


@click.command("report", context_settings={"show_default": True})
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    help="File to write; an old one is replaced.",
)
def report_command(folders: tuple[Path, ...], out: Path) -> None:
    """Write one HTML file about one run, or several side by side.

    Each DIR is a finished run of 'hiersmooth certify'. The file holds tables, curves, the graph
    with what each node withstands, and the certificate of a node at a click; any browser opens
    it, without a network. Needs bokeh, which comes with the extra 'report'.

    \b
    Example:
      hiersmooth report runs/gcn runs/gat --out report.html
    """
    with one_sentence():
        _check_writable(out)
        require("bokeh", extra="report")
        load_pytorch("pyg_hiersmooth.report")
        from pyg_hiersmooth.report import write_report

        write_report(dict(zip(_titles(folders), folders, strict=True)), out)
    runs = "1 run" if len(folders) == 1 else f"{len(folders)} runs"
    click.echo(f"Wrote {runs} to {out}: open it in a browser")


def _check_writable(out: Path) -> None:
    r"""Checks that the file can be written, before PyTorch is loaded."""
    if not os.access(out.absolute().parent, os.W_OK):
        raise ValueError(f"'--out' must name a file in a folder that can be written (got '{out}')")


def _titles(folders: tuple[Path, ...]) -> list[str]:
    r"""Model and noise of each run, and what distinguishes it from others with that title."""
    from pyg_hiersmooth.experiment import RunFolder
    from pyg_hiersmooth.report.reported_run import run_title

    run_names(folders)  # raises where a folder is named twice or holds no run
    titles = [run_title(RunFolder(folder).read_settings()) for folder in folders]
    found = list(titles)
    for title in {title for title in titles if titles.count(title) > 1}:
        alike = [i for i, other in enumerate(titles) if other == title]
        for i, name in zip(alike, run_names(tuple(folders[i] for i in alike)), strict=True):
            found[i] = f"{title}: {name}"
    return found
