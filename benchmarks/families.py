r"""Families of smoothing methods, and certified accuracy over the adversary's strength."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HIERARCHICAL, GAUSSIAN, ABLATION = "hierarchical Gaussian", "flat Gaussian", "ablation"
MAX_R = 4


def gaussian_settings(
    ps: Sequence[float], stds: Sequence[float]
) -> dict[str, list[HierarchicalNodeFeatureNoise]]:
    r"""Gaussian noise on random entities, and on all of them (where the indicator is idle)."""
    return {
        HIERARCHICAL: [
            HierarchicalNodeFeatureNoise(p, GaussianNoise(std)) for p in ps for std in stds
        ],
        GAUSSIAN: [HierarchicalNodeFeatureNoise(1.0, GaussianNoise(std), False) for std in stds],
    }


@dataclass
class Result:
    r"""Certificates of one setting, and the labels they belong to.

    Args:
        family (str): The family of methods.
        transform (HierarchicalNodeFeatureNoise): The setting.
        parts (list): Certificates and labels, of one fold each.
    """

    family: str
    transform: HierarchicalNodeFeatureNoise
    parts: list[tuple[Certificate, np.ndarray]] = field(default_factory=list)

    def clean_accuracy(self) -> float:
        r"""The share of objects predicted right, over all parts."""
        return self._share(lambda certificate: ~certificate.abstained)

    def certified_accuracy(self, r: int, eps: float) -> float:
        r"""The share of objects predicted right and robust, over all parts."""
        budget = dict.fromkeys(self.transform.noise.budget, eps)
        return self._share(lambda certificate: certificate.is_robust(r, **budget))

    def _share(self, holds: Callable[[Certificate], np.ndarray]) -> float:
        hits = [holds(cert) & (cert.prediction == y) for cert, y in self.parts]
        return float(np.concatenate(hits).mean())


def envelopes(results: list[Result], r: int, strengths: np.ndarray) -> dict[str, np.ndarray]:
    r"""The best certified accuracy of each family at each strength."""
    best = {family: np.zeros(len(strengths)) for family in (HIERARCHICAL, GAUSSIAN, ABLATION)}
    for result in results:
        curve = np.array([result.certified_accuracy(r, eps) for eps in strengths])
        best[result.family] = np.maximum(best[result.family], curve)
    return best


def wins(
    results: list[Result], strengths: np.ndarray, min_clean: float = 0.0
) -> list[dict[str, Any]]:
    r"""Where the hierarchical family beats flat ones, and by how much at most, for each r.

    Args:
        results (list of Result): What was measured.
        strengths (numpy.ndarray): The strengths to compare at.
        min_clean (float): Least clean accuracy of the settings that count.
    """
    counting = [result for result in results if result.clean_accuracy() >= min_clean]
    rows = []
    for r in range(1, MAX_R + 1):
        best = envelopes(counting, r, strengths)
        both = np.maximum(best[GAUSSIAN], best[ABLATION])
        for rival, curve in (
            (GAUSSIAN, best[GAUSSIAN]),
            (ABLATION, best[ABLATION]),
            ("both", both),
        ):
            margin = best[HIERARCHICAL] - curve
            where, top = strengths[margin > 0], int(margin.argmax())
            row: dict[str, Any] = {"r": r, "min_clean": min_clean, "rival": rival, "wins": False}
            if where.size:
                row |= {"wins": True, "from_eps": where[0], "to_eps": where[-1]}
                row |= {"at_eps": strengths[top], "here": best[HIERARCHICAL][top]}
                row |= {"there": curve[top]}
            rows.append(row)
    return rows


def report(
    results: list[Result], strengths: np.ndarray, min_clean: float, title: str, path: Path
) -> None:
    r"""Prints and keeps the figures, and draws certified accuracy where matplotlib is installed."""
    shown = strengths[:: max(1, len(strengths) // 6)][1:5]
    table = Table(title=f"{title}: certified accuracy, r=1 and r={MAX_R}")
    for column in ("method", "clean", *(f"eps={eps:.2f}" for eps in shown)):
        table.add_column(column, justify="left" if column == "method" else "right")
    for result in results:
        cells = (
            "/".join(f"{result.certified_accuracy(r, eps):.1%}" for r in (1, MAX_R))
            for eps in shown
        )
        name = f"{result.family}: {result.transform.selection}, {result.transform.noise}"
        table.add_row(name, f"{result.clean_accuracy():.1%}", *cells)
    console = Console(width=160)
    console.print(table)
    rows = [row for least in (0.0, min_clean) for row in wins(results, strengths, least)]
    for row in rows:
        name = f"r={row['r']}, settings of clean accuracy >= {row['min_clean']:.1%}"
        if row["wins"]:
            console.print(
                f"{name}: beats {row['rival']} between eps={row['from_eps']:.2f} and "
                f"{row['to_eps']:.2f}, most at {row['at_eps']:.2f} ({row['here']:.1%} against "
                f"{row['there']:.1%})"
            )
        else:
            console.print(f"{name}: does not beat {row['rival']}")
    path.with_suffix(".json").write_text(json.dumps(rows, indent=2) + "\n")
    try:
        draw(results, strengths, title, path.with_suffix(".png"))
    except ImportError as error:
        console.print(f"There is no plot: {error}")


def draw(results: list[Result], strengths: np.ndarray, title: str, path: Path) -> None:
    r"""Certified accuracy over eps, a panel for each r: the best of each family."""
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.0 * MAX_R, 3.0), layout="constrained")
    panels = figure.subplots(1, MAX_R, sharey=True)
    for r, panel in enumerate(panels, start=1):
        for family, curve in envelopes(results, r, strengths).items():
            panel.plot(strengths, curve, label=family)
        panel.set(title=f"r = {r}", xlabel="eps (l2)", ylim=(0, 1))
    panels[0].set_ylabel("certified accuracy")
    panels[-1].legend(fontsize="small")
    figure.suptitle(f"{title}, best setting of each family")
    figure.savefig(path, dpi=150)
