r"""Results as tables."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from statistics import median

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pyg_hiersmooth.choices import Kind
from pyg_hiersmooth.experiment.smoothing import certified_noise
from pyg_hiersmooth.study.budgets import reported_budgets
from pyg_hiersmooth.study.methods import Method
from pyg_hiersmooth.study.pareto import ADVERSARIES, best_settings, outcomes
from pyg_hiersmooth.study.results import (
    CHANGED_IN_ALL,
    Group,
    Result,
    groups,
    structure_groups,
    tallies,
)

CHANGED, CHANGED_AT_WILL = (1, 2, 3, 5), (1, 2, 3, 5, 7, 10)

NUM_LEAST = 5
r"""How many clean accuracies are asked of settings, a percent apart, up to what some reach."""


def tables(
    results: Iterable[Result], kind: Kind, part: str = "test", narrow: bool = False
) -> list[Table]:
    r"""A table for each dataset and model: mean and standard deviation over seeds, in percent.

    Args:
        results (list of Result): What to show.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)
        narrow (bool): Whether to leave out the largest budgets and what does not tell methods
            apart, so that a terminal of 80 columns has room for one seed. (default: :obj:`False`)
    """
    return [_table(group, kind, part, narrow) for group in groups(results)]


def chosen_settings(results: Iterable[Result], kind: Kind) -> list[Table]:
    r"""For each dataset, model, adversary and kind of method, the setting that certifies most
    validation nodes, and what it does on test nodes, in percent.

    Args:
        results (list of Result): Results of many settings, for validation and test nodes.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
    """
    return [_choices(group, kind) for group in groups(results)]


def front_tables(results: Iterable[Result], kind: Kind, part: str = "test") -> list[Table]:
    r"""For each dataset, model and adversary, the most that each method certifies with a setting
    of at least a given clean accuracy, in percent.

    Args:
        results (list of Result): Results of many settings.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)
    """
    return [_fronts(group, kind, part) for group in groups(results)]


def structure_tables(results: Iterable[Result], kind: Kind, part: str = "test") -> list[Table]:
    r"""For each dataset, model and adversary who changes edges, a table over the number of what it
    changes: mean and standard deviation over seeds, in percent.

    Args:
        results (list of Result): Results, of which those count that are about edges.
        kind (str): The kind of certificate, ``"multiclass"`` or ``"binary"``.
        part (str): The part of the split. (default: :obj:`"test"`)
    """
    results = list(results)
    return [
        _structure_table(group, kind, part)
        for changes in ("messages", "edges")
        for group in structure_groups(results, changes)
    ]


def collective_tables(results: Iterable[Result], part: str = "test") -> list[Table]:
    r"""For each dataset and model, what one attack on all nodes leaves, where nodes are changed at
    will: mean and standard deviation over seeds, in percent, and what a run took.

    Args:
        results (list of Result): Results, of which those count that have it.
        part (str): The part of the split. (default: :obj:`"test"`)
    """
    found = [each for each in results if each.parts[part]["multiclass"].collective is not None]
    return [_collective_table(group, part) for group in groups(found)]


def markdown(tables: Iterable[Table]) -> str:
    r"""Tables as Markdown, each below its title."""
    texts = []
    for table in tables:
        plain = copy(table)
        plain.title, plain.box = None, box.MARKDOWN
        console = Console(width=1_000, color_system=None)
        with console.capture() as capture:
            console.print(plain)
        lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
        texts.append("\n".join([f"**{table.title}**", "", *lines]))
    return "\n\n".join(texts) + "\n"


def _table(group: Group, kind: Kind, part: str, narrow: bool) -> Table:
    table = Table(title=f"{group.title}, {kind}", box=box.SIMPLE, title_justify="left")
    budgets = reported_budgets(group.noise, 2 if narrow else None)
    table.add_column("method")
    heads = ["clean"] if narrow else ["seeds", "passes", "seconds", "clean", "abstained"]
    for head in (*heads, "r", *(budget.head for budget in budgets)):
        table.add_column(head, justify="right", no_wrap=True)
    for method, results in group.seeds.items():
        seeds = tallies(results, part, kind)
        told = {
            "seeds": f"{len(seeds)}",
            **_cost(results),
            "clean": _mean_and_std(tally.clean_accuracy for tally in seeds),
            "abstained": _mean_and_std(tally.abstained_share for tally in seeds),
        }
        start = [method.title, *(told[head] for head in heads)]
        if method.noise == "none":
            table.add_row(*start)
            continue
        for r in CHANGED[:1] if method.selects_all else CHANGED:
            certified = [
                _mean_and_std(budget.certified_accuracy(tally, r) for tally in seeds)
                for budget in budgets
            ]
            table.add_row(*start, "any" if method.selects_all else f"{r}", *certified)
            start = [""] * len(start)
    return table


def _structure_table(group: Group, kind: Kind, part: str) -> Table:
    title = f"{group.title}, {kind}, against: {_threat(next(iter(group.seeds)))}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    table.add_column("method")
    for head in ("seeds", "passes", "seconds", "clean", *(f"r={r}" for r in CHANGED_AT_WILL)):
        table.add_column(head, justify="right", no_wrap=True)
    for method, results in group.seeds.items():
        seeds = tallies(results, part, kind)
        table.add_row(
            method.title,
            f"{len(seeds)}",
            *_cost(results).values(),
            _mean_and_std(tally.clean_accuracy for tally in seeds),
            *(
                _mean_and_std(tally.certified_accuracy(r) for tally in seeds)
                for r in CHANGED_AT_WILL
            ),
        )
    return table


def _threat(method: Method) -> str:
    return certified_noise(method.smoothing, method.pairs).threat("nodes")


def _collective_table(group: Group, part: str) -> Table:
    table = Table(title=f"{group.title}, one attack on all", box=box.SIMPLE, title_justify="left")
    table.add_column("method")
    for head in ("passes", "seconds", "clean", *(f"r={r}" for r in CHANGED_IN_ALL)):
        table.add_column(head, justify="right", no_wrap=True)
    for method, results in group.seeds.items():
        seeds = tallies(results, part, "multiclass")
        shares = np.array([np.array(each.collective) / each.num_nodes for each in seeds])
        table.add_row(
            method.title,
            *_cost(results).values(),
            _mean_and_std(each.clean_accuracy for each in seeds),
            *(_mean_and_std(column) for column in shares.T),
        )
    return table


def _cost(results: list[Result]) -> dict[str, str]:
    r"""Forward passes of a run, and how long one took in the middle."""
    seconds = median(result.seconds for result in results)
    return {"passes": f"{results[0].run.num_samples:,}", "seconds": f"{seconds:.0f}"}


def _choices(group: Group, kind: Kind) -> Table:
    table = Table(title=f"{group.title}, {kind}", box=box.SIMPLE, title_justify="left")
    for head in ("adversary", "chosen on validation nodes"):
        table.add_column(head)
    for head in ("clean", "certified"):
        table.add_column(head, justify="right")
    for adversary in ADVERSARIES:
        for chosen in best_settings(group, adversary, kind).values():
            seeds = tallies(chosen, "test", kind)
            clean = _mean_and_std(tally.clean_accuracy for tally in seeds)
            certified = _mean_and_std(adversary.certified_accuracy(tally) for tally in seeds)
            table.add_row(str(adversary), chosen[0].run.method.title, clean, certified)
    return table


def _fronts(group: Group, kind: Kind, part: str) -> Table:
    results = [result for found in group.seeds.values() for result in found]
    names = list(dict.fromkeys(method.name for method in group.seeds))
    title = f"{group.title}, {kind}: {' / '.join(names)}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    table.add_column("adversary")
    highest = max(100 * each.correct // each.num_nodes for each in tallies(results, part, kind))
    percents = range(highest - NUM_LEAST + 1, highest + 1)
    for percent in percents:
        table.add_column(f"clean ≥ {percent}", justify="right")
    for adversary in ADVERSARIES:
        points = outcomes(results, adversary, kind, part)
        cells = ([_most(points[name], percent) for name in names] for percent in percents)
        table.add_row(str(adversary), *(" / ".join(cell) for cell in cells))
    return table


def _most(points: np.ndarray, percent: int) -> str:
    certified = points[points[:, 0] >= percent / 100, 1]
    return f"{100 * certified.max():.1f}" if certified.size else "-"


def _mean_and_std(shares: Iterable[float]) -> str:
    percents = 100 * np.fromiter(shares, float)
    mean = f"{percents.mean():.1f}"
    return mean if len(percents) < 2 else f"{mean} ± {percents.std(ddof=1):.1f}"
