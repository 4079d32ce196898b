r"""What a picture of certified accuracy shows, as numbers: computed by certificates, drawn by
:mod:`~pyg_hiersmooth.plotting`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Curve:
    r"""Certified accuracy over a budget: constant from each ``x`` to the next.

    Attributes:
        x (numpy.ndarray): Strengths of the adversary, ascending from 0, ``[K]``.
        accuracy (numpy.ndarray): Certified accuracies, float64 ``[K]``.
        r (int or None): Most entities that the adversary changes; :obj:`None` where these are what
            ``x`` counts.
    """

    x: np.ndarray
    accuracy: np.ndarray
    r: int | None = None


@dataclass(frozen=True)
class Panel:
    r"""Curves over one budget.

    Attributes:
        label (str): What the budget is.
        whole (bool): Whether it is counted in whole numbers.
        curves (tuple of Curve): The curves.
    """

    label: str
    whole: bool
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Chart:
    r"""The certified accuracy of one smoothed classifier.

    Attributes:
        smoothing (str): The selection and the noise.
        threat (str): The adversary, in one sentence.
        clean_accuracy (float): Accuracy without an adversary; abstentions count as wrong.
        panels (tuple of Panel): Certified accuracy over each budget.
    """

    smoothing: str
    threat: str
    clean_accuracy: float
    panels: tuple[Panel, ...]

    @property
    def budgets(self) -> tuple[tuple[str, bool], ...]:
        r"""What the panels are drawn over: charts that share it can share a picture."""
        return tuple((panel.label, panel.whole) for panel in self.panels)
