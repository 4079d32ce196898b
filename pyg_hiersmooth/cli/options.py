r"""What options of several commands take."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click
from click.core import ParameterSource


class FiniteRange(click.FloatRange):
    r"""A range of floats without NaN and infinity."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class ModelName(click.ParamType):
    r"""The name of a model of ours, or ``module:Class`` for one of the user's own."""

    name = "name"

    def __init__(self, *names: str) -> None:
        self.names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.names)}|module:Class]"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if value not in self.names and ":" not in value:
            known = ", ".join(repr(name) for name in self.names)
            self.fail(f"{value!r} is not one of {known}, nor 'module:Class'.", param, ctx)
        return value


NODE_MODEL = ModelName("gcn", "gat", "gatv2", "appnp", "sage")
PROBABILITY = FiniteRange(0.0, 1.0)
SELECTION = FiniteRange(0.0, 1.0, min_open=True)
ALPHA = FiniteRange(0.0, 1.0, min_open=True, max_open=True)
POSITIVE = FiniteRange(0.0, min_open=True)
COUNT = click.IntRange(1)
SEED = click.IntRange(0, 2**32 - 1)


def is_explicit(context: click.Context, name: str) -> bool:
    r"""Whether an option was given, and not left at its default."""
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT
