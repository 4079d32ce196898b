from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

from .searches import ABLATION, RightOn, p_of, tune

# What is tried


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("noise", "r", "budget", "changed"),
    [
        ("flips", 1, {"deletions": 5}, 1),
        ("flips", 3, {"additions": 1, "deletions": 4}, 3),
        pytest.param("flips", 3, {"additions": 1}, 1, marks=pytest.mark.slow),
        pytest.param("flips", 20, {"additions": 1, "deletions": 1}, 2, marks=pytest.mark.slow),
        ("ablation", 2, {}, 2),
        ("ablation", 100, {}, 100),
        ("ablation", 12_345, {}, 12_345),
        ("gaussian", 4, {"eps": 0.5}, 4),
        ("laplace", 1, {"eps": 0.01}, 1),
        ("uniform", 1, {"eps": 3.0}, 1),
    ],
)
def test_parameters_lie_in_their_ranges(
    noise: str, r: int, budget: dict[str, float], changed: int, data: Data
) -> None:
    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        return RightOn(0.5)

    ranking = tune(data, train, noise=noise, r=r, **budget, num_trials=20)
    least = 0.5 ** (1 / changed)
    p = [tuned.parameters["p"] for tuned in ranking]
    assert min(p) >= least and max(p) <= 1.0
    # All of that range is tried.
    assert (1.0 - min(p)) / (1.0 - least) > 0.7 and (1.0 - max(p)) / (1.0 - least) < 0.3
    if noise == "ablation":
        assert max(p) < 1.0
    for tuned in ranking:
        assert all(len(f"{value:.9g}") <= 9 for value in tuned.parameters.values())
        others = {name: value for name, value in tuned.parameters.items() if name != "p"}
        if noise == "flips":
            assert 1e-4 <= others.pop("p_plus") <= 0.2 and 0.05 <= others.pop("p_minus") <= 0.95
        elif noise != "ablation":
            scale = others.pop("std" if noise == "gaussian" else "scale")
            assert 0.249 <= scale / budget["eps"] <= 16.1
        assert others == {}


def test_p_is_not_rounded_below_its_range(data: Data) -> None:
    def train(transform: HierarchicalNodeFeatureNoise) -> torch.nn.Module:
        return RightOn(1.5 - p_of(transform))  # the less noise, the better

    search: dict[str, Any] = {"min_clean_accuracy": 1.0, "num_trials": 40}
    p = [t.parameters["p"] for t in tune(data, train, **ABLATION, r=2, **search)]
    assert 0.5**0.5 < min(p) < 0.71  # and 0.707 < 0.5**0.5


@pytest.mark.parametrize(("r", "least"), [(1, 4), (5, 11), (11, 23)])
def test_groups_lie_in_their_range(r: int, least: int, data: Data) -> None:
    sampling = dict.fromkeys(("n0", "n", "alpha"))
    ranking = tune(
        data, noise="ablation", selection="partition", partitions=1, r=r, num_trials=12, **sampling
    )
    groups = [int(tuned.parameters["groups"]) for tuned in ranking]
    assert least <= min(groups) and max(groups) <= 24 and len(set(groups)) > 1
