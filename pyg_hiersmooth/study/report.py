r"""Tables and charts on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from pyg_hiersmooth.certificates.vote_bounds import KINDS
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.study.charts import (
    at_will,
    draw_certified_accuracy,
    draw_changed_at_will,
    draw_pareto_fronts,
)
from pyg_hiersmooth.study.results import Result, groups
from pyg_hiersmooth.study.tables import (
    chosen_settings,
    collective_tables,
    front_tables,
    markdown,
    structure_tables,
    tables,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS_HEAD = """\
# Certified accuracy of test nodes

In percent, mean ± standard deviation over seeds, abstentions counting as wrong. An adversary
changes at most r nodes, by the total of deletions (without additions) or additions (without
deletions) at the head of a column; one who changes nothing leaves the clean accuracy. Passes are
those of sampling, and seconds the median of whole runs, training included, on one core.
"""

SWEEP_HEAD = """\
# One run per setting

Certified accuracy of test nodes in percent, abstentions counting as wrong.
"""

CHOSEN_HEAD = """\
## Settings that certify most validation nodes

Chosen against each adversary, for each method.
"""

TOGETHER_HEAD = """\
## One attack on all nodes

Test nodes, in percent, that are correct, and guaranteed to stay so under any single attack on r
nodes: the dual bounds of integer programs, ten seconds each. Sampled certificates hold for all
nodes at once here.
"""

STRUCTURE_HEAD = """\
## Adversaries who change edges

Each table has its own adversary: numbers of two of them are two different claims.
"""

FRONTS_HEAD = """\
## Settings of enough clean accuracy

The most that each method certifies of the test nodes, with its best setting for each cell. Chosen
on the nodes that it is reported on, this is fit to compare methods, and too good to expect.
"""


def report_methods(
    results: Sequence[Result], folder: Path, draw: bool = True, narrow: bool = False
) -> list[Table]:
    r"""Writes ``tables.md`` and a chart for each dataset and model, and another one where results
    say what one attack on all nodes leaves.

    Args:
        results (list of Result): What to report.
        folder (pathlib.Path): Where to.
        draw (bool): Whether to draw the charts, which takes matplotlib. (default: :obj:`True`)
        narrow (bool): Whether what is returned is for a narrow terminal. (default: :obj:`False`)

    Returns:
        The tables of the multi-class certificates.
    """
    shown = {kind: tables(results, kind) for kind in KINDS}
    every = [table for found in shown.values() for table in found]
    structure = structure_tables(results, "multiclass")
    together = collective_tables(results)
    text = f"{METHODS_HEAD}\n{markdown(every)}"
    if together:
        text += f"\n{TOGETHER_HEAD}\n{markdown(together)}"
    if structure:
        text += f"\n{STRUCTURE_HEAD}\n{markdown(structure)}"
    _write(text, folder / "tables.md")
    if draw:
        for group in groups(results):
            figure = draw_certified_accuracy(group, "multiclass")
            _save(figure, folder / f"{group.slug}-{group.noise}.png")
            if at_will(group):
                _save(draw_changed_at_will(group), folder / f"{group.slug}-at-will.png")
    return [*tables(results, "multiclass", narrow=narrow), *together, *structure]


def report_sweep(results: Sequence[Result], folder: Path, draw: bool = True) -> list[Table]:
    r"""Writes ``tables.md``, how the best settings of each method compare, and a chart of Pareto
    fronts for each dataset and model.

    Args:
        results (list of Result): What to report, for validation and test nodes.
        folder (pathlib.Path): Where to.
        draw (bool): Whether to draw the charts, which takes matplotlib. (default: :obj:`True`)

    Returns:
        The tables of the multi-class certificates.
    """
    chosen, fronts = chosen_settings(results, "multiclass"), front_tables(results, "multiclass")
    parts = SWEEP_HEAD, CHOSEN_HEAD, markdown(chosen), FRONTS_HEAD, markdown(fronts)
    _write("\n".join(parts), folder / "tables.md")
    if draw:
        for group in groups(results):
            points = [result for found in group.seeds.values() for result in found]
            figure = draw_pareto_fronts(points, "multiclass")
            _save(figure, folder / f"{group.slug}-pareto.png")
    return [*chosen, *fronts]


def _write(text: str, path: Path) -> None:
    with replace_atomically(path) as file:
        file.write(text.encode())


def _save(figure: Figure, path: Path) -> None:
    with replace_atomically(path) as file:
        figure.savefig(file, format="png", dpi=120)
