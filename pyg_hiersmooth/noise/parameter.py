r"""The parameters of a noise: what they may be, and where to search for them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Interval:
    r"""Finite numbers between two ends, of which the lower one may be left out.

    Attributes:
        low (float): The lower end.
        high (float): The upper end.
        low_open (bool): Whether the lower end is left out.
        meaning (str): What its numbers are.
    """

    low: float
    high: float
    low_open: bool
    meaning: str

    def check(self, name: str, value: float) -> float:
        r"""A number of the interval as a float.

        Raises:
            ValueError: If it lies outside.
        """
        above = value > self.low if self.low_open else value >= self.low
        if not (above and value <= self.high and value < inf):
            raise ValueError(f"'{name}' must be {self.meaning} (got {value})")
        return float(value)


PROBABILITY = Interval(0.0, 1.0, False, "a probability in [0, 1]")
POSITIVE = Interval(0.0, inf, True, "positive and finite")


@dataclass(frozen=True)
class Parameter:
    r"""A number that a noise is made with.

    Attributes:
        name (str): The argument of the constructor, and the attribute that keeps it.
        default (float): What a command takes where none is given.
        interval (Interval): What it may be.
        help (str): What it is.
    """

    name: str
    default: float
    interval: Interval
    help: str


@dataclass(frozen=True)
class SearchRange:
    r"""Where to search for a parameter.

    Attributes:
        name (str): The parameter.
        low (float): The least value to try.
        high (float): The largest value to try.
        log (bool): Whether to search evenly in its logarithm.
    """

    name: str
    low: float
    high: float
    log: bool = False
