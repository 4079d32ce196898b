r"""What commands and tables need to know about each kind of noise, without importing PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from pyg_hiersmooth.noise.axes import L1_DISTANCE, L2_DISTANCE, Axis
from pyg_hiersmooth.noise.parameter import POSITIVE, PROBABILITY, Parameter


class NoiseKind(NamedTuple):
    r"""What a noise class of this package says about itself: the attributes of
    :class:`~pyg_hiersmooth.noise.Noise` of these names.
    """

    name: str
    axes: tuple[Axis, ...]
    parameters: tuple[Parameter, ...] = ()
    deterministic: bool = False

    @property
    def defaults(self) -> dict[str, float]:
        r"""The parameters by name, with their defaults."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    @property
    def unit(self) -> str:
        r"""What distances are multiples of: the scale of the noise."""
        return self.parameters[0].name


DELETIONS = Axis(
    "deletions",
    "Deletions (no additions)",
    "Total deletions",
    reported=(0, 5, 10, 20),
    kept=tuple(range(62)),
)
ADDITIONS = Axis(
    "additions",
    "Additions (no deletions)",
    "Total additions",
    reported=(1, 2, 5),
    kept=tuple(range(42)),
)

FLIPS = NoiseKind(
    "flips",
    (DELETIONS, ADDITIONS),
    (
        Parameter("p_plus", 0.05, PROBABILITY, "Probability to add a one"),
        Parameter("p_minus", 0.8, PROBABILITY, "Probability to delete a one"),
    ),
)
GAUSSIAN = NoiseKind(
    "gaussian", (L2_DISTANCE,), (Parameter("std", 0.25, POSITIVE, "Standard deviation"),)
)
ABLATION = NoiseKind("ablation", (), deterministic=True)
LAPLACE = NoiseKind("laplace", (L1_DISTANCE,), (Parameter("scale", 0.25, POSITIVE, "Scale"),))
UNIFORM = NoiseKind("uniform", (L1_DISTANCE,), (Parameter("scale", 0.25, POSITIVE, "Half width"),))

NOISE_KINDS = {kind.name: kind for kind in (FLIPS, GAUSSIAN, ABLATION, LAPLACE, UNIFORM)}
r"""The kinds of noise by the names that the command line gives them."""
