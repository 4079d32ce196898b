r"""What every lower-level noise provides: exact draws, and the worst case they allow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pyg_hiersmooth.random import RandomStream

Draw = Callable[[Tensor, RandomStream], Tensor]
r"""Maps an indicator, bool ``[N]``, and a stream to a draw."""


class Noise(ABC):
    r"""The lower level of hierarchical smoothing: the noise :math:`\mu(x_i)` of a selected row."""

    budget: ClassVar[tuple[str, ...]] = ()
    r"""Names of the adversary's budgets, the keywords of a certificate for this noise."""

    deterministic: ClassVar[bool] = False
    r"""Whether nothing is drawn: the noisy row is a fixed one, whatever the row and the stream."""

    @abstractmethod
    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""Draws noise for the selected rows of a copy of :obj:`x`.

        Args:
            x (torch.Tensor): Features ``[N, D]``.
            selected (torch.Tensor): Indicator, bool ``[N]``.
            stream (RandomStream): Source of the draws, on the device of :obj:`x`.

        Returns:
            torch.Tensor: ``[N, D]``, of the dtype of :obj:`x`; unselected rows are unchanged.
        """

    def prepare(self, x: Tensor) -> Draw:
        r"""Prepares many draws of the same features: a function of an indicator and a stream that
        returns what :meth:`sample` does.
        """
        return partial(self.sample, x)

    def after_linear(self, x: Tensor, weight: Tensor) -> Draw | None:
        r"""Prepares exact draws of ``noisy_x @ weight`` that need not draw ``noisy_x``.

        Args:
            x (torch.Tensor): Features ``[N, D]``, dense or (for flips) sparse.
            weight (torch.Tensor): ``[D, H]``.

        Returns:
            A function of an indicator and a stream, or :obj:`None` where there is no shortcut.
        """
        return None

    @abstractmethod
    def least_mass(self, kept: np.ndarray, lost: np.ndarray, **budget: Any) -> np.ndarray:
        r"""The Neyman-Pearson worst case :math:`L(t)`, given :math:`t` and :math:`1 - t` both, so
        that neither end of the unit interval loses precision.

        Args:
            kept (numpy.ndarray): :math:`t`, float64 in :math:`[0, 1]`.
            lost (numpy.ndarray): :math:`1 - t`, float64 in :math:`[0, 1]`.
            **budget: The adversary's strength.

        Returns:
            numpy.ndarray: float64 in :math:`[0, 1]`.
        """

    def lower_bound(self, mass: ArrayLike, **budget: Any) -> np.ndarray:
        r"""The least mass :math:`L(t)` under perturbed noise of a set with mass :math:`t` under
        clean noise, float64 in :math:`[0, 1]`.

        Raises:
            TypeError: If a budget does not belong to this noise.
            ValueError: If a mass lies outside :math:`[0, 1]` or a budget is negative.
        """
        mass = _as_masses(mass)
        return self.least_mass(mass, 1.0 - mass, **self.check_budget(**budget))

    def upper_bound(self, mass: ArrayLike, **budget: Any) -> np.ndarray:
        r"""The largest mass :math:`U(t) = 1 - L(1 - t)` under perturbed noise of a set with mass
        :math:`t` under clean noise, float64 in :math:`[0, 1]`.

        Raises:
            TypeError: If a budget does not belong to this noise.
            ValueError: If a mass lies outside :math:`[0, 1]` or a budget is negative.
        """
        mass = _as_masses(mass)
        return 1.0 - self.least_mass(1.0 - mass, mass, **self.check_budget(**budget))

    def check_budget(self, **budget: Any) -> dict[str, Any]:
        r"""Completes and checks an adversary's budget.

        Raises:
            TypeError: If a budget does not belong to this noise, or none is given.
            ValueError: If a budget is negative or not a number of its kind.
        """
        foreign = sorted(set(budget) - set(self.budget))
        if foreign:
            takes = " and ".join(f"'{name}'" for name in self.budget) or "no budget besides 'r'"
            raise TypeError(
                f"a certificate for {self.__class__.__name__} takes {takes} (got '{foreign[0]}')"
            )
        return budget

    def reach(self, **budget: Any) -> float:
        r"""The most entities that a (checked) budget allows to change."""
        return np.inf

    def check_features(self, x: Tensor) -> None:
        r"""Checks that :obj:`x` is what this noise is defined on.

        Raises:
            ValueError: If a feature is NaN, infinite or outside the domain of the noise.
        """
        values = stored_values(x)
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            raise ValueError("features 'x' must be finite (got NaN or infinite values)")


class AdditiveNoise(Noise):
    r"""Continuous noise :math:`z_i = x_i + s` of one scale, certified for a distance
    :math:`\epsilon` over all changed rows together.

    Another norm than the noise's own is reached by the norm inequality over the
    :math:`r \cdot D` coordinates that may change.
    """

    budget = ("eps",)
    norm: ClassVar[str]
    r"""The norm of :obj:`eps`: ``"l1"`` or ``"l2"``."""

    @abstractmethod
    def draw(self, size: tuple[int, ...], stream: RandomStream, dtype: torch.dtype) -> Tensor:
        r"""Draws of the noise itself, of the given size."""

    @abstractmethod
    def radius(self, lost: np.ndarray, target: np.ndarray) -> np.ndarray:
        r"""The distance :math:`\epsilon` at which :math:`L(1 - \mathrm{lost})` falls to
        :obj:`target`; negative where it starts below, never more than the exact value.
        """

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        if not x.is_floating_point():
            raise ValueError(
                f"{self.__class__.__name__} needs floating-point features 'x' (got {x.dtype})"
            )
        out = x.clone()
        rows = selected.nonzero().view(-1)
        out[rows] += self.draw((rows.numel(), *x.shape[1:]), stream, x.dtype)
        return out

    def check_budget(self, **budget: Any) -> dict[str, Any]:
        super().check_budget(**budget)
        if "eps" not in budget:
            raise TypeError(f"a certificate for {self.__class__.__name__} needs the budget 'eps'")
        eps = float(budget["eps"])
        if not 0.0 <= eps < np.inf:
            raise ValueError(f"'eps' must be a finite number of at least 0 (got {eps})")
        return {"eps": eps}

    def reach(self, **budget: Any) -> float:
        return 0 if budget["eps"] == 0 else np.inf


def check_scale(name: str, value: float) -> float:
    r"""A positive finite scale parameter as a float.

    Raises:
        ValueError: If :obj:`value` is not positive and finite.
    """
    if not 0.0 < value < np.inf:
        raise ValueError(f"'{name}' must be positive and finite (got {value})")
    return float(value)


def stored_values(x: Tensor) -> Tensor:
    r"""The values that a tensor of any layout holds."""
    return x if x.layout == torch.strided else x.to_sparse_coo().coalesce().values()


def _as_masses(mass: ArrayLike) -> np.ndarray:
    mass = np.asarray(mass, dtype=np.float64)
    if not ((mass >= 0.0) & (mass <= 1.0)).all():
        raise ValueError("'mass' must lie in [0, 1]")
    return mass
