r"""Prediction sets in numbers, in words and as a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyg_hiersmooth.certificates.checks import check_integers
from pyg_hiersmooth.certificates.set_thresholds import Attack
from pyg_hiersmooth.certificates.views.explanation import html_table
from pyg_hiersmooth.words import numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyg_hiersmooth.certificates.prediction_sets import PredictionSets

CHANGED = (0, 1, 2, 3, 5)
r"""Numbers of changed nodes that a table shows."""


def share_covered(approved: np.ndarray, labels: np.ndarray) -> float:
    r"""The share of sets, bool ``[M, C]``, that hold the label, int64 ``[M]``."""
    return mean(np.take_along_axis(approved, labels[:, None], axis=1))


def mean(values: np.ndarray) -> float:
    r"""The mean of numbers ``[M]``, 0 of none."""
    return float(values.sum() / max(len(values), 1))


def rows(
    find: Callable[[int], tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray | None,
    changed: Sequence[int],
) -> list[dict[str, Any]]:
    r"""What :meth:`~pyg_hiersmooth.certificates.PredictionSets.rows` says.

    Args:
        find (Callable): For a number of changed entities, the sets, and which classes are in them
            whatever the votes; both bool ``[M, C]``.
        labels (numpy.ndarray, optional): int64 ``[M]``.
        changed (sequence of int): Numbers of changed entities.
    """
    found = []
    for r in check_integers("changed", changed, least=0).tolist():
        approved, always = find(r)
        size = approved.sum(1)
        row: dict[str, Any] = {"r": r, "size": mean(size), "singletons": mean(size == 1)}
        if labels is not None:
            row["coverage"] = share_covered(approved, labels)
        found.append({**row, "uninformative": bool(always.any())})
    return found


def plot(
    sets: PredictionSets,
    rows: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str] | None,
    ax: Axes | None,
    counted: str,
) -> Figure:
    r"""Draws the average sizes in some :func:`rows` over the number of what is counted."""
    from pyg_hiersmooth.plotting import plot_set_sizes

    changed, sizes = [row["r"] for row in rows], [row["size"] for row in rows]
    title = f"{sets.nominal:.4g} coverage, {sets.selection}, {sets.noise}"
    return plot_set_sizes(changed, {"sets": sizes}, sets.num_classes, title, path, ax, counted)


def statement(sets: PredictionSets, r: int | None, budget: Mapping[str, Any]) -> str:
    r"""What :meth:`~pyg_hiersmooth.certificates.PredictionSets.statement` says."""
    attack = Attack.of(sets.noise, r, budget)
    who = " of each class" if sets.class_conditional else ""
    over = sets.noise.spares_target and attack.r > 0 and not attack.new_nodes
    taken_over = ", or the object itself is taken over" if over else ""
    return (
        f"With probability at least {sets.nominal:g}, over the random choice of calibration "
        f"and test objects{who}, the right class is in the set{taken_over}, "
        f"{_in_words(sets, attack)}."
    )


def in_one_line(sets: PredictionSets) -> str:
    r"""Its ``repr``."""
    told = "".join(f", {name}={value}" for name, value in _facts(sets))
    return (
        f"{type(sets).__name__}(coverage={sets.nominal:g}, {len(sets.index)} calibration "
        f"objects, {sets.selection}, {sets.noise}{told})"
    )


def as_html(sets: PredictionSets) -> str:
    r"""What a notebook shows of it."""
    rows = [
        ("coverage", f"{sets.nominal:g}{', of each class' if sets.class_conditional else ''}"),
        ("calibrated on", f"{len(sets.index):,} objects"),
        ("smoothing", f"{sets.selection}, {sets.noise}{', exact' if sets.exact else ''}"),
        *((name, f"{value:g}") for name, value in _facts(sets)),
        ("classes", str(sets.num_classes)),
        ("guarantee", statement(sets, 0, {})),
    ]
    return html_table("Prediction sets", rows)


def _facts(sets: PredictionSets) -> list[tuple[str, float]]:
    facts = [("approve", sets.approve), ("eta", None if sets.exact else sets.eta)]
    return [(name, value) for name, value in facts if value is not None]


def _in_words(sets: PredictionSets, attack: Attack) -> str:
    noise = sets.noise
    if attack.nothing:
        return "without an attack"
    if attack.new_nodes:
        return f"under at most {numbered(attack.r, 'new nodes')} with any edges"
    things = "pairs of nodes" if noise.of == "edges" else noise.counted or sets.entities
    changed = [numbered(attack.r, things or "entities")] if attack.r > 0 else []
    if not noise.axes:
        return f"under any change of at most {changed[0]}"
    norm = attack.norm or noise.norm
    distance = f" ({norm} distance)" if norm else ""
    strength = f"{noise.describe(**attack.strength)} in total{distance}"
    by = " and " if noise.of == "nodes and edges" else ", by "
    return f"under any change of at most {by.join([*changed, strength])}"
