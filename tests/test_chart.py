from __future__ import annotations

import numpy as np

from pyg_hiersmooth.chart import Chart, Curve, Panel


def test_budgets_tell_charts_apart() -> None:
    def budgets(label: str, whole: bool) -> tuple[tuple[str, bool], ...]:
        curve = Curve(np.zeros(1), np.zeros(1))
        return Chart("smoothing", "anybody", 0.5, (Panel(label, whole, (curve,)),)).budgets

    assert budgets("additions", True) == budgets("additions", True)
    assert len({budgets("a", True), budgets("b", True), budgets("a", False)}) == 3
