from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from pyg_hiersmooth.noise.base import AdditiveNoise, Draw
from pyg_hiersmooth.noise.kinds import GAUSSIAN
from pyg_hiersmooth.noise.parameter import POSITIVE
from pyg_hiersmooth.random import RandomStream


class GaussianNoise(AdditiveNoise):
    r"""Isotropic Gaussian noise :math:`s \sim \mathcal{N}(0, \sigma^2 I)`, certified in
    :math:`\ell_2` (Cohen et al. 2019, Theorem 1).

    .. math::
        L(t) = \Phi\left(\Phi^{-1}(t) - \epsilon / \sigma\right)

    Args:
        std (float): Standard deviation :math:`\sigma > 0`.

    Raises:
        ValueError: If :obj:`std` is not positive and finite.
    """

    name, axes, parameters, deterministic = GAUSSIAN
    differentiable_when_projected = True

    def __init__(self, std: float) -> None:
        self.std = POSITIVE.check("std", std)

    def draw(self, size: tuple[int, ...], stream: RandomStream, dtype: torch.dtype) -> Tensor:
        return stream.normal(*size, dtype=dtype).mul_(self.std)

    def sample_projected(self, x: Tensor, weight: Tensor) -> Draw:
        r"""For a standard normal row :math:`z`, :math:`z W` has covariance :math:`W^\top W`, and
        so has :math:`z' R` for the triangular factor of :math:`W = QR`: :math:`H` draws per row do
        for :math:`D`.
        """
        clean = x @ weight
        factor = self.std * _factor(weight)

        def draw(selected: Tensor, stream: RandomStream) -> Tensor:
            rows = selected.nonzero().view(-1)
            noise = stream.normal(rows.numel(), factor.size(0), dtype=clean.dtype) @ factor
            return clean.index_add(0, rows, noise)

        return draw

    def sample_unprojected(self, x: Tensor, weight: Tensor) -> Draw:
        r"""A normal row :math:`g` shifted by :math:`(z - g W) W^+` has the distribution of
        :math:`s` given :math:`s W = z` (Matheron's rule, for :math:`z` in the row space of
        :math:`W`).
        """
        factor, inverse = self.std * _factor(weight), torch.linalg.pinv(weight.double()).to(x.dtype)

        def draw(selected: Tensor, stream: RandomStream) -> Tensor:
            rows = selected.nonzero().view(-1)
            projected = stream.normal(rows.numel(), factor.size(0), dtype=x.dtype) @ factor
            noise = stream.normal(rows.numel(), x.size(1), dtype=x.dtype).mul_(self.std)
            return x.index_add(0, rows, noise.addmm_(projected - noise @ weight, inverse))

        return draw

    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        return ndtr(_quantile(p, complement) - budget["eps"] / self.std)

    def radius(self, complement: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.std * (_quantile(1.0 - complement, complement) - ndtri(target))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(std={self.std})"


def _factor(weight: Tensor) -> Tensor:
    r"""A matrix :math:`R` of few rows with :math:`R^\top R = W^\top W`."""
    if weight.size(0) <= weight.size(1):
        return weight
    exact = weight.double()
    if not weight.requires_grad:
        return torch.linalg.qr(exact, mode="r").R.to(weight.dtype)
    # Gradients of QR are infinite where columns depend on each other; a ridge below the rounding
    # of the weights keeps these finite.
    gram = exact.t() @ exact
    ridge = 1e-12 * gram.diagonal().mean().detach() + 1e-30
    gram = gram + ridge * torch.eye(gram.size(0), dtype=gram.dtype, device=gram.device)
    return torch.linalg.cholesky(gram, upper=True).to(weight.dtype)


def _quantile(p: np.ndarray, complement: np.ndarray) -> np.ndarray:
    return np.where(p < complement, ndtri(p), -ndtri(complement))
