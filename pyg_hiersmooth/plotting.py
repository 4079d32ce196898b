r"""Figures of certified accuracy."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike

from pyg_hiersmooth.chart import Chart, Panel
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.files import replace_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b", "#000000")
r"""Distinguishable for color-blind readers (Okabe & Ito 2008)."""

MARKERS = "os^DvPX*"
MOST_CHANGED, MOST_SHOWN = 3, 60
LINE_WIDTH = 1.7
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


MOST_COLUMNS = 4
BESIDE: dict[str, Any] = {
    "loc": "outside right center",
    "frameon": False,
    "fontsize": "small",
    "handlelength": 2.8,
}
r"""How a legend stands where neither a curve nor a title can cross it."""

MOST_IN_LEGEND = 60
r"""Most letters in a line of a legend."""

IN_WORDS = {"p_plus": "$p_+$", "p_minus": "$p_-$", "std": r"$\sigma$", "p": "$p$"}
COUNTED = {"num_groups": "groups", "num_partitions": "partitions"}
UNTITLED = ("seed", "dealing")
r"""What a title leaves out."""


@cache
def _shown_figure() -> type[Figure]:
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        r"""A figure that a notebook shows without a magic."""

        def _repr_png_(self) -> bytes:
            png = BytesIO()
            self.savefig(png, format="png", dpi=110)
            return png.getvalue()

    return ShownFigure


def new_figure(width: float, height: float) -> Figure:
    r"""A figure of a size in inches, which needs no display and shows itself in a notebook.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    require("matplotlib", extra="plot")
    return _shown_figure()(figsize=(width, height), layout="constrained")


class Explained(Protocol):
    r"""What is drawn of one object: an :class:`~pyg_hiersmooth.certificates.Explanation`."""

    @property
    def index(self) -> int:
        r"""Which object it is."""

    @property
    def prediction(self) -> int:
        r"""Its class."""

    @property
    def certificate(self) -> Any:
        r"""The certificate of it alone."""

    def largest_budgets(self, r: int) -> dict[str, float]:
        r"""For each axis of the budget, the largest strength."""


class Charted(Protocol):
    r"""What can be drawn: a :class:`~pyg_hiersmooth.certificates.Certificate`, for example."""

    def chart(self, y: ArrayLike) -> Chart:
        r"""The curves, given the labels."""


def plot_certificates(
    runs: Mapping[str, tuple[Charted, ArrayLike]],
    path: str | os.PathLike[str] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> Figure:
    r"""Draws the certified accuracy of one or more certificates over the adversary's budget.

    There is a panel for each budget of the noise, such as deletions and additions, with a curve
    for each of :math:`r = 1, 2, 3` changed nodes, or one panel over :math:`r` if the noise takes no
    budget. The curves are exact steps. Thin lines mark the accuracy without an adversary. Needs the
    extra ``plot``, and no display.

    Args:
        runs (Mapping): For each name, a certificate and the labels of its objects, integers
            ``[M]``; all of one family of noise, so that their budgets can be compared.
        path (str or os.PathLike, optional): Where to save the figure, in the format of its
            suffix, PNG without one. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to draw, one for each panel. (default: a new
            figure)

    Raises:
        ValueError: If there are no runs or too many, noises are mixed, labels do not fit, there
            are too few or too many axes, or the suffix is no format of matplotlib.
        ImportError: If matplotlib is not installed.
        OSError: If :obj:`path` cannot be written.
    """
    if not 1 <= len(runs) <= len(LINE_STYLES):
        raise ValueError(f"'runs' must hold 1 to {len(LINE_STYLES)} certificates (got {len(runs)})")
    charts = {name: certificate.chart(y) for name, (certificate, y) in runs.items()}
    _check_budgets(charts)
    by_budget = list(zip(*(chart.panels for chart in charts.values()), strict=True))
    if ax is None:
        width = 10.6 if len(by_budget) > 1 else 7.0
        figure = new_figure(width, 3.8)
        axes = list(figure.subplots(1, len(by_budget), sharey=True, squeeze=False)[0])
    else:
        axes = _given(ax, len(by_budget))
        figure = cast("Figure", axes[0].figure)
    for panels, each in zip(by_budget, axes, strict=True):
        _draw_panels(each, panels)
        for chart, style in zip(charts.values(), LINE_STYLES, strict=False):
            each.axhline(chart.clean_accuracy, color="0.45", linewidth=0.9, linestyle=style)
    axes[0].set_ylabel("Certified accuracy")
    _draw_legends(axes, _names(charts), by_budget[0][0], whole=ax is None)
    if ax is None:
        _set_title(figure, _title(charts))
    return _saved(figure, path)


def _given(ax: Axes | Sequence[Axes], count: int) -> list[Axes]:
    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(axes) != count:
        raise ValueError(f"'ax' must be {count} axes, one for each panel (got {len(axes)})")
    return axes


def _check_budgets(charts: Mapping[str, Chart]) -> None:
    smoothings = {chart.budgets: chart.smoothing for chart in charts.values()}
    if len(smoothings) > 1:
        held = " and ".join(smoothings.values())
        raise ValueError(f"'runs' must share one kind of budget (got {held})")


def _draw_panels(ax: Axes, panels: Sequence[Panel]) -> None:
    r"""Draws the panels of several runs over each other. If curves coincide, the lower ones are
    wider.
    """
    for run, panel in enumerate(panels):
        for i, curve in enumerate(panel.curves):
            ax.step(
                curve.x,
                curve.accuracy,
                where="post",
                color=COLORS[run if curve.r is None else i],
                linestyle=LINE_STYLES[run],
                linewidth=LINE_WIDTH + 1.2 * (len(panel.curves) - 1 - i),
                marker=MARKERS[run if curve.r is None else i] if panel.whole else None,
                markersize=4.0 + 1.5 * (len(panel.curves) - 1 - i),
            )
    if not any(curve.accuracy[1:].any() for panel in panels for curve in panel.curves):
        ax.text(0.5, 0.5, "nothing is certified", ha="center", transform=ax.transAxes)
    end = max(curve.x[-1] for panel in panels for curve in panel.curves)
    ax.set_xlabel(panels[0].label)
    ax.set_xlim(0.0, 1.03 * end or 1.0)
    _set_look(ax, panels[0].whole)


def _draw_legends(axes: list[Axes], names: list[str], panel: Panel, whole: bool) -> None:
    from matplotlib.lines import Line2D

    def entry(label: str, **look: Any) -> Line2D:
        return Line2D([], [], label=label, **{"linewidth": LINE_WIDTH, **look})

    changed = [curve.r for curve in panel.curves if curve.r is not None]
    curves = [
        entry(f"$r = {r}$", color=COLORS[i], marker=MARKERS[i] if panel.whole else None)
        for i, r in enumerate(changed)
    ]
    curves.append(entry("clean accuracy", color="0.45", linewidth=0.9))
    if not whole:  # beside axes of someone else there may be no place
        axes[-1].legend(handles=curves, fontsize="small", framealpha=0.9, edgecolor="none")
        return
    figure = cast("Figure", axes[0].figure)
    figure.legend(handles=curves, **BESIDE)
    if len(names) > 1:
        runs = [
            entry(name, color="0.2" if changed else COLORS[i], linestyle=LINE_STYLES[i])
            for i, name in enumerate(names)
        ]
        legend_below(figure, runs)


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    r"""Puts a legend below all panels, in as many columns as fit, and makes the figure as much
    higher.
    """
    for columns in range(min(len(handles), MOST_COLUMNS), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize="small",
            handlelength=2.8,
        )
        size = legend.get_window_extent()
        if columns == 1 or size.width < 0.98 * figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + size.height / figure.dpi)


def _names(charts: Mapping[str, Chart]) -> list[str]:
    r"""The names of runs, with their adversaries if these differ."""
    if len({chart.threat for chart in charts.values()}) == 1:
        return list(charts)
    return [
        textwrap.fill(f"{name}, against: {chart.threat}", MOST_IN_LEGEND)
        for name, chart in charts.items()
    ]


def _title(charts: Mapping[str, Chart]) -> str:
    smoothings = {chart.smoothing for chart in charts.values()}
    threats = [f"against: {threat}" for threat in {chart.threat for chart in charts.values()}]
    if len(smoothings) > 1:
        return "\n".join(["Certified accuracy", *(threats if len(threats) == 1 else [])])
    (smoothing,) = smoothings
    named = [name for name in charts if len(charts) == 1 and name not in smoothing]
    return "\n".join([*named, smoothing, *threats])


def _in_words(smoothing: str) -> str:
    r"""``p = 0.81`` for ``BernoulliSelection(p=0.81)``."""

    def words(found: re.Match[str]) -> str:
        name, inside = found.groups()
        if not inside:
            return str(name).removesuffix("Noise").lower()
        pairs = (pair.split("=", 1) for pair in inside.split(", "))
        return ", ".join(_setting(*pair) for pair in pairs if pair[0] not in UNTITLED)

    return re.sub(r"(\w+)\(([^()]*)\)", words, smoothing)


def _setting(name: str, value: str | None = None) -> str:
    if value is None:
        return name
    if name in COUNTED:
        return f"{value} {COUNTED[name]}"
    return f"{IN_WORDS.get(name, name)} = {value}"


def plot_explanation(explanation: Explained, ax: Axes | None = None) -> Figure:
    r"""Draws what one object withstands: the number of changed nodes over additions and deletions,
    the radius over the number of changed nodes, or whether it withstands any change of that many.

    Args:
        explanation (Explanation): What a certificate says about it.
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: a new figure)

    Raises:
        ImportError: If matplotlib is not installed.
    """
    ax = new_figure(5.0, 3.8).subplots() if ax is None else ax
    figure = cast("Figure", ax.figure)
    certificate = explanation.certificate
    ax.set_title(f"object {explanation.index}, class {explanation.prediction}", fontsize="medium")
    if certificate.noise.counts_flips:
        _draw_region(ax, explanation)
        return figure
    changed = range(1, MOST_CHANGED + 1)
    if certificate.noise.axes:
        axis = certificate.noise.axes[0]
        strengths = [explanation.largest_budgets(r)[axis.name] for r in changed]
        ax.set_ylabel(f"withstands {axis.label}")
    else:
        strengths = [float(certificate.is_robust(r)[0]) for r in changed]
        ax.set_yticks([0, 1], ["no", "yes"])
        ax.set_ylabel("withstands any change")
    ax.bar(changed, np.nan_to_num(strengths), color=COLORS[0], width=0.6)
    ax.set_xticks(changed)
    ax.set_xlabel(f"Changed {certificate.counted} $r$")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_region(ax: Axes, explanation: Explained) -> None:
    most = explanation.largest_budgets(1)
    shown = [min(max(int(most[name]), 0) + 2, MOST_SHOWN) for name in ("additions", "deletions")]
    grid = explanation.certificate.grid(MOST_CHANGED, *shown)[0]
    levels = grid[1:].sum(0)
    image = ax.imshow(
        levels, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=MOST_CHANGED
    )
    ax.set_xlabel("deletions")
    ax.set_ylabel("additions")
    ax.locator_params(integer=True)
    bar = ax.figure.colorbar(image, ax=ax, ticks=range(MOST_CHANGED + 1))
    bar.set_label(f"changed {explanation.certificate.counted} $r$")


def plot_collective(
    changed: Sequence[int],
    curves: Mapping[str, ArrayLike],
    clean_accuracy: float,
    title: str = "Certified accuracy",
    path: str | os.PathLike[str] | None = None,
    per_color: int = 1,
) -> Figure:
    r"""Draws certified accuracies over the number of changed nodes. Between two numbers, a curve
    shows what holds for the larger.

    Args:
        changed (sequence of int): Numbers of changed entities ``[L]``.
        curves (Mapping): For each name, certified accuracies ``[L]``.
        clean_accuracy (float): The accuracy without an adversary, a thin line.
        title (str): What stands above. (default: :obj:`"Certified accuracy"`)
        path (str or os.PathLike, optional): As in :func:`plot_certificates`.
            (default: :obj:`None`)
        per_color (int): How many consecutive curves share a color and differ in line style.
            (default: :obj:`1`)

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If :obj:`path` cannot be written.
    """
    figure = new_figure(9.6 if len(curves) > 3 else 8.0, 3.8)
    ax = figure.subplots()
    ax.axhline(clean_accuracy, color="0.45", linewidth=0.9, label="clean accuracy")
    for i, (name, accuracy) in enumerate(curves.items()):
        color, style = COLORS[i // per_color % len(COLORS)], LINE_STYLES[i % per_color]
        look: dict[str, Any] = {"color": color, "linestyle": style, "linewidth": LINE_WIDTH}
        look |= {"marker": "o", "markersize": 3.5}
        ax.step(changed, accuracy, where="pre", label=name, **look)
    ax.set_xlabel("Changed nodes $r$")
    ax.set_ylabel("Certified accuracy")
    _set_look(ax, True)
    figure.legend(**BESIDE)
    _set_title(figure, title)
    return _saved(figure, path)


def plot_set_sizes(
    changed: Sequence[int],
    curves: Mapping[str, ArrayLike],
    num_classes: int,
    title: str = "Prediction sets",
    path: str | os.PathLike[str] | None = None,
    ax: Axes | None = None,
    entities: str = "nodes",
) -> Figure:
    r"""Draws average sizes of prediction sets over the number of changed nodes. Between two
    numbers, a curve shows what holds for the larger. A thin line marks sets of all classes.

    Args:
        changed (sequence of int): Numbers of changed entities ``[L]``.
        curves (Mapping): For each name, average sizes ``[L]``.
        num_classes (int): Number of classes.
        title (str): What stands above. (default: :obj:`"Prediction sets"`)
        path (str or os.PathLike, optional): As in :func:`plot_certificates`.
            (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to draw. (default: a new figure)
        entities (str): What changes, in the plural. (default: :obj:`"nodes"`)

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If :obj:`path` cannot be written.
    """
    own = ax is None
    ax = new_figure(6.0, 3.8).subplots() if ax is None else ax
    figure = cast("Figure", ax.figure)
    ax.axhline(num_classes, color="0.45", linewidth=0.9, label="all classes")
    for (name, sizes), color in zip(curves.items(), COLORS, strict=False):
        ax.step(
            changed, sizes, where="pre", label=name, color=color, linewidth=LINE_WIDTH, marker="o"
        )
    ax.set_xlabel(f"Changed {entities} $r$")
    ax.set_ylabel("Average size of a set")
    _set_look(ax, True)
    ax.set_ylim(0.0, 1.05 * num_classes)
    ax.legend(frameon=False, fontsize="small")
    if own:
        _set_title(figure, title)
    return _saved(figure, path)


def _set_title(figure: Figure, title: str) -> None:
    lines = (
        line if "$" in line else textwrap.fill(line, int(14 * figure.get_figwidth()))
        for line in _in_words(title).splitlines()
    )
    title = "\n".join(lines)
    fits = max(map(len, title.splitlines()), default=0) <= 11 * figure.get_figwidth()
    figure.suptitle(title, fontsize="medium" if fits else "small")


def _set_look(ax: Axes, whole: bool) -> None:
    ax.set_ylim(0.0, 1.0)
    ax.locator_params(axis="x", integer=whole)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _saved(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    if path is not None:
        with replace_atomically(path) as file:
            figure.savefig(file, format=Path(path).suffix[1:] or "png", dpi=150)
    return figure
