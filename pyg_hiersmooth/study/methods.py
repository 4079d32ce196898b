r"""The methods that a study compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyg_hiersmooth.choices import SelectionName, check_choice
from pyg_hiersmooth.experiment.settings import SELECTION_DEFAULTS
from pyg_hiersmooth.noise.kinds import NOISE_KINDS

HIERARCHICAL_FLIPS = "hierarchical flips"
FLAT_FLIPS = "flat flips"
ABLATION = "node ablation"
EXACT_ABLATION = "exact node ablation"
HIERARCHICAL_GAUSSIAN = "hierarchical Gaussian"
FLAT_GAUSSIAN = "flat Gaussian"
UNPROTECTED = "unprotected"


@dataclass(frozen=True)
class Method:
    r"""A way to smooth a classifier, or not to.

    Attributes:
        name (str): What it is called in tables.
        noise (str or None): A name of :obj:`~pyg_hiersmooth.noise.NOISES`; :obj:`None` leaves the
            classifier as it is.
        p (float or None): Probability to select a node; :obj:`None` where it is left out with its
            group of a partition.
        p_plus, p_minus, std, scale, groups, partitions, normalize_features: As in
            :class:`~pyg_hiersmooth.experiment.settings.Settings`.

    Raises:
        ValueError: If there is no such noise, or not one selection.
    """

    name: str
    noise: str | None
    p: float | None = 1.0
    p_plus: float | None = None
    p_minus: float | None = None
    std: float | None = None
    scale: float | None = None
    groups: int | None = None
    partitions: int | None = None
    normalize_features: bool = False

    def __post_init__(self) -> None:
        if len({self.p is None, self.groups is not None, self.partitions is not None}) > 1:
            raise ValueError(
                f"'p' must be None for 'groups' and 'partitions', which take its place (got "
                f"p={self.p}, groups={self.groups}, partitions={self.partitions})"
            )
        if self.noise is not None:
            check_choice("noise", self.noise, NOISE_KINDS)

    @property
    def title(self) -> str:
        r"""The name and the settings."""
        selection = SELECTION_DEFAULTS[self.selection]
        names = [] if self.noise is None else [*selection, *NOISE_KINDS[self.noise].defaults]
        given = [name for name in names if getattr(self, name) is not None]
        words = [self.name, *(f"{name}={getattr(self, name):g}" for name in given)]
        return ", ".join([*words, "normalized features"] if self.normalize_features else words)

    @property
    def slug(self) -> str:
        r"""The title as part of the name of a file."""
        return self.title.replace(", ", "-").replace(" ", "-").replace("=", "")

    def has(self, setting: str) -> bool:
        r"""Whether the method has a setting that is not fixed by what it is."""
        return getattr(self, setting) is not None and (setting != "p" or not self.selects_all)

    @property
    def selection(self) -> SelectionName:
        r"""``"bernoulli"`` or ``"partition"``."""
        return "partition" if self.p is None else "bernoulli"

    @property
    def selects_all(self) -> bool:
        r"""Whether every node is selected."""
        return self.p == 1.0

    @property
    def num_outcomes(self) -> int | None:
        r"""How many outcomes an exact certificate lists; :obj:`None` where they are sampled."""
        if self.noise is None or not NOISE_KINDS[self.noise].deterministic:
            return None
        return None if self.p is not None else (self.groups or 0) * (self.partitions or 0)

    @property
    def indicator(self) -> bool:
        r"""Whether the model sees who is selected, which says nothing where all are."""
        return not self.selects_all


METHODS = {
    method.name: method
    for method in (
        Method(HIERARCHICAL_FLIPS, "flips", 0.81, p_plus=0.05, p_minus=0.8),
        Method(FLAT_FLIPS, "flips", p_plus=0.05, p_minus=0.8),
        Method(ABLATION, "ablation", 0.81),
        Method(EXACT_ABLATION, "ablation", None, **SELECTION_DEFAULTS["partition"]),
        Method(HIERARCHICAL_GAUSSIAN, "gaussian", 0.81, std=0.25),
        Method(FLAT_GAUSSIAN, "gaussian", std=0.25),
        Method(UNPROTECTED, None),
    )
}
r"""The methods by name, with the settings of the reference where it has them."""


def random_methods(num: int, seed: int = 0) -> list[Method]:
    r"""Random settings of hierarchical flips, flat flips and ablation, :obj:`num` different
    ones of each.

    Drawn uniformly: :obj:`p` from 0.65 to 0.98 and :obj:`p_minus` from 0.3 to 0.95;
    :obj:`p_plus` log-uniformly from 0.0002 to 0.1.
    """
    rng = np.random.default_rng(seed)

    def p() -> float:
        return round(float(rng.uniform(0.65, 0.98)), 3)

    def p_plus() -> float:
        return float(f"{np.exp(rng.uniform(np.log(2e-4), np.log(0.1))):.2g}")

    def p_minus() -> float:
        return round(float(rng.uniform(0.3, 0.95)), 3)

    draws: list[Callable[[], Method]] = [
        lambda: Method(HIERARCHICAL_FLIPS, "flips", p(), p_plus=p_plus(), p_minus=p_minus()),
        lambda: Method(FLAT_FLIPS, "flips", p_plus=p_plus(), p_minus=p_minus()),
        lambda: Method(ABLATION, "ablation", p()),
    ]
    return [method for draw in draws for method in _distinct(draw, num)]


def _distinct(draw: Callable[[], Method], num: int) -> list[Method]:
    methods: dict[Method, None] = {}
    while len(methods) < num:
        methods[draw()] = None
    return list(methods)
