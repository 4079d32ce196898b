from __future__ import annotations

from typing import Any

import pytest

from pyg_hiersmooth.noise import NOISES, Noise
from pyg_hiersmooth.noise.parameter import POSITIVE, PROBABILITY


def test_intervals() -> None:
    for value in (0, 0.5, 1):
        assert PROBABILITY.check("p", value) == value
        assert type(PROBABILITY.check("p", value)) is float
    for value in (-1e-9, 1.0 + 1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"'p' must be a probability in \[0, 1\] \(got "):
            PROBABILITY.check("p", value)
    assert POSITIVE.check("std", 1e-300) == 1e-300
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"'std' must be positive and finite \(got "):
            POSITIVE.check("std", value)


@pytest.mark.parametrize("kind", NOISES.values())
def test_noises_are_made_with_their_parameters(kind: type[Any]) -> None:
    defaults = {parameter.name: parameter.default for parameter in kind.parameters}
    noise: Noise = kind(**defaults)
    for parameter in kind.parameters:
        assert getattr(noise, parameter.name) == parameter.default
        with pytest.raises(ValueError, match=f"'{parameter.name}' must be"):
            kind(**{**defaults, parameter.name: parameter.interval.low - 1.0})


@pytest.mark.parametrize("kind", NOISES.values())
def test_searches_stay_where_parameters_may_be(kind: type[Any]) -> None:
    budget = {axis.name: axis.check(2) for axis in kind.axes}
    space = kind.search_space(**budget)
    assert [each.name for each in space] == [parameter.name for parameter in kind.parameters]
    for each, parameter in zip(space, kind.parameters, strict=True):
        assert each.low < each.high
        for end in (each.low, each.high):
            parameter.interval.check(each.name, end)
