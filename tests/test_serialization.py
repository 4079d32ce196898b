from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from pyg_hiersmooth import noise, selection
from pyg_hiersmooth.serialization import noise_from_dict, selection_from_dict, to_dict

NOISES = [
    noise.GaussianNoise(0.25),
    noise.LaplaceNoise(0.1),
    noise.UniformNoise(1.5),
    noise.SparseFlipNoise(0.05, 0.8),
    noise.AblationNoise(),
    noise.AblationNoise(torch.tensor([0.1, -2.0])),
]
SELECTIONS = [
    selection.BernoulliSelection(0.81),
    selection.BernoulliSelection(torch.tensor([0.1, 1 / 3], dtype=torch.float64)),
    selection.FixedSizeSelection(7),
    selection.PartitionSelection(7, 3, 1),
]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    return bool(left == right)


@pytest.mark.parametrize("component", [*NOISES, *SELECTIONS], ids=str)
def test_through_json_and_back(component: Any) -> None:
    settings = json.loads(json.dumps(to_dict(component)))
    build = noise_from_dict if isinstance(component, noise.Noise) else selection_from_dict
    back = build(settings)
    assert type(back) is type(component)
    assert vars(back).keys() == vars(component).keys()
    assert all(same(value, vars(back)[name]) for name, value in vars(component).items())


def test_unknown_components() -> None:
    for name in ("Nothing", "Noise", "AdditiveNoise", "gaussian", "BernoulliSelection", 3):
        with pytest.raises(ValueError, match="unknown noise"):
            noise_from_dict({"class": name})
    for name in ("Selection", "RandomStream", "as_selection", "GaussianNoise"):
        with pytest.raises(ValueError, match="unknown selection"):
            selection_from_dict({"class": name})
