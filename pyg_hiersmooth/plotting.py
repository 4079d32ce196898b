r"""Certified accuracy, drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.files import replace_atomically
from pyg_hiersmooth.noise import AdditiveNoise, SparseFlipNoise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGED = (1, 2, 3)
r"""Numbers :math:`r` of changed entities that have a curve of their own."""

MAX_BUDGET = 256
r"""Largest number of changes on an axis."""

COLORS = ("#0b5fa5", "#d1620a", "#2f8f4e", "#8a3fa0", "#b3261e", "#5b5b5b", "#008b9a", "#a07d00")
LINE_STYLES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-",
    (0, (4, 2)),
    (0, (1, 1)),
    (0, (6, 2, 1, 2)),
    (0, (9, 2)),
    (0, (6, 2, 1, 2, 1, 2)),
    (0, (2, 3)),
    (0, (9, 2, 3, 2)),
)


class Curve(NamedTuple):
    r"""Certified accuracy over a budget: constant from each ``x`` to the next."""

    x: np.ndarray
    accuracy: np.ndarray


Run = tuple[Certificate, ArrayLike]
Curves = Callable[[Certificate, ArrayLike], list[Curve]]


class Panel(NamedTuple):
    r"""What one pair of axes shows: its budget, in whole numbers or not, and how to compute the
    curves of a run.
    """

    budget: str
    curves: Curves
    whole: bool = True


def plot_certificates(
    runs: Mapping[str, Run], path: str | os.PathLike[str] | None = None
) -> Figure:
    r"""Draws the certified accuracy of one or more certificates over the adversary's budget.

    Flips get two panels, over deletions and over additions, and continuous noise one over
    :obj:`eps`, with a curve for each of :math:`r = 1, 2, 3` changed entities; ablation gets one
    over :math:`r`. The curves are exact steps. Thin lines mark the accuracy without an adversary.
    Needs the extra ``plot``, and no display.

    Args:
        runs (Mapping): For each name, a certificate and the labels of its objects, integers
            ``[M]``; all of one family of noise, so that their budgets can be compared.
        path (str or os.PathLike, optional): Where to save the figure, in the format of its
            suffix, PNG without one. (default: :obj:`None`)

    Raises:
        ValueError: If there are no runs or too many, noises are mixed, labels do not fit, or the
            suffix is no format of matplotlib.
        ImportError: If matplotlib is not installed.
        OSError: If :obj:`path` cannot be written.
    """
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    if not 1 <= len(runs) <= len(LINE_STYLES):
        raise ValueError(f"'runs' must hold 1 to {len(LINE_STYLES)} certificates (got {len(runs)})")
    panels = _panels(runs)
    width = 9.6 if len(panels) > 1 else 6.0
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, ax in zip(panels, axes, strict=True):
        _draw_panel(ax, panel, runs)
    axes[0].set_ylabel("Certified accuracy")
    _draw_legends(figure, list(runs), one_curve=_is_ablation(runs))
    figure.suptitle(_title(runs), fontsize="medium")
    if path is not None:
        with replace_atomically(path) as file:
            figure.savefig(file, format=Path(path).suffix[1:] or "png", dpi=150)
    return figure


def _panels(runs: Mapping[str, Run]) -> list[Panel]:
    families = {_family(certificate): str(certificate.noise) for certificate, _ in runs.values()}
    if len(families) > 1:
        raise ValueError(
            "'runs' must share one kind of budget, but hold " + " and ".join(families.values())
        )
    (family,) = families
    if family == "flips":
        return [
            Panel("Deletions (no additions)", _over_deletions),
            Panel("Additions (no deletions)", _over_additions),
        ]
    if family == "ablation":
        return [Panel("Changed entities $r$", _over_changed)]
    norm = {"l1": r"$\ell_1$", "l2": r"$\ell_2$"}[family]
    return [Panel(rf"{norm} distance $\epsilon$", _over_distance, whole=False)]


def _family(certificate: Certificate) -> str:
    if isinstance(certificate.noise, AdditiveNoise):
        return certificate.noise.norm
    return "flips" if isinstance(certificate.noise, SparseFlipNoise) else "ablation"


def _is_ablation(runs: Mapping[str, Run]) -> bool:
    return any(_family(certificate) == "ablation" for certificate, _ in runs.values())


def _over_deletions(certificate: Certificate, y: ArrayLike) -> list[Curve]:
    return _until_zero(
        lambda most: certificate.certified_accuracy_grid(y, max(CHANGED), 0, most)[CHANGED, 0, :]
    )


def _over_additions(certificate: Certificate, y: ArrayLike) -> list[Curve]:
    return _until_zero(
        lambda most: certificate.certified_accuracy_grid(y, max(CHANGED), most, 0)[CHANGED, :, 0]
    )


def _over_changed(certificate: Certificate, y: ArrayLike) -> list[Curve]:
    return _until_zero(lambda most: certificate.certified_accuracy_grid(y, most)[None])


def _until_zero(accuracies: Callable[[int], np.ndarray]) -> list[Curve]:
    r"""Curves over 0, 1, ... changes, up to the first number where all of them are zero."""
    most = 8
    while (surface := accuracies(most))[:, -1].any() and most < MAX_BUDGET:
        most *= 2
    end = int(surface.any(axis=0).sum()) + 1
    return [Curve(np.arange(len(row[:end])), row[:end]) for row in surface]


def _over_distance(certificate: Certificate, y: ArrayLike) -> list[Curve]:
    clean = certificate.clean_accuracy(y)
    correct = (certificate.prediction == np.asarray(y)) & ~certificate.abstained
    curves = []
    for r in CHANGED:
        radius = np.sort(certificate.radius(r)[correct])
        curves.append(
            Curve(np.concatenate([[0.0], radius]), np.linspace(clean, 0.0, len(radius) + 1))
        )
    return curves


def _draw_panel(ax: Axes, panel: Panel, runs: Mapping[str, Run]) -> None:
    end = 0.0
    for i, (certificate, y) in enumerate(runs.values()):
        style = LINE_STYLES[i]
        clean = certificate.clean_accuracy(y)
        ax.axhline(clean, color="0.45", linewidth=0.9, linestyle=style)
        curves = panel.curves(certificate, y)
        single = len(curves) == 1
        for j, curve in enumerate(curves):
            color, marker = COLORS[i if single else j], "o" if single else None
            ax.step(
                *curve, where="post", color=color, linestyle=style, linewidth=1.7, marker=marker
            )
            end = max(end, curve.x[-1])
    ax.set_xlabel(panel.budget)
    ax.set_xlim(0.0, 1.03 * end or 1.0)
    ax.set_ylim(0.0, 1.0)
    ax.locator_params(axis="x", integer=panel.whole)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_legends(figure: Figure, names: list[str], one_curve: bool) -> None:
    from matplotlib.lines import Line2D

    def entry(label: str, **look: Any) -> Line2D:
        return Line2D([], [], label=label, **{"linewidth": 1.7, **look})

    changed = () if one_curve else CHANGED
    curves = [entry(f"$r = {r}$", color=COLORS[i]) for i, r in enumerate(changed)]
    curves.append(entry("clean accuracy", color="0.45", linewidth=0.9))
    figure.axes[-1].legend(handles=curves, frameon=False, fontsize="small")
    if len(names) > 1:
        runs = [
            entry(name, color=COLORS[i] if one_curve else "0.2", linestyle=LINE_STYLES[i])
            for i, name in enumerate(names)
        ]
        figure.legend(
            handles=runs,
            loc="outside lower center",
            ncols=len(figure.axes),
            frameon=False,
            fontsize="small",
        )


def _title(runs: Mapping[str, Run]) -> str:
    smoothings = {
        f"{certificate.selection}, {certificate.noise}" for certificate, _ in runs.values()
    }
    if len(smoothings) > 1:
        return "Certified accuracy"
    (smoothing,) = smoothings
    named = [name for name in runs if len(runs) == 1 and name not in smoothing]
    return "\n".join([*named, smoothing])


def plot_collective(
    changed: Sequence[int],
    curves: Mapping[str, ArrayLike],
    clean_accuracy: float,
    title: str = "Certified accuracy",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    r"""Draws certified accuracies over the number of changed entities.

    Args:
        changed (sequence of int): Numbers of changed entities ``[L]``.
        curves (Mapping): For each name, certified accuracies ``[L]``.
        clean_accuracy (float): The accuracy without an adversary, a thin line.
        title (str): What stands above. (default: :obj:`"Certified accuracy"`)
        path (str or os.PathLike, optional): As in :func:`plot_certificates`.
            (default: :obj:`None`)

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If :obj:`path` cannot be written.
    """
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    ax = figure.subplots()
    ax.axhline(clean_accuracy, color="0.45", linewidth=0.9, label="clean accuracy")
    for i, (name, accuracy) in enumerate(curves.items()):
        look = {"color": COLORS[i % len(COLORS)], "linewidth": 1.7, "marker": "o"}
        ax.step(changed, accuracy, where="post", label=name, **look)
    ax.set_xlabel("Changed entities $r$")
    ax.set_ylabel("Certified accuracy")
    ax.set_ylim(0.0, 1.0)
    ax.locator_params(axis="x", integer=True)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")
    figure.suptitle(title, fontsize="medium")
    if path is not None:
        with replace_atomically(path) as file:
            figure.savefig(file, format=Path(path).suffix[1:] or "png", dpi=150)
    return figure
