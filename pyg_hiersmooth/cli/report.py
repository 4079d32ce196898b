r"""``hiersmooth report``: runs as one HTML file."""

from __future__ import annotations

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
        require("bokeh", extra="report")
        load_pytorch()
        from pyg_hiersmooth.report import write_report

        names = run_names(folders)
        write_report(dict(zip(names, folders, strict=True)), out)
    runs = "1 run" if len(folders) == 1 else f"{len(folders)} runs"
    click.echo(f"Wrote {runs} to {out}: open it in a browser")
