from __future__ import annotations

from typing import Any

import pytest

from pyg_hiersmooth import noise
from pyg_hiersmooth.experiment.setting_parts import (
    NOISES,
    DataSettings,
    EdgesSettings,
    SamplingSettings,
    SmoothingSettings,
    names,
    taken,
)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("flips", {"p_plus": 0.05, "p_minus": 0.8}),
        ("gaussian", {"std": 0.25}),
        ("ablation", {}),
        ("laplace", {"scale": 0.25}),
        ("uniform", {"scale": 0.25}),
        ("none", {}),
    ],
)
def test_settings_of_the_noise_alone_are_filled_in(name: str, own: dict[str, float]) -> None:
    settings = SmoothingSettings(name)
    every = ("p_plus", "p_minus", "std", "scale")
    assert {name: getattr(settings, name) for name in every} == dict.fromkeys(every) | own
    assert settings.own("noise") == own | ({"ablate": "features"} if name == "ablation" else {})


def test_noises_are_those_of_the_library() -> None:
    assert list(NOISES) == [*noise.NOISES, "none"]


@pytest.mark.parametrize(
    "given", [{"p": 0.9}, {"groups": 5}, {"partitions": 3}, {"selection": "partition"}]
)
def test_nothing_is_selected_without_noise(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(
        ValueError, match=f"'{name}' does nothing with 'noise' none .*'edges_{name}"
    ):
        SmoothingSettings("none", **given)
    assert SmoothingSettings("none").p is None


def test_a_given_partition_of_pairs_is_taken() -> None:
    assert EdgesSettings("ablation").edges_selection == "bernoulli"
    assert EdgesSettings("ablation", edges_groups=5).edges_partitions == 10
    assert EdgesSettings("ablation", edges_partitions=5).exact
    assert not EdgesSettings("flips", edges_groups=5).exact
    assert (EdgesSettings("flips").edges_p, EdgesSettings("ablation").edges_p) == (1.0, 0.9)


def test_settings_are_taken_by_name() -> None:
    options = {"n": 5, "model": "gat", "alpha": 0.1}
    assert taken(SamplingSettings, options) == {"n": 5, "alpha": 0.1}
    assert options == {"model": "gat"} and "root" in names(DataSettings)
