r"""What came out of a run, as a table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group
from rich.table import Table

from pyg_hiersmooth.experiment.collective_summary import REPORTED_IN_ALL, CollectiveSummary
from pyg_hiersmooth.experiment.sets_summary import SetsSummary
from pyg_hiersmooth.experiment.summary import Summary


def print_summary(summary: Summary, title: str, noun: str = "nodes") -> None:
    r"""Prints the summary to standard output."""
    tables = [_summary(summary, title, noun), _certified(summary)]
    if summary.collective is not None:
        tables.append(_collective(summary.collective, noun))
    if summary.sets is not None:
        tables.append(_sets(summary.sets))
    Console(highlight=False).print(Group(*tables))


def _summary(summary: Summary, title: str, noun: str) -> Table:
    seconds = summary.seconds_per_sample
    table = Table(title=title, show_header=False, box=box.SIMPLE, title_justify="left")
    table.add_row("Smoothing", summary.smoothing)
    if summary.threat:
        table.add_row("Against", summary.threat)
    table.add_row(f"Certified {noun}", f"{summary.num_nodes}")
    table.add_row("Accuracy of the smoothed classifier", f"{summary.accuracy:.1%}")
    if summary.majority is not None:
        table.add_row("Share of the most frequent class", f"{summary.majority:.1%}")
    table.add_row("Abstained", f"{summary.abstained:.1%}")
    table.add_row(
        "Time per outcome" if summary.exact else "Time per sample",
        "(nothing left to sample)" if seconds is None else f"{1e3 * seconds:.2f} ms",
    )
    if summary.mean_samples is not None:
        table.add_row(
            f"Samples per {noun[:-1]}",
            f"{summary.mean_samples:,.0f} on average, {summary.median_samples:,.0f} in the median",
        )
    for answer in summary.asked:
        asked = f"r = {answer.r}, {answer.changes}"
        table.add_row(f"Correct, robust to {asked}", f"{answer.accuracy:.1%}")
    table.add_row("Features", summary.feature_path)
    return table


def _certified(summary: Summary) -> Table:
    title = "Certified accuracy, exact" if summary.exact else "Certified accuracy"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    table.add_column("Adversary changes, in total")
    heads, rows = summary.table()
    for head in heads:
        table.add_column(head, justify="right")
    for description, accuracies in rows.items():
        table.add_row(description, *(f"{accuracy:.1%}" for accuracy in accuracies))
    return table


def _collective(summary: CollectiveSummary, noun: str) -> Table:
    summary = summary.only(REPORTED_IN_ALL)
    title = f"Certified accuracy, one attack on all {noun} or on each"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    table.add_column("Changes, in total")
    table.add_column("attack on")
    for r in summary.changed:
        table.add_column(f"r = {r}", justify="right")
    for changes, (together, alone) in summary.by_changes.items():
        table.add_row(changes, "all", *(f"{share:.1%}" for share in together))
        table.add_row("", "each", *(f"{share:.1%}" for share in alone))
    return table


def _sets(summary: SetsSummary) -> Table:
    summary = summary.reported
    title = f"Prediction sets, coverage {summary.nominal:g}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left", caption_justify="left")
    table.add_column("Changes, in total")
    table.add_column("of the sets")
    for head in summary.heads:
        table.add_column(head, justify="right")
    for changes, cells in summary.by_changes.items():
        marked = (f"{cell.size:.2f}{'*' if cell.uninformative else ''}" for cell in cells)
        table.add_row(changes, "size", *marked)
        table.add_row("", "coverage", *(f"{cell.coverage:.1%}" for cell in cells))
    if any(cell.uninformative for cell in summary.sizes):
        table.caption = "* some classes are in every set, whatever the votes"
    return table
