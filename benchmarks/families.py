r"""Families of smoothing methods, and certified accuracy over the adversary's strength.

A study keeps one JSON file with a curve a setting, from which its table and picture are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import GaussianNoise
from pyg_hiersmooth.plotting import COLORS, MARKERS, new_figure
from pyg_hiersmooth.study.tables import markdown
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

HIERARCHICAL, GAUSSIAN = "hierarchical Gaussian", "flat Gaussian"
ABLATION, EXACT = "ablation", "exact ablation"
CHANGED = (1, 2, 3, 4)

Parts = Sequence[tuple[Certificate, np.ndarray]]


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
class Curve:
    r"""What one setting certifies, over all parts of a test set.

    Attributes:
        family (str): The family of methods.
        setting (str): The selection and the noise.
        clean (float): The share of objects predicted right; abstentions are not.
        certified (list): For each of :obj:`CHANGED`, the shares of those right and robust, at each
            strength; one share where entities change at will.
    """

    family: str
    setting: str
    clean: float
    certified: list[list[float]]

    @classmethod
    def of(
        cls,
        family: str,
        transform: HierarchicalNodeFeatureNoise,
        parts: Parts,
        strengths: np.ndarray,
    ) -> Curve:
        r"""That of certificates and labels, of one fold each."""

        def share(holds: Callable[[Certificate], np.ndarray]) -> float:
            hits = [holds(cert) & (cert.prediction == y) for cert, y in parts]
            return round(float(np.concatenate(hits).mean()), 4)

        budgets: list[dict[str, Any]] = [{}]
        if transform.noise.axes:
            budgets = [{"eps": eps} for eps in strengths.tolist()]
        certified = [
            [share(lambda certificate: certificate.is_robust(r, **budget)) for budget in budgets]  # noqa: B023
            for r in CHANGED
        ]
        setting = f"{transform.selection}, {transform.noise}"
        return cls(family, setting, share(lambda certificate: ~certificate.abstained), certified)

    def at(self, r: int, num_strengths: int) -> np.ndarray:
        r"""Certified accuracies at all strengths."""
        return np.broadcast_to(self.certified[CHANGED.index(r)], num_strengths)


@dataclass
class Study:
    r"""Curves on one dataset and model.

    Attributes:
        title (str): What they are about.
        strengths (list): The strengths ``eps`` of the adversary.
        shown (list): Those of them that a table shows.
        curves (list of Curve): One per setting.
    """

    title: str
    strengths: list[float]
    shown: list[float]
    curves: list[Curve] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Study:
        r"""Reads what :meth:`save` wrote."""
        content = json.loads(path.read_text())
        curves = [Curve(**curve) for curve in content.pop("curves")]
        return cls(**content, curves=curves)

    def save(self, path: Path) -> None:
        r"""Keeps all curves as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)) + "\n")

    def envelopes(self, r: int) -> dict[str, np.ndarray]:
        r"""The best certified accuracy of each family at each strength."""
        best: dict[str, np.ndarray] = {}
        for curve in self.curves:
            found = curve.at(r, len(self.strengths))
            best[curve.family] = np.maximum(best.get(curve.family, 0.0), found)
        return best


def table(study: Study) -> Table:
    r"""Every setting, in percent."""
    result = Table(title=study.title, box=box.SIMPLE, title_justify="left")
    result.add_column("method")
    heads = [f"r={r}, {eps:g}" for r in (1, 3) for eps in study.shown]
    for head in ("clean", *heads):
        result.add_column(head, justify="right", no_wrap=True)
    for curve in study.curves:
        cells = [
            f"{100 * curve.at(r, len(study.strengths))[study.strengths.index(eps)]:.1f}"
            for r in (1, 3)
            for eps in study.shown
        ]
        result.add_row(f"{curve.family}: {curve.setting}", f"{100 * curve.clean:.1f}", *cells)
    return result


def report(studies: Sequence[tuple[Path, Study]], head: str, docs: Path) -> None:
    r"""Prints the tables, and writes them and the pictures for the documentation."""
    docs.mkdir(parents=True, exist_ok=True)
    tables = [table(study) for _, study in studies]
    Console(width=160, highlight=False).print(*tables)
    (docs / "tables.md").write_text(f"{head}\n{markdown(tables)}")
    for path, study in studies:
        draw(study, docs / f"{path.stem}.png")


def draw(study: Study, path: Path) -> None:
    r"""Certified accuracy over eps, a panel for each r: the best of each family."""
    figure = new_figure(9.6, 3.4)
    panels = figure.subplots(1, len(CHANGED), sharey=True)
    for r, panel in zip(CHANGED, panels, strict=True):
        for color, marker, (family, best) in zip(
            COLORS, MARKERS, study.envelopes(r).items(), strict=False
        ):
            panel.plot(
                study.strengths, best, color=color, marker=marker, markevery=12, label=family
            )
        panel.set(title=f"r = {r}", xlabel="eps (l2)", ylim=(0, 1))
        panel.grid(color="0.9", linewidth=0.8)
    panels[0].set_ylabel("certified accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(f"{study.title}: the best setting of each family")
    figure.savefig(path, dpi=120)
