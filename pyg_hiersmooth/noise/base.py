r"""What every lower-level noise provides: exact draws, and the worst case they allow."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from inspect import isabstract
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pyg_hiersmooth.noise.axes import Axis, Norm
from pyg_hiersmooth.noise.parameter import Parameter, SearchRange
from pyg_hiersmooth.random import RandomStream

Draw = Callable[[Tensor, RandomStream], Tensor]
r"""Maps an indicator, bool ``[N]``, and a stream to a draw."""

CHANGED, CHANGED_AT_WILL = (1, 2, 3), (1, 2, 3, 4, 5)
r"""Numbers of changed entities that are reported, and more of them where changes are at will."""

RENAMED = {
    "least_mass": "worst_case_probability",
    "after_linear": "sample_projected",
    "differentiable_after_linear": "differentiable_when_projected",
}
r"""Names of version 0.1 that a noise of your own may still use, with a warning."""


class Noise(ABC):
    r"""The lower level of hierarchical smoothing: the noise :math:`\mu(x_i)` of a selected row.

    A noise of your own says what its adversary may change (:attr:`axes`), draws
    (:meth:`sample`) and bounds the worst case (:meth:`worst_case_probability`). Everything else
    that is known about a kind of noise has a default here, and nothing outside asks which kind it
    is. A subclass of a noise of this package inherits all of its attributes: override those that
    no longer hold.

    Raises:
        TypeError: If a class that can be made does not say what :attr:`axes` its adversary has.
    """

    axes: ClassVar[tuple[Axis, ...]]
    r"""What bounds the adversary in addition to :math:`r`, in the order of tables and figures;
    empty only if *any* change of a selected row is certified.
    """

    name: ClassVar[str]
    r"""What commands call it; needed by those in :obj:`NOISES`."""

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    r"""The numbers it is made with, as options of commands."""

    needs_binary: ClassVar[bool] = False
    r"""Whether it is defined on features of zeros and ones only, of any dtype."""

    keeps_sparse: ClassVar[bool] = False
    r"""Whether it draws from sparse features as they are, with :meth:`sample_sparse` as well."""

    differentiable_when_projected: ClassVar[bool] = False
    r"""Whether gradients flow through :meth:`sample_projected` to the weight, also from sparse
    features, so that models can be trained behind it."""

    deterministic: ClassVar[bool] = False
    r"""Whether it draws nothing: a noisy row is a fixed one, whatever the row and the stream."""

    of: str = "features"
    r"""What a selected entity gets noise on: its ``"features"``. Only
    :class:`~pyg_hiersmooth.noise.AblationNoise` has other choices for nodes;
    :mod:`pyg_hiersmooth.transforms.structure_ablation` says what they leave of a graph. Noises of
    pairs of nodes (:mod:`~pyg_hiersmooth.certificates.composed`) are of ``"edges"`` or ``"nodes and
    edges"``.
    """

    counted: ClassVar[str | None] = None
    r"""What :obj:`r` of its certificates counts, in the plural; :obj:`None` for the entities."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for old, new in RENAMED.items():
            if old in vars(cls) and new not in vars(cls):
                warnings.warn(
                    f"'{old}' of {cls.__name__} is called '{new}' now: rename it",
                    DeprecationWarning,
                    stacklevel=2,
                )
                setattr(cls, new, vars(cls)[old])
        if not hasattr(cls, "axes") and not isabstract(cls):
            raise TypeError(
                f"'axes' of {cls.__name__} must say what bounds its adversary, or be () if any "
                "change is certified (got nothing)"
            )

    @classmethod
    def default(cls) -> Noise:
        r"""One of the kind, with the defaults of its :attr:`parameters`."""
        return cls(*(parameter.default for parameter in cls.parameters))

    @property
    def budget(self) -> tuple[str, ...]:
        r"""Names of the adversary's budgets, the keywords of a certificate for this noise."""
        return tuple(sorted(axis.name for axis in self.axes))

    @property
    def counts_flips(self) -> bool:
        r"""Whether the budget is one of additions and deletions of what :obj:`r` counts."""
        return self.budget == ("additions", "deletions")

    @property
    def budget_is_r(self) -> bool:
        r"""Whether a budget says itself how many of what :obj:`r` counts change, so that there is
        no need to name both.
        """
        return False

    @property
    def norm(self) -> Norm | None:
        r"""The norm of the budget if that is one distance, and so has a :meth:`radius`."""
        return self.axes[0].norm if len(self.axes) == 1 else None

    @property
    def unit(self) -> float:
        r"""The distance that reported distances are multiples of."""
        return 1.0

    @property
    def fixes_graph(self) -> bool:
        r"""Whether its adversary changes features alone, of entities that are there."""
        return self.of == "features"

    @property
    def changes_pairs(self) -> bool:
        r"""Whether its adversary changes edges, counted as pairs of nodes."""
        return "edges" in self.of

    @property
    def spares_target(self) -> bool:
        r"""Whether its certificates are about changes of *other* entities than a target itself."""
        return self.of == "messages"

    @property
    def bears_exposures(self) -> bool:
        r"""Whether exposures say more about changes of features alone, on a fixed graph."""
        return self.spares_target

    def threat_to_all(self, entities: str = "entities") -> str:
        r"""The adversary of one attack on all targets, in one sentence; argument as in
        :meth:`threat`.
        """
        return f"{self.threat(entities)}; one attack on all targets"

    def threat(self, entities: str = "entities") -> str:
        r"""The adversary that a certificate for this noise is about, in one sentence.

        Args:
            entities (str): What changes, in the plural. (default: :obj:`"entities"`)
        """
        if not self.axes:
            strength = " to anything"
        elif self.norm is not None:
            strength = f", by at most {self.axes[0].name} in total ({self.norm} distance)"
        else:
            strength = f", by a limited number of {' and '.join(self.budget)} in total"
        return f"the features of at most r {entities} change{strength}; all else stays"

    def reported_budgets(self) -> list[dict[str, Any]]:
        r"""The budgets that a table reports, axis after axis; one that is empty without axes."""
        if not self.axes:
            return [{}]
        nothing = {name: 0 for name in self.budget}
        return [
            nothing | {axis.name: strength if axis.whole else strength * self.unit}
            for axis in self.axes
            for strength in axis.reported
        ]

    def reported_changes(self, **budget: Any) -> tuple[int, ...]:
        r"""The numbers :obj:`r` of changed entities that a table reports for a (checked) budget."""
        return CHANGED if self.axes else CHANGED_AT_WILL

    def describe(self, **budget: Any) -> str:
        r"""A (checked) budget in words: ``"1 addition, 5 deletions"``, ``"eps = 0.25"``,
        ``"nothing"``, or ``"anything"`` where there is none.
        """
        if not self.axes:
            return "anything"
        told = {axis.name: axis.describe(budget[axis.name]) for axis in self.axes}
        return ", ".join(told[name] for name in self.budget if budget[name] > 0) or "nothing"

    @classmethod
    def search_space(cls, **budget: Any) -> tuple[SearchRange, ...]:
        r"""Where to search for the parameters that certify most.

        Args:
            **budget: The adversary's (checked) strength.

        Raises:
            TypeError: If this noise has parameters, and does not say where to search for them.
        """
        if cls.parameters:
            raise TypeError(f"{cls.__name__} has no search space for its parameters")
        return ()

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

    def sample_sparse(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        r"""Draws like :meth:`sample`, from sparse features and as a COO matrix.

        Raises:
            TypeError: If this noise does not keep features sparse.
        """
        raise TypeError(f"{self.__class__.__name__} draws from dense features only")

    def sample_projected(self, x: Tensor, weight: Tensor) -> Draw | None:
        r"""Prepares exact draws of ``noisy_x @ weight`` that need not draw ``noisy_x``.

        Args:
            x (torch.Tensor): Features ``[N, D]``, dense, or sparse if the noise keeps them so.
            weight (torch.Tensor): ``[D, H]``.

        Returns:
            A function of an indicator and a stream, or :obj:`None` where there is no shortcut.
        """
        return None

    def sample_unprojected(self, x: Tensor, weight: Tensor) -> Draw:
        r"""Prepares draws of ``noisy_x`` that agree with :meth:`sample_projected`: from the same
        stream, their product with :obj:`weight` is the same up to rounding. Counted samples are
        audited with them.

        The default suits a shortcut that draws the same noise from a stream as :meth:`prepare`;
        a shortcut that draws other numbers overrides both.

        Args:
            x, weight: As in :meth:`sample_projected`.
        """
        return self.prepare(x)

    @abstractmethod
    def worst_case_probability(
        self, p: np.ndarray, complement: np.ndarray, **budget: Any
    ) -> np.ndarray:
        r"""The Neyman-Pearson worst case :math:`L(t)`, given :math:`t` and :math:`1 - t` both, so
        that neither end of the unit interval loses precision.

        Args:
            p (numpy.ndarray): :math:`t`, float64 in :math:`[0, 1]`.
            complement (numpy.ndarray): :math:`1 - t`, float64 in :math:`[0, 1]`.
            **budget: The adversary's strength.

        Returns:
            numpy.ndarray: float64 in :math:`[0, 1]`.
        """

    def lower_bound(self, mass: ArrayLike, **budget: Any) -> np.ndarray:
        r"""The smallest probability :math:`L(t)` under perturbed noise of a set with probability
        :math:`t` under clean noise, float64 in :math:`[0, 1]`.

        Raises:
            TypeError: If a budget does not belong to this noise.
            ValueError: If a mass lies outside :math:`[0, 1]` or a budget is negative.
        """
        mass = _as_masses(mass)
        return self.worst_case_probability(mass, 1.0 - mass, **self.check_budget(**budget))

    def upper_bound(self, mass: ArrayLike, **budget: Any) -> np.ndarray:
        r"""The largest probability :math:`U(t) = 1 - L(1 - t)` under perturbed noise of a set with
        probability :math:`t` under clean noise, float64 in :math:`[0, 1]`.

        Raises:
            TypeError: If a budget does not belong to this noise.
            ValueError: If a mass lies outside :math:`[0, 1]` or a budget is negative.
        """
        mass = _as_masses(mass)
        return 1.0 - self.worst_case_probability(1.0 - mass, mass, **self.check_budget(**budget))

    def check_budget(self, **budget: Any) -> dict[str, Any]:
        r"""Checks an adversary's budget; what is not given is 0.

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
        if self.axes and not budget:
            takes = " or ".join(f"'{name}'" for name in self.budget)
            raise TypeError(
                f"a certificate for {self.__class__.__name__} needs the budget {takes} (got none)"
            )
        axes = {axis.name: axis for axis in self.axes}
        return {name: axes[name].check(budget.get(name, 0)) for name in self.budget}

    def reach(self, **budget: Any) -> float:
        r"""The most entities that a (checked) budget allows to change."""
        return np.inf if not self.axes or any(budget.values()) else 0

    def changes_nothing(self, r: int, **budget: Any) -> bool:
        r"""Whether :obj:`r` and a (checked) budget allow no change."""
        return min(r, self.reach(**budget)) < 1

    def radius(self, complement: np.ndarray, target: np.ndarray) -> np.ndarray:
        r"""The distance :math:`\epsilon` at which :math:`L(1 - \mathrm{complement})` falls to
        :obj:`target`; negative where it starts below, never more than the exact value.

        Raises:
            TypeError: If this noise has none to give.
        """
        raise TypeError(f"{self.__class__.__name__} has no radius")

    def check_features(self, x: Tensor) -> None:
        r"""Checks that :obj:`x` is what this noise is defined on.

        Raises:
            ValueError: If a feature is NaN, infinite or outside the domain of the noise.
        """
        values = stored_values(x)
        if not _are_finite(values):
            raise ValueError("features 'x' must be finite (got NaN or infinite values)")
        if self.needs_binary and not torch.equal(values * values, values):  # 0 and 1 alone
            raise ValueError(
                f"{self.__class__.__name__} needs binary features 'x' of zeros and ones "
                "(got other values): binarize them, as in x = (x > 0).float(), or use "
                "GaussianNoise"
            )


class AdditiveNoise(Noise):
    r"""Continuous noise :math:`z_i = x_i + s` of one scale, certified for a distance
    :math:`\epsilon` over all changed rows together: :obj:`L1_DISTANCE` or :obj:`L2_DISTANCE` is
    its only axis, and the scale its only parameter.

    Another norm than the noise's own is reached by the norm inequality over the
    :math:`r \cdot D` coordinates that may change.
    """

    @abstractmethod
    def draw(self, size: tuple[int, ...], stream: RandomStream, dtype: torch.dtype) -> Tensor:
        r"""Draws of the noise itself, of the given size."""

    @abstractmethod
    def radius(self, complement: np.ndarray, target: np.ndarray) -> np.ndarray:
        r"""The distance :math:`\epsilon` at which :math:`L(1 - \mathrm{complement})` falls to
        :obj:`target`; negative where it starts below, never more than the exact value.
        """

    @property
    def unit(self) -> float:
        r"""The scale, where it is a declared parameter."""
        return getattr(self, self.parameters[0].name) if self.parameters else 1.0

    @classmethod
    def search_space(cls, **budget: Any) -> tuple[SearchRange, ...]:
        r"""Scales around the distance, evenly in their logarithm."""
        eps = budget["eps"]
        return tuple(
            SearchRange(scale.name, 0.25 * eps, 16.0 * eps, log=True) for scale in cls.parameters
        )

    def sample(self, x: Tensor, selected: Tensor, stream: RandomStream) -> Tensor:
        if not x.is_floating_point():
            raise ValueError(
                f"{self.__class__.__name__} needs floating-point features 'x' (got {x.dtype})"
            )
        rows = selected.nonzero().view(-1)
        return x.index_add(0, rows, self.draw((rows.numel(), *x.shape[1:]), stream, x.dtype))


def stored_values(x: Tensor) -> Tensor:
    r"""The values that a tensor of any layout holds."""
    return x if x.layout == torch.strided else x.to_sparse_coo().coalesce().values()


def _are_finite(values: Tensor) -> bool:
    r"""Whether no value is NaN or infinite; a sum that is not may have overflowed."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def _as_masses(mass: ArrayLike) -> np.ndarray:
    mass = np.asarray(mass, dtype=np.float64)
    if not ((mass >= 0.0) & (mass <= 1.0)).all():
        raise ValueError("'mass' must lie in [0, 1]")
    return mass
