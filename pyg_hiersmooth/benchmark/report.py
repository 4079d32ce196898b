r"""Tables and figures on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from pyg_hiersmooth.benchmark.figures import draw_certified_accuracy, draw_pareto_fronts
from pyg_hiersmooth.benchmark.groups import groups
from pyg_hiersmooth.benchmark.result import Result
from pyg_hiersmooth.benchmark.tables import chosen_settings, markdown, tables
from pyg_hiersmooth.certificates.confidence import KINDS
from pyg_hiersmooth.cli.experiment import can_plot
from pyg_hiersmooth.files import replace_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report_methods(results: Sequence[Result], folder: Path) -> list[Table]:
    r"""Writes ``tables.md`` and, where matplotlib is installed, a figure for each dataset and
    model.

    Args:
        results (list of Result): What to report.
        folder (pathlib.Path): Where to.

    Returns:
        The tables of the multi-class certificates.
    """
    shown = {kind: tables(results, kind) for kind in KINDS}
    _write([table for found in shown.values() for table in found], folder / "tables.md")
    if can_plot():
        for group in groups(results):
            figure = draw_certified_accuracy(group, "multiclass")
            _save(figure, folder / f"{group.slug}-{group.noise}.png")
    return tables(results, "multiclass")


def report_sweep(results: Sequence[Result], folder: Path) -> list[Table]:
    r"""Writes ``chosen.md``, the settings that do best on validation nodes, and, where matplotlib
    is installed, the Pareto fronts for each dataset and model.

    Args:
        results (list of Result): What to report, for validation and test nodes.
        folder (pathlib.Path): Where to.

    Returns:
        The tables of the multi-class certificates.
    """
    _write(chosen_settings(results, "multiclass"), folder / "chosen.md")
    if can_plot():
        for group in groups(results):
            points = [result for found in group.seeds.values() for result in found]
            figure = draw_pareto_fronts(points, "multiclass")
            _save(figure, folder / f"{group.slug}-pareto.png")
    return chosen_settings(results, "multiclass")


def _write(tables: Iterable[Table], path: Path) -> None:
    with replace_atomically(path) as file:
        file.write(markdown(tables).encode())


def _save(figure: Figure, path: Path) -> None:
    with replace_atomically(path) as file:
        figure.savefig(file, format="png", dpi=120)
