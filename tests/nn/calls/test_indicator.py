"""Models that do not expect the indicator."""

from __future__ import annotations

import torch

from pyg_hiersmooth.nn.calls.indicator import remedy_without_indicator
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

WITH = HierarchicalNodeFeatureNoise(0.9, AblationNoise())
WITHOUT = HierarchicalNodeFeatureNoise(0.9, AblationNoise(), append_indicator=False)
FEATURES = torch.zeros(2, 5)


def test_a_model_of_one_feature_less_is_told_what_to_do() -> None:
    told = remedy_without_indicator(WITH, torch.nn.Linear(4, 2), FEATURES)
    assert told.startswith(". It takes 4 features, those without the indicator")
    assert "append_indicator=False to HierarchicalNodeFeatureNoise" in told


def test_nothing_is_said_where_it_is_not_the_indicator() -> None:
    assert remedy_without_indicator(WITH, torch.nn.Linear(3, 2), FEATURES) == ""
    assert remedy_without_indicator(WITHOUT, torch.nn.Linear(4, 2), FEATURES) == ""
    assert remedy_without_indicator(None, torch.nn.Linear(4, 2), FEATURES) == ""
