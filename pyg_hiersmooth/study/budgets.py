r"""What adversaries may do, at the strengths that results keep."""

from __future__ import annotations

from dataclasses import dataclass

from pyg_hiersmooth.noise import NOISE_KINDS, NOISES, Axis
from pyg_hiersmooth.study.results import Tally


@dataclass(frozen=True)
class Budget:
    r"""By how much an adversary changes nodes in total.

    Attributes:
        noise (str): The kind of noise whose budget it is.
        strengths (tuple of float): How much of each of its budgets, in their order: strengths that
            results keep, distances in multiples of the scale of the noise.
    """

    noise: str
    strengths: tuple[float, ...]

    @classmethod
    def of(cls, noise: str, **strengths: float) -> Budget:
        r"""A budget in the vocabulary of a noise; what is not given is 0."""
        return cls(noise, tuple(NOISES[noise].default().check_budget(**strengths).values()))

    def __str__(self) -> str:
        return ", ".join(
            axis.describe(n) if axis.whole else self._scaled(n) for axis, n in self._told
        )

    @property
    def head(self) -> str:
        r"""What it is called at the head of a column."""
        return ", ".join(
            f"{n} {axis.name[:3]}." if axis.whole else self._scaled(n) for axis, n in self._told
        )

    def certified_accuracy(self, tally: Tally, r: int) -> float:
        r"""Share of nodes that are right and robust if at most :obj:`r` of them change.

        Where a node is changed at will, additions and deletions count as many nodes as they can
        reach.
        """
        noise = NOISES[self.noise].default()
        reach = noise.reach(**{axis.name: strength for axis, strength in self._each})
        if reach == 0:
            return tally.clean_accuracy
        cell = (axis.kept.index(strength) for axis, strength in self._each)
        return tally.certified_accuracy(int(min(r, reach)), *cell)

    @property
    def _each(self) -> list[tuple[Axis, float]]:
        axes = sorted(NOISE_KINDS[self.noise].axes, key=lambda axis: axis.name)
        return list(zip(axes, self.strengths, strict=True))

    @property
    def _told(self) -> list[tuple[Axis, float]]:
        return [(axis, strength) for axis, strength in self._each if strength > 0]

    def _scaled(self, strength: float) -> str:
        return f"{strength:g} {NOISE_KINDS[self.noise].unit}"


def kept_budgets(noise: str, axis: Axis) -> list[Budget]:
    r"""The budgets along an axis that results keep, from the one that changes nothing on."""
    return [Budget.of(noise, **{axis.name: strength}) for strength in axis.kept]


def reported_budgets(noise: str, most: int | None = None) -> list[Budget]:
    r"""The budgets that tables report, axis after axis, and of each axis the smallest only, where
    that is said.
    """
    return [
        budget
        for axis in NOISE_KINDS[noise].axes
        for budget in [
            each for each in kept_budgets(noise, axis) if 0 < sum(each.strengths) in axis.reported
        ][:most]
    ]
