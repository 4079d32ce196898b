from __future__ import annotations

import numpy as np
import pytest

from pyg_hiersmooth.certificates import (
    PredictionSets,
    certify_votes,
)
from pyg_hiersmooth.certificates.composed import EdgeSmoothing
from pyg_hiersmooth.experiment.sets_summary import SetsSummary
from pyg_hiersmooth.noise import AblationNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalEdgeNoise, HierarchicalNodeFeatureNoise

Y = np.arange(30) % 3


@pytest.mark.parametrize("noise", [AblationNoise(), SparseFlipNoise(0.05, 0.8)])
def test_sets_against_each_budget(noise: Noise) -> None:
    transform = HierarchicalNodeFeatureNoise(0.9, noise)
    approvals = 20 + np.arange(90).reshape(30, 3)
    approvals[np.arange(30), Y] = 460
    votes = np.tile([500, 0, 0], (30, 1))
    cal, test = (
        certify_votes(
            transform, votes, votes, index=index, approvals=approvals, approve=0.2, num_entities=50
        )
        for index in (np.arange(30), np.arange(30, 60))
    )
    sets = PredictionSets.calibrate(cal, Y, 0.8)
    summary = SetsSummary.of(sets, test, Y)
    assert (summary.nominal, summary.approve) == (0.8, 0.2)
    assert (summary.num_calibration, summary.num_classes) == (30, 3)
    assert summary.changed == list(range(11))
    assert summary.reported.changed == [0, 1, 2, 3, 5]
    assert "under any change of at most 1 node" in summary.statement
    assert "nothing" not in summary.by_changes and len(summary.by_changes) == (
        6 if noise.axes else 1
    )
    for cells in summary.by_changes.values():
        for cell in cells:
            assert cell.size == sets.size(test, cell.r, **cell.budget)
            assert cell.coverage == sets.coverage(test, Y, cell.r, **cell.budget)
            assert cell.singletons == sets.singletons(test, cell.r, **cell.budget)


def test_budgets_that_name_the_number_of_edges_are_asked_once() -> None:
    noise = HierarchicalEdgeNoise(1.0, SparseFlipNoise(0.001, 0.4))
    votes, y = np.tile([480, 20, 0], (30, 1)), np.zeros(30, dtype=int)
    cal, test = (
        certify_votes(EdgeSmoothing(noise), votes, votes, index=index, approvals=votes, approve=0.2)
        for index in (np.arange(30), np.arange(30, 60))
    )
    sets = PredictionSets.calibrate(cal, y, 0.8)
    summary = SetsSummary.of(sets, test, y)
    assert summary.heads == ["value"] and summary.curves == {}
    assert summary.reported == summary and "1 edge" not in summary.statement
    for cell in summary.sizes:
        assert cell.r == cell.budget["additions"] + cell.budget["deletions"]
        assert cell.size == sets.size(test, **cell.budget)
    assert len({cell.size for cell in summary.sizes}) > 1
