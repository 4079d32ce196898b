from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.noise.base import AdditiveNoise
from pyg_hiersmooth.noise.kinds import UNIFORM
from pyg_hiersmooth.noise.parameter import POSITIVE
from pyg_hiersmooth.random import RandomStream


class UniformNoise(AdditiveNoise):
    r"""Independent noise, uniform on :math:`[-\lambda, \lambda]`, certified in :math:`\ell_1`
    (Yang et al. 2020).

    .. math::
        L(t) = \max\left(0, t - \epsilon / 2 \lambda\right)

    Args:
        scale (float): Half width :math:`\lambda > 0`.

    Raises:
        ValueError: If :obj:`scale` is not positive and finite.
    """

    name, axes, parameters, deterministic = UNIFORM

    def __init__(self, scale: float) -> None:
        self.scale = POSITIVE.check("scale", scale)

    def draw(self, size: tuple[int, ...], stream: RandomStream, dtype: torch.dtype) -> Tensor:
        return stream.uniform(*size).mul_(2.0).sub_(1.0).mul_(self.scale).to(dtype)

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return np.maximum(0.0, 1.0 - (complement + np.asarray(budget["eps"]) / (2.0 * self.scale)))

    def radius(self, complement: np.ndarray, target: np.ndarray) -> np.ndarray:
        return 2.0 * self.scale * ((1.0 - target) - complement)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(scale={self.scale})"
