r"""The axes of an adversary's budget: how one is asked for, reported, counted and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from pyg_hiersmooth.words import numbered

Norm = Literal["l1", "l2"]


@dataclass(frozen=True)
class Axis:
    r"""One number that bounds what an adversary changes in total: a count, or a distance over all
    changed rows together. At 0 of every axis nothing is changed.

    Attributes:
        name (str): The keyword of a certificate; of a count, a plural.
        label (str): What a picture calls it.
        help (str): What a command calls it.
        norm (str or None): The norm of a distance, ``"l1"`` or ``"l2"``; :obj:`None` for a count.
        reported (tuple of float): Strengths that a table reports, the others being 0. Distances
            are multiples of :attr:`~pyg_hiersmooth.noise.Noise.unit`.
        kept (tuple of float): Strengths, from 0 on, that the results of a study keep; distances
            as above.
    """

    name: str
    label: str
    help: str
    norm: Norm | None = None
    reported: tuple[float, ...] = ()
    kept: tuple[float, ...] = ()

    @property
    def whole(self) -> bool:
        r"""Whether it counts in whole numbers."""
        return self.norm is None

    def check(self, value: float) -> float:
        r"""A strength as an int, or a float if it is a distance.

        Raises:
            ValueError: If it is negative, or not a number of its kind.
        """
        if self.whole:
            if not (value >= 0 and value % 1 == 0):
                raise ValueError(f"'{self.name}' must be a non-negative integer (got {value})")
            return int(value)
        if not (value >= 0 and isfinite(value)):
            raise ValueError(
                f"'{self.name}' must be a finite number of at least 0 (got {float(value)})"
            )
        return float(value)

    def describe(self, value: float) -> str:
        r"""A strength in words: ``"5 deletions"``, ``"eps = 0.25"``."""
        if self.whole:
            return numbered(value, self.name)
        return f"{self.name} = {value:g}"


def _distance(norm: Norm, symbol: str) -> Axis:
    return Axis(
        "eps",
        rf"${symbol}$ distance $\epsilon$",
        "Total distance",
        norm,
        reported=(0.25, 0.5, 1.0, 1.5, 2.0),
        kept=tuple(round(0.1 * step, 1) for step in range(41)),
    )


L1_DISTANCE = _distance("l1", r"\ell_1")
L2_DISTANCE = _distance("l2", r"\ell_2")
