from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.noise.base import AdditiveNoise
from pyg_hiersmooth.noise.kinds import LAPLACE
from pyg_hiersmooth.noise.parameter import POSITIVE
from pyg_hiersmooth.random import RandomStream


class LaplaceNoise(AdditiveNoise):
    r"""Independent Laplace noise of density :math:`e^{-|s| / \lambda} / 2 \lambda`, certified in
    :math:`\ell_1` (Teng et al. 2020), with :math:`a = e^{-\epsilon / \lambda}`.

    .. math::
        L(t) = \begin{cases}
            a t & t \le 1/2 \\
            a / 4 (1 - t) & 1/2 \le t \le 1 - a/2 \\
            1 - (1 - t) / a & t \ge 1 - a/2
        \end{cases}

    Args:
        scale (float): Scale :math:`\lambda > 0`; the standard deviation is
            :math:`\sqrt{2} \lambda`.

    Raises:
        ValueError: If :obj:`scale` is not positive and finite.
    """

    name, axes, parameters, deterministic = LAPLACE

    def __init__(self, scale: float) -> None:
        self.scale = POSITIVE.check("scale", scale)

    def draw(self, size: tuple[int, ...], stream: RandomStream, dtype: torch.dtype) -> Tensor:
        return stream.laplace(*size).mul_(self.scale).to(dtype)

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        decay = np.exp(-np.asarray(budget["eps"]) / self.scale)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            middle = decay / (4.0 * complement)
            upper = 1.0 - complement / decay
        return np.where(
            complement >= 0.5, decay * p, np.where(complement >= decay / 2, middle, upper)
        )

    def radius(self, complement: np.ndarray, target: np.ndarray) -> np.ndarray:
        # The decay `a` that solves L = target, in each of the three pieces.
        with np.errstate(divide="ignore", invalid="ignore"):
            decay = np.where(
                complement >= 0.5,
                target / (1.0 - complement),
                np.where(target < 0.5, 4.0 * complement * target, complement / (1.0 - target)),
            )
            return -self.scale * np.log(decay)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(scale={self.scale})"
